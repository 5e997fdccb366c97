"""The garbage collector: what happens to dependents when their owner is deleted.

Rules of k8s.io/kubernetes/pkg/controller/garbagecollector. Background: dependents go after their last owner is gone.
Foreground: the owner stays, with the finalizer `foregroundDeletion`, until the dependents that block it are gone.
Orphan: the owner stays, with the finalizer `orphan`, until it is taken out of its dependents' references.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.deletion import FOREGROUND, ORPHAN
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet.recorder import Recorder

Json = dict[str, Any]
Place = tuple[str, str, str, str]
"""(group, plural, namespace, name)."""


class GarbageCollector(Controller):
    """Keys are UIDs of owners. Who depends on whom is kept from the events, so no sync looks at all objects."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        super().__init__(store, recorder)
        self._alive: dict[str, Place] = {}
        self._owners: dict[str, tuple[Place, set[str]]] = {}
        self._dependents: dict[str, set[str]] = {}

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        metadata = obj["metadata"]
        uid = metadata["uid"]
        place = (*resource.key, metadata.get("namespace", ""), metadata["name"])
        _, before = self._owners.get(uid, (place, set()))
        now = {reference["uid"] for reference in metadata.get("ownerReferences") or []} if kind != "DELETED" else set()
        for owner in before - now:
            self._dependents.get(owner, set()).discard(uid)
        for owner in now:
            self._dependents.setdefault(owner, set()).add(uid)
        affected = before | now
        if kind == "DELETED":
            self._alive.pop(uid, None)
            self._owners.pop(uid, None)
            affected.add(uid)
        else:
            self._alive[uid] = place
            self._owners[uid] = (place, now)
            if metadata.get("deletionTimestamp"):
                affected.add(uid)
        # An event of a dependent matters to its owner only if that one is going, or is gone (or never was).
        return [(owner,) for owner in affected if owner == uid or owner not in self._alive or self._is_going(owner)]

    def sync(self, key: Key) -> float | None:
        (uid,) = key
        dependents = [found for entry in sorted(self._dependents.get(uid, ())) if (found := self._find(entry))]
        owner = self._find(uid)
        if owner is None:
            for dependent in dependents:
                self._collect(*dependent)
            if not self._dependents.get(uid):
                self._dependents.pop(uid, None)
            return None
        resource, obj = owner
        if not obj["metadata"].get("deletionTimestamp"):
            return None
        finalizers = obj["metadata"].get("finalizers") or []
        if ORPHAN in finalizers:
            for dependent in dependents:
                self._drop_references(*dependent, {uid})
            self._finalize(resource, obj, ORPHAN)
        elif FOREGROUND in finalizers:
            for dependent in dependents:
                self._collect(*dependent)
            left = [found for entry in sorted(self._dependents.get(uid, ())) if (found := self._find(entry))]
            if not any(_blocks(dependent, uid) for _, dependent in left):
                self._finalize(resource, obj, FOREGROUND)
        return None

    # --- dependents

    def _collect(self, resource: Resource, obj: Json) -> None:
        """Delete a dependent that has no owner left, or take the owners that are gone out of its references."""
        references = obj["metadata"].get("ownerReferences") or []
        gone = {reference["uid"] for reference in references if reference["uid"] not in self._alive}
        going = {reference["uid"] for reference in references if self._is_foreground(reference["uid"])}
        if any(reference["uid"] not in gone | going for reference in references):
            self._drop_references(resource, obj, gone | going)
            return
        if obj["metadata"].get("deletionTimestamp"):
            return
        metadata = obj["metadata"]
        # Owners that wait for this one wait for what it owns too.
        policy = "Foreground" if going and self._dependents.get(metadata["uid"]) else "Background"
        if ORPHAN in (metadata.get("finalizers") or []):
            policy = "Orphan"
        place = metadata.get("namespace"), metadata["name"]
        try:
            self._store.delete(resource, *place, uid=metadata["uid"], propagation=policy)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _drop_references(self, resource: Resource, obj: Json, owners: set[str]) -> None:
        references = obj["metadata"].get("ownerReferences") or []
        kept = [reference for reference in references if reference["uid"] not in owners]
        if len(kept) == len(references):
            return
        changed = self._store.get(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        if kept:
            changed["metadata"]["ownerReferences"] = kept
        else:
            changed["metadata"].pop("ownerReferences", None)
        self._store.update(resource, changed)

    def _finalize(self, resource: Resource, obj: Json, finalizer: str) -> None:
        changed = self._store.get(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        finalizers = changed["metadata"].get("finalizers") or []
        changed["metadata"]["finalizers"] = [entry for entry in finalizers if entry != finalizer]
        self._store.update(resource, changed)

    # --- who is who

    def _find(self, uid: str) -> tuple[Resource, Json] | None:
        place = self._alive.get(uid)
        if place is None:
            return None
        group, plural, namespace, name = place
        resource = self._store.catalog.find(group, plural)
        obj = self._store.peek(resource, namespace, name) if resource else None
        return (resource, obj) if resource and obj and obj["metadata"]["uid"] == uid else None

    def _is_going(self, uid: str) -> bool:
        found = self._find(uid)
        return bool(found and found[1]["metadata"].get("deletionTimestamp"))

    def _is_foreground(self, uid: str) -> bool:
        found = self._find(uid)
        if not found:
            return False
        metadata = found[1]["metadata"]
        return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or [])


def _blocks(obj: Json, owner: str) -> bool:
    references = obj["metadata"].get("ownerReferences") or []
    return any(reference["uid"] == owner and reference.get("blockOwnerDeletion") for reference in references)
