"""What a Pod's status means: is it ready, can it still become ready, and if not, why. Pure.

What is final follows Skaffold's status check: an image that cannot be pulled, a container that cannot be run, a crash
loop, and a Pod that failed. One exit alone is not final: the first restart comes at once, and a program that waits for
another one may well start the second time. What somebody else can still repair (no node has room, a ConfigMap is
missing, a probe fails) is pending with its reason, until the deadline.
Source of the words: kubelet's container states, https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

State = Literal["ready", "pending", "failed"]
Object = Mapping[str, Any]

_PULL = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
)
_CANNOT_RUN = ("RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun", "PostStartHookError")
_WAITS_FOR_CONFIG = ("CreateContainerConfigError",)
_NORMAL = ("ContainerCreating", "PodInitializing", "")


class LogSource(NamedTuple):
    """Whose last lines explain the failure. `previous`: of the run before the last restart."""

    pod: str
    container: str
    previous: bool


@dataclass(frozen=True)
class PodHealth:
    """One Pod. `reason` is "" for a ready one. `rank` orders reasons: the highest says most about why."""

    pod: str
    state: State
    reason: str = ""
    rank: int = 0
    container: str = ""
    image: str = ""
    exit_code: int | None = None
    logs_wanted: LogSource | None = None


def pod_health(pod: Object, events: Iterable[Object] = ()) -> PodHealth:
    """Judges one Pod; `events` may be those of a whole namespace."""
    name, status = _name(pod), pod.get("status") or {}
    phase = status.get("phase")
    if pod["metadata"].get("deletionTimestamp"):
        return PodHealth(name, "pending", "is being deleted", rank=1)
    if phase == "Succeeded":
        return PodHealth(name, "ready")
    problem = _worst(_container_problems(pod))
    if phase == "Failed":
        said = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
        if problem is not None and not said:
            return _as(problem, "failed")
        return PodHealth(name, "failed", f"failed: {said}" if said else "failed", rank=9)
    if condition(pod, "Ready") == "True":
        return PodHealth(name, "ready")
    if problem is not None:
        return problem
    return PodHealth(name, "pending", *_why_waiting(pod, events))


def condition(obj: Object, kind: str) -> str:
    """The status of a condition ("True", "False", "Unknown"), "" where there is none."""
    return str((find_condition(obj, kind) or {}).get("status") or "")


def find_condition(obj: Object, kind: str) -> Object | None:
    """The condition of this type."""
    conditions: Sequence[Object] = (obj.get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def _container_problems(pod: Object) -> Iterable[PodHealth]:
    status = pod.get("status") or {}
    for section, title in (("initContainerStatuses", "init container"), ("containerStatuses", "container")):
        for container in status.get(section) or ():
            found = _container_problem(pod, container, f"{title} {container.get('name')}")
            if found is not None:
                yield found


def _container_problem(pod: Object, container: Object, title: str) -> PodHealth | None:
    name = str(container.get("name"))
    image = _image(pod, container)
    state, last = container.get("state") or {}, container.get("lastState") or {}
    waiting, terminated = state.get("waiting"), state.get("terminated")

    def problem(
        state: State, reason: str, rank: int, *, exit_code: int | None = None, previous: bool | None = None
    ) -> PodHealth:
        wanted = None if previous is None else LogSource(_name(pod), name, previous)
        return PodHealth(_name(pod), state, reason, rank, name, image, exit_code, wanted)

    if waiting is not None:
        word, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "").strip()
        said = f": {message}" if message else ""
        if word in _PULL:
            return problem("failed", f"{title} is waiting to start: {image} can't be pulled{said}", 8)
        if word == "CrashLoopBackOff":
            ended = last.get("terminated") or {}
            return problem(
                "failed",
                f"{title} is backing off waiting to restart: {_exit(ended)}",
                7,
                exit_code=ended.get("exitCode"),
                previous=True,
            )
        if word in _CANNOT_RUN:
            return problem("failed", f"{title} cannot be run{said or f': {word}'}", 7)
        if word in _WAITS_FOR_CONFIG:
            return problem("pending", f"{title} is waiting for its configuration{said}", 6)
        if word not in _NORMAL:
            return problem("pending", f"{title} is waiting: {word}{said}", 5)
        return None
    if terminated is not None and terminated.get("exitCode", 0) != 0:
        word = str(terminated.get("reason") or "")
        if word in _CANNOT_RUN:
            said = str(terminated.get("message") or word).strip()
            return problem("failed", f"{title} cannot be run: {said}", 7, exit_code=terminated.get("exitCode"))
        final = (pod.get("spec") or {}).get("restartPolicy") == "Never"
        return problem(
            "failed" if final else "pending",
            f"{title} {_exit(terminated)}",
            6,
            exit_code=terminated.get("exitCode"),
            previous=False,
        )
    ended = last.get("terminated")
    if ended is not None and not container.get("ready") and ended.get("exitCode", 0) != 0:
        return problem(
            "pending", f"{title} was restarted: it {_exit(ended)}", 3, exit_code=ended.get("exitCode"), previous=True
        )
    return None


def _why_waiting(pod: Object, events: Iterable[Object]) -> tuple[str, int]:
    """Why a Pod without a broken container is not ready yet, and the rank of that reason."""
    scheduled = find_condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        message = str(scheduled.get("message") or scheduled.get("reason") or "no node takes it")
        return f"cannot be scheduled: {message}", 6
    warning = _last_warning(pod, events)
    if warning is not None:
        return f"{warning.get('reason')}: {str(warning.get('message') or '').strip()}", 4
    status = pod.get("status") or {}
    for container in status.get("initContainerStatuses") or ():
        if "running" in (container.get("state") or {}) and not container.get("started", False):
            return f"init container {container.get('name')} has not ended yet", 2
    running = [
        str(container.get("name"))
        for container in status.get("containerStatuses") or ()
        if "running" in (container.get("state") or {}) and not container.get("ready")
    ]
    if running:
        return f"container {running[0]} runs and is not ready yet", 2
    return "is starting", 1


def _last_warning(pod: Object, events: Iterable[Object]) -> Object | None:
    """The newest event about this Pod, if it is a warning: a good event after it means that it was overcome."""
    uid = pod["metadata"].get("uid")
    ours = [event for event in events if uid and (event.get("involvedObject") or {}).get("uid") == uid]
    newest = max(ours, key=_event_time, default=None)
    return newest if newest is not None and newest.get("type") == "Warning" else None


def _event_time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _exit(terminated: Object) -> str:
    text = f"terminated with exit code {terminated.get('exitCode', '?')}"
    reason = terminated.get("reason")
    if reason and reason != "Error":
        text += f" ({reason})"  # OOMKilled says more than 137
    message = str(terminated.get("message") or "").strip()
    return f"{text}: {message}" if message else text


def _image(pod: Object, status: Object) -> str:
    """The image as the manifest says it: the status may show what the runtime made of it."""
    spec = pod.get("spec") or {}
    for section in ("containers", "initContainers"):
        for container in spec.get(section) or ():
            if container.get("name") == status.get("name") and container.get("image"):
                return str(container["image"])
    return str(status.get("image") or "")


def _worst(problems: Iterable[PodHealth]) -> PodHealth | None:
    return max(problems, key=lambda health: (health.state == "failed", health.rank), default=None)


def _as(health: PodHealth, state: State) -> PodHealth:
    return PodHealth(
        health.pod,
        state,
        health.reason,
        health.rank,
        health.container,
        health.image,
        health.exit_code,
        health.logs_wanted,
    )


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
