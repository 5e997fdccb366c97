"""A cluster in a JSON file: keeps the contract of ClusterStore without a cluster, and fails when it is told to.

Its state survives the process, so a test can kill a run and ask afterwards what the cluster holds. What is real: UIDs,
resource versions, generations, server-side apply with managed fields and conflicts, UID preconditions, finalizers,
owner references, namespaces. What is not: schemas and defaults, controllers (a workload is stable as soon as it is
applied, or has the status given with `set_status`), Pods of workloads (put them there with `put`), propagation other
than by owner reference, real logs.
"""

from __future__ import annotations

import copy
import fcntl
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kfold.errors import Interrupted
from kfold.stores import fake_apply
from kfold.stores.cluster_interface import (
    ClusterError,
    ClusterIdentity,
    Deletion,
    FieldConflict,
    LineStream,
    ObjectRef,
    ObjectReplaced,
    ObjectState,
    OwnedField,
    Propagation,
    UnknownKind,
    manifest_ref,
    object_state,
)
from kfold.stores.fake_status import stable_status
from kfold.stores.kinds import BUILTIN, Kind, group_of
from kfold.stores.selectors import matches

_ERRORS: Mapping[str, type[ClusterError]] = {
    kind.__name__: kind for kind in (ClusterError, FieldConflict, ObjectReplaced, UnknownKind)
}


