"""Watches: replay from a resourceVersion, follow, bookmarks, and objects that begin or cease to match a selector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.selectors import Predicate
from kfold.sandbox.api.store import Store

BOOKMARK_SECONDS = 60.0
"""How often a quiet watch that asked for bookmarks gets one (the real server: about once a minute)."""

BEFORE_THE_END = 2.0
"""Seconds before its end at which such a watch gets one more, so that the next one can resume there."""

BACKLOG = 10_000
"""Events that a watcher may lag behind; then its stream ends, and the client resumes or lists anew."""


@dataclass(frozen=True)
class WatchRequest:
    """What a client asked to see.

    `revision` None: start with all objects as ADDED. `initial`: all objects, then a marked bookmark (a streaming list).
    `timeout` in seconds.
    """

    resource: Resource
    namespace: str | None
    matches: Predicate | None
    revision: int | None
    timeout: float
    bookmarks: bool = False
    initial: bool = False


async def watch(store: Store, request: WatchRequest) -> AsyncGenerator[tuple[str, Object], None]:
    """Events as (type, object) until the timeout in seconds. Raises ApiError 410 for a revision that is no longer kept.

    The objects are the stored ones: read only.
    """
    queue: asyncio.Queue[tuple[str, Resource, Object, Object | None] | None] = asyncio.Queue()
    lost = False

    def take(kind: str, resource: Resource, obj: Object, old: Object | None) -> None:
        nonlocal lost
        if resource.key == request.resource.key and not lost:
            lost = queue.qsize() >= BACKLOG
            queue.put_nowait(None if lost else (kind, resource, obj, old))

    loop = asyncio.get_running_loop()
    deadline = loop.time() + request.timeout
    unsubscribe = store.subscribe(take)
    try:
        for event in _before(store, request):
            yield event
        seen = store.revision if queue.empty() else 0
        marked = loop.time()
        while loop.time() < deadline:
            wake = deadline
            if request.bookmarks:
                before = deadline - BEFORE_THE_END
                wake = min(marked + BOOKMARK_SECONDS, before if marked < before else deadline)
            try:
                # not wait_for: it may swallow the cancellation of a client that has gone
                async with asyncio.timeout_at(wake):
                    entry = await queue.get()
            except TimeoutError:
                if wake < deadline:
                    marked, seen = loop.time(), store.revision if queue.empty() else seen
                    yield "BOOKMARK", _bookmark(request.resource, seen)
                continue
            if entry is None:
                return
            shown = _as_seen(request, entry[0], entry[2], entry[3])
            if shown:
                yield shown
            seen = int(entry[2]["metadata"]["resourceVersion"])
    finally:
        unsubscribe()


def _before(store: Store, request: WatchRequest) -> list[tuple[str, Object]]:
    """What comes before the first new event. No await between subscribing and this: nothing is missed or said twice."""
    if request.revision is not None and not request.initial:
        if request.revision > store.revision:
            raise errors.too_large_version(request.revision, store.revision)
        replayed = (
            _as_seen(request, event.type, event.obj, event.old)
            for event in store.events_after(request.revision, request.resource)
        )
        return [event for event in replayed if event]
    objects = store.peek_all(request.resource, request.namespace)
    events = [("ADDED", obj) for obj in objects if request.matches is None or request.matches(obj)]
    if request.initial and request.bookmarks:
        mark = _bookmark(request.resource, store.revision)
        mark["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
        events.append(("BOOKMARK", mark))
    return events


def _as_seen(request: WatchRequest, kind: str, obj: Object, old: Object | None) -> tuple[str, Object] | None:
    """The event as this watcher sees it: an object that begins to match was ADDED, one that ceases to was DELETED."""
    if request.namespace and obj["metadata"].get("namespace") != request.namespace:
        return None
    if request.matches is None:
        return kind, obj
    now = kind != "DELETED" and request.matches(obj)
    before = old is not None and request.matches(old)
    if now:
        return ("MODIFIED" if before else "ADDED"), obj
    if not before or old is None:
        return None
    # what ceased to match is shown as it last matched, at the revision of the change
    metadata = {**old["metadata"], "resourceVersion": obj["metadata"]["resourceVersion"]}
    return "DELETED", {**old, "metadata": metadata}


def _bookmark(resource: Resource, revision: int) -> Object:
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {"resourceVersion": str(revision)}}
