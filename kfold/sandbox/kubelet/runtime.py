"""What the kubelet knows about the containers of one Pod right now: plain data, read by `status`, written by `pods`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

Json = dict[str, Any]


class Kind(Enum):
    """How a container takes part in its Pod's life."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with restartPolicy Always (KEP-753)."""
    APP = "app"
    EPHEMERAL = "ephemeral"
    """Put into a Pod that runs, to look at it (`kubectl debug`); nothing waits for it, and it is not restarted."""


@dataclass
class Attempt:
    """One run of a container, from its start on."""

    id: str
    number: int
    """0 for the first run: the container's restart count while this run is the current one."""
    image: str
    image_id: str
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    """None while it runs."""
    reason: str = ""
    message: str = ""

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def ended(self, state: Json) -> None:
        """Take over how the run ended from the engine's `State`."""
        self.started_at = timestamp_of(state.get("StartedAt", "")) or self.started_at
        self.finished_at = timestamp_of(state.get("FinishedAt", "")) or now()
        self.exit_code = int(state.get("ExitCode", 0))
        if state.get("Status") == "created":
            # it could not be started: the engine leaves the container as it was made, with the error
            self.exit_code, self.reason = 128, "StartError"
            self.message = self.message or state.get("Error", "")
        elif state.get("OOMKilled"):
            self.reason = "OOMKilled"
        else:
            self.reason = "Completed" if self.exit_code == 0 else "Error"


@dataclass
class Container:
    """One container of the Pod: its specification, its runs, and what it waits for."""

    spec: Json
    kind: Kind
    current: Attempt | None = None
    previous: Attempt | None = None
    waiting: tuple[str, str] | None = None
    """(reason, message) while no run is under way."""
    ready: bool = False
    started: bool = False

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.running

    @property
    def succeeded(self) -> bool:
        return self.current is not None and self.current.exit_code == 0 and not self.waiting

    @property
    def done(self) -> bool:
        """Ended, and not waiting for another run."""
        return self.current is not None and not self.current.running and not self.waiting


@dataclass
class Runtime:
    """All containers of one Pod and its sandbox."""

    init: list[Container]
    apps: list[Container]
    ephemeral: list[Container] = field(default_factory=list)
    sandbox: str = ""
    """ID of the sandbox container; empty until it runs."""
    ip: str = ""
    host_ip: str = ""
    reason: str = ""
    """Why the Pod as a whole failed (DeadlineExceeded); empty otherwise."""
    message: str = ""
    stopped: bool = False
    """All has been ended for good: the Pod is being deleted, or its deadline is over."""
    published: dict[int, int] = field(default_factory=dict)
    """TCP port of the Pod -> port of this machine, where the engine publishes them."""
    volumes: dict[str, str] = field(default_factory=dict)
    """Volume name -> digest of the contents that were last written."""

    @property
    def containers(self) -> list[Container]:
        return [*self.init, *self.apps, *self.ephemeral]

    @property
    def initialized(self) -> bool:
        return all(_init_done(container) for container in self.init)


def _init_done(container: Container) -> bool:
    if container.kind is Kind.SIDECAR:
        return container.started
    return container.succeeded


def of_pod(pod: Json) -> Runtime:
    """The state of a Pod of which nothing runs yet."""
    spec = pod["spec"]
    init = [
        Container(entry, Kind.SIDECAR if entry.get("restartPolicy") == "Always" else Kind.INIT)
        for entry in spec.get("initContainers") or []
    ]
    ephemeral = [Container(entry, Kind.EPHEMERAL) for entry in spec.get("ephemeralContainers") or []]
    return Runtime(init, [Container(entry, Kind.APP) for entry in spec.get("containers") or []], ephemeral)


def statuses_of(pod: Json) -> list[Json]:
    """The statuses of all containers in a Pod's status."""
    status = pod.get("status") or {}
    kinds = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [entry for kind in kinds for entry in status.get(kind) or []]


def now() -> str:
    """The moment, as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp_of(moment: str) -> str:
    """The engine's time ("2024-05-01T10:00:00.123456789Z") in whole seconds; its zero time is the empty string."""
    if not moment or moment.startswith("0001-"):
        return ""
    return moment[:19] + "Z"


def seconds_of(moment: str) -> float:
    """Seconds since the epoch of a time in either form; 0 for an empty one."""
    return datetime.fromisoformat(moment[:19] + "+00:00").timestamp() if moment else 0.0
