"""Who owns which field of an object: metadata.managedFields as an API server writes it (structured-merge-diff).

A path is a tuple of elements in that notation: `f:name` for a key, `k:{"name":"web"}` for an item of a list that merges by
key, `v:"x"` for a member of a set. The server's own entries are read, so no schema is needed here. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Path = tuple[str, ...]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


def owned(obj: Mapping[str, Any], manager: str, operation: str = "Apply") -> frozenset[Path]:
    """The fields that a manager owns, those of sub-resources left out."""
    return frozenset(
        path
        for entry in _entries(obj)
        if (entry.get("manager"), entry.get("operation")) == (manager, operation)
        for path in leaves(entry.get("fieldsV1") or {})
    )


def owners(obj: Mapping[str, Any], path: Path, *, but: str) -> list[str]:
    """The managers that own a field, in the order of their entries.

    Who owns what stands above it owns no more than that there is something: `f:data: {}` says nothing of its keys.
    """
    found = []
    for entry in _entries(obj):
        name = str(entry.get("manager") or "")
        if name != but and path in leaves(entry.get("fieldsV1") or {}):
            found.append(name)
    return list(dict.fromkeys(found))


def owning(obj: Mapping[str, Any], path: Path, *, but: str) -> list[list[str]]:
    """The entries that own a field: manager, operation, apiVersion."""
    return [
        [str(entry.get(key) or "") for key in ("manager", "operation", "apiVersion")]
        for entry in _entries(obj)
        if entry.get("manager") != but and path in leaves(entry.get("fieldsV1") or {})
    ]


def has_owner(obj: Mapping[str, Any], path: Path, *, but: str) -> bool:
    """Whether anybody else owns a field or anything below it."""
    others = (entry for entry in _entries(obj) if entry.get("manager") != but)
    return any(one[: len(path)] == path for entry in others for one in leaves(entry.get("fieldsV1") or {}))


def handed_over(
    entries: Iterable[Mapping[str, Any]], giver: str, homes: Mapping[Path, Iterable[Iterable[str]]]
) -> list[dict[str, Any]]:
    """managedFields in which the fields that `giver` owns by an Update are those of who is named for each: manager,
    operation, apiVersion."""
    result = [dict(entry) for entry in entries]
    of_giver = next(one for one in result if _is_entry(one, giver, "Update"))
    of_giver["fieldsV1"] = without(of_giver["fieldsV1"], frozenset(homes))
    for path in sorted(homes):
        for manager, operation, version in homes[path]:
            home = next((one for one in result if _is_entry(one, manager, operation)), None)
            if home is None:
                home = {**of_giver, "manager": manager, "operation": operation, "apiVersion": version, "fieldsV1": {}}
                result.append(home)
            home["fieldsV1"] = _with(home["fieldsV1"], path)
    return [entry for entry in result if entry is not of_giver or entry["fieldsV1"]]


def _is_entry(entry: Mapping[str, Any], manager: str, operation: str) -> bool:
    """An Apply entry is its manager's in whatever version; of Update entries the first one serves."""
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "") == (manager, operation, "")


def _with(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A `fieldsV1` with one field more. What was a field itself, and gets one below it, stays one (`.`)."""
    element, *rest = path
    below = tree.get(element)
    if not rest:
        return {**tree, element: below or {}}
    return {**tree, element: _with({".": {}} if below == {} else below or {}, tuple(rest))}


def managers(obj: Mapping[str, Any], operation: str, *, but: str) -> dict[str, frozenset[Path]]:
    """What each other manager of that operation owns."""
    names = {str(entry.get("manager")) for entry in _entries(obj) if entry.get("operation") == operation}
    return {name: owned(obj, name, operation) for name in sorted(names - {but})}


def _entries(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = (obj.get("metadata") or {}).get("managedFields") or []
    return [entry for entry in entries if not entry.get("subresource")]


def leaves(tree: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """The fields of a `fieldsV1` that have none below them. An item or a map that is owned for itself (`.`) is none."""
    for element, below in tree.items():
        if element == ".":
            continue
        path = (*above, element)
        if any(name != "." for name in below):
            yield from leaves(below, path)
        elif not (element.startswith("k:") and "." in below):
            yield path


def without(tree: Mapping[str, Any], paths: frozenset[Path], above: Path = ()) -> dict[str, Any]:
    """A `fieldsV1` without these fields, and without what stood above them alone."""
    result: dict[str, Any] = {}
    for element, below in tree.items():
        path = (*above, element)
        if path in paths:
            continue
        left = without(below, paths, path)
        if left or not below:
            result[element] = left
    return result


def tree(paths: Iterable[Path]) -> dict[str, Any]:
    """`fieldsV1` of these fields."""
    result: dict[str, Any] = {}
    for path in sorted(paths):
        node = result
        for element in path:
            node = node.setdefault(element, {})
    return result


def removals(obj: Mapping[str, Any], paths: frozenset[Path]) -> list[str]:
    """JSON pointers whose removal, in this order, takes these fields out, and the maps that nothing else is in."""
    there = {path for path in paths if value_at(obj, path) is not MISSING}
    while True:
        above = {path[:-1] for path in there if len(path) > 1}
        empty = {
            path
            for path in above
            if isinstance(node := value_at(obj, path), dict) and all((*path, f"f:{key}") in there for key in node)
        }
        if not empty - there:
            break
        there |= empty
    top = [path for path in there if path[:-1] not in there]
    # later items of a list first: the places of the others stay
    return sorted((pointer(obj, path) for path in top), key=_natural, reverse=True)


def _natural(where: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in where.split("/")]


def value_at(obj: Any, path: Path) -> Any:
    """The value of a field, or MISSING."""
    for element in path:
        key = _key(obj, element)
        if key is None:
            return MISSING
        obj = obj[key]
    return obj


def pointer(obj: Any, path: Path) -> str:
    """The field as a JSON pointer (RFC 6901) into this object. Raises KeyError where it is not there."""
    parts = []
    for element in path:
        key = _key(obj, element)
        if key is None:
            raise KeyError(shown(path))
        obj = obj[key]
        parts.append(str(key).replace("~", "~0").replace("/", "~1"))
    return "/" + "/".join(parts)


def _key(node: Any, element: str) -> Any:
    """The key or index of an element in its parent; None where it is not there."""
    sort, _, text = element.partition(":")
    if sort == "f":
        return text if isinstance(node, dict) and text in node else None
    if not isinstance(node, list):
        return None
    wanted = json.loads(text)
    for index, item in enumerate(node):
        if sort == "v" and item == wanted:
            return index
        if sort == "k" and isinstance(item, dict) and all(item.get(key) == value for key, value in wanted.items()):
            return index
    return wanted if sort == "i" and wanted < len(node) else None


def shown(path: Path) -> str:
    """A field as the API server writes it: `.spec.template.spec.containers[name="web"].image`."""
    text = ""
    for element in path:
        sort, _, rest = element.partition(":")
        if sort == "f":
            text += f".{rest}"
        elif sort == "k":
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
        else:
            text += f"[{'=' if sort == 'v' else ''}{rest}]"
    return text
