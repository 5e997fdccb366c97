"""The three patches that are computed from the patch alone: JSON patch, merge patch, strategic merge patch.

Strategic merge goes by the kind's own patch merge keys (merge_keys.json), which are not the list-map keys of
server-side apply: a Service's ports merge by `port` here, by `port` and `protocol` there.
"""

from __future__ import annotations

import json
from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object, copied
from kfold.sandbox.api.schema import Node

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_DELETED = object()

MAX_OPERATIONS = 10_000
"""Operations in one JSON patch, as on the real server."""


def json_patch(obj: Object, operations: Any) -> Object:
    """RFC 6902. Raises ApiError 400 for what is no patch, 422 for one that cannot be applied (a failed test too)."""
    import jsonpatch

    if not isinstance(operations, list) or not all(isinstance(item, dict) for item in operations):
        raise errors.bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise errors.too_large(MAX_OPERATIONS)
    try:
        result = jsonpatch.JsonPatch(operations).apply(obj, in_place=False)
    except (
        jsonpatch.JsonPatchException,
        jsonpatch.JsonPointerException,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
    ) as error:
        said = "the server rejected our request due to an error in our request"
        raise errors.ApiError(422, "Invalid", said, {}) from error
    if not isinstance(result, dict):
        raise errors.ApiError(422, "Invalid", "the patch leaves no object")
    return result


def merge_patch(obj: Any, patch: Any) -> Any:
    """RFC 7386: maps merge, null removes, all else replaces."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_merge_patch(node: Node, obj: Object, patch: Any) -> Object:
    """Kubernetes' own patch for built-in kinds. Raises ApiError 400 where the patch does not fit the kind."""
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch: a strategic merge patch is a mapping")
    result = _merge_maps(node, obj, patch)
    return result if isinstance(result, dict) else {}


def _merge_maps(node: Node, live: Any, patch: dict[str, Any]) -> Any:
    directive = patch.get("$patch")
    if directive == "delete":
        return _DELETED
    body = {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "replace":
        return copied(body)
    if directive not in (None, "merge"):
        raise errors.bad_request(f"Unknown patch type: {directive}")
    result = dict(live) if isinstance(live, dict) else {}
    retained = body.pop("$retainKeys", None)
    if retained is not None:
        if not isinstance(retained, list):
            raise errors.bad_request("The $retainKeys directive must be a list")
        result = {key: value for key, value in result.items() if key in retained}
    orders = {key[len(_ORDER) :]: value for key, value in body.items() if key.startswith(_ORDER)}
    dropped = {key[len(_DELETE) :]: value for key, value in body.items() if key.startswith(_DELETE)}
    for key, values in dropped.items():
        if isinstance(result.get(key), list) and isinstance(values, list):
            result[key] = [item for item in result[key] if item not in values]
    for key, value in body.items():
        if key.startswith((_ORDER, _DELETE)):
            continue
        if value is None:
            result.pop(key, None)
            continue
        merged = _merge_value(node.child(key) or node.schema.any, result.get(key), value)
        if merged is _DELETED:
            result.pop(key, None)
        else:
            result[key] = merged
    for key, order in orders.items():
        child = node.child(key)
        if child is not None and isinstance(result.get(key), list) and isinstance(order, list):
            result[key] = _ordered(child, result[key], order)
    return result


def _merge_value(node: Node, live: Any, value: Any) -> Any:
    node = node.resolved(value)
    if isinstance(value, dict) and node.form in ("struct", "map"):
        return _merge_maps(node, live, value)
    if isinstance(value, list) and node.form == "list" and "merge" in node.patch:
        return _merge_lists(node, live if isinstance(live, list) else [], value)
    return copied(value)


def _merge_lists(node: Node, live: list[Any], patch: list[Any]) -> Any:
    if not node.merge_key:
        return live + [item for item in patch if item not in live]
    if not all(isinstance(item, dict) for item in patch):
        raise errors.bad_request(f"the patch of a list that merges by {node.merge_key} must hold mappings")
    if any(item.get("$patch") == "replace" for item in patch):
        # {$patch: replace} among the items: the others are the whole new list
        return [copied(item) for item in patch if item.get("$patch") != "replace"]
    result = list(live)
    for item in patch:
        key = item.get(node.merge_key)
        if key is None:
            raise errors.bad_request(f"map: {json.dumps(item)} does not contain declared merge key: {node.merge_key}")
        places = [index for index, old in enumerate(result) if isinstance(old, dict) and old.get(node.merge_key) == key]
        merged = _merge_maps(node.item, result[places[0]] if places else {}, item)
        if merged is _DELETED:
            result = [old for index, old in enumerate(result) if index not in places]
        elif places:
            result[places[0]] = merged
        else:
            result.append(merged)
    return result


def _ordered(node: Node, items: list[Any], order: list[Any]) -> list[Any]:
    """Items in the patch's order; those it does not name keep their place relative to their neighbours."""

    def key(item: Any) -> Any:
        return item.get(node.merge_key) if node.merge_key and isinstance(item, dict) else item

    wanted = [key(item) for item in order]
    named = sorted((item for item in items if key(item) in wanted), key=lambda item: wanted.index(key(item)))
    result = []
    for item in items:
        result.append(named.pop(0) if key(item) in wanted else item)
    return result
