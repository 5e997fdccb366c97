"""GET: one object, lists (selectors, limit and continue, Tables), and watches."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from aiohttp import web

from kfold.sandbox.api import errors
from kfold.sandbox.api.answers import Form, answer, dumps, form
from kfold.sandbox.api.causes import Cause, forbidden, unsupported
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.requests import Target, flag, number
from kfold.sandbox.api.selectors import predicate
from kfold.sandbox.api.watch import WatchRequest, watch


async def get(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """One object; its status subresource is the object itself."""
    asked = _revision(request.query.get("resourceVersion", ""))
    if asked > cluster.store.revision:
        raise errors.too_large_version(asked, cluster.store.revision)
    obj = cluster.store.peek(target.resource, target.namespace, target.name)
    if obj is None:
        raise errors.not_found(target.resource, target.name)
    return answer(_form(request).one(target.resource, obj))


async def list_or_watch(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """A collection: `?watch=1` follows it."""
    if flag(request.query, "watch"):
        return await _watch(cluster, request, target)
    query, store = request.query, cluster.store
    matches = predicate(target.resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    limit, token = number(query, "limit") or 0, query.get("continue", "")
    _check_list(query)
    asked = _revision(query.get("resourceVersion", ""))
    if token and asked:
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    revision, after = _continued(token) if token else (store.revision, None)
    if asked and asked > store.revision:
        raise errors.too_large_version(asked, store.revision)
    if query.get("resourceVersionMatch") == "Exact" and not token:
        revision = asked
    if revision == store.revision:
        objects = store.peek_all(target.resource, target.namespace)
    else:
        # later pages show the collection as the first one saw it
        objects = store.snapshot(target.resource, target.namespace, revision)
    if matches:
        objects = [obj for obj in objects if matches(obj)]
    if after is not None:
        objects = [obj for obj in objects if _place(obj) > after]
    metadata: Object = {"resourceVersion": str(revision)}
    if 0 < limit < len(objects):
        if matches is None:
            # counting what a selector selects would mean reading all of it: the real server does not
            metadata["remainingItemCount"] = len(objects) - limit
        objects = objects[:limit]
        metadata["continue"] = _token(revision, objects[-1])
    return answer(_form(request).many(target.resource, objects, metadata))


def _form(request: web.Request) -> Form:
    return form(request.headers.get("Accept", ""), request.query)


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _token(revision: int, last: Object) -> str:
    return base64.urlsafe_b64encode(json.dumps([revision, *_place(last)]).encode()).decode()


def _continued(token: str) -> tuple[int, tuple[str, str]]:
    try:
        revision, namespace, name = json.loads(base64.urlsafe_b64decode(token.encode()))
        return int(revision), (str(namespace), str(name))
    except (ValueError, TypeError):
        raise errors.bad_request("invalid continue token: continue key is not valid") from None


def _check_list(query: Mapping[str, str]) -> None:
    """Raises ApiError 422 for options that do not go together (ValidateListOptions)."""
    match, field = query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    causes: list[Cause] = []
    if match and not query.get("resourceVersion"):
        causes.append(forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if match and query.get("continue"):
        causes.append(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("", "Exact", "NotOlderThan"):
        causes.append(unsupported(field, match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and query.get("resourceVersion") == "0":
        causes.append(forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in query:
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise errors.bad_options("ListOptions", causes)


def _check_watch(query: Mapping[str, str]) -> None:
    """The same of a watch."""
    match, field = query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    causes: list[Cause] = []
    if "sendInitialEvents" in query and match != "NotOlderThan":
        causes.append(forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match and "sendInitialEvents" not in query:
        causes.append(forbidden(field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
    if match not in ("", "NotOlderThan"):
        causes.append(unsupported(field, match, ("NotOlderThan",)))
    if causes:
        raise errors.bad_options("ListOptions", causes)


def _revision(text: str) -> int:
    try:
        value = int(text or 0)
    except ValueError:
        value = -1
    if value < 0:
        raise errors.bad_request(f"invalid resource version: {text}")
    return value


async def _watch(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    query = request.query
    selector = query.get("fieldSelector", "")
    if target.name:
        selector = f"metadata.name={target.name}"
    text = query.get("resourceVersion", "")
    _check_watch(query)
    initial = flag(query, "sendInitialEvents")
    from_now = "sendInitialEvents" in query and not initial
    timeout = number(query, "timeoutSeconds")
    wanted = WatchRequest(
        resource=target.resource,
        namespace=target.namespace,
        matches=predicate(target.resource, query.get("labelSelector", ""), selector),
        # "" and "0" both mean: from whatever is there now, all of it first
        revision=(cluster.store.revision if from_now else None) if text in ("", "0") else _revision(text),
        bookmarks=flag(query, "allowWatchBookmarks"),
        initial=initial,
        # the real server chooses half an hour to an hour by itself
        timeout=float(timeout) if timeout else 1800.0,
    )
    shape = _form(request)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    # at once: a client counts the watch as established when the headers are there, events or not
    await response.prepare(request)
    events = watch(cluster.store, wanted)
    header = True
    try:
        async for kind, obj in events:
            body = shape.one(target.resource, obj, header=header)
            header = False
            await response.write((dumps({"type": kind, "object": body}) + "\n").encode())
    except errors.ApiError as error:
        # inside the stream, as the real server says it once the answer has begun
        await response.write((dumps({"type": "ERROR", "object": error.status()}) + "\n").encode())
    except ConnectionError:
        return response  # the client is gone: nothing to tell it
    finally:
        await events.aclose()
    await response.write_eof()
    return response
