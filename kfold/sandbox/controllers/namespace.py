"""Namespaces: an account and the certificate authority for each; their end: all in them is deleted, then they go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import CONFIGMAPS, EVENTS, NAMESPACES, ROOT_CA, SERVICEACCOUNTS, Resource
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]


_NO_FAILURES = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
}
"""Conditions that say what cannot fail here: (reason, message), as the real controller writes them when nothing failed."""


class NamespaceController(Controller):
    """Keys are ("", name)."""

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == NAMESPACES.key:
            return [("", obj["metadata"]["name"])]
        if resource.key == SERVICEACCOUNTS.key or _is_authority(resource, obj):
            return [("", obj["metadata"]["namespace"])]
        if resource.namespaced and kind == "DELETED":
            return [("", obj["metadata"]["namespace"])]
        if resource.namespaced and obj["metadata"].get("deletionTimestamp"):
            return [("", obj["metadata"]["namespace"])]
        return []

    def sync(self, key: Key) -> float | None:
        namespace = self._store.peek(NAMESPACES, None, key[1])
        if namespace is None:
            return None
        if not namespace["metadata"].get("deletionTimestamp"):
            self._ensure_account(key[1])
            self._ensure_authority(key[1])
            return None
        left: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        for resource in self._store.catalog:
            if resource.namespaced and resource.key != EVENTS.key:
                self._empty(resource, key[1], left, finalizers)
        if left or namespace["metadata"].get("finalizers"):  # others have to act; what they change is looked at
            self._explain(key[1], left, finalizers)
            return None
        for event in self._store.peek_all(EVENTS, key[1]):  # last: the end of everything else is told in Events
            self._store.remove(EVENTS, key[1], event["metadata"]["name"])
        self._store.remove(NAMESPACES, None, key[1], namespace["metadata"]["uid"])
        return None

    def _empty(self, resource: Resource, namespace: str, left: dict[str, int], finalizers: dict[str, int]) -> None:
        for obj in self._store.peek_all(resource, namespace):
            metadata = obj["metadata"]
            try:
                if not metadata.get("deletionTimestamp"):
                    self._store.delete(resource, namespace, metadata["name"], uid=metadata["uid"])
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
            still = self._store.peek(resource, namespace, metadata["name"])
            if still is not None:
                name = f"{resource.plural}.{resource.group}"
                left[name] = left.get(name, 0) + 1
                for finalizer in still["metadata"].get("finalizers") or []:
                    finalizers[finalizer] = finalizers.get(finalizer, 0) + 1

    def _explain(self, name: str, left: dict[str, int], finalizers: dict[str, int]) -> None:
        """Conditions that say what holds the Namespace up, in the real server's words."""
        namespace = self._store.get(NAMESPACES, None, name)
        kinds = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(left.items()))
        holders = ", ".join(f"{entry} in {count} resource instances" for entry, count in sorted(finalizers.items()))
        content = ("ContentRemoved", "All content successfully removed")
        if left:
            content = ("SomeResourcesRemain", f"Some resources are remaining: {kinds}")
        held = ("ContentHasNoFinalizers", "All content-preserving finalizers finished")
        if finalizers:
            held = ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {holders}")
        entries = [_condition(kind, False, *said) for kind, said in _NO_FAILURES.items()]
        entries.append(_condition("NamespaceContentRemaining", bool(left), *content))
        entries.append(_condition("NamespaceFinalizersRemaining", bool(finalizers), *held))
        status = namespace.setdefault("status", {})
        for entry in entries:
            status["conditions"] = objects.set_condition(status.get("conditions") or [], entry)
        self._store.update_status(NAMESPACES, namespace)

    def _ensure_account(self, namespace: str) -> None:
        if self._store.peek(SERVICEACCOUNTS, namespace, "default") is None:
            metadata = {"name": "default", "namespace": namespace}
            self._store.create(SERVICEACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    def _ensure_authority(self, namespace: str) -> None:
        source = self._store.peek(CONFIGMAPS, "kube-system", ROOT_CA)
        if source is None or namespace == "kube-system":
            return
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA, "namespace": namespace}}
        body |= {"data": dict(source["data"])}
        present = self._store.peek(CONFIGMAPS, namespace, ROOT_CA)
        if present is None:
            self._store.create(CONFIGMAPS, body)
        elif present.get("data") != body["data"]:
            self._store.update(CONFIGMAPS, body)


def _is_authority(resource: Resource, obj: Json) -> bool:
    return resource.key == CONFIGMAPS.key and obj["metadata"]["name"] == ROOT_CA


def _condition(kind: str, holds: bool, reason: str, message: str) -> Json:
    status = "True" if holds else "False"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}
