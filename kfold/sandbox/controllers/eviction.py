"""Pods that cannot stay where they are: their node is not there, or has a NoExecute taint that they do not tolerate."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.resources import NODES, PODS, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.controllers.scheduler import tolerations
from kfold.sandbox.kubelet.recorder import Recorder

Json = dict[str, Any]

QUARANTINE = 40.0
"""Seconds that a Pod's node may be missing before the Pod is removed (pkg/controller/podgc: quarantineTime)."""


class EvictionController(Controller):
    """The work of Kubernetes' controllers podgc (Pods of missing nodes) and tainteviction."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        super().__init__(store, recorder)
        self._since: dict[Key, tuple[str, float]] = {}  # uid, and when the Pod was first seen to have to go

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == PODS.key and obj["spec"].get("nodeName"):
            return [objects.place(obj)]
        if resource.key == NODES.key:
            name = obj["metadata"]["name"]
            return [objects.place(pod) for pod in self._store.peek_all(PODS) if pod["spec"].get("nodeName") == name]
        return []

    def sync(self, key: Key) -> float | None:
        pod = self._store.peek(PODS, *key)
        node = self._store.peek(NODES, None, pod["spec"].get("nodeName", "")) if pod else None
        allowed = _allowed(pod, node) if pod else None
        if pod is None or allowed is None:
            self._since.pop(key, None)
            return None
        uid = pod["metadata"]["uid"]
        if self._since.get(key, ("", 0.0))[0] != uid:
            self._since[key] = uid, time.monotonic()
        left = self._since[key][1] + allowed - time.monotonic()
        if left > 0:
            return left
        if node is not None:
            said = f"Marking for deletion Pod {key[0]}/{key[1]}"
            self._recorder.normal("taint-eviction-controller", pod, "TaintManagerEviction", said)
        # no kubelet of a missing node will ever say that the containers have ended
        self._store.delete(PODS, *key, uid=uid, grace=0 if node is None else None)
        return None


def _allowed(pod: Json, node: Json | None) -> float | None:
    """Seconds that the Pod may still stay, from when this was first so; None: for ever."""
    if not pod["spec"].get("nodeName"):
        return None
    leaving = bool(pod["metadata"].get("deletionTimestamp"))
    if node is None:
        return 0.0 if leaving else QUARANTINE
    taints = [taint for taint in node["spec"].get("taints") or [] if taint["effect"] == "NoExecute"]
    if leaving or not taints:
        return None
    met = [tolerations(pod, taint) for taint in taints]
    if not all(met):
        return 0.0
    limits = [entry["tolerationSeconds"] for entries in met for entry in entries if "tolerationSeconds" in entry]
    return max(0.0, float(min(limits))) if limits else None
