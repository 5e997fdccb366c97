"""Finding a Pod's containers on the engine again, by their labels: after this process was killed, or the engine was."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.kubelet.engine import Engine
from kfold.sandbox.kubelet.runtime import Attempt, Runtime, now, statuses_of, timestamp_of

Json = dict[str, Any]

NAME, NAMESPACE, UID = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.pod.uid"
CONTAINER = "io.kubernetes.container.name"
RESTARTS = "io.kubernetes.container.restartCount"
SANDBOX = "POD"
"""The container name that the labels of a sandbox say, as dockershim's did."""


def container_labels(pod: Json, label: str, container: str, number: int) -> dict[str, str]:
    """`label` ("key=value") says whose container it is, the others are those of a kubelet."""
    key, _, value = label.partition("=")
    metadata = pod["metadata"]
    return {
        key: value,
        NAME: metadata["name"],
        NAMESPACE: metadata["namespace"],
        UID: metadata["uid"],
        CONTAINER: container,
        RESTARTS: str(number),
    }


def volume_labels(pod: Json, label: str) -> dict[str, str]:
    """The labels of a Pod's engine volumes."""
    key, _, value = label.partition("=")
    metadata = pod["metadata"]
    return {key: value, NAME: metadata["name"], NAMESPACE: metadata["namespace"], UID: metadata["uid"]}


async def adopt(engine: Engine, pod: Json, runtime: Runtime) -> None:
    """Fill `runtime` from the engine. What cannot be used (never started, a dead sandbox) is removed."""
    found = await engine.containers(f"{UID}={pod['metadata']['uid']}")
    runtime.sandbox = ""
    runs: dict[str, list[Attempt]] = {}
    for entry in found:
        name = entry["Labels"].get(CONTAINER, "")
        if name == SANDBOX:
            if entry["State"] == "running" and not runtime.sandbox:
                runtime.sandbox = entry["Id"]
            else:
                await engine.remove_container(entry["Id"])
            continue
        attempt = await _attempt(engine, entry)
        if attempt:
            runs.setdefault(name, []).append(attempt)
    known = {entry["name"]: entry for entry in statuses_of(pod)}
    runtime.ip = (pod.get("status") or {}).get("podIP", "")
    for container in runtime.containers:
        attempts = sorted(runs.get(container.name, []), key=lambda attempt: attempt.number)
        if not attempts and known.get(container.name, {}).get("containerID"):
            attempts = [_lost(known[container.name])]
        container.current = attempts[-1] if attempts else None
        container.previous = attempts[-2] if len(attempts) > 1 else None
        container.waiting = None
        for attempt in attempts:
            attempt.image_id = known.get(container.name, {}).get("imageID") or attempt.image_id
        if container.running:
            # what was ready before is taken to be so until a probe says otherwise
            container.ready = bool(known.get(container.name, {}).get("ready"))
            container.started = bool(known.get(container.name, {}).get("started"))


def _lost(status: Json) -> Attempt:
    """A run that the status tells of, but whose container somebody removed."""
    lost = Attempt("", status.get("restartCount", 0), status.get("image", ""), status.get("imageID", ""))
    lost.exit_code, lost.reason, lost.finished_at = 137, "ContainerStatusUnknown", now()
    lost.message = "The container could not be located on the engine"
    return lost


async def _attempt(engine: Engine, entry: Json) -> Attempt | None:
    """One run, from the engine's own account. None (and the container removed) if it never came to be started."""
    info = await engine.inspect(entry["Id"])
    state = info["State"]
    if state["Status"] == "created" and not state.get("Error"):
        await engine.remove_container(entry["Id"])
        return None
    number = int(entry["Labels"].get(RESTARTS, "0"))
    attempt = Attempt(entry["Id"], number, info["Config"]["Image"], f"docker://{info['Image']}")
    attempt.started_at = timestamp_of(state.get("StartedAt", ""))
    if not state.get("Running"):
        attempt.ended(state)
    return attempt
