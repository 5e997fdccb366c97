"""Sets of fields: the paths that a manager owns, in memory and as `fieldsV1`.

A path is a tuple of elements spelled as fieldsV1 spells them: "f:name" (a field), 'k:{"name":"web"}' (an item of a
list that is a map), 'v:"x"' (a member of a set). Semantics are those of structured-merge-diff v6, which the real
server uses: atomic lists and maps are leaves, items of a list are members of the set themselves, structs are not
unless they are empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kfold.sandbox.api.schema import KEY_DEFAULTS, Node

Path = tuple[str, ...]
Paths = set[Path]

ALWAYS_PRESENT = frozenset({"metadata", "spec", "status", "strategy", "template", "updateStrategy"})
"""Structs that a Go object always has, so that creating it adds their fields, not themselves, to the creator's set."""

_GONE = object()


class FieldError(Exception):
    """A value does not fit its type: the field's path and the reason, worded as structured-merge-diff does."""


def element(node: Node, item: Any, where: str = "", index: int = 0) -> str:
    """The path element of an item of a set or of a list that is a map. Raises FieldError if a key is missing."""
    if not node.keys:
        return "v:" + _text(item)
    if not isinstance(item, dict):
        raise FieldError(f"{where}: element {index}: associative list with keys may not have non-map elements")
    keys = {}
    for key in node.keys:
        value = item.get(key, KEY_DEFAULTS.get(key))
        if value is None and len(node.keys) == 1:
            text = f'associative list with keys has an element that omits key field "{key}"'
            raise FieldError(f"{where}: element {index}: {text} (and doesn't have default value)")
        if value is not None:
            keys[key] = value
    return "k:" + _text(keys)


def place(node: Node, item: Any, index: int) -> str:
    """The path element of an item of what is stored, by its index where it has no key."""
    try:
        return element(node, item)
    except FieldError:
        return f"i:{index}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def field_set(node: Node, value: Any) -> Paths:
    """All fields of a value. Raises FieldError for an unknown field, a wrong form, or two items with one key."""
    found: Paths = set()
    _collect(node, value, (), found)
    return found


def _collect(node: Node, value: Any, path: Path, found: Paths) -> None:
    node = node.resolved(value)
    if value is None or node.atomic or node.form == "scalar":
        if value is not None and node.form == "scalar":
            _check_scalar(node.scalar, value, path)
        found.add(path)
    elif node.form == "list":
        if not isinstance(value, list):
            raise FieldError(f"{shown(path)}: expected list, got {_go_type(value)}")
        for index, item in enumerate(value):
            below = (*path, element(node, item, shown(path), index))
            if below in found:
                raise FieldError(f"{shown(path)}: duplicate entries for key {shown(below[-1:])}")
            _collect(node.item, item, below, found)
            found.add(below)
    else:
        if not isinstance(value, dict):
            raise FieldError(f"{shown(path)}: expected map, got {_go_type(value)}")
        for key, item in value.items():
            below = (*path, "f:" + key)
            child = node.child(key)
            if child is None:
                raise FieldError(f"{shown(below)}: field not declared in schema")
            _collect(child, item, below, found)
            if item is None or item == {} or node.form != "struct":
                found.add(below)


def _check_scalar(kind: str, value: Any, path: Path) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in ("int32", "int64", "number") and not number:
        raise FieldError(f"{shown(path)}: expected numeric (int or float), got {_go_type(value)}")
    if kind == "boolean" and not isinstance(value, bool):
        raise FieldError(f"{shown(path)}: expected boolean, got {_go_type(value)}")
    if kind in ("string", "time", "bytes") and not isinstance(value, str):
        raise FieldError(f"{shown(path)}: expected string, got {_go_type(value)}")
    if kind in ("quantity", "int-or-string") and isinstance(value, dict | list):
        raise FieldError(f"{shown(path)}: expected scalar, got {_go_type(value)}")


def _go_type(value: Any) -> str:
    names = {bool: "boolean", int: "int", float: "float", str: "string", list: "list", dict: "map"}
    return names.get(type(value), "null")


@dataclass
class Comparison:
    """What differs between two objects: paths that are new, gone, or have another value."""

    added: Paths = field(default_factory=set)
    removed: Paths = field(default_factory=set)
    modified: Paths = field(default_factory=set)

    @property
    def same(self) -> bool:
        return not (self.added or self.removed or self.modified)


def compare(node: Node, old: Any, new: Any) -> Comparison:
    """Field by field. Values that do not fit their node count as leaves: what is stored has been validated."""
    result = Comparison()
    _compare(node, old, new, (), result)
    return result


