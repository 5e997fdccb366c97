"""Field ownership for the fake cluster: a small model of server-side apply.

A field is a path in the notation of `fieldsV1` (structured-merge-diff): "f:name" for a key of a mapping,
'k:{"name":"x"}' for an item of a list that Kubernetes merges by key; any other list is one value. What it leaves out:
schemas (which lists merge by key is a table here), lists that are sets, and defaults.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Path = tuple[str, ...]

_IDENTITY: frozenset[Path] = frozenset({
    ("f:apiVersion",), ("f:kind",), ("f:metadata",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace"),
    ("f:metadata", "f:uid"), ("f:metadata", "f:resourceVersion"),
})
"""Never owned by anyone: they say which object it is."""

_LIST_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),), "initContainers": (("name",),), "ephemeralContainers": (("name",),),
    "volumes": (("name",),), "env": (("name",),), "imagePullSecrets": (("name",),), "hostAliases": (("ip",),),
    "volumeMounts": (("mountPath",),), "volumeDevices": (("devicePath",),), "ownerReferences": (("uid",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")), "conditions": (("type",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
}
_KEY_DEFAULTS = {"protocol": "TCP"}


def fields(manifest: Mapping[str, Any]) -> set[Path]:
    """The fields that a manifest sets, without those that name the object."""
    return set(ordered_fields(manifest))


def ordered_fields(manifest: Mapping[str, Any]) -> list[Path]:
    """The same in the manifest's order, which lists keep: the first container stays the first."""
    return [path for path in _walk(manifest, ()) if path not in _IDENTITY]


def _walk(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping) and value:
        if path and path[-1].startswith("k:"):
            yield path
        for key, child in value.items():
            yield from _walk(child, (*path, f"f:{key}"))
    elif (keyed := _keyed(path, value)) is not None:
        for element, item in keyed:
            yield from _walk(item, (*path, element))
    elif path:
        yield path


def _keyed(path: Path, value: object) -> list[tuple[str, Mapping[str, Any]]] | None:
    """The items of a list that merges by key, each with its path element; None if it is replaced as a whole."""
    if not isinstance(value, list) or not value or not path or not all(isinstance(item, Mapping) for item in value):
        return None
    for keys in _LIST_KEYS.get(path[-1].removeprefix("f:"), ()):
        if all(keys[0] in item for item in value):
            return [(_element(keys, item), item) for item in value]
    return None


def _element(keys: tuple[str, ...], item: Mapping[str, Any]) -> str:
    named = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in keys}
    return "k:" + json.dumps(named, sort_keys=True, separators=(",", ":"))


def value_at(obj: Mapping[str, Any], path: Path) -> object:
    """The value of a field, or the sentinel MISSING."""
    node: object = obj
    for element in path:
        node = _child(node, element)
        if node is MISSING:
            break
    return node


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def _child(node: object, element: str) -> object:
    if element.startswith("f:") and isinstance(node, Mapping):
        return node.get(element[2:], MISSING)
    if element.startswith("k:") and isinstance(node, list):
        return next((item for item in node if _matches(item, element)), MISSING)
    return MISSING


def _matches(item: Mapping[str, Any], element: str) -> bool:
    wanted = json.loads(element[2:])
    return all(item.get(key, _KEY_DEFAULTS.get(key)) == value for key, value in wanted.items())


def set_value(obj: dict[str, Any], path: Path, source: Mapping[str, Any]) -> None:
    """Sets the field as it is in `source`, making the mappings, lists and items above it."""
    node: Any = obj
    for index, element in enumerate(path):
        last = index == len(path) - 1
        child = _child(node, element)
        if element.startswith("k:"):
            if child is MISSING:
                child = dict(json.loads(element[2:]))
                node.append(child)
        elif last:
            node[element[2:]] = copy.deepcopy(value_at(source, path))
            return
        elif not isinstance(child, dict | list) or isinstance(child, list) != path[index + 1].startswith("k:"):
            child = node[element[2:]] = [] if path[index + 1].startswith("k:") else {}
        node = child


def remove_value(obj: dict[str, Any], path: Path) -> None:
    """Removes the field, and the mappings and lists above it that it leaves empty."""
    parent = value_at(obj, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1][2:], None)
    elif isinstance(parent, list):
        parent[:] = [item for item in parent if not _matches(item, path[-1])]
    if len(path) > 2 and parent in ({}, []) and not path[-2].startswith("k:"):
        remove_value(obj, path[:-1])


def to_tree(paths: Iterable[Path]) -> dict[str, Any]:
    """`fieldsV1` of these fields."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return tree


def from_tree(tree: Mapping[str, Any], path: Path = ()) -> set[Path]:
    """The fields of a `fieldsV1`."""
    paths: set[Path] = set()
    for element, child in tree.items():
        if element == ".":
            paths.add(path)
        elif child:
            paths |= from_tree(child, (*path, element))
        else:
            paths.add((*path, element))
    return paths


def display(path: Path) -> str:
    """A field as the API server writes it in a conflict: `.spec.template.spec.containers[name="web"].image`."""
    text = ""
    for element in path:
        if element.startswith("f:"):
            text += f".{element[2:]}"
        else:
            keys = json.loads(element[2:])
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
    return text
