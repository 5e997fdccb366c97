"""Kinds that are asked and not kept: who am I, may I do this, give me a token.

There is no authorization here: whoever has a token may do everything, as a member of kubeadm:cluster-admins may.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from kfold.sandbox.api import bodies, errors, tokens, validation
from kfold.sandbox.api.answers import answer
from kfold.sandbox.api.auth import Guard
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.documents import Object, at, timestamp
from kfold.sandbox.api.requests import Target
from kfold.sandbox.api.resources import NODES, PODS, SECRETS, Resource

SECONDS = 3600
"""For how long a token holds unless the request says otherwise."""

_EVERYTHING: Object = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}


async def review(cluster: Cluster, guard: Guard, request: web.Request, target: Target) -> web.StreamResponse:
    """POST of a review. Raises ApiError 400, 422 for one that asks nothing."""
    resource = target.resource
    body, _ = validation.decoded(cluster.schema, resource, await _body(cluster, request, resource))
    spec = body.get("spec") or {}
    if resource.kind == "SelfSubjectReview":
        status: Object = {"userInfo": guard.check(request, cluster.store)}
    elif resource.kind == "TokenReview":
        status = _authenticated(cluster, guard, spec)
    elif resource.kind == "SelfSubjectRulesReview":
        if not spec.get("namespace"):
            raise errors.bad_request("no namespace on request")
        status = _EVERYTHING
    else:
        _check_access(resource, spec)
        status = {"allowed": True}
    about = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": body.get("metadata") or {}}
    asked = {} if resource.kind == "SelfSubjectReview" else {"spec": spec}
    return answer({**about, **asked, "status": status}, 201)


async def _body(cluster: Cluster, request: web.Request, resource: Resource) -> Object:
    body = await bodies.document(request, cluster.schema)
    if not isinstance(body, dict):
        raise errors.bad_request("the object provided is unrecognized (must be of type Object)")
    if body.get("kind", resource.kind) != resource.kind:
        raise errors.bad_request(f"{body['kind']} cannot be handled as a {resource.kind}")
    return body


def _check_access(resource: Resource, spec: Object) -> None:
    causes: list[tuple[str, str, str]] = []
    if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
        text = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(("FieldValueInvalid", "spec.resourceAttributes", text))
    if resource.kind != "SelfSubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
        text = 'Invalid value: "": at least one of user or group must be specified'
        causes.append(("FieldValueInvalid", "spec.user", text))
    if causes:
        raise errors.invalid(resource, "", causes)


def _authenticated(cluster: Cluster, guard: Guard, spec: Object) -> Object:
    user = guard.user(str(spec.get("token") or ""), cluster.store)
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user, "audiences": spec.get("audiences") or [tokens.AUDIENCE]}


async def token(cluster: Cluster, guard: Guard, request: web.Request, target: Target) -> web.StreamResponse:
    """POST serviceaccounts/NAME/token. Raises ApiError 404, 422."""
    account = cluster.store.get(target.resource, target.namespace, target.name)
    body = await bodies.document(request, cluster.schema)
    asked = validation.options(cluster.schema, "authentication.k8s.io/v1", "TokenRequest", body)
    spec = asked.get("spec") or {}
    seconds = spec.get("expirationSeconds", SECONDS)
    if not 600 <= seconds <= 1 << 32:
        why = "less than 10 minutes" if seconds < 600 else "larger than 2^32 seconds"
        text = f"Invalid value: {seconds}: may not specify a duration {why}"
        kind = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
        raise errors.invalid(kind, "", [("FieldValueInvalid", "spec.expirationSeconds", text)])
    bound = _bound(cluster, target, spec.get("boundObjectRef"))
    given, until = tokens.issue(guard.secret, account, spec.get("audiences") or [], seconds, bound)
    spec = {"audiences": [tokens.AUDIENCE], "boundObjectRef": None, **spec, "expirationSeconds": seconds}
    status = {"token": given, "expirationTimestamp": timestamp(datetime.fromtimestamp(until, UTC))}
    metadata: Object = {key: account["metadata"][key] for key in ("name", "namespace")}
    metadata["creationTimestamp"] = timestamp()
    about = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata}
    return answer({**about, "spec": spec, "status": status}, 201)


def _bound(cluster: Cluster, target: Target, reference: Any) -> Object | None:
    """The Pod, Secret or Node that a token is bound to. Raises ApiError 404, 409."""
    if not reference:
        return None
    kinds = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
    resource = kinds.get(reference.get("kind", ""))
    if resource is None:
        raise errors.bad_request(f"cannot bind token for serviceaccount to object of type {reference.get('kind')}")
    found = cluster.store.get(resource, target.namespace if resource.namespaced else None, reference.get("name", ""))
    uid = at(found, "metadata", "uid")
    if reference.get("uid") not in (None, "", uid):
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
        raise errors.conflict(resource, reference["name"], why + "The object might have been deleted and then recreated")
    return {"kind": reference["kind"], "name": reference["name"], "uid": uid}
