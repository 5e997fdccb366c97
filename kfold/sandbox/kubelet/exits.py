"""Who waits for a container's end is told by the engine's event stream: one connection for all, and no polling."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kfold.errors import StoreError
from kfold.sandbox.kubelet.engine import Engine, EngineError

Json = dict[str, Any]

log = logging.getLogger(__name__)

GONE: Json = {"Status": "removed", "ExitCode": 137, "Error": "the container was removed", "Running": False}
"""The state of a container that somebody else removed."""

RECONNECT = 0.5
"""Seconds before asking an engine that ended the stream (it restarts) again."""


class Exits:
    """Follows the engine's events for the containers with one label."""

    def __init__(self, engine: Engine, label: str) -> None:
        self._engine = engine
        self._label = label
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when events are flowing."""
        self._task = asyncio.create_task(self._follow())
        await self._connected.wait()

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self, container: str) -> Json:
        """The engine's `State` of the container once it has ended (at once if it has)."""
        while True:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(container, set()).add(future)
            try:
                # Asked after registering: an end between the two is seen by one of them.
                state = await self._state(container)
                if not (state.get("Running") or state.get("Restarting")):
                    return state
                await future
            finally:
                self._forget(container, future)

    def _forget(self, container: str, future: asyncio.Future[None]) -> None:
        futures = self._waiting.get(container, set())
        futures.discard(future)
        if not futures:
            self._waiting.pop(container, None)

    async def _state(self, container: str) -> Json:
        try:
            state: Json = (await self._engine.inspect(container))["State"]
        except EngineError as error:
            if error.status == 404:
                return GONE
            raise
        return state

    def _wake(self, container: str) -> None:
        for future in self._waiting.pop(container, set()):
            if not future.done():
                future.set_result(None)

    async def _follow(self) -> None:
        filters = {"type": ["container"], "event": ["die", "destroy"], "label": [self._label]}
        while True:
            try:
                async for event in self._engine.events(filters):
                    if event["Type"] == "connected":
                        self._connected.set()
                        for container in list(self._waiting):  # whatever ended while nobody listened
                            self._wake(container)
                    else:
                        self._wake(event["Actor"]["ID"])
            except StoreError as error:
                log.warning("events of the Docker Engine broke off: %s", error)
            except Exception:  # a fault of ours, or an event that nobody foresaw: no container's end would be seen any more
                log.exception("events of the Docker Engine")
            await asyncio.sleep(RECONNECT)
