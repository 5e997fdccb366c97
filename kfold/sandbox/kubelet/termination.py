"""The end of a Pod: hooks, signals, the grace period, and then nothing left of it on the engine."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from kfold.sandbox.kubelet import probes
from kfold.sandbox.kubelet.adoption import CONTAINER, SANDBOX, UID
from kfold.sandbox.kubelet.cleaning import remove
from kfold.sandbox.kubelet.engine import EngineError
from kfold.sandbox.kubelet.runtime import Container, Kind

if TYPE_CHECKING:
    from kfold.sandbox.kubelet.pods import PodWorker

Json = dict[str, Any]


class Termination:
    """Stops and removes what one Pod has on the engine."""

    def __init__(self, pod: PodWorker) -> None:
        self._pod = pod
        self._deadline = float("inf")
        self._sooner = asyncio.Event()

    def shorten(self, grace: float) -> None:
        """The processes have `grace` seconds from now; an earlier deadline stays."""
        deadline = time.monotonic() + grace
        if deadline < self._deadline:
            self._deadline = deadline
            self._sooner.set()

    async def run(self) -> None:
        """Stop everything within the grace period and remove it."""
        pod = self._pod
        runtime = pod.runtime
        await asyncio.gather(*(self._stop(container) for container in [*runtime.apps, *runtime.ephemeral]))
        for container in reversed(runtime.init):
            await self._stop(container)
        pod.publish()  # so that nobody asks for the log of a container that is being removed
        runtime.stopped = True
        # by label, not by what is remembered: a call that was under way may have left one more
        left = await pod.engine.containers(f"{UID}={pod.uid}")
        order = sorted(left, key=lambda entry: entry["Labels"].get(CONTAINER) == SANDBOX)
        await asyncio.gather(*(remove(pod.engine, entry, 0) for entry in order))
        for volume in await pod.engine.volumes(f"{UID}={pod.uid}"):
            await pod.engine.remove_volume(volume["Name"])

    async def stop_all(self) -> None:
        """Stop the containers with no grace period, but keep them (their logs stay readable)."""
        running = [container for container in self._pod.runtime.containers if container.running]
        await asyncio.gather(*(self._end(container, 0) for container in running))

    async def stop_sidecars(self) -> None:
        """The Pod's work is done: its sidecars end, in reverse order."""
        for container in reversed(self._pod.runtime.init):
            if container.kind is Kind.SIDECAR and container.running:
                await self._end(container, 30)

    async def _stop(self, container: Container) -> None:
        if not container.running or container.current is None:
            return
        self._pod.event("Normal", "Killing", f"Stopping container {container.name}", container)
        stop = asyncio.create_task(self._gracefully(container))
        while not stop.done():
            self._sooner.clear()
            sooner = asyncio.create_task(self._sooner.wait())
            await asyncio.wait([stop, sooner], return_when=asyncio.FIRST_COMPLETED)
            sooner.cancel()
            if not stop.done():  # the grace period was cut short meanwhile
                stop.cancel()
                await asyncio.gather(stop, return_exceptions=True)
                stop = asyncio.create_task(self._end(container, self._left()))
        stop.result()

    async def _gracefully(self, container: Container) -> None:
        hook = (container.spec.get("lifecycle") or {}).get("preStop")
        if hook and container.current and self._left() > 0:
            try:
                await probes.act(self._pod.engine, container.current.id, container.spec, self._pod.reach, hook, self._left())
            except probes.Failed as error:
                self._pod.event("Warning", "FailedPreStopHook", f"PreStopHook failed: {error}", container)
        # a hook that took the whole period leaves two seconds, as a kubelet grants
        await self._end(container, self._left() or (2 if hook else 0))

    def _left(self) -> int:
        left = self._deadline - time.monotonic()
        return 30 if left == float("inf") else max(0, round(left))

    async def _end(self, container: Container, grace: int) -> None:
        if container.current is None:
            return
        engine, attempt = self._pod.engine, container.current
        await engine.stop(attempt.id, grace)
        try:
            attempt.ended((await engine.inspect(attempt.id))["State"])
        except EngineError as error:
            if error.status != 404:
                raise
            attempt.exit_code, attempt.reason = 137, "Error"
        container.ready = container.started = False
        container.waiting = None
