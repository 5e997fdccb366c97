"""Events: what `kubectl describe` shows at the end, and what people read when a Pod does not start."""

from __future__ import annotations

import time
from typing import Any

from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import EVENTS
from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]

KEPT = 1000
"""Events that are kept in all; the oldest go. A real cluster keeps them for an hour."""


class Recorder:
    """Writes Events about objects. The same thing said again counts the first Event up."""

    def __init__(self, store: Store, host: str) -> None:
        self._store = store
        self._host = host
        self._moment = 0
        self._known: dict[tuple[str, str, str, str, str], tuple[str, str]] = {}

    def normal(self, component: str, obj: Json, reason: str, message: str, field: str = "") -> None:
        self._record("Normal", component, obj, reason, message, field)

    def warning(self, component: str, obj: Json, reason: str, message: str, field: str = "") -> None:
        self._record("Warning", component, obj, reason, message, field)

    def _record(self, kind: str, component: str, obj: Json, reason: str, message: str, field: str) -> None:
        metadata = obj["metadata"]
        key = (metadata["uid"], field, kind, reason, message)
        try:
            if known := self._known.get(key):
                event = self._store.get(EVENTS, *known)
                event["count"] = event.get("count", 1) + 1
                event["lastTimestamp"] = now()
                self._store.update(EVENTS, event)
                return
        except ApiError:
            self._known.pop(key, None)
        namespace = metadata.get("namespace") or "default"
        try:
            made = self._store.create(EVENTS, self._event(kind, component, obj, reason, message, field, namespace))
        except ApiError:
            return  # the namespace is going: nobody will read it
        self._known[key] = (namespace, made["metadata"]["name"])
        while len(self._known) > KEPT:
            oldest = next(iter(self._known))
            namespace, name = self._known.pop(oldest)
            self._store.remove(EVENTS, namespace, name)

    def _event(self, kind: str, component: str, obj: Json, reason: str, message: str, field: str, namespace: str) -> Json:
        metadata, moment = obj["metadata"], now()
        # as on a real cluster: the Events of one object are listed in the order of their making
        self._moment = max(time.time_ns(), self._moment + 1)
        involved = {
            "kind": obj["kind"],
            "apiVersion": obj["apiVersion"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        if metadata.get("namespace"):
            involved["namespace"] = metadata["namespace"]
        if field:
            involved["fieldPath"] = field
        source = {"component": component} | ({"host": self._host} if component == "kubelet" else {})
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{self._moment:x}", "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "reportingComponent": component,
            "reportingInstance": self._host if component == "kubelet" else "",
        }
