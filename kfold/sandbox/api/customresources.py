"""CustomResourceDefinitions: their kinds are served from the moment that they are stored, and go with them.

Objects are kept as they were written and shown in the version that is asked for: between versions only apiVersion
changes (conversion "None").
"""

from __future__ import annotations

import asyncio
from typing import Any

from kfold.sandbox.api.documents import Object, at, timestamp
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import CUSTOMRESOURCEDEFINITIONS, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.api.structural import Structure

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that holds a definition until the last of its resources is gone."""

MANAGER = "kube-apiserver"


def resources_of(definition: Object) -> tuple[Resource, ...]:
    """The kind that a definition adds in each served version, the stored one first; empty where nothing is served."""
    spec: Any = definition.get("spec") or {}
    names: Any = spec.get("names") or {}
    versions = [version for version in spec.get("versions") or [] if version.get("served")]
    if not names.get("plural") or not names.get("kind"):
        return ()
    return tuple(
        Resource(
            group=spec.get("group", ""),
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec.get("scope") == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            subresources=tuple(name for name in ("status", "scale") if name in (version.get("subresources") or {})),
            categories=tuple(names.get("categories") or ()),
            generation=True,
            custom=True,
            singular=names.get("singular", ""),
            structure=Structure(version),
        )
        for version in sorted(versions, key=lambda version: not version.get("storage"))
    )


class CustomResources:
    """Keeps the store's catalog in step with the stored definitions. Start it before anything is served."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: set[str] = set()

    def start(self) -> None:
        """Serve what is defined, now and from now on. Needs a running loop."""
        self._store.subscribe(self._on_event)
        for definition in self._store.peek_all(CUSTOMRESOURCEDEFINITIONS):
            self._on_event("ADDED", CUSTOMRESOURCEDEFINITIONS, definition, None)

    def _on_event(self, kind: str, resource: Resource, obj: Object, old: Object | None) -> None:
        if resource.custom and kind == "DELETED":
            self._later(f"{resource.plural}.{resource.group}")
        if resource.key != CUSTOMRESOURCEDEFINITIONS.key:
            return
        versions = resources_of(obj)
        if versions and kind == "DELETED":
            self._store.catalog.discard(versions[0])
        elif versions:
            self._store.catalog.set(versions)
            self._later(obj["metadata"]["name"])

    def _later(self, name: str) -> None:
        """Not inside the commit: what is done there writes to the store itself."""
        if name not in self._waiting:
            self._waiting.add(name)
            asyncio.get_running_loop().call_soon(self._sync, name)

    def _sync(self, name: str) -> None:
        self._waiting.discard(name)
        try:
            definition = self._store.get(CUSTOMRESOURCEDEFINITIONS, None, name)
            for found in resources_of(definition)[:1]:
                if at(definition, "metadata", "deletionTimestamp"):
                    self._empty(definition, found)
                else:
                    self._establish(definition)
        except ApiError:
            # gone, or changed by somebody else in the meantime: its event comes here again
            return

    def _establish(self, definition: Object) -> None:
        finalizers = definition["metadata"].get("finalizers") or []
        if CLEANUP not in finalizers:
            definition["metadata"]["finalizers"] = [*finalizers, CLEANUP]
            definition = self._store.update(CUSTOMRESOURCEDEFINITIONS, definition, manager=MANAGER)
        stored = next(version["name"] for version in definition["spec"]["versions"] if version.get("storage"))
        kept = at(definition, "status", "storedVersions") or []
        if stored not in kept:
            now = timestamp()
            common = {"status": "True", "lastTransitionTime": now}
            conditions = [
                {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found", **common},
                {
                    "type": "Established",
                    "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted",
                    **common,
                },
            ]
            names = definition["spec"]["names"]
            definition["status"] = {"conditions": conditions, "acceptedNames": names, "storedVersions": [*kept, stored]}
            self._store.update_status(CUSTOMRESOURCEDEFINITIONS, definition, manager=MANAGER)

    def _empty(self, definition: Object, found: Resource) -> None:
        conditions = at(definition, "status", "conditions") or []
        if not any(item["type"] == "Terminating" for item in conditions):
            begun = {"type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress"}
            begun |= {"message": "CustomResource deletion is in progress", "lastTransitionTime": timestamp()}
            definition.setdefault("status", {})["conditions"] = [*conditions, begun]
            definition = self._store.update_status(CUSTOMRESOURCEDEFINITIONS, definition, manager=MANAGER)
        for obj in self._store.list(found):
            if not obj["metadata"].get("deletionTimestamp"):
                self._store.delete(found, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        finalizers = definition["metadata"].get("finalizers") or []
        if not self._store.peek_all(found) and CLEANUP in finalizers:
            definition["metadata"]["finalizers"] = [item for item in finalizers if item != CLEANUP]
            self._store.update(CUSTOMRESOURCEDEFINITIONS, definition, manager=MANAGER)
