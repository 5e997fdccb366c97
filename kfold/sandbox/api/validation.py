"""Bodies of requests against the kind's schema: unknown fields, wrong types, missing values, bad names.

Messages are worded as the real server words them, because people search for them. What a typed Go object cannot hold
(nulls, empty lists and maps of optional fields) is dropped here, as decoding drops it there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api import errors, quantity
from kfold.sandbox.api.causes import Cause, required
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.schema import Node, Schema

_GO = {
    "string": "string",
    "boolean": "bool",
    "int32": "int32",
    "int64": "int64",
    "number": "float64",
    "bytes": "[]uint8",
}


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
"""RFC 3339."""


def decoded(schema: Schema, resource: Resource, obj: Any, *, patched: bool = False) -> tuple[Object, list[str]]:
    """The object as the kind's type holds it, and the paths of the fields that the kind does not have (left out).

    Raises ApiError for a value of a wrong type: 400, but 422 for an object that a patch made (`patched`).
    """
    unknown: list[str] = []
    try:
        value = _decode(schema.of(resource), obj, "", unknown, top=True)
    except _WrongTypeError as error:
        if patched:
            raise errors.bad_patch(str(error)) from error
        raise errors.bad_request(f"{cannot_handle(resource)}: {error}") from error
    if resource.structure:
        unknown += resource.structure.prune(value)
    return value, sorted(unknown)


def options(schema: Schema, api_version: str, kind: str, value: Any) -> Object:
    """DeleteOptions or an Eviction, as sent. Raises ApiError 400 for what is none."""
    node = schema.named(api_version, kind)
    if node is None or not isinstance(value, dict) or value.get("kind", kind) != kind:
        raise errors.bad_request(f"the body must be {kind}")
    try:
        result: Object = _decode(node, value, "", [], top=True)
    except _WrongTypeError as error:
        raise errors.bad_request(f"the body is no {kind}: {error}") from error
    return result


def cannot_handle(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'


def strict_error(resource: Resource, problems: Iterable[str]) -> errors.ApiError:
    """fieldValidation=Strict refuses what was found: `problems` are texts such as 'unknown field "spec.x"'."""
    return errors.bad_request(f"{cannot_handle(resource)}: strict decoding error: {', '.join(problems)}")


class _WrongTypeError(Exception):
    pass


def _decode(node: Node, value: Any, path: str, unknown: list[str], *, top: bool = False) -> Any:
    if node.form == "any":
        return value
    if node.form == "scalar":
        return _scalar(node.scalar, value, path)
    if node.form == "list":
        if not isinstance(value, list):
            raise _wrong(value, path, "[]" + (node.item.scalar or _go_name(node.item)))
        # a null among the items becomes the zero value of the item's type
        items = (_decode(node.item, item, f"{path}[{index}]", unknown) for index, item in enumerate(value))
        return [item for item in items if item is not None]
    if not isinstance(value, dict):
        raise _wrong(value, path, _go_name(node))
    result = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        child = node.child(key)
        if child is None:
            unknown.append(where)
        elif item is not None:
            below = _decode(child, item, where, unknown)
            # optional lists and maps are "omitempty" in the Go types, structs are pointers and stay
            if not (below in ([], {}) and child.form in ("list", "map") and (top or node.form == "struct")):
                result[key] = below
    return result


def _go_name(node: Node) -> str:
    return node.type_name or ("map[string]" + (node.item.scalar or "interface {}"))


def _wrong(value: Any, path: str, expected: str) -> _WrongTypeError:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    given = names.get(type(value), "null")
    return _WrongTypeError(f"json: cannot unmarshal {given} into Go struct field {path} of type {expected}")


def _scalar(kind: str, value: Any, path: str) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if kind in ("int32", "int64"):
        bits = 31 if kind == "int32" else 63
        if isinstance(value, float) and value.is_integer():
            value, is_number = int(value), True
        fits = is_number and -(2**bits) <= value < 2**bits
    elif kind == "number":
        fits = is_number or isinstance(value, float)
    elif kind == "boolean":
        fits = isinstance(value, bool)
    elif kind == "int-or-string":
        fits = is_number or isinstance(value, str)
    elif kind == "quantity":
        value = str(value) if is_number or isinstance(value, float) else value
        fits = isinstance(value, str)
        try:
            quantity.parse(value)
        except ValueError as error:
            text = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            raise _WrongTypeError(f"{path}: {error}: {text}") from error
    elif kind == "time":
        fits = isinstance(value, str)
        if fits and not _TIME.match(value):
            form = "2006-01-02T15:04:05Z07:00"
            raise _WrongTypeError(f'parsing time "{value}" as "{form}": cannot parse "{value}" as "2006"')
    elif kind == "bytes":
        fits = isinstance(value, str)
        if fits:
            _check_base64(value, path)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise _wrong(value, path, _GO.get(kind, "string"))
    return value


def _check_base64(value: str, path: str) -> None:
    try:
        base64.b64decode(value.replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _WrongTypeError(f"illegal base64 data in {path}") from error


def missing(schema: Schema, resource: Resource, obj: Object) -> list[Cause]:
    """Causes for required fields that are not there; `status` is not looked into."""
    causes: list[Cause] = []
    body = {key: value for key, value in obj.items() if key != "status"}
    _missing(schema.of(resource), body, "", causes)
    return causes


def _missing(node: Node, value: Any, path: str, causes: list[Cause]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _missing(node.item, item, f"{path}[{index}]", causes)
    elif isinstance(value, dict) and node.form in ("struct", "map"):
        for key in node.required:
            if value.get(key) is None:
                causes.append(required(f"{path}.{key}" if path else key))
        for key, item in value.items():
            child = node.child(key)
            if child is not None and child.form != "scalar":
                _missing(child, item, f"{path}.{key}" if path else key, causes)
