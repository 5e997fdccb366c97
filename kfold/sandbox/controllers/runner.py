"""The work loop of all controllers: an event says which objects to look at again; each is looked at once, in turn.

Controllers are level-triggered: `sync` compares what is with what should be, whatever happened in between. They only talk
to the store, so they never wait, and one task runs them all.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet.recorder import Recorder

Json = dict[str, Any]
Key = tuple[str, ...]

log = logging.getLogger(__name__)

RETRY = (0.05, 30.0)
"""Seconds before a sync that failed is tried again, and the most they double to."""


class Controller(ABC):
    """One controller. Keys are its own; usually (namespace, name)."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    @abstractmethod
    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        """Which keys an event concerns. Called inside the commit: reads, never writes."""

    @abstractmethod
    def sync(self, key: Key) -> float | None:
        """Bring one object closer to what it should be. Returns in how many seconds to look again, or None."""


class Runner:
    """Hands events of the store to controllers."""

    def __init__(self, store: Store, controllers: list[Controller]) -> None:
        self._store = store
        self._controllers = controllers
        self._queue: dict[tuple[int, Key], None] = {}
        self._timers: dict[tuple[int, Key], asyncio.TimerHandle] = {}
        self._failures: dict[tuple[int, Key], int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Any = None

    def start(self) -> None:
        """Look at everything once, then at what changes."""
        self._unsubscribe = self._store.subscribe(self._on_event)
        for resource in self._store.catalog:
            for obj in self._store.peek_all(resource):
                self._on_event("ADDED", resource, obj, None)
        self._task = asyncio.create_task(self._run(), name="controllers")

    async def stop(self) -> None:
        if self._unsubscribe:
            self._unsubscribe()
        for timer in self._timers.values():
            timer.cancel()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_event(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> None:
        for index, controller in enumerate(self._controllers):
            for key in controller.keys(kind, resource, obj, old):
                self._add((index, key))

    def _add(self, work: tuple[int, Key]) -> None:
        self._queue[work] = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            work = next(iter(self._queue))
            del self._queue[work]
            self._sync(work)
            await asyncio.sleep(0)  # requests are served in between

    def _sync(self, work: tuple[int, Key]) -> None:
        index, key = work
        try:
            again = self._controllers[index].sync(key)
            self._failures.pop(work, None)
        except Exception as error:
            failures = self._failures[work] = self._failures.get(work, 0) + 1
            again = min(RETRY[0] * 2**failures, RETRY[1])
            name = type(self._controllers[index]).__name__
            if isinstance(error, ApiError):
                log.info("%s %s: %s", name, "/".join(key), error)
            else:  # a fault of ours must not stop the other controllers
                log.exception("%s %s", name, "/".join(key))
        if timer := self._timers.pop(work, None):
            timer.cancel()
        if again is not None:
            self._timers[work] = asyncio.get_running_loop().call_later(again, self._add, work)
