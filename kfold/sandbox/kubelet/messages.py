"""Termination messages: what a container leaves in its terminationMessagePath, or the end of its log.

The path is mostly below /dev, which goes with its container, so a file of an engine volume is mounted there. One volume
serves all Pods: each sandbox container mounts it, which is the way to put empty files into it, many at a time.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import tarfile
from typing import Any

from kfold.sandbox.kubelet.engine import Engine, EngineError
from kfold.sandbox.kubelet.logs import LogOptions, read
from kfold.sandbox.kubelet.runtime import Attempt

Json = dict[str, Any]

FOLDER = "messages"
"""Where sandbox containers mount the volume."""

BATCH = 256
"""Files that are made at once: one a run of a container."""

LONGEST = 4096
"""Bytes of a message that are kept; of a log half of it, and 80 lines (kubelet: MaxContainerTerminationMessageLength)."""


class Messages:
    """The volume. `mountpoint` is its folder on the engine's host; empty where nothing can be mounted from there."""

    def __init__(self, engine: Engine, volume: str, mountpoint: str) -> None:
        self._engine, self._volume, self._mountpoint = engine, volume, mountpoint
        self._free: list[str] = []
        self._lock = asyncio.Lock()

    def sandbox_mounts(self) -> list[Json]:
        return [{"Type": "volume", "Source": self._volume, "Target": f"/{FOLDER}"}] if self._mountpoint else []

    async def binds(self, sandbox: str, spec: Json) -> list[str]:
        """The mount of a new, empty file for one run. Raises EngineError."""
        if not self._mountpoint:
            return []
        async with self._lock:
            if not self._free:
                names = [f"{secrets.token_hex(4)}-{number}" for number in range(BATCH)]
                await self._engine.put_archive(sandbox, _empty_files(names))
                self._free = names
            name = self._free.pop()
        return [f"{self._mountpoint}/{name}:{_path(spec)}"]

    async def tell(self, attempt: Attempt, spec: Json) -> None:
        """Write into an ended run what it left."""
        if not (attempt.id and self._mountpoint) or attempt.message:
            return
        try:
            text = await self._engine.get_file(attempt.id, _path(spec))
            if not text and attempt.exit_code and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                text = b"".join([piece async for piece in read(self._engine, attempt.id, LogOptions(tail_lines=80))])
                text = text[-LONGEST // 2 :]
        except EngineError as error:
            text = f"Error on reading termination message: {error}".encode()
        attempt.message = text[:LONGEST].decode(errors="replace")


def _path(spec: Json) -> str:
    return str(spec.get("terminationMessagePath") or "/dev/termination-log")


def _empty_files(names: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.mode = 0o666
            tar.addfile(member)
    return out.getvalue()
