"""The objects of the cluster: names, revisions, optimistic locking, deletion, and the events that watches replay.

Single-threaded: everything happens on the asyncio loop, so a method is a transaction. Objects are plain dicts; what a
caller gets is a copy that it may change, what a subscriber gets is the stored object, which it must not.

What a kind asks for (defaults, validation, immutable fields) comes in as `Rules`, who owns which field as `Tracker`:
the store itself treats all kinds alike, but for Pods' grace period and the Namespaces' life, which are part of
deletion.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from typing import Protocol

from kfold.sandbox.api import deletion, errors, updates
from kfold.sandbox.api.documents import Object, copied, timestamp, without_server_fields
from kfold.sandbox.api.history import Event, History
from kfold.sandbox.api.persistence import Persistence
from kfold.sandbox.api.resources import DEPLOYMENTS, NAMESPACES, PODS, Catalog, Resource

SYSTEM_MANAGER = "kube-controller-manager"
"""The field manager of what controllers and the kubelet write."""

Callback = Callable[[str, Resource, Object, Object | None], None]


class Rules(Protocol):
    """What each kind adds to being stored: defaults, initial status, validation.

    Both methods change `obj` in place, and raise ApiError to refuse it.
    """

    def on_create(self, resource: Resource, obj: Object) -> None: ...

    def on_update(self, resource: Resource, obj: Object, old: Object, subresource: str) -> None: ...


class Tracker(Protocol):
    """Keeps who owns which field.

    `track` sets metadata.managedFields of `obj`, which a manager changed from `old` (None: created).
    """

    def track(self, resource: Resource, obj: Object, old: Object | None, manager: str, subresource: str) -> None: ...


class Store:
    """All objects of one cluster.

    `rules` and `tracker` may be None: then objects are stored as they are sent.
    """

    def __init__(
        self,
        persistence: Persistence | None = None,
        *,
        catalog: Catalog | None = None,
        rules: Rules | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self.catalog = catalog or Catalog()
        self._persistence = persistence or Persistence(None)
        self._rules = rules
        self._tracker = tracker
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self._revision = self._persistence.revision()
        self._history = History(self._revision)
        self._subscribers: list[Callback] = []
        for (group, plural, namespace, name), obj in self._persistence.load():
            self._objects.setdefault((group, plural), {})[namespace, name] = obj

    # --- reading

    @property
    def revision(self) -> int:
        """The resourceVersion of the last commit, of whatever kind."""
        return self._revision

    @property
    def oldest(self) -> int:
        """A watch can resume from this revision or a later one."""
        return self._history.oldest

    def peek(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """The stored object itself, not to be changed, or None."""
        return self._objects.get(resource.key, {}).get((namespace or "", name))

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """A copy of the object. Raises ApiError 404."""
        obj = self.peek(resource, namespace, name)
        if obj is None:
            raise errors.not_found(resource, name)
        return _copy(obj)

    def peek_all(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """The stored objects themselves, not to be changed, by namespace and name, as a list request shows them."""
        found = self._objects.get(resource.key, {})
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def snapshot(self, resource: Resource, namespace: str | None, revision: int) -> list[Object]:
        """The stored objects as they were at an earlier revision, not to be changed. Raises ApiError 410."""
        found = {_place(obj): obj for obj in self.peek_all(resource)}
        for event in reversed(list(self._history.after(revision, resource))):
            if event.old is None:
                found.pop(_place(event.obj), None)
            else:
                found[_place(event.obj)] = event.old
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def list(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """Copies of the objects of that kind, in one namespace or (None) in all."""
        return [_copy(obj) for obj in self.peek_all(resource, namespace)]

    def events_after(self, revision: int, resource: Resource) -> Iterator[Event]:
        """The kept events of a kind after a revision. Raises ApiError 410 if some of them are no longer kept."""
        return self._history.after(revision, resource)

    def forget_history(self) -> None:
        """No watch resumes from before now (a real server starts with an empty cache of events)."""
        self._history.forget(self._revision)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(event_type, resource, obj, old)` right after each commit; returns what ends the subscription.

        `obj` and `old` are the stored objects: read, never change. The callback must not raise; it may write to the
        store only later (wake a task up and return).
        """
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    # --- writing

    def create(self, resource: Resource, obj: Object, *, manager: str = SYSTEM_MANAGER, dry_run: bool = False) -> Object:
        """Add an object: name (or generateName), uid, creationTimestamp, generation and defaults are filled in.

        Raises ApiError 409 AlreadyExists, 404 or 403 for a namespace that is missing or going, 422 from the rules.
        """
        obj = _copy(obj)
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            # the real server cuts the prefix so that the name stays within 63 characters, and draws five from this
            # alphabet
            suffix = "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
            metadata["name"] = metadata["generateName"][:58] + suffix
        # before the rules, because a Job's selector is its uid
        metadata["uid"] = str(uuid.uuid4())
        if self._rules:
            self._rules.on_create(resource, obj)
        name = metadata["name"]
        self._check_namespace(resource, metadata, name)
        if self.peek(resource, metadata.get("namespace"), name) is not None:
            raise errors.already_exists(resource, name)
        for key in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
            metadata.pop(key, None)
        metadata["creationTimestamp"] = timestamp()
        if resource.generation or resource.custom:
            metadata["generation"] = 1
        self._track(resource, obj, None, manager, "")
        return _copy(self._commit("ADDED", resource, obj, None, dry_run))

    def update(
        self,
        resource: Resource,
        obj: Object,
        *,
        manager: str = SYSTEM_MANAGER,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Replace an object; `status` is left as it was for kinds that have a status subresource.

        A resourceVersion in `obj` must be the current one (409 Conflict), a uid too. Writing what is already there
        changes nothing, not even the resourceVersion. A change of the spec counts `generation` up. Taking the last
        finalizer from an object that is being deleted removes it. `subresource` only says who is asking ("scale", for
        the field manager).
        """
        obj = _copy(obj)
        old = self._current(resource, obj)
        metadata, old_metadata = obj["metadata"], old["metadata"]
        updates.keep_server_fields(resource, metadata, old_metadata)
        if "apiVersion" in old:
            obj["apiVersion"] = old["apiVersion"]  # asked in another version, it is the same object
        if "status" in resource.subresources:
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = copied(old["status"])
        if self._rules:
            self._rules.on_update(resource, obj, old, subresource)
        counted = (resource.generation or resource.custom) and subresource != "binding"
        if counted and updates.desired(resource, obj) != updates.desired(resource, old):
            metadata["generation"] = old_metadata.get("generation", 0) + 1
        self._track(resource, obj, old, manager, subresource)
        released = metadata.get("deletionTimestamp") and not metadata.get("finalizers") and old_metadata.get("finalizers")
        # a Pod's grace period runs on: the kubelet removes it when its containers have ended; a Namespace is emptied first
        waits = resource.key == PODS.key and metadata.get("deletionGracePeriodSeconds") != 0
        if released and not waits and resource.key != NAMESPACES.key:
            return _copy(self._commit("DELETED", resource, obj, old, dry_run))
        return self._commit_if_changed(resource, obj, old, dry_run)

    def update_status(
        self, resource: Resource, obj: Object, *, manager: str = SYSTEM_MANAGER, dry_run: bool = False
    ) -> Object:
        """Replace `status` alone, everything else in `obj` but its identity is ignored.

        Of a Deployment the annotations too (deploymentStatusStrategy): its controller writes the revision this way, and
        it counts no generation. Same locking and no-op as `update`.
        """
        old = self._current(resource, obj)
        new = _copy(old)
        if obj.get("status") is None:
            new.pop("status", None)
        else:
            new["status"] = copied(obj["status"])
        if resource.key == DEPLOYMENTS.key:
            new["metadata"].pop("annotations", None)
            if annotations := obj["metadata"].get("annotations"):
                new["metadata"]["annotations"] = copied(annotations)
        if "managedFields" in obj["metadata"]:
            new["metadata"]["managedFields"] = copied(obj["metadata"]["managedFields"])
        if self._rules:
            self._rules.on_update(resource, new, old, "status")
        self._track(resource, new, old, manager, "status")
        return self._commit_if_changed(resource, new, old, dry_run)

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        revision: str | None = None,
        propagation: str | None = "Background",
        grace: int | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Delete as the API does: at once, or by marking the object for whoever still has to act.

        An object with finalizers (its own, or the one that `propagation` Foreground or Orphan adds for the garbage
        collector) gets a deletionTimestamp and stays until the last finalizer is gone. A Pod that was started gets
        its grace period (`grace` seconds, or its own); the kubelet calls `remove` when the containers have ended;
        grace 0 removes it at once. A Namespace becomes Terminating until its controller calls `remove`. Returns the
        object as it was left (or was last). Raises ApiError 404, and 409 if `uid` or `revision` (a resourceVersion)
        are given and differ.
        """
        old = self.peek(resource, namespace, name)
        if old is None:
            raise errors.not_found(resource, name)
        updates.check_precondition(resource, name, "UID", uid, old["metadata"]["uid"])
        updates.check_precondition(resource, name, "ResourceVersion", revision, old["metadata"]["resourceVersion"])
        obj = _copy(old)
        if deletion.mark(resource, obj, propagation=propagation, grace=grace):
            return _copy(self._commit("DELETED", resource, obj, old, dry_run))
        return self._commit_if_changed(resource, obj, old, dry_run)

    def remove(self, resource: Resource, namespace: str | None, name: str, uid: str | None = None) -> None:
        """Remove for good, whatever its finalizers; nothing where it is gone or was made anew.

        For the kubelet and the namespace controller.
        """
        old = self.peek(resource, namespace, name)
        if old is not None and uid in (None, old["metadata"]["uid"]):
            self._commit("DELETED", resource, _copy(old), old, False)

    # --- inside

    def _current(self, resource: Resource, obj: Object) -> Object:
        metadata = obj["metadata"]
        name = metadata["name"]
        old = self.peek(resource, metadata.get("namespace"), name)
        if old is None:
            raise errors.not_found(resource, name)
        updates.check_precondition(resource, name, "UID", metadata.get("uid"), old["metadata"]["uid"])
        revision = metadata.get("resourceVersion")
        if revision and revision != old["metadata"]["resourceVersion"]:
            raise errors.modified(resource, name)
        return old

    def _check_namespace(self, resource: Resource, metadata: Object, name: str) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        namespace = metadata.get("namespace", "")
        holder = self.peek(NAMESPACES, None, namespace)
        if holder is None:
            raise errors.not_found(NAMESPACES, namespace)
        if holder["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            text = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            raise errors.forbidden(resource, name, why, [cause])

    def _track(self, resource: Resource, obj: Object, old: Object | None, manager: str, subresource: str) -> None:
        # no manager: server-side apply has set managedFields itself, to [] where nobody owns anything any more
        if self._tracker and manager:
            self._tracker.track(resource, obj, old, manager, subresource)
        if not obj["metadata"].get("managedFields"):
            obj["metadata"].pop("managedFields", None)

    def _commit_if_changed(self, resource: Resource, obj: Object, old: Object, dry_run: bool) -> Object:
        if without_server_fields(obj) == without_server_fields(old) and updates.same_owners(obj, old):
            return _copy(old)
        return _copy(self._commit("MODIFIED", resource, obj, old, dry_run))

    def _commit(self, kind: str, resource: Resource, obj: Object, old: Object | None, dry_run: bool) -> Object:
        if dry_run:
            return obj
        metadata = obj["metadata"]
        revision = self._revision + 1
        metadata["resourceVersion"] = str(revision)
        place = _place(obj)
        self._persistence.write(revision, (*resource.key, *place), None if kind == "DELETED" else obj)
        self._revision = revision
        objects = self._objects.setdefault(resource.key, {})
        if kind == "DELETED":
            objects.pop(place, None)
        else:
            objects[place] = obj
        self._history.add(Event(revision, kind, resource, obj, old))
        for callback in list(self._subscribers):
            callback(kind, resource, obj, old)
        return obj

    def close(self) -> None:
        self._persistence.close()


def _copy(obj: Object) -> Object:
    result: Object = copied(obj)
    return result


def _place(obj: Object) -> tuple[str, str]:
    return (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
