"""DELETE: of one object and of a collection, and eviction (which is a delete)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from kfold.sandbox.api import bodies, errors, validation
from kfold.sandbox.api.answers import answer, form, typed
from kfold.sandbox.api.causes import Cause, invalid, unsupported
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.deletion import PROPAGATIONS
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.requests import Target, dry_run, flag, number
from kfold.sandbox.api.resources import JOBS, NAMESPACES, Resource
from kfold.sandbox.api.selectors import predicate

PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")

_PRESERVED = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True)
class DeleteOptions:
    """What the body and the query ask for together; the body wins. `grace` in seconds."""

    uid: str | None
    revision: str | None
    propagation: str | None
    grace: int | None
    dry_run: bool


async def delete(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """One object. The answer is the object where it stays for now (or its kind answers so), else a Status."""
    options = delete_options(cluster, request, await bodies.document(request, cluster.schema))
    warnings: tuple[str, ...] = ()
    if target.resource.key == JOBS.key and options.propagation is None:
        # batch/v1 keeps the default of its first days
        options = replace(options, propagation="Orphan")
        warnings = (_PRESERVED,)
    left, gone = _delete(cluster, target.resource, target.namespace, target.name, options)
    return _answer(target.resource, left, gone, warnings)


async def delete_collection(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """All objects of the collection that match the selectors."""
    options = delete_options(cluster, request, await bodies.document(request, cluster.schema))
    query = request.query
    matches = predicate(target.resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    found = cluster.store.peek_all(target.resource, target.namespace)
    deleted = []
    for obj in [obj for obj in found if matches is None or matches(obj)]:
        metadata = obj["metadata"]
        try:
            left, _ = _delete(cluster, target.resource, metadata.get("namespace"), metadata["name"], options)
        except errors.ApiError as error:
            if error.reason != "NotFound":
                raise
            continue
        deleted.append(left)
    metadata = {"resourceVersion": str(cluster.store.revision)}
    return answer(form(request.headers.get("Accept", ""), query).many(target.resource, deleted, metadata))


async def evict(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """POST pods/NAME/eviction; there are no disruption budgets to hold it back."""
    body = validation.options(cluster.schema, "policy/v1", "Eviction", await bodies.document(request, cluster.schema))
    options = delete_options(cluster, request, body.get("deleteOptions"))
    _delete(cluster, target.resource, target.namespace, target.name, options)
    return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _delete(
    cluster: Cluster, resource: Resource, namespace: str | None, name: str, options: DeleteOptions
) -> tuple[Object, bool]:
    """The object as it was left, and whether it is gone."""
    if resource.key == NAMESPACES.key and name in PROTECTED:
        raise errors.forbidden(resource, name, "this namespace may not be deleted")
    left = cluster.store.delete(
        resource,
        namespace,
        name,
        uid=options.uid,
        revision=options.revision,
        propagation=options.propagation,
        grace=options.grace,
        dry_run=options.dry_run,
    )
    return left, not at(left, "metadata", "deletionTimestamp")


def _answer(resource: Resource, left: Object, gone: bool, warnings: tuple[str, ...]) -> web.StreamResponse:
    if not gone or resource.returns_deleted:
        return answer(typed(resource, left), 200, warnings)
    details: Object = {"name": left["metadata"]["name"], "kind": resource.plural, "uid": left["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return answer(status, 200, warnings)


def delete_options(cluster: Cluster, request: web.Request, body: Any) -> DeleteOptions:
    """Raises ApiError 400 for a body that is no DeleteOptions, 422 for values that are none."""
    body = validation.options(cluster.schema, "v1", "DeleteOptions", {} if body is None else body)
    query, conditions, grace = request.query, body.get("preconditions") or {}, body.get("gracePeriodSeconds")
    asked = number(query, "gracePeriodSeconds")
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or None
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = flag(query, "orphanDependents")
    causes: list[Cause] = []
    if propagation is not None and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid("propagationPolicy", propagation, why))
    elif orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if propagation not in (None, *PROPAGATIONS):
        causes.append(unsupported("propagationPolicy", propagation, (*PROPAGATIONS, "nil")))
    rehearse, bad = dry_run(*(body.get("dryRun") or []), query.get("dryRun", ""))
    if causes + bad:
        raise errors.bad_options("DeleteOptions", causes + bad)
    grace = grace if grace is not None else asked
    return DeleteOptions(conditions.get("uid"), conditions.get("resourceVersion"), propagation, grace, rehearse)
