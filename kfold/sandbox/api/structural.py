"""What a CustomResourceDefinition says of its resources: the schema (pruned, defaulted, validated), scale, columns.

Rules of https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.
Not looked at: formats. CEL rules are `expressions`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from kfold.sandbox.api import expressions
from kfold.sandbox.api.causes import Cause, invalid, too_long
from kfold.sandbox.api.documents import Object, at, copied

_KEPT = "x-kubernetes-preserve-unknown-fields"
_FORBIDDEN = ("$ref", "$schema", "additionalItems", "definitions", "dependencies", "id", "patternProperties", "uniqueItems")
_OWN = ("apiVersion", "kind", "metadata")
_BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
"""Reasons for which rules are not run: they would meet what their types do not foresee."""

_FILTER = re.compile(r"(\w+)\[\?\(@\.(\w+)==['\"]([^'\"]+)['\"]\)\]\Z")


class Structure:
    """One served version of a definition; `version` as in spec.versions."""

    def __init__(self, version: Object) -> None:
        self.schema: Object = at(version, "schema", "openAPIV3Schema") or {_KEPT: True}
        self.deprecated: bool = bool(version.get("deprecated"))
        self.deprecation: str = version.get("deprecationWarning") or ""
        self.node: object = None  # how its objects merge, once somebody has asked the Schema
        self.columns: list[Object] = version.get("additionalPrinterColumns") or []
        scale = at(version, "subresources", "scale") or {}
        self.replicas = _path(scale.get("specReplicasPath", ""))
        self.status_replicas = _path(scale.get("statusReplicasPath", ""))
        self.selector = _path(scale.get("labelSelectorPath", ""))

    def prune(self, obj: Object) -> list[str]:
        """Drop, in place, what the schema does not have; the paths of it."""
        dropped: list[str] = []
        _prune(self.schema, obj, "", dropped)
        return sorted(dropped)

    def fill(self, obj: Object) -> None:
        """Set, in place, the defaults of what is not there."""
        _fill(self.schema, obj)

    def causes(self, obj: Object, old: Object | None = None) -> list[Cause]:
        """What does not fit the schema, or breaks one of its rules. `old`: as it was before an update."""
        body = {key: value for key, value in obj.items() if key not in _OWN}
        errors = (error for error in self._validator.iter_errors(body) if not _as_before(error, old))
        causes = list(dict.fromkeys(cause for error in errors for cause in _causes(error)))
        # keys can only be compared in what has its type
        causes = causes or list(_repeated(self.schema, body, ""))
        if not self._has_rules:
            return causes
        if any(reason in _BLOCKING for reason, _, _ in causes):
            return [*causes, invalid("<nil>", None, expressions.UNCHECKED)]
        return causes + expressions.broken(self.schema, obj, old)

    @cached_property
    def _has_rules(self) -> bool:
        return expressions.has_rules(self.schema)

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft4Validator

        # draft 4: exclusiveMinimum is a boolean, as in OpenAPI 3.0
        return Draft4Validator(_plain(self.schema, top=True))


def column(obj: Object, path: str) -> Any:
    """The value under a printer column's JSON path: names, and [?(@.key=="value")] as conditions are found; else None."""
    value: Any = obj
    for part in re.split(r"\.(?![^\[]*\])", path.lstrip(".")):
        if found := _FILTER.match(part):
            name, key, wanted = found.groups()
            items = at(value, name) or []
            value = next((item for item in items if str(at(item, key)) == wanted), None)
        else:
            value = at(value, part)
    return value


def bad_schema(schema: Object, field: str) -> list[Cause]:
    """Causes for a definition's schema that is no schema of an object."""
    from jsonschema import Draft4Validator, SchemaError

    if schema.get("type") != "object":
        return [("FieldValueRequired", f"{field}.type", "Required value: must be object at the root")]
    forbidden = [
        f"{field}{path}.{key}"
        for path, below in schemas(schema)
        for key in _FORBIDDEN
        if below.get(key) not in (None, False)
    ]
    if forbidden:
        return [("FieldValueForbidden", path, "Forbidden: must not be set in a structural schema") for path in forbidden]
    if untyped := list(_untyped(schema, field)):
        text = "Required value: must not be empty for specified object fields, array items and values"
        return [("FieldValueRequired", f"{path}.type", text) for path in untyped]
    try:
        Draft4Validator.check_schema(_plain(schema, top=True), format_checker=Draft4Validator.FORMAT_CHECKER)
    except SchemaError as error:
        return [("FieldValueInvalid", field, f"Invalid value: {error.json_path}: {error.message}")]
    bad = (expressions.bad_rules(below, f"{field}{path}", root=not path) for path, below in schemas(schema))
    return [cause for causes in bad for cause in causes]


