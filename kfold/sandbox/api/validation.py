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
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.schema import Node, Schema

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(rf"{_LABEL}\Z")
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*\Z")
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]+\Z")
_SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
ANNOTATION_BYTES = 256 * 1024
"""All annotations of an object together."""

DATA_BYTES = 1024 * 1024
"""The values of a ConfigMap or Secret together."""

_GO = {
    "string": "string",
    "boolean": "bool",
    "int32": "int32",
    "int64": "int64",
    "number": "float64",
    "bytes": "[]uint8",
}
# names of these kinds are labels, of all others subdomains; of RBAC's kinds, path segments
_LABEL_NAMES = frozenset({"Namespace", "Service"})
_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")
_EXTENSIONS = "apiextensions.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


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


def missing(schema: Schema, resource: Resource, obj: Object) -> list[tuple[str, str, str]]:
    """Causes for required fields that are not there; `status` is not looked into."""
    causes: list[tuple[str, str, str]] = []
    body = {key: value for key, value in obj.items() if key != "status"}
    _missing(schema.of(resource), body, "", causes)
    return causes


def _missing(node: Node, value: Any, path: str, causes: list[tuple[str, str, str]]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _missing(node.item, item, f"{path}[{index}]", causes)
    elif isinstance(value, dict) and node.form in ("struct", "map"):
        for key in node.required:
            if value.get(key) is None:
                causes.append(("FieldValueRequired", f"{path}.{key}" if path else key, "Required value"))
        for key, item in value.items():
            child = node.child(key)
            if child is not None and child.form != "scalar":
                _missing(child, item, f"{path}.{key}" if path else key, causes)


def bad_metadata(resource: Resource, metadata: Object) -> list[tuple[str, str, str]]:
    """Causes for names, labels and annotations that are not what Kubernetes allows."""
    causes = []
    name = metadata.get("name")
    if not name:
        causes.append(("FieldValueRequired", "metadata.name", "Required value: name or generateName is required"))
    else:
        why = bad_name(resource, name)
        if why:
            causes.append(("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {why}'))
    for key, value in (metadata.get("labels") or {}).items():
        causes.extend(_bad_label(key, value))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        if not _qualified(key.lower()):
            causes.append(("FieldValueInvalid", "metadata.annotations", f'Invalid value: "{key}": {_KEY_TEXT}'))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATION_BYTES:
        text = f"Too long: may not be more than {ANNOTATION_BYTES} bytes"
        causes.append(("FieldValueTooLong", "metadata.annotations", text))
    for name in metadata.get("finalizers") or []:
        if not _qualified(name):
            causes.append(("FieldValueInvalid", "metadata.finalizers", f'Invalid value: "{name}": {_KEY_TEXT}'))
        elif "/" not in name and name not in _FINALIZERS and not resource.custom and resource.group != _EXTENSIONS:
            text = f'Invalid value: "{name}": name is neither a standard finalizer name nor is it fully qualified'
            causes.append(("FieldValueInvalid", "metadata.finalizers", text))
    for index, reference in enumerate(metadata.get("ownerReferences") or []):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(key):
                text = 'Invalid value: "": must not be empty'
                causes.append(("FieldValueInvalid", f"metadata.ownerReferences[{index}].{key}", text))
    return causes


def bad_data(resource: Resource, obj: Object) -> list[tuple[str, str, str]]:
    """Causes for what a ConfigMap or Secret may not hold: keys that are no file names, more than 1 MiB, a type's gaps."""
    causes = []
    size = 0
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            size += len(value.encode()) if resource.kind == "ConfigMap" and field == "data" else len(value) * 3 // 4
            if not _FILE_NAME.match(key) or len(key) > 253 or key in (".", "..") or key.startswith(".."):
                text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                causes.append(("FieldValueInvalid", f"{field}[{key}]", f'Invalid value: "{key}": {text}'))
    if size > DATA_BYTES:
        field = "data" if resource.kind == "Secret" else ""
        causes.append(("FieldValueTooLong", field, f"Too long: may not be more than {DATA_BYTES} bytes"))
    if resource.kind == "Secret":
        for key in _SECRET_KEYS.get(obj.get("type", ""), ()):
            if key not in (obj.get("data") or {}):
                causes.append(("FieldValueRequired", f"data[{key}]", "Required value"))
    return causes


_KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)


def bad_name(resource: Resource, name: str) -> str:
    """Why a name is none for that kind, or ""."""
    if resource.group == _RBAC:
        return "may not contain '/' or '%'" if name in (".", "..") or "/" in name or "%" in name else ""
    if resource.kind in _LABEL_NAMES and not resource.custom:
        if len(name) > 63:
            return "must be no more than 63 characters"
        if not _DNS_LABEL.match(name) or (resource.kind == "Service" and not name[0].isalpha()):
            return (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
                "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            )
        return ""
    if len(name) > 253:
        return "must be no more than 253 characters"
    if not _DNS_SUBDOMAIN.match(name):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    return ""


def _qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or len(prefix) > 253 or not _DNS_SUBDOMAIN.match(prefix)):
        return False
    return len(name) <= 63 and bool(_NAME_PART.match(name))


def _bad_label(key: str, value: Any) -> list[tuple[str, str, str]]:
    causes = []
    if not _qualified(key):
        causes.append(("FieldValueInvalid", "metadata.labels", f'Invalid value: "{key}": {_KEY_TEXT}'))
    if value and (len(value) > 63 or not _NAME_PART.match(value)):
        text = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
        text = "must be no more than 63 characters" if len(value) > 63 else text
        causes.append(("FieldValueInvalid", "metadata.labels", f'Invalid value: "{value}": {text}'))
    return causes
