"""Server-side apply: merge a manager's configuration into the live object, and take away what it no longer says.

The steps are those of structured-merge-diff's `Updater.Apply`: merge; record the set of the configuration as the
manager's; remove what was in its last set and is in nobody's now; refuse (409) where a changed field is somebody
else's, unless forced.
"""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object, copied
from kfold.sandbox.api.fields import FieldError, Path, Paths, compare, field_set, named_members, place, shown, without
from kfold.sandbox.api.ownership import Manager, Owners, manager_key, owned_part
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.schema import Node, Schema


def apply(
    schema: Schema,
    resource: Resource,
    live: Object | None,
    config: Object,
    *,
    manager: str,
    force: bool = False,
    subresource: str = "",
) -> Object:
    """The object that results, with managedFields, not yet defaulted or stored; `live` None: it is to be created.

    Raises ApiError 409 Conflict with one cause a field, 400 for managedFields in the configuration, 500 where the
    configuration does not fit the kind's schema (the real server's code for it).
    """
    if (config.get("metadata") or {}).get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    node = schema.merging(resource)
    part = owned_part(config, resource, subresource)
    try:
        said = {path for path in field_set(node, part) if path != ("f:metadata",)}
    except FieldError as error:
        raise _not_typed(resource, config, str(error)) from error
    before = Owners.read(live)
    owners = Owners.read(live)
    key = manager_key(manager, "Apply", resource.api_version, subresource)
    last = owners.sets.get(key, set())
    owners.sets[key] = said
    live_part = owned_part(live, resource, subresource)
    merged = _prune(node, merge(node, live_part, part), last, owners)
    changed = compare(node, live_part, merged)
    taken = changed.modified | changed.added
    conflicts = {other: paths & taken for other, paths in owners.sets.items() if other != key and paths & taken}
    if conflicts and not force:
        raise _conflict(conflicts, before)
    for other, paths in conflicts.items():
        owners.sets[other] = owners.sets[other] - paths
    owners.give_up(changed.removed)
    result = _whole(resource, live, config, merged, subresource)
    owners.write(result, before, resource.api_version)
    return result


def merge(node: Node, live: Any, config: Any) -> Any:
    """The configuration laid over the live value: maps and keyed lists item by item, all else replaced."""
    node = node.resolved(config)
    if node.atomic or node.form == "scalar" or config is None or live is None:
        return copied(config)
    if node.form == "list":
        return _merge_lists(node, live, config) if isinstance(live, list) else copied(config)
    if not isinstance(live, dict):
        return copied(config)
    result = dict(live)
    for key, value in config.items():
        child = node.child(key)
        result[key] = merge(child, live[key], value) if child is not None and key in live else copied(value)
    return result


def _merge_lists(node: Node, live: list[Any], config: list[Any]) -> list[Any]:
    """Items in the configuration's order.

    Those that only the live list has keep their place between the shared ones.
    """
    before = {place(node, item, index): item for index, item in enumerate(live)}
    after = {place(node, item, index): item for index, item in enumerate(config)}
    left, right = list(before), list(after)
    shared = [name for name in right if name in before]
    result: list[Any] = []
    done: set[str] = set()

    def take(name: str) -> None:
        if name not in done:
            done.add(name)
            item = merge(node.item, before[name], after[name]) if name in before and name in after else None
            result.append(item if item is not None else copied(after.get(name, before.get(name))))
            if shared and shared[0] == name:
                shared.pop(0)

    while left or right:
        if left and right and left[0] == right[0]:
            take(left.pop(0))
            right.pop(0)
        elif left and left[0] in after and (left[0] in done or (shared and shared[0] != left[0])):
            left.pop(0)
        elif left and left[0] not in after:
            take(left.pop(0))
        elif right:
            take(right.pop(0))
        else:
            left.pop(0)
    return result


def _prune(node: Node, merged: Any, last: Paths, owners: Owners) -> Any:
    """Without what the manager applied last time and nobody says now."""
    if not last:
        return merged
    everything = named_members(node, _fields(node, merged))
    pruned = without(node, merged, named_members(node, last))
    kept = named_members(node, _fields(node, pruned))
    owned: Paths = set().union(*(named_members(node, paths) for paths in owners.sets.values()))
    pruned = without(node, merged, everything - (kept | owned))
    # what hung below a removed parent but was nobody's (a default) stays, unless its parent was in the last set
    dangling = (everything - named_members(node, _fields(node, pruned))) & named_members(node, last)
    return without(node, merged, dangling)


def _fields(node: Node, value: Any) -> Paths:
    try:
        return field_set(node, value)
    except FieldError:
        # a live object may hold what an apply may not say (two ports of one number): its fields are then compared
        # as a whole
        return compare(node, {}, value).added


def _whole(resource: Resource, live: Object | None, config: Object, merged: Object, subresource: str) -> Object:
    """The merged part with what is not owned put back: identity, server's metadata, and the other endpoint's half."""
    result: Object = copied(live) if live else {"apiVersion": resource.api_version, "kind": resource.kind}
    metadata: Object = result.get("metadata") or {}
    if subresource != "status":
        owned_keys = [key for key in metadata if key in owned_part({"metadata": metadata}, resource, "").get("metadata", {})]
        for key in owned_keys:
            del metadata[key]
        metadata.update(merged.get("metadata") or {})
    asked = config.get("metadata") or {}
    for key in ("name", "namespace", "uid", "resourceVersion"):
        if asked.get(key):
            metadata[key] = asked[key]
    halves = ("apiVersion", "kind", "metadata", "spec" if subresource == "status" else "status")
    kept = {key: value for key, value in result.items() if key in halves}
    body = {key: value for key, value in merged.items() if key != "metadata"}
    if "status" not in resource.subresources:
        kept.pop("status", None)
    if subresource == "status":
        kept = {key: value for key, value in result.items() if key != "status"}
        body = {key: value for key, value in body.items() if key == "status"}
    return {**kept, "metadata": metadata, **body}


def _conflict(conflicts: dict[Manager, Paths], owners: Owners) -> errors.ApiError:
    causes = []
    by_manager: dict[str, list[Path]] = {}
    for key, paths in conflicts.items():
        name = _manager_text(key, owners.times.get(key, ""))
        for path in sorted(paths):
            causes.append({"reason": "FieldManagerConflict", "message": f"conflict with {name}", "field": shown(path)})
            by_manager.setdefault(name, []).append(path)
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = []
        for name in sorted(by_manager):
            lines.append(f"conflicts with {name}:")
            lines.extend(f"- {shown(path)}" for path in by_manager[name])
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return errors.apply_conflict(causes, message)


def _manager_text(key: Manager, time: str) -> str:
    manager, operation, version, subresource = key
    text = f'"{manager}"' + (f' with subresource "{subresource}"' if subresource else "")
    if operation == "Update":
        text += f" using {version}" + (f" at {time}" if time else "")
    return text


def _not_typed(resource: Resource, config: Object, why: str) -> errors.ApiError:
    metadata = config.get("metadata") or {}
    place = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    kind = f"{resource.api_version}, Kind={resource.kind}"
    return errors.ApiError(500, "", f"failed to create typed patch object ({place}; {kind}): {why}")