def schemas(schema: Any, path: str = "") -> Iterator[tuple[str, Object]]:
    """The schema and all that it holds, with their paths."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from schemas(item, f"{path}[{index}]")
    elif isinstance(schema, dict):
        yield path, schema
        for key in ("items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"):
            yield from schemas(schema.get(key), f"{path}.{key}")
        for name, below in (schema.get("properties") or {}).items():
            yield from schemas(below, f"{path}.properties[{name}]")


def _untyped(schema: Object, path: str) -> Iterator[str]:
    """Paths of what says no type, outside allOf, anyOf, oneOf and not, where none may be said."""
    free = schema.get("x-kubernetes-int-or-string") or schema.get(_KEPT)
    if not schema.get("type") and not free:
        yield path
    below = {f"{path}.properties[{name}]": item for name, item in (schema.get("properties") or {}).items()}
    below |= {f"{path}.{key}": schema.get(key) for key in ("items", "additionalProperties")}
    for where, item in below.items():
        if isinstance(item, dict):
            yield from _untyped(item, where)


def _path(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(".") if part)


def _prune(schema: Object, value: Any, path: str, dropped: list[str]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _prune(schema.get("items") or {_KEPT: True}, item, f"{path}[{index}]", dropped)
    elif isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in list(value):
            where = f"{path}.{key}" if path else key
            if not path and key in _OWN:
                continue
            if key in properties:
                if value[key] is None and not properties[key].get("nullable"):
                    del value[key]
                else:
                    _prune(properties[key], value[key], where, dropped)
            elif isinstance(others, dict):
                _prune(others, value[key], where, dropped)
            elif not (others or schema.get(_KEPT)):
                dropped.append(where)
                del value[key]


def _fill(schema: Object, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _fill(schema.get("items") or {}, item)
    elif isinstance(value, dict):
        for key, below in (schema.get("properties") or {}).items():
            if key not in value and "default" in below:
                value[key] = copied(below["default"])
            if key in value:
                _fill(below, value[key])
        if isinstance(schema.get("additionalProperties"), dict):
            for item in value.values():
                _fill(schema["additionalProperties"], item)


def _repeated(schema: Object, value: Any, path: str) -> Iterator[Cause]:
    """Causes of items that a list of x-kubernetes-list-type set or map has twice."""
    if isinstance(value, list):
        kind, keys, seen = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or [], set()
        for index, item in enumerate(value):
            if kind in ("set", "map"):
                same = item if kind == "set" else {key: item[key] for key in keys if key in item}
                said = json.dumps(same, sort_keys=True, separators=(",", ":"))
                if said in seen:
                    yield "FieldValueDuplicate", f"{path}[{index}]", f"Duplicate value: {said}"
                seen.add(said)
            yield from _repeated(schema.get("items") or {}, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            below = properties.get(key, others)
            if isinstance(below, dict):
                yield from _repeated(below, item, f"{path}.{key}" if path else key)


def _as_before(error: Any, old: Object | None) -> bool:
    """Whether an update leaves what does not fit as it was: that is not held against it (KEP-4008)."""
    before: Any = old
    for part in error.absolute_path:
        try:
            before = before[part]
        except (KeyError, IndexError, TypeError):
            return False
    return old is not None and bool(error.absolute_path) and before == error.instance


def _plain(schema: Any, *, top: bool = False) -> Any:
    """The schema as JSON schema: `nullable` becomes a type, formats are not looked at."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _plain(value) if key != "enum" else value for key, value in schema.items() if key != "format"}
    if "properties" in result:
        kept = {key: value for key, value in result["properties"].items() if not (top and key in _OWN)}
        result["properties"] = kept
    if top:
        result["required"] = [key for key in schema.get("required", []) if key not in _OWN]
        if not result["required"]:
            del result["required"]
    for key in ("required", "enum"):
        if isinstance(schema.get(key), list):  # JSON schema knows no empty list, and nothing said twice
            result[key] = [item for number, item in enumerate(result.get(key, [])) if item not in result[key][:number]]
            if not result[key]:
                del result[key]
    for key, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(key), bool) and bound not in schema:
            del result[key]
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string", "null"] if schema.get("nullable") else ["integer", "string"]
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        result["type"] = [schema["type"], "null"]
        if "enum" in schema:
            result["enum"] = [*schema["enum"], None]
    return result


def _causes(error: Any) -> list[Cause]:
    path = ""
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
    value = error.instance
    if error.validator == "required":
        absent = [key for key in error.validator_value if key not in value]
        return [("FieldValueRequired", f"{path}.{key}" if path else key, "Required value") for key in absent]
    if error.validator == "enum":
        listed = ", ".join(f'"{item}"' for item in error.validator_value)
        return [("FieldValueNotSupported", path, f'Unsupported value: "{value}": supported values: {listed}')]
    if error.validator == "type":
        names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
        given = names.get(type(value), "null")
        wanted = error.validator_value
        kind = wanted if isinstance(wanted, str) else ",".join(wanted)
        text = f'Invalid value: "{given}": {path} in body must be of type {kind}: "{given}"'
        return [("FieldValueTypeInvalid", path, text)]
    return [_bound(error, path, value)]


def _bound(error: Any, path: str, value: Any) -> Cause:
    """A cause for a value beyond a limit, in the words of k8s.io/kube-openapi's validation."""
    limit, name = error.validator_value, error.validator
    if name == "maxLength":
        return too_long(path, limit)
    if name in ("maxItems", "maxProperties"):
        return "FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {limit} items"
    if name in _COMPOSED:
        return "FieldValueInvalid", path, f'Invalid value: "": "{path}" {_COMPOSED[name]}'
    exclusive = bool(error.schema.get(f"exclusive{name.capitalize()}"))
    words = _BOUNDS.get(name)
    said = words[exclusive].format(limit) if words else f": {error.message}"
    return invalid(path, value, f"{path} in body{said}")


_BOUNDS = {
    "minimum": (" should be greater than or equal to {}", " should be greater than {}"),
    "maximum": (" should be less than or equal to {}", " should be less than {}"),
    "multipleOf": (" should be a multiple of {}",) * 2,
    "pattern": (" should match '{}'",) * 2,
    "minLength": (" should be at least {} chars long",) * 2,
    "minItems": (" should have at least {} items",) * 2,
    "minProperties": (" should have at least {} properties",) * 2,
}
_COMPOSED = {
    "anyOf": "must validate at least one schema (anyOf)",
    "oneOf": "must validate one and only one schema (oneOf). Found none valid",
    "allOf": "must validate all the schemas (allOf)",
    "not": "must not validate the schema (not)",
}
