"""Ephemeral containers: put into a Pod that runs, to look at it (`kubectl debug`). Its life goes on without them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from kfold.errors import StoreError
from kfold.sandbox.kubelet.containers import ContainerRunner
from kfold.sandbox.kubelet.runtime import Container, Kind

if TYPE_CHECKING:
    from kfold.sandbox.kubelet.pods import PodWorker

Json = dict[str, Any]

log = logging.getLogger(__name__)


class EphemeralContainers:
    """Those of one Pod. They are only ever added, and run once."""

    def __init__(self, pod: PodWorker) -> None:
        self._pod = pod
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._open = False

    def open(self) -> None:
        """The Pod's sandbox is there: run them, and those that come."""
        self._open = True
        self.follow(self._pod.pod)

    def follow(self, pod: Json) -> None:
        """The Pod's manifest may have new ones."""
        containers = self._pod.runtime.ephemeral
        known = [container.name for container in containers]
        new = [spec for spec in pod["spec"].get("ephemeralContainers") or [] if spec["name"] not in known]
        containers += [Container(spec, Kind.EPHEMERAL) for spec in new]
        for container in containers:
            if self._open and container.name not in self._tasks:
                self._tasks[container.name] = asyncio.create_task(self._run(ContainerRunner(self._pod, container)))

    async def _run(self, runner: ContainerRunner) -> None:
        try:
            await runner.run()
        except StoreError as error:
            log.warning("pod %s/%s: %s", self._pod.namespace, self._pod.name, error)

    async def close(self) -> None:
        """Look after them no longer; their containers go on until somebody ends them."""
        self._open = False
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def target(self, spec: Json) -> str:
        """The ID of the container whose processes an ephemeral one wants to see; empty where it wants none."""
        wanted = spec.get("targetContainerName")
        found = next((one for one in self._pod.runtime.containers if one.name == wanted and one.running), None)
        return found.current.id if found and found.current else ""
