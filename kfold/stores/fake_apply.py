"""What an apply and somebody else's edit do to one object of the fake cluster, managed fields included. Pure."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterError, FieldConflict, ObjectRef, OwnedField
from kfold.stores.fake_fields import (
    MISSING,
    Path,
    display,
    fields,
    from_tree,
    ordered_fields,
    remove_value,
    set_value,
    to_tree,
    value_at,
)


def apply(live: dict[str, Any] | None, manifest: Mapping[str, Any], ref: ObjectRef, *, force: bool) -> dict[str, Any]:
    """The object after the apply; equal to `live` where nothing changes. Raises FieldConflict."""
    wanted = fields(manifest)
    result: dict[str, Any] = copy.deepcopy(live) if live is not None else _bare(ref)
    entries: list[dict[str, Any]] = result["metadata"].setdefault("managedFields", [])
    ours = next((e for e in entries if e["manager"] == FIELD_MANAGER and e["operation"] == "Apply"), None)
    others = [entry for entry in entries if entry is not ours]
    conflicts = []
    for entry in others:
        for path in sorted(from_tree(entry["fieldsV1"]) & wanted):
            if not path[-1].startswith("k:") and value_at(result, path) != value_at(manifest, path):
                conflicts.append(OwnedField(entry["manager"], display(path)))
                if force:
                    _disown(entry, path)
    if conflicts and not force:
        first = conflicts[0]
        raise FieldConflict(f'{ref}: "{first.manager}" owns {first.field}', tuple(conflicts))
    kept = {path for entry in others for path in from_tree(entry["fieldsV1"])}
    before = from_tree(ours["fieldsV1"]) if ours else set()
    for path in sorted(before - wanted, key=lambda path: (not path[-1].startswith("k:"), len(path))):  # items first
        if not any(other[: len(path)] == path for other in kept):
            remove_value(result, path)
    for path in ordered_fields(manifest):
        if value_at(result, path) != value_at(manifest, path):
            set_value(result, path, manifest)
    if wanted != before:
        entry = {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": ref.api_version, "time": now(),
                 "fieldsType": "FieldsV1", "fieldsV1": to_tree(wanted)}
        result["metadata"]["managedFields"] = [entry for entry in [*others, entry] if entry["fieldsV1"]]
    return result


def created(manifest: Mapping[str, Any], ref: ObjectRef) -> dict[str, Any]:
    """A new object as our POST makes it."""
    made = _bare(ref)
    edit(made, manifest, FIELD_MANAGER)
    return made


def _bare(ref: ObjectRef) -> dict[str, Any]:
    place = {"namespace": ref.namespace} if ref.namespace else {}
    metadata = {"name": ref.name, **place, "uid": str(uuid.uuid4()), "creationTimestamp": now()}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}


def _disown(entry: dict[str, Any], path: Path) -> None:
    left = {owned for owned in from_tree(entry["fieldsV1"]) if owned[: len(path)] != path}
    entry["fieldsV1"] = to_tree(left)


def _own(obj: dict[str, Any], manager: str, operation: str, path: Path) -> None:
    entries = obj["metadata"].setdefault("managedFields", [])
    entry = next((e for e in entries if e["manager"] == manager and e["operation"] == operation), None)
    if entry is None:
        entry = {"manager": manager, "operation": operation, "apiVersion": obj["apiVersion"], "time": now(),
                 "fieldsType": "FieldsV1", "fieldsV1": {}}
        entries.append(entry)
    entry["fieldsV1"] = to_tree(from_tree(entry["fieldsV1"]) | {path})


def edit(obj: dict[str, Any], change: Mapping[str, Any], manager: str) -> None:
    """Somebody else sets fields of `obj` (None removes one): a field that changes is theirs alone afterwards."""
    for path in sorted(fields(change)):
        if path[-1].startswith("k:"):
            continue
        wanted = value_at(change, path)
        if value_at(obj, path) == wanted:
            continue
        for entry in obj["metadata"].get("managedFields", []):
            _disown(entry, path)
        if wanted is None:
            remove_value(obj, path)
        else:
            set_value(obj, path, change)
            _own(obj, manager, "Update", path)


def patch(obj: dict[str, Any], operations: Sequence[Mapping[str, Any]], manager: str) -> None:
    """A JSON patch by `manager`: all of it or nothing; each field that changes is theirs alone afterwards."""
    import jsonpatch

    try:
        after = jsonpatch.JsonPatch(list(operations)).apply(obj, in_place=False)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise ClusterError(f"the patch cannot be applied: {error}", code=422, reason="Invalid") from error
    changed = [path for path in fields(after) if path[1:2] != ("f:managedFields",) and not path[-1].startswith("k:")
               and value_at(obj, path) != value_at(after, path)]
    gone = [path for path in fields(obj) if path[1:2] != ("f:managedFields",) and value_at(after, path) is MISSING]
    obj.clear()
    obj.update(after)
    owned = obj["metadata"].setdefault("managedFields", [])  # as the patch leaves them: they may be written, too
    if owned == [{}]:  # how a client says that nobody owns anything
        del obj["metadata"]["managedFields"]
        return
    for path in [*changed, *gone]:
        for entry in owned:
            _disown(entry, path)
    for path in changed:
        _own(obj, manager, "Update", path)


def now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
