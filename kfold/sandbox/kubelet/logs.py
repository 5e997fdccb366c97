"""A container's log, as `pods/log` serves it: the engine's stream without its frames."""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from kfold.sandbox.api import errors
from kfold.sandbox.kubelet.engine import Engine, EngineError
from kfold.sandbox.kubelet.runtime import seconds_of, statuses_of

Json = dict[str, Any]


@dataclass(frozen=True)
class LogOptions:
    """The query of `pods/log` (k8s.io/api/core/v1, PodLogOptions). Seconds and bytes."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_seconds: int | None = None
    since_time: str = ""

    def engine_query(self) -> Json:
        """The same for the engine's `containers/ID/logs`."""
        since = None
        if self.since_seconds is not None:
            since = f"{time.time() - self.since_seconds:.9f}"
        elif self.since_time:
            since = str(seconds_of(self.since_time))
        return {
            "stdout": True,
            "stderr": True,
            "follow": self.follow,
            "timestamps": self.timestamps,
            "tail": "all" if self.tail_lines is None else str(self.tail_lines),
            "since": since,
        }


def container_of(pod: Json, options: LogOptions) -> str:
    """The name of the container that is meant. Raises ApiError 400, in the real server's words."""
    spec = pod["spec"]
    apps = [entry["name"] for entry in spec.get("containers") or []]
    inits = [entry["name"] for entry in spec.get("initContainers") or []]
    debugging = [entry["name"] for entry in spec.get("ephemeralContainers") or []]
    name = pod["metadata"]["name"]
    if options.container:
        if options.container not in apps + inits + debugging:
            raise errors.bad_request(f"container {options.container} is not valid for pod {name}")
        return options.container
    if len(apps) > 1 or inits or debugging:
        listed = f"choose one of: [{' '.join(apps)}]"
        if inits:
            listed += f" or one of the init containers: [{' '.join(inits)}]"
        if debugging:
            listed += f" or one of the ephemeral containers: [{' '.join(debugging)}]"
        raise errors.bad_request(f"a container name must be specified for pod {name}, {listed}")
    return str(apps[0])


def run_of(pod: Json, container: str, *, previous: bool) -> str:
    """The engine's ID of the run whose log is asked for, by the Pod's status. Raises ApiError 400 if there is none."""
    found: Json = next((entry for entry in statuses_of(pod) if entry["name"] == container), {})
    state, last = found.get("state") or {}, (found.get("lastState") or {}).get("terminated") or {}
    name = pod["metadata"]["name"]
    if previous:
        if not last.get("containerID"):
            raise errors.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return str(last["containerID"]).removeprefix("docker://")
    if "waiting" in state or not state:
        # While a restart is backed off the log of the run that ended is the current one.
        if last.get("containerID"):
            return str(last["containerID"]).removeprefix("docker://")
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        said = "trying and failing to pull image" if reason in ("ErrImagePull", "ImagePullBackOff") else reason
        raise errors.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {said}')
    return str(found.get("containerID", "")).removeprefix("docker://")


async def read(engine: Engine, run: str, options: LogOptions) -> AsyncIterator[bytes]:
    """The log in pieces, as they come; with `follow` until the run ends. Raises ApiError when the run is gone."""
    try:
        info = await engine.inspect(run)
        response = await engine.open_stream("GET", f"/containers/{run}/logs", **options.engine_query())
    except EngineError as error:
        raise errors.internal(f"the log of container {run} is gone: {error}") from error
    left = options.limit_bytes
    async with response:
        pieces = response.content.iter_any() if info["Config"]["Tty"] else frames(response.content)
        try:
            async for piece in pieces:
                if left is not None:
                    piece, left = piece[:left], left - len(piece[:left])
                if piece:
                    yield piece
                if left == 0:
                    return
        except aiohttp.ClientError:
            return  # the engine broke off: what was sent is what there was


async def frames(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The payload of the engine's multiplexed stream: 8 bytes of header (stream, length) before each piece."""
    while True:
        header = b""
        while len(header) < 8:
            more = await stream.read(8 - len(header))
            if not more:
                return
            header += more
        (size,) = struct.unpack(">4xI", header)
        while size:
            piece = await stream.read(min(size, 65536))
            if not piece:
                return
            size -= len(piece)
            yield piece