class FakeCluster:
    """See the module. `path` is the state file; two FakeClusters on one file are two clients of one cluster.

    Thread-safe and process-safe: each call holds the file's lock. `calls` lists the methods called on this instance.
    """

    def __init__(self, path: Path, *, context: str = "fake", ready_at_once: bool = True) -> None:
        self.path = path
        self.calls: list[str] = []
        self._context = context
        self._ready_at_once = ready_at_once
        self._lock = threading.RLock()

    # --- the contract -------------------------------------------------------------------------------------------

    def identity(self) -> ClusterIdentity:
        with self._state("identity") as state:
            uid = state["objects"][_key("v1", "Namespace", "", "kube-system")]["metadata"]["uid"]
            return ClusterIdentity(uid, f"fake://{self.path.name}", self._context)

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        with self._state("is_namespaced") as state:
            return _kind(state, api_version, kind).namespaced

    def served_kinds(self) -> list[tuple[str, str]]:
        with self._state("served_kinds") as state:
            found = set(BUILTIN)
            for definition in state["objects"].values():
                spec = definition.get("spec") or {}
                if definition["kind"] == "CustomResourceDefinition":
                    found |= {(f"{spec['group']}/{name}", spec["names"]["kind"]) for name in _served(spec)[:1]}
            return sorted(found)

    def version_of(self, group: str, kind: str) -> str:
        found = next((version for version, name in self.served_kinds() if (group_of(version), name) == (group, kind)), None)
        if found is None:
            raise UnknownKind(f"the cluster does not know the kind {kind} of {group}")
        return found

    def list_kind(self, api_version: str, kind: str, namespace: str | None = None, *,
                  label_selector: str = "") -> list[ObjectState]:
        with self._state("list_kind") as state:
            _kind(state, api_version, kind)
            found = [
                object_state({**obj, "apiVersion": api_version})
                for obj in state["objects"].values()
                if obj["kind"] == kind and group_of(obj["apiVersion"]) == group_of(api_version)
                and (namespace is None or obj["metadata"].get("namespace") == namespace)
                and matches(label_selector, obj["metadata"].get("labels") or {})
            ]
            return sorted(found, key=lambda item: (item.namespace, item.name))

    def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        with self._state("get") as state:
            _kind(state, ref.api_version, ref.kind)
            obj = state["objects"].get(_ref_key(ref))
            return None if obj is None else {**obj, "apiVersion": ref.api_version}

    def apply(self, manifest: Mapping[str, Any], *, uid: str | None = None, force: bool = False,
              dry_run: bool = False, new: bool = False) -> ObjectState:
        with self._state("apply", write=not dry_run) as state:
            ref = manifest_ref(manifest)
            if _kind(state, ref.api_version, ref.kind).namespaced and not ref.namespace:
                raise ClusterError(f"{ref} says no namespace", code=400, reason="BadRequest")
            key = _ref_key(ref)
            live = state["objects"].get(key)
            expected = uid or (manifest.get("metadata") or {}).get("uid")
            if expected and (live is None or live["metadata"]["uid"] != expected):
                raise ObjectReplaced(f"{ref} is not the object with UID {expected}")
            if new and live is not None:
                raise ClusterError(f"{ref} is there already", code=409, reason="Conflict")
            version = (manifest.get("metadata") or {}).get("resourceVersion")
            if version and (live is None or live["metadata"]["resourceVersion"] != version):
                raise ClusterError(f"{ref} was changed meanwhile", code=409, reason="Conflict")
            if live is None:
                _check_namespace(state, ref)
            changed = fake_apply.apply(live, manifest, ref, force=force)
            if live is None or changed != live:
                if not dry_run:
                    state["revision"] += 1
                changed["metadata"]["resourceVersion"] = str(state["revision"])
                if live is None or changed.get("spec") != live.get("spec"):
                    changed["metadata"]["generation"] = (live or {}).get("metadata", {}).get("generation", 0) + 1
                    if self._ready_at_once:
                        stable_status(changed)
                state["objects"][key] = changed
            return object_state(copy.deepcopy(changed))

    def create(self, manifest: Mapping[str, Any]) -> ObjectState:
        with self._state("create", write=True) as state:
            ref = manifest_ref(manifest)
            if _ref_key(ref) in state["objects"]:
                raise ClusterError(f'{ref} "{ref.name}" already exists', code=409, reason="AlreadyExists")
            _check_namespace(state, ref)
            made = fake_apply.created(manifest, ref)
            state["revision"] += 1
            made["metadata"] |= {"resourceVersion": str(state["revision"]), "generation": 1}
            state["objects"][_ref_key(ref)] = made
            return object_state(copy.deepcopy(made))

    def patch(self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], *, manager: str) -> ObjectState:
        with self._state("patch", write=True) as state:
            obj = state["objects"].get(_ref_key(ref))
            if obj is None:
                raise ClusterError(f"{ref} is not there", code=404, reason="NotFound")
            fake_apply.patch(obj, operations, manager)
            state["revision"] += 1
            obj["metadata"]["resourceVersion"] = str(state["revision"])
            return object_state(copy.deepcopy(obj))

    def delete(self, ref: ObjectRef, *, uid: str, propagation: Propagation = "Background",
               resource_version: str = "") -> Deletion:
        with self._state("delete", write=True) as state:
            obj = state["objects"].get(_ref_key(ref))
            if obj is None:
                return "gone"
            if obj["metadata"]["uid"] != uid:
                return "replaced"
            if resource_version and obj["metadata"]["resourceVersion"] != resource_version:
                raise ClusterError(f"{ref} was changed meanwhile", code=409, reason="Conflict")
            _delete(state, obj, orphan=propagation == "Orphan")
            return "requested"

    def pods(self, namespace: str, label_selector: str = "") -> list[dict[str, Any]]:
        with self._state("pods"):
            pass
        return [dict(pod.raw) for pod in self.list_kind("v1", "Pod", namespace, label_selector=label_selector)]

    def logs(self, namespace: str, pod: str, container: str, *, follow: bool = False, since_time: str | None = None,
             previous: bool = False, tail: int | None = None, timestamps: bool = False) -> LineStream:
        with self._state("logs") as state:
            if _key("v1", "Pod", namespace, pod) not in state["objects"]:
                raise ClusterError(f'pods "{pod}" not found', code=404, reason="NotFound")
            lines = state["logs"].get(f"{namespace}/{pod}/{container}/{previous}", [])
            return _Lines(lines if tail is None else lines[len(lines) - min(tail, len(lines)):])

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], *,
                on_line: Callable[[str], None], stop: threading.Event) -> int:
        """Runs nothing; answers what `set_answer` said for this command, else with exit code 127."""
        with self._state("execute") as state:
            if _key("v1", "Pod", namespace, pod) not in state["objects"]:
                raise ClusterError(f'pods "{pod}" not found', code=404, reason="NotFound")
            key = f"{namespace}/{pod}/{container}/{json.dumps(list(command))}"
            lines, code = state.get("answers", {}).get(key, ([], 127))
        if stop.is_set():
            raise Interrupted(f"run a command in pod/{pod} in {namespace}: was stopped")
        for line in lines:
            on_line(line)
        return int(code)

    def events(self, namespace: str, involved_uid: str | None = None) -> list[dict[str, Any]]:
        with self._state("events"):
            pass
        found = [dict(event.raw) for event in self.list_kind("v1", "Event", namespace)]
        return [event for event in found
                if involved_uid is None or (event.get("involvedObject") or {}).get("uid") == involved_uid]

    def warm_up(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing is open between calls."""

    # --- what a test does to it ---------------------------------------------------------------------------------

    def fail(self, method: str, error: ClusterError, times: int = 1, *, after_effect: bool = False) -> None:
        """The next `times` calls of `method` raise `error`, in whichever process they happen.

        `after_effect`: the call does its work first and its answer is lost, as when a connection breaks.
        """
        with self._state("", write=True) as state:
            state["failures"].append({
                "method": method, "times": times, "after_effect": after_effect, "type": type(error).__name__,
                "message": error.message, "hint": error.hint, "code": error.code, "reason": error.reason,
                "conflicts": [[owned.manager, owned.field] for owned in getattr(error, "conflicts", ())],
            })

    def put(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Stores an object as somebody else (a controller, a user) made it: no managed fields; a UID if it has none."""
        with self._state("", write=True) as state:
            ref = manifest_ref(obj)
            stored = copy.deepcopy(dict(obj))
            state["revision"] += 1
            metadata = stored["metadata"]
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata.setdefault("generation", 1)
            metadata["resourceVersion"] = str(state["revision"])
            state["objects"][_ref_key(ref)] = stored
            return copy.deepcopy(stored)

    def edit(self, ref: ObjectRef, change: Mapping[str, Any], *, manager: str = "kubectl-edit") -> None:
        """Somebody else sets fields (None removes one), as a PATCH with operation Update does."""
        with self._state("", write=True) as state:
            obj = state["objects"][_ref_key(ref)]
            before = copy.deepcopy(obj)
            fake_apply.edit(obj, change, manager)
            state["revision"] += 1
            obj["metadata"]["resourceVersion"] = str(state["revision"])
            if obj.get("spec") != before.get("spec"):
                obj["metadata"]["generation"] = obj["metadata"].get("generation", 0) + 1

    def set_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> None:
        """Replaces the status, as a controller does."""
        with self._state("", write=True) as state:
            state["objects"][_ref_key(ref)]["status"] = copy.deepcopy(dict(status))

    def remove_finalizers(self, ref: ObjectRef) -> None:
        """Does what the controllers behind the finalizers would; an object that waits for deletion goes."""
        with self._state("", write=True) as state:
            obj = state["objects"][_ref_key(ref)]
            obj["metadata"].pop("finalizers", None)
            if obj["metadata"].get("deletionTimestamp"):
                _delete(state, obj)

    def set_answer(self, namespace: str, pod: str, container: str, command: Sequence[str], lines: Sequence[str],
                   code: int = 0) -> None:
        """What a command in a container prints, and its exit code."""
        with self._state("", write=True) as state:
            key = f"{namespace}/{pod}/{container}/{json.dumps(list(command))}"
            state.setdefault("answers", {})[key] = (list(lines), code)

    def set_log(self, namespace: str, pod: str, container: str, lines: Sequence[str], *,
                previous: bool = False) -> None:
        """What `logs` answers."""
        with self._state("", write=True) as state:
            state["logs"][f"{namespace}/{pod}/{container}/{previous}"] = list(lines)

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """All objects, by "group|kind|namespace|name": to compare before and after."""
        with self._state("") as state:
            objects: dict[str, dict[str, Any]] = state["objects"]
            return objects

    @contextmanager
    def _state(self, method: str, *, write: bool = False) -> Iterator[dict[str, Any]]:
        """The state, under the lock, with this method's failures raised before or after."""
        with self._lock, self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if method:
                self.calls.append(method)
            state = json.loads(self.path.read_text()) if self.path.exists() else self._save(_empty())
            failure = next((entry for entry in state["failures"] if entry["method"] == method), None)
            if failure is not None:
                failure["times"] -= 1
                if failure["times"] <= 0:
                    state["failures"].remove(failure)
                self._save(state)
                if not failure["after_effect"]:
                    raise _error(failure)
            yield state
            if write:
                self._save(state)
            if failure is not None:
                raise _error(failure)

    def _save(self, state: dict[str, Any]) -> dict[str, Any]:
        draft = self.path.with_name(f"{self.path.name}.new")
        draft.write_text(json.dumps(state))
        draft.replace(self.path)  # a killed process leaves the old state or the new one, never half of it
        return state


class _Lines:
    """Lines that are there already. Closing ends the iteration."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            if self._closed:
                return
            yield line.encode()

    def close(self) -> None:
        self._closed = True


def _empty() -> dict[str, Any]:
    names = ("default", "kube-system", "kube-public")
    return {
        "revision": 1, "failures": [], "logs": {},
        "objects": {_key("v1", "Namespace", "", name): {
            "apiVersion": "v1", "kind": "Namespace", "status": {"phase": "Active"},
            "metadata": {"name": name, "uid": str(uuid.uuid4()), "resourceVersion": "1"}} for name in names},
    }


def _error(failure: Mapping[str, Any]) -> ClusterError:
    kind = _ERRORS.get(failure["type"], ClusterError)
    if kind is FieldConflict:
        return FieldConflict(failure["message"], tuple(OwnedField(*pair) for pair in failure["conflicts"]),
                             hint=failure["hint"])
    if kind is not ClusterError:
        return kind(failure["message"], hint=failure["hint"])
    return ClusterError(failure["message"], code=failure["code"], reason=failure["reason"], hint=failure["hint"])


def _key(api_version: str, kind: str, namespace: str, name: str) -> str:
    return f"{group_of(api_version)}|{kind}|{namespace}|{name}"


def _ref_key(ref: ObjectRef) -> str:
    return _key(ref.api_version, ref.kind, ref.namespace, ref.name)


def _kind(state: Mapping[str, Any], api_version: str, kind: str) -> Kind:
    known = BUILTIN.get((api_version, kind))
    if known is not None:
        return known
    for definition in state["objects"].values():
        spec = definition.get("spec") or {}
        if definition["kind"] != "CustomResourceDefinition" or spec.get("group") != group_of(api_version):
            continue
        if spec["names"]["kind"] == kind and api_version.rpartition("/")[2] in _served(spec):
            return Kind(api_version, kind, spec["names"]["plural"], spec.get("scope") == "Namespaced")
    raise UnknownKind(f"the cluster does not know the kind {kind} of {api_version}",
                      hint="install its CustomResourceDefinition first")


def _served(spec: Mapping[str, Any]) -> list[str]:
    """The versions in which a definition's kind can be asked for."""
    return [version["name"] for version in spec["versions"] if version.get("served", True)]


def _check_namespace(state: Mapping[str, Any], ref: ObjectRef) -> None:
    if not ref.namespace:
        return
    namespace = state["objects"].get(_key("v1", "Namespace", "", ref.namespace))
    if namespace is None:
        raise ClusterError(f'namespaces "{ref.namespace}" not found', code=404, reason="NotFound")
    if namespace["metadata"].get("deletionTimestamp"):
        raise ClusterError(f'namespace "{ref.namespace}" is being deleted', code=403, reason="Forbidden")


def _delete(state: dict[str, Any], obj: dict[str, Any], *, orphan: bool = False) -> None:
    """Deletes, or marks what a finalizer holds; then what it owns, and a namespace's contents."""
    metadata = obj["metadata"]
    if metadata.get("finalizers"):
        metadata.setdefault("deletionTimestamp", fake_apply.now())
        return
    key = _key(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])
    inside = [other for other in state["objects"].values()
              if obj["kind"] == "Namespace" and other["metadata"].get("namespace") == metadata["name"]]
    for other in inside:
        _delete(state, other)
    if any(other["metadata"].get("namespace") == metadata["name"] for other in state["objects"].values() if inside):
        metadata.setdefault("deletionTimestamp", fake_apply.now())
        return
    state["objects"].pop(key, None)
    for other in list(state["objects"].values()):
        owners = other["metadata"].get("ownerReferences") or []
        left = [owner for owner in owners if owner.get("uid") != metadata["uid"]]
        if len(left) != len(owners):
            if left or orphan:
                other["metadata"]["ownerReferences"] = left
            else:
                _delete(state, other)
