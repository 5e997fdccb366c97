"""As much OpenAPI as kubectl needs to leave validation to the server, and to explain fields (without descriptions).

kubectl looks for a PATCH operation per kind with a `fieldValidation` query parameter; finding it, it validates
nothing itself.
`application/strategic-merge-patch+json` is left out on purpose: if it is listed, kubectl computes patches from the
schemas of this document, which have no patch keys, instead of from its own types.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kfold.sandbox.api.discovery import groups, kinds
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Catalog, Resource
from kfold.sandbox.api.schema import Schema

V2_PROTOBUF = b"\n\x032.0"
"""The whole document for kubectl up to 1.28, which asks /openapi/v2 for protobuf: `swagger: "2.0"` and nothing else."""

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_SCALARS: dict[str, Object] = {
    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "boolean": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
}

DOCUMENTS = 1
"""Counts changes of what the documents say of built-in kinds: clients keep them by the hash that it is part of."""

_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")


def index(catalog: Catalog) -> Object:
    """GET /openapi/v3: where each group version's document is; the hash lets clients cache it."""
    paths = {}
    for name, version in groups(catalog):
        path = f"apis/{name}/{version}" if name else f"api/{version}"
        # not of the documents themselves: they are large, and clients ask for this index with every command
        said = [[one.plural, one.structure.schema if one.structure else {}] for one in kinds(catalog, name, version)]
        body = json.dumps([DOCUMENTS, said], sort_keys=True).encode()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(body).hexdigest()[:32].upper()}"}
    return {"paths": paths}


def document(catalog: Catalog, schema: Schema, group: str, version: str) -> Object:
    """GET /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION."""
    found = kinds(catalog, group, version)
    components: Object = {}
    for resource in found:
        components[_schema_name(resource)] = _described(resource, schema, components)
    return {
        "openapi": "3.0.0",
        "info": {"title": "kfold sandbox", "version": version},
        "paths": {_path(resource): _operations(resource) for resource in found},
        "components": {"schemas": components},
    }


def _described(resource: Resource, schema: Schema, components: Object) -> Object:
    """A kind with its fields. Types that they refer to are added to `components`."""
    if resource.structure:
        fields = dict(resource.structure.schema.get("properties") or {})
        fields["metadata"] = _property("#meta.v1.ObjectMeta", schema, components)
        return {**_schema(resource), "properties": fields}
    node = schema.of(resource)
    if node.form != "struct":
        return _schema(resource)
    return {**_schema(resource), **_struct(node.type_name, schema, components)}


def _struct(name: str, schema: Schema, components: Object) -> Object:
    fields = schema.types[name]["fields"]
    return {"type": "object", "properties": {key: _property(value, schema, components) for key, value in fields.items()}}


def _property(encoded: Any, schema: Schema, components: Object) -> Object:
    """A value of merge_keys.json as OpenAPI."""
    if isinstance(encoded, dict) and "list" in encoded:
        return {"type": "array", "items": _property(encoded["of"], schema, components)}
    if isinstance(encoded, dict) and "map" in encoded:
        return {"type": "object", "additionalProperties": _property(encoded["of"], schema, components)}
    if isinstance(encoded, dict):
        return _property(encoded["of"], schema, components)
    if not encoded.startswith("#"):
        return dict(_SCALARS.get(encoded, {"type": "string"}))
    name = encoded[1:]
    if name not in components:
        components[name] = {}  # a type may refer to itself
        components[name].update(_struct(name, schema, components))
    return {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}


def swagger(catalog: Catalog) -> Object:
    """GET /openapi/v2 as JSON: kinds without fields."""
    definitions = {_schema_name(resource): _schema(resource) for resource in catalog.served}
    info = {"title": "kfold sandbox", "version": "v1"}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": definitions}


def _path(resource: Resource) -> str:
    namespace = "/namespaces/{namespace}" if resource.namespaced else ""
    return f"{resource.prefix}{namespace}/{resource.plural}/{{name}}"


def _kind(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schema_name(resource: Resource) -> str:
    return f"io.kfold.sandbox.{resource.group or 'core'}.{resource.version}.{resource.kind}"


def _schema(resource: Resource) -> Object:
    return {
        "type": "object",
        "x-kubernetes-group-version-kind": [_kind(resource)],
        "x-kubernetes-preserve-unknown-fields": True,
    }


def _operations(resource: Resource) -> Object:
    types = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _PARAMETERS]
    patch = {
        "operationId": f"patch{resource.group.title().replace('.', '')}{resource.version.title()}{resource.kind}",
        "parameters": parameters,
        "requestBody": {"content": {name: {"schema": {"type": "object"}} for name in types}, "required": True},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _kind(resource),
    }
    return {"patch": patch}
