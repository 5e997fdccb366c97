"""The life of one container in its Pod: image, configuration, start, probes, end, restart. One coroutine per container."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from kfold.sandbox.kubelet import images, probes
from kfold.sandbox.kubelet.engine import EngineError
from kfold.sandbox.kubelet.env import ConfigurationError
from kfold.sandbox.kubelet.runtime import Attempt, Container, Kind, now, seconds_of

if TYPE_CHECKING:
    from kfold.sandbox.kubelet.pods import PodWorker

Json = dict[str, Any]

BACK_OFF = (10.0, 300.0)
"""Seconds before the second restart or pull, and the most it doubles to (kubelet: initialBackOff, MaxContainerBackOff)."""

FORGIVEN = 600.0
"""A run of so many seconds forgets the crashes before it."""

SHOWN = 2.0
"""Seconds for which a failed pull is ErrImagePull before it is ImagePullBackOff (a kubelet: until its next sync)."""


class BackOff:
    """Delays that double, up to a limit."""

    def __init__(self) -> None:
        self._next = BACK_OFF[0]

    def next(self) -> float:
        delay, self._next = self._next, min(self._next * 2, BACK_OFF[1])
        return delay


class ContainerRunner:
    """Runs one container until it needs no further run. A run that is under way already is taken over."""

    def __init__(self, home: PodWorker, container: Container) -> None:
        self._home = home
        self._container = container
        self._back_off = BackOff()
        self._crashed = False
        self._replace = False
        self.started = asyncio.Event()
        """Set while the container has started (its start-up probe passed)."""

    async def run(self) -> None:
        """Returns when the last run has ended; `container.current` says how."""
        container = self._container
        if container.current is None:
            await self._start(0)
        while container.current is not None:
            if container.running:
                await self._attend(container.current)
            if not self._wants_restart(container.current):
                return
            number = container.current.number + 1
            if self._replace:
                self._replace = False
            else:
                await self._wait_for_restart(container.current)
            await self._start(number)

    async def replace(self, spec: Json) -> None:
        """The manifest changed in place (a container's image can): end this run, the next one uses `spec`."""
        self._container.spec = spec
        if self._container.current and self._container.running:
            self._replace = True
            said = f"Container {self._container.name} definition changed, will be restarted"
            self._home.event("Normal", "Killing", said, self._container)
            await self._kill(self._container.current)

    # --- start

    async def _start(self, number: int) -> None:
        container, home = self._container, self._home
        image, created = await self._create(number)
        attempt = Attempt(created, number, container.spec["image"], images.identity(image))
        old, container.previous = container.previous, container.current
        try:
            await home.finish(home.engine.start(created))
        except EngineError as error:
            attempt.started_at = attempt.finished_at = now()
            attempt.exit_code, attempt.reason, attempt.message = 128, "StartError", str(error)
            home.event("Warning", "Failed", f"Error: {error}", container)
        else:
            attempt.started_at = now()
            home.event("Normal", "Started", f"Started container {container.name}", container)
        container.current, container.waiting = attempt, None
        if old and old.id:
            # As a kubelet does, keep one ended run beside the current one: `logs --previous` reads it.
            await home.finish(home.engine.remove_container(old.id))

    async def _create(self, number: int) -> tuple[Json, str]:
        """(the image, ID of the new container): waits until both can be had."""
        container, home = self._container, self._home
        while True:
            image = await self._image()
            try:
                created = await home.create(container, image, number)
                home.event("Normal", "Created", f"Created container: {container.name}", container)
                return image, created
            except ConfigurationError as error:
                self._wait("CreateContainerConfigError", str(error))
                await home.changed(60)  # a ConfigMap or Secret may come
            except EngineError as error:
                self._wait("CreateContainerError", str(error))
                await asyncio.sleep(BACK_OFF[0])  # each time, as a kubelet's pod workers

    async def _image(self) -> Json:
        container, home = self._container, self._home
        reference = container.spec["image"]
        delays = BackOff()
        while True:
            began = time.monotonic()
            try:
                image, pulled = await images.find(home.engine, container.spec)
            except images.ImageMissing as error:
                home.event("Warning", "Failed", error.message, container)
                self._wait(error.reason, error.message)
                if error.reason != "ErrImagePull":
                    await home.changed(SHOWN if error.reason == "ErrImageNeverPull" else 60)
                    reference = container.spec["image"]
                    continue
                home.event("Warning", "Failed", "Error: ErrImagePull", container)
                delay = delays.next()
                await home.changed(SHOWN)
                if reference == container.spec["image"]:
                    said = f'Back-off pulling image "{reference}"'
                    home.event("Normal", "BackOff", said, container)
                    self._wait("ImagePullBackOff", f"{said}: ErrImagePull: {error.message}")
                    await self._unless_image_changes(reference, delay - SHOWN)
                reference = container.spec["image"]
                continue
            if pulled:
                said = f'Successfully pulled image "{reference}" in {time.monotonic() - began:.3f}s'
            else:
                said = f'Container image "{reference}" already present on machine'
            home.event("Normal", "Pulled", said, container)
            return image

    async def _unless_image_changes(self, reference: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while reference == self._container.spec["image"] and (left := end - time.monotonic()) > 0:
            await self._home.changed(left)

    def _wait(self, reason: str, message: str) -> None:
        if reason.startswith("Create"):
            self._home.event("Warning", "Failed", f"Error: {message}", self._container)
        self._container.waiting = (reason, message)
        self._home.publish()

    # --- run

    async def _attend(self, attempt: Attempt) -> None:
        """Probe a running container until it ends, and write down how."""
        container = self._container
        checks = asyncio.create_task(self._probe(attempt))
        try:
            state = await self._home.exits.wait(attempt.id)
        finally:
            checks.cancel()
            await asyncio.gather(checks, return_exceptions=True)
        attempt.ended(state)
        await self._home.tell(container)
        container.ready = container.started = False
        self.started.clear()
        self._home.publish()

    async def _probe(self, attempt: Attempt) -> None:
        # a run that is taken over has come up before, and is as ready as it was until a probe says otherwise
        if self._container.started or await self._comes_up(attempt):
            self.started.set()
            self._home.publish()
            await asyncio.gather(self._stay_alive(attempt), self._stay_ready(attempt))

    async def _comes_up(self, attempt: Attempt) -> bool:
        """Hook and start-up probe; false for a run that they have ended, and for an init container."""
        container, spec = self._container, self._container.spec
        hook = (spec.get("lifecycle") or {}).get("postStart")
        if hook:
            try:
                await self._act(attempt, hook, None)
            except probes.Failed as error:
                self._home.event("Warning", "FailedPostStartHook", f"PostStartHook failed: {error}", container)
                await self._kill(attempt)
                return False
        if container.kind is Kind.INIT:
            self._home.publish()
            return False
        if spec.get("startupProbe"):
            self._home.publish()
            async for passed, decided, why in self._results("startup", attempt):
                if decided and not passed:
                    await self._restart_unhealthy(attempt, "startup", why)
                    return False
                if decided:
                    break
        container.started = True
        container.ready = not spec.get("readinessProbe") and container.kind is not Kind.EPHEMERAL
        return True

    async def _stay_alive(self, attempt: Attempt) -> None:
        if self._container.spec.get("livenessProbe"):
            async for passed, decided, why in self._results("liveness", attempt):
                if decided and not passed:
                    await self._restart_unhealthy(attempt, "liveness", why)
                    return

    async def _stay_ready(self, attempt: Attempt) -> None:
        if self._container.spec.get("readinessProbe"):
            async for passed, decided, _ in self._results("readiness", attempt):
                if decided and passed != self._container.ready:
                    self._container.ready = passed
                    self._home.publish()

    async def _results(self, kind: str, attempt: Attempt) -> Any:
        probe = self._container.spec[f"{kind}Probe"]

        async def check(limit: float) -> None:
            await self._act(attempt, probe, limit)

        async for passed, decided, why in probes.results(probe, check, hurry=kind == "readiness"):
            if not passed:
                said = f"{kind.capitalize()} probe failed: {why}"
                self._home.event("Warning", "Unhealthy", said, self._container)
            yield passed, decided, why

    async def _act(self, attempt: Attempt, action: Json, limit: float | None) -> None:
        spec = self._container.spec
        await probes.act(self._home.engine, attempt.id, spec, self._home.reach, action, limit)

    async def _restart_unhealthy(self, attempt: Attempt, kind: str, why: str) -> None:
        said = f"Container {self._container.name} failed {kind} probe, will be restarted"
        self._home.event("Normal", "Killing", said, self._container)
        await self._kill(attempt)

    async def _kill(self, attempt: Attempt) -> None:
        grace = self._home.pod["spec"].get("terminationGracePeriodSeconds")
        await self._home.finish(self._home.engine.stop(attempt.id, 30 if grace is None else grace))

    # --- restart

    def _wants_restart(self, attempt: Attempt) -> bool:
        if self._container.kind is Kind.EPHEMERAL:
            return False
        policy = self._home.pod["spec"].get("restartPolicy") or "Always"
        if self._replace or self._container.kind is Kind.SIDECAR:
            return True
        if self._container.kind is Kind.INIT:
            return attempt.exit_code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and attempt.exit_code != 0)

    async def _wait_for_restart(self, attempt: Attempt) -> None:
        """The first restart is immediate, the next ones wait 10 s, 20 s, … 300 s from the end of the last run."""
        container = self._container
        ended = seconds_of(attempt.finished_at)
        if ended - seconds_of(attempt.started_at) >= FORGIVEN:
            self._crashed, self._back_off = False, BackOff()
        if not self._crashed and attempt.number == 0:
            self._crashed = True
            return
        delay = self._back_off.next()
        metadata = self._home.pod["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        said = f"restarting failed container={container.name} pod={pod}"
        self._home.event("Warning", "BackOff", f"Back-off {said}", container)
        container.waiting = ("CrashLoopBackOff", f"back-off {_duration(delay)} {said}")
        self._home.publish()
        await self._unless_image_changes(container.spec["image"], max(0.0, ended + delay - time.time()))


def _duration(seconds: float) -> str:
    """Go's way to print a duration: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
