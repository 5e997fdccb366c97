"""What every request handler is given: the store, the schema, and what streams to its containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.schema import Schema
from kfold.sandbox.api.store import Store


class Streams(Protocol):
    """Requests that become a stream to a container (log, exec, attach, portforward).

    Raises ApiError 501 for what is not there.
    """

    async def handle(self, request: web.Request, pod: Object, subresource: str) -> web.StreamResponse: ...


@dataclass(frozen=True)
class Cluster:
    """One sandbox. `streams` is None where no node runs Pods (tests of the API alone)."""

    store: Store
    schema: Schema
    streams: Streams | None = None
