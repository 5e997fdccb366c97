"""As much OpenAPI as kubectl needs to leave validation to the server.

kubectl looks for a PATCH operation per kind with a `fieldValidation` query parameter; finding it, it validates
nothing itself.
`application/strategic-merge-patch+json` is left out on purpose: if it is listed, kubectl computes patches from the
schemas of this document, which are not there, instead of from its own types.
"""

from __future__ import annotations

import hashlib
import json

from kfold.sandbox.api.discovery import groups
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Catalog, Resource

V2_PROTOBUF = b"\n\x032.0"
"""The whole document for kubectl up to 1.28, which asks /openapi/v2 for protobuf: `swagger: "2.0"` and nothing else."""

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")


def index(catalog: Catalog) -> Object:
    """GET /openapi/v3: where each group version's document is; the hash lets clients cache it."""
    paths = {}
    for name, version in groups(catalog):
        path = f"apis/{name}/{version}" if name else f"api/{version}"
        body = json.dumps(document(catalog, name, version), sort_keys=True).encode()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(body).hexdigest()[:32].upper()}"}
    return {"paths": paths}


def document(catalog: Catalog, group: str, version: str) -> Object:
    """GET /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION."""
    found = [resource for resource in catalog if (resource.group, resource.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "kfold sandbox", "version": version},
        "paths": {_path(resource): _operations(resource) for resource in found},
        "components": {"schemas": {_schema_name(resource): _schema(resource) for resource in found}},
    }


def swagger(catalog: Catalog) -> Object:
    """GET /openapi/v2 as JSON: kinds without fields."""
    definitions = {_schema_name(resource): _schema(resource) for resource in catalog}
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
