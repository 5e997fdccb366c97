"""Protobuf bodies of the four kinds that kubectl sends so.

Since 1.32 `kubectl create namespace`, `configmap`, `secret` and `serviceaccount` do, and do not try JSON after a 415.
Everything else of kubectl, and all other clients, send JSON. Field numbers are those of
k8s.io/api/core/v1/generated.proto and k8s.io/apimachinery's meta/v1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kfold.sandbox.api import errors

TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


@dataclass(frozen=True)
class _Field:
    """`kind`: string, bytes (base64 in JSON), boolean, map (of `of`), message (of `of`); `many`: repeated."""

    name: str
    kind: str = "string"
    of: Any = None
    many: bool = False


_METADATA = {
    1: _Field("name"),
    2: _Field("generateName"),
    3: _Field("namespace"),
    11: _Field("labels", "map", "string"),
    12: _Field("annotations", "map", "string"),
    14: _Field("finalizers", many=True),
}
_REFERENCE = {1: _Field("name")}
_KINDS: dict[str, dict[int, _Field]] = {
    "ConfigMap": {
        1: _Field("metadata", "message", _METADATA),
        2: _Field("data", "map", "string"),
        3: _Field("binaryData", "map", "bytes"),
        4: _Field("immutable", "boolean"),
    },
    "Namespace": {1: _Field("metadata", "message", _METADATA)},
    "Secret": {
        1: _Field("metadata", "message", _METADATA),
        2: _Field("data", "map", "bytes"),
        3: _Field("type"),
        4: _Field("stringData", "map", "string"),
        5: _Field("immutable", "boolean"),
    },
    "ServiceAccount": {
        1: _Field("metadata", "message", _METADATA),
        3: _Field("imagePullSecrets", "message", _REFERENCE, many=True),
        4: _Field("automountServiceAccountToken", "boolean"),
    },
}


def decode(body: bytes) -> dict[str, Any]:
    """The object of a body. Raises ApiError 400 for what is no protobuf, 415 for another kind."""
    if not body.startswith(_MAGIC):
        raise errors.bad_request("the body is no protobuf of Kubernetes")
    try:
        # runtime.Unknown: 1 is the TypeMeta (1 apiVersion, 2 kind), 2 the object itself
        envelope = dict(_fields(body[len(_MAGIC) :]))
        about = dict(_fields(_piece(envelope.get(1, b""))))
        kind, version = _piece(about.get(2, b"")).decode(), _piece(about.get(1, b"")).decode()
        if version != "v1" or kind not in _KINDS:
            text = f"protobuf of {kind or 'this kind'} is not read here ({', '.join(_KINDS)} are): send JSON"
            raise errors.ApiError(415, "UnsupportedMediaType", text)
        return {"apiVersion": version, "kind": kind, **_message(_KINDS[kind], _piece(envelope.get(2, b"")))}
    except (ValueError, IndexError) as error:
        raise errors.bad_request(f"the body could not be read as protobuf: {error}") from error


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


def _message(fields: dict[int, _Field], data: bytes) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            continue  # what the server sets itself: uid, timestamps, status
        if field.kind == "map":
            pair = dict(_fields(_piece(raw)))
            key = _piece(pair.get(1, b"")).decode()
            result.setdefault(field.name, {})[key] = _scalar(field.of, pair.get(2, b""))
            continue
        value = _message(field.of, _piece(raw)) if field.kind == "message" else _scalar(field.kind, raw)
        if field.many:
            result.setdefault(field.name, []).append(value)
        elif value not in ("", {}):
            result[field.name] = value
    return result


def _scalar(kind: str, raw: bytes | int) -> Any:
    if kind == "boolean":
        return bool(raw)
    return base64.b64encode(_piece(raw)).decode() if kind == "bytes" else _piece(raw).decode()
