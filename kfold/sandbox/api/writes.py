"""POST, PUT, PATCH: bodies decoded, validated and handed to the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kfold.sandbox.api import bodies, conversion, definitions, errors, patches, pod_subresources, scale
from kfold.sandbox.api.admission import admit
from kfold.sandbox.api.answers import answer, form
from kfold.sandbox.api.apply import apply
from kfold.sandbox.api.causes import invalid
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.metadata import bad_name
from kfold.sandbox.api.requests import Target, WriteOptions, write_options
from kfold.sandbox.api.resources import SERVICES, Resource
from kfold.sandbox.api.validation import decoded, strict_error

Warnings = tuple[str, ...]


async def create(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """POST to a collection."""
    form(request.headers.get("Accept", ""), request.query)  # 406 comes before anything is made
    options = write_options(request.query, request.headers.get("User-Agent", ""), "CreateOptions")
    obj, warnings = _incoming(cluster, target, await bodies.document(request, cluster.schema), options)
    if at(obj, "metadata", "resourceVersion") not in (None, "", "0"):
        # the real server does not foresee it as a client's mistake either
        raise errors.ApiError(500, "", "resourceVersion should not be set on objects to be created")
    return _shown(request, target, _create(cluster, target, obj, options, options.manager), 201, warnings)


async def replace(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """PUT: of the object, its status, or its scale."""
    options = write_options(request.query, request.headers.get("User-Agent", ""), "UpdateOptions")
    body = await bodies.document(request, cluster.schema)
    if target.subresource == "scale":
        return _scaled(cluster, target, body, options)
    obj, warnings = _incoming(cluster, target, body, options)
    if target.resource.custom and not at(obj, "metadata", "resourceVersion"):
        text = "Invalid value: 0: must be specified for an update"
        raise errors.invalid(target.resource, target.name, [("FieldValueInvalid", "metadata.resourceVersion", text)])
    absent = cluster.store.peek(target.resource, target.namespace, target.name) is None
    if target.resource.key == SERVICES.key and not target.subresource and absent:
        # a PUT makes a Service that is not there (AllowCreateOnUpdate of the real server's strategy)
        return _shown(request, target, _create(cluster, target, obj, options, options.manager), 201, warnings)
    return _shown(request, target, _store(cluster, target, obj, options, options.manager), 200, warnings)


async def patch(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """PATCH in its four kinds, by the Content-Type."""
    kind = request.content_type
    taken = [one for one in bodies.PATCHES if not (target.resource.custom and "strategic" in one)]
    if kind not in taken:
        raise errors.unsupported_media_type(taken)
    applies = kind == bodies.APPLY
    options = write_options(request.query, request.headers.get("User-Agent", ""), "PatchOptions", applies=applies)
    document = bodies.parsed(await bodies.read(request), is_yaml=applies)
    if target.subresource == "scale":
        return _patched_scale(cluster, target, kind, document, options)
    if applies:
        return _apply(cluster, request, target, document, options)
    live = conversion.shown(target.resource, cluster.store.get(target.resource, target.namespace, target.name))
    live["apiVersion"] = target.resource.api_version  # a patch changes the object as it is shown in this version
    result = _patched(cluster, target, kind, live, document)
    obj, warnings = _incoming(cluster, target, result, options, bodies.duplicates(document), patched=True)
    return _shown(request, target, _store(cluster, target, obj, options, options.manager), 200, warnings)


def _patched(cluster: Cluster, target: Target, kind: str, live: Object, document: Any) -> Any:
    if kind == "application/json-patch+json":
        return patches.json_patch(live, document)
    if not isinstance(document, dict):
        raise errors.bad_request("error decoding patch: the patch must be a mapping")
    if kind == "application/merge-patch+json":
        return patches.merge_patch(live, document)
    return patches.strategic_merge_patch(cluster.schema.of(target.resource), live, document)


def _apply(cluster: Cluster, request: web.Request, target: Target, config: Any, options: WriteOptions) -> web.StreamResponse:
    resource = target.resource
    if not isinstance(config, dict):
        raise errors.bad_request("error decoding YAML: the configuration must be a mapping")
    metadata = _identified(target, config)
    if metadata.get("name") not in (None, "", target.name):
        raise errors.bad_request(_name_differs(metadata["name"], target.name))
    problems = [f'key "{path}" already set in map' for path in bodies.duplicates(config)]
    if problems and options.validation == "Strict":
        raise errors.bad_request(f"error strict decoding YAML: {', '.join(problems)}")
    warnings = tuple(problems) if options.validation == "Warn" else ()
    config = {**config, "metadata": {**metadata, "name": target.name}}
    if target.namespace:
        config["metadata"]["namespace"] = target.namespace
    live = cluster.store.peek(resource, target.namespace, target.name)
    live = conversion.shown(resource, live) if live else None
    if live is None and target.subresource:
        raise errors.not_found(resource, target.name)
    if live is None and metadata.get("uid"):
        why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise errors.conflict(resource, target.name, why)
    result = apply(
        cluster.schema,
        resource,
        live,
        config,
        manager=options.manager,
        force=options.force,
        subresource=target.subresource,
    )
    obj, _ = decoded(cluster.schema, resource, result)
    # managedFields are set by the apply itself; [] must reach the store as such
    obj["metadata"]["managedFields"] = result["metadata"].get("managedFields", [])
    if live is None:
        return _shown(request, target, _create(cluster, target, obj, options, ""), 201, warnings)
    return _shown(request, target, _store(cluster, target, obj, options, ""), 200, warnings)


def _stored(cluster: Cluster, target: Target, obj: Object) -> tuple[Resource, Object]:
    """The kind in the version in which it is stored, and the object in it."""
    resource = cluster.store.catalog.stored(target.resource)
    if resource is target.resource:
        return resource, obj
    # what was an annotation may be of any form
    result, _ = decoded(cluster.schema, resource, conversion.stored(target.resource, obj, resource.api_version))
    if "managedFields" in obj["metadata"]:
        result["metadata"]["managedFields"] = obj["metadata"]["managedFields"]
    return resource, result


def _create(cluster: Cluster, target: Target, obj: Object, options: WriteOptions, manager: str) -> Object:
    resource, obj = _stored(cluster, target, obj)
    admit(cluster.store, resource, target.namespace, obj)
    return cluster.store.create(resource, obj, manager=manager, dry_run=options.dry_run)


def _store(cluster: Cluster, target: Target, obj: Object, options: WriteOptions, manager: str) -> Object:
    store, (resource, obj) = cluster.store, _stored(cluster, target, obj)
    if not at(obj, "metadata", "name"):
        raise errors.bad_request(_name_differs("", target.name))
    if target.subresource == "status":
        return store.update_status(resource, obj, manager=manager, dry_run=options.dry_run)
    if target.subresource == "finalize":
        return _finalized(cluster, target, obj, options)
    if target.subresource in pod_subresources.PARTS:
        obj = pod_subresources.only_part(target.subresource, store.get(resource, target.namespace, target.name), obj)
        return store.update(resource, obj, manager=manager, subresource=target.subresource, dry_run=options.dry_run)
    return store.update(resource, obj, manager=manager, dry_run=options.dry_run)


def _finalized(cluster: Cluster, target: Target, obj: Object, options: WriteOptions) -> Object:
    """PUT namespaces/NAME/finalize: without finalizers in its spec, a terminating namespace goes, whatever is left in it.

    Its own metadata.finalizers still hold it. Raises ApiError 409, and 501 for a namespace that nobody deletes: what it
    would do there (go at once when it is deleted, and leave its objects behind) is of no use here.
    """
    live = cluster.store.get(target.resource, None, target.name)
    if not at(live, "metadata", "deletionTimestamp"):
        raise errors.not_implemented("namespaces/finalize of a namespace that is not being deleted")
    if at(obj, "metadata", "resourceVersion") not in (None, "", live["metadata"]["resourceVersion"]):
        raise errors.modified(target.resource, target.name)
    if not (at(obj, "spec", "finalizers") or live["metadata"].get("finalizers") or options.dry_run):
        cluster.store.remove(target.resource, None, target.name, live["metadata"]["uid"])
    return live


def _incoming(
    cluster: Cluster,
    target: Target,
    body: Any,
    options: WriteOptions,
    twice: Sequence[str] = (),
    *,
    patched: bool = False,
) -> tuple[Object, Warnings]:
    """The body as the kind's object, in the namespace of the path. `twice`: fields that the patch said twice.

    Raises ApiError 400 for what does not belong there, 422 for a wrong type in what a patch made (`patched`).
    """
    resource = target.resource
    if not isinstance(body, dict):
        raise errors.bad_request("the object provided is unrecognized (must be of type Object)")
    if not resource.custom:
        # decoding a built-in kind takes what the body does not say from the path; custom resources must say it
        body = {
            **body,
            "apiVersion": body.get("apiVersion") or resource.api_version,
            "kind": body.get("kind") or resource.kind,
        }
    metadata = _identified(target, body)
    if target.name and metadata.get("name") not in (None, "", target.name):
        raise errors.bad_request(_name_differs(metadata["name"], target.name))
    obj, unknown = decoded(cluster.schema, resource, body, patched=patched)
    obj.setdefault("metadata", {})
    problems = [f'duplicate field "{path}"' for path in [*bodies.duplicates(body), *twice]]
    problems += [f'unknown field "{path}"' for path in unknown]
    if problems and options.validation == "Strict":
        if patched:
            raise errors.bad_patch(f"strict decoding error: {', '.join(problems)}")
        raise strict_error(resource, problems)
    if resource.namespaced:
        if target.namespace is None:
            raise errors.bad_request("an empty namespace may not be set during creation")
        obj["metadata"]["namespace"] = target.namespace
    # [{}] drops all ownership: an empty entry that decoding would leave as it is
    return obj, tuple(problems) if options.validation == "Warn" else ()


def _identified(target: Target, body: Object) -> Object:
    """metadata of a body whose apiVersion, kind and namespace are those of the path. Raises ApiError 400."""
    resource = target.resource
    for key, text in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not isinstance(body.get(key), str) or not body[key]:
            raise errors.bad_request(f"Object '{text}' is missing in the body of the request")
    if body["apiVersion"] != resource.api_version:
        raise errors.bad_request(
            f"the API version in the data ({body['apiVersion']}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if body["kind"] != resource.kind:
        raise errors.bad_request(
            f'{body["kind"]} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            "converting to the kind of the path is not possible"
        )
    metadata = body.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata must be a mapping")
    for key in ("name", "namespace", "uid", "resourceVersion", "generateName"):
        if metadata.get(key) is not None and not isinstance(metadata[key], str):
            raise errors.bad_request(f"metadata.{key} must be a string")
    if target.namespace and metadata.get("namespace") not in (None, "", target.namespace):
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    problems = bad_name(resource, target.name) if target.name and not metadata.get("uid") else []
    if problems:
        raise errors.invalid(resource, target.name, [invalid("metadata.name", target.name, why) for why in problems])
    return metadata


def _name_differs(given: str, wanted: str) -> str:
    return f"the name of the object ({given}) does not match the name on the URL ({wanted})"


def _shown(request: web.Request, target: Target, obj: Object, status: int, warnings: Warnings) -> web.StreamResponse:
    shape = form(request.headers.get("Accept", ""), request.query)
    if not target.subresource:
        warnings += definitions.warnings(target.resource, obj)
    return answer(shape.one(target.resource, obj), status, warnings)


# --- scale


def _scaled(cluster: Cluster, target: Target, body: Any, options: WriteOptions) -> web.StreamResponse:
    live = cluster.store.get(target.resource, target.namespace, target.name)
    updated = scale.with_replicas(target.resource, live, body)
    if not isinstance(at(body, "metadata", "resourceVersion"), str):
        updated["metadata"].pop("resourceVersion", None)
    else:
        updated["metadata"]["resourceVersion"] = body["metadata"]["resourceVersion"]
    stored = cluster.store.update(
        target.resource, updated, manager=options.manager, subresource="scale", dry_run=options.dry_run
    )
    return answer(scale.scale_of(target.resource, stored))


def _patched_scale(cluster: Cluster, target: Target, kind: str, document: Any, options: WriteOptions) -> web.StreamResponse:
    live = cluster.store.get(target.resource, target.namespace, target.name)
    current = scale.scale_of(target.resource, live)
    if kind == "application/json-patch+json":
        result: Any = patches.json_patch(current, document)
    else:
        # a Scale has no lists: merging is the same in all kinds of patch
        result = patches.merge_patch(current, document)
    return _scaled(cluster, target, result, options)