def _compare(node: Node, old: Any, new: Any, path: Path, result: Comparison) -> None:
    node = node.resolved(old if new is _GONE else new)
    one_sided = old is _GONE or new is _GONE
    expected: type = list if node.form == "list" else dict
    fits = all(value is _GONE or isinstance(value, expected) for value in (old, new))
    if node.atomic or node.form == "scalar" or not fits:
        if old is _GONE:
            result.added.add(path)
        elif new is _GONE:
            result.removed.add(path)
        elif old != new:
            result.modified.add(path)
        return
    if node.form == "list":
        before, after = _by_element(node, old), _by_element(node, new)
        for name in [*before, *(name for name in after if name not in before)]:
            _compare(node.item, before.get(name, _GONE), after.get(name, _GONE), (*path, name), result)
    else:
        left, right = (value if isinstance(value, dict) else {} for value in (old, new))
        for key in [*left, *(key for key in right if key not in left)]:
            child = node.child(key)
            if child is not None:
                _compare(child, left.get(key, _GONE), right.get(key, _GONE), (*path, "f:" + key), result)
    if one_sided and path and not (node.form == "struct" and path[-1][2:] in ALWAYS_PRESENT):
        (result.added if old is _GONE else result.removed).add(path)


def _by_element(node: Node, value: Any) -> dict[str, Any]:
    return {place(node, item, index): item for index, item in enumerate(value)} if isinstance(value, list) else {}


def named_members(node: Node, paths: Iterable[Path]) -> Paths:
    """The set with every struct field on the way to a member (`EnsureNamedFieldsAreMembers`)."""
    result: Paths = set()
    for path in paths:
        result.add(path)
        here: Node | None = node
        for depth, name in enumerate(path[:-1]):
            if here is None:
                break
            if here.form == "struct" and name.startswith("f:") and name[2:] in here.fields:
                result.add(path[: depth + 1])
            here = here.child(name[2:]) if name.startswith("f:") else here.item
    return result


def without(node: Node, value: Any, paths: Paths) -> Any:
    """A copy of the value without those fields and items; maps and lists that this empties go too."""
    left = _without(node, value, fields_v1(paths))
    return {} if left is _GONE else left


def _without(node: Node, value: Any, tree: dict[str, Any]) -> Any:
    node = node.resolved(value)
    if not value or node.atomic or node.form == "scalar":
        return value
    if node.form == "list":
        items = []
        for index, item in enumerate(value):
            below = tree.get(place(node, item, index))
            if below is None:
                items.append(item)
            elif below and "." not in below:
                left = _without(node.item, item, below)
                if left is not _GONE:
                    items.append(left)
        return items or _GONE
    kept = {}
    for key, item in value.items():
        below = tree.get("f:" + key)
        child = node.child(key)
        if below is None or child is None:
            kept[key] = item
        elif below and "." not in below:
            left = _without(child, item, below)
            if left is not _GONE:
                kept[key] = left
    return kept or _GONE


def fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """As metadata.managedFields holds it: nested, "." where a path that has others below it is a member itself."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        here = tree
        for depth, name in enumerate(path):
            below = here.get(name)
            if below is None:
                here[name] = below = {}
            elif not below and depth < len(path) - 1:
                below["."] = {}  # sorted: the shorter path came first, and was a member
            here = below
    return tree


def parse_fields_v1(tree: Any) -> Paths:
    """The set of a `fieldsV1`. Raises ValueError for what is none."""
    found: Paths = set()
    _parse(tree, (), found)
    return found


def _parse(tree: Any, path: Path, found: Paths) -> None:
    if not isinstance(tree, dict):
        raise ValueError("fieldsV1 is no mapping")
    if path and not tree:
        found.add(path)
    for name, below in tree.items():
        if name == ".":
            found.add(path)
        elif name[:2] in ("f:", "k:", "v:", "i:"):
            _parse(below, (*path, name), found)
        else:
            raise ValueError(f"fieldsV1 has an unknown element {name!r}")


def shown(path: Path) -> str:
    """As messages show it: .spec.template.spec.containers[name="web"].image"""
    text = ""
    for name in path:
        if name.startswith("f:"):
            text += "." + name[2:]
        elif name.startswith("k:"):
            keys = json.loads(name[2:])
            text += "[" + ",".join(f"{key}={_text(value)}" for key, value in keys.items()) + "]"
        else:
            text += f"[={name[2:]}]"
    return text
