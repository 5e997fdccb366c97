"""Protobuf bodies, in which kubectl since 1.32 sends what it makes without a file; it does not try JSON after a 415.

Types and JSON names are the schema's (merge_keys.json); field_numbers.json, which scripts/generate-field-numbers makes
from Kubernetes' own types, has the numbers. Answers are always JSON, which every client takes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources as package_files
from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import timestamp
from kfold.sandbox.api.schema import Node, Schema

TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


def decode(schema: Schema, body: bytes) -> dict[str, Any]:
    """The object of a body. Raises ApiError 400 for what is no protobuf, 415 for a kind or field that is not known."""
    if not body.startswith(_MAGIC):
        raise errors.bad_request("the body is no protobuf of Kubernetes")
    try:
        # runtime.Unknown: 1 is the TypeMeta (1 apiVersion, 2 kind), 2 the object itself
        envelope = dict(_fields(body[len(_MAGIC) :]))
        about = dict(_fields(_piece(envelope.get(1, b""))))
        kind, version = _piece(about.get(2, b"")).decode(), _piece(about.get(1, b"")).decode()
        # options are sent in the version of the client that sends them
        node = schema.named("v1" if kind == "DeleteOptions" else version, kind)
        if node is None or node.type_name not in _numbers():
            raise _unread(kind or "this kind")
        return {"apiVersion": version, "kind": kind, **_message(node, node.type_name, _piece(envelope.get(2, b"")))}
    except (ValueError, IndexError, OverflowError) as error:
        raise errors.bad_request(f"the body could not be read as protobuf: {error}") from error


def _unread(what: str) -> errors.ApiError:
    way = "send JSON (`kubectl create … --dry-run=client -o yaml | kubectl apply -f -`)"
    return errors.ApiError(415, "UnsupportedMediaType", f"protobuf of {what} is not read here: {way}")


@cache
def _numbers() -> dict[str, list[str]]:
    """By type, its fields in the order of their numbers, as scripts/generate-field-numbers explains them."""
    text = (package_files.files("kfold.sandbox.api") / "field_numbers.json").read_text(encoding="utf-8")
    return {name: fields.split() for name, fields in json.loads(text).items()}


def _piece(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message was expected")
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is unknown")
        if at + size > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + size]
        at += size


def _message(node: Node, name: str, data: bytes) -> dict[str, Any]:
    result: dict[str, Any] = {}
    names = _numbers()[name]
    for number, raw in _fields(data):
        entry = names[number - 1] if 0 < number <= len(names) else "-"
        if entry.startswith("+"):
            result |= _message(node, entry[1:], _piece(raw))
            continue
        key = entry.removesuffix("!")
        child = node.fields.get(key)
        if child is None:
            raise _unread(f"field {number} of {name}")
        if child.form == "list":
            result.setdefault(key, []).append(_value(child.item, raw))
        elif child.form == "map":
            pair = dict(_fields(_piece(raw)))
            result.setdefault(key, {})[_piece(pair.get(1, b"")).decode()] = _value(child.item, pair.get(2, b""))
        else:
            value = _value(child, raw)
            if value or (entry != key and value is not None):
                result[key] = value
    return result


def _value(node: Node, raw: bytes | int) -> Any:
    if node.form == "struct":
        if node.type_name not in _numbers():
            raise _unread(node.type_name)
        return _message(node, node.type_name, _piece(raw))
    if node.form == "scalar" and node.scalar in ("int32", "int64", "boolean"):
        number = raw if isinstance(raw, int) else 0  # what is left out of a map's entry is zero
        return bool(number) if node.scalar == "boolean" else (number ^ 1 << 63) - (1 << 63)
    if node.form == "any" or node.scalar in ("time", "quantity", "int-or-string"):
        return _special(node, dict(_fields(_piece(raw))))
    return base64.b64encode(_piece(raw)).decode() if node.scalar == "bytes" else _piece(raw).decode()


def _special(node: Node, fields: dict[int, bytes | int]) -> Any:
    """Messages that are no structs in JSON."""
    if node.form == "any":
        return json.loads(_piece(fields[1])) if fields.get(1) else None
    if node.scalar == "quantity":
        return _piece(fields.get(1, b"")).decode()
    if node.scalar == "int-or-string":
        # 1 is the form: 0 a number, 1 a text
        return _piece(fields.get(3, b"")).decode() if fields.get(1) else fields.get(2, 0)
    seconds = fields.get(1)
    return timestamp(datetime.fromtimestamp(seconds, UTC)) if isinstance(seconds, int) else None
