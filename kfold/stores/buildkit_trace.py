"""What BuildKit reports of a build (`moby.buildkit.trace`), as the lines that `docker build --progress=plain` prints.

The reports are protobuf messages (moby/buildkit, api/services/control: StatusResponse). Of the two dozen fields a dozen are
read, so they are taken apart here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

# StatusResponse
_VERTEXES, _LOGS, _WARNINGS = 1, 3, 4
# Vertex
_DIGEST, _NAME, _CACHED, _STARTED, _COMPLETED, _ERROR = 1, 3, 4, 5, 6, 7
# VertexLog
_VERTEX, _TIME, _TEXT = 1, 2, 4
# VertexWarning
_SHORT = 3


@dataclass
class _Step:
    """One step, once it has begun: its number in the output, and the end of its log that is no line yet."""

    number: int
    started: float
    rest: str = ""
    ended: bool = False


class Trace:
    """Hears the reports of one build and tells its lines."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._steps: dict[bytes, _Step] = {}
        self._warnings: list[str] = []

    def report(self, message: bytes) -> None:
        """One StatusResponse. Raises ValueError for what is none."""
        logs = []
        for number, value in _fields(message):
            if number == _VERTEXES and isinstance(value, bytes):
                self._vertex(dict(_fields(value)))
            elif number == _LOGS and isinstance(value, bytes):
                logs.append(dict(_fields(value)))
            elif number == _WARNINGS and isinstance(value, bytes):
                self._warning(dict(_fields(value)))
        for log in logs:
            self._log(log)

    def end(self) -> None:
        """The build is over: all its warnings (of build checks, mostly) once more, as buildx tells them."""
        count = len(self._warnings)
        if count:
            self._on_line(f"{count} {'warning' if count == 1 else 'warnings'} found (use docker --debug to expand):")
        for warning in self._warnings:
            self._on_line(f" - {warning}")

    def _warning(self, warning: dict[int, int | bytes]) -> None:
        self._warnings.append(_text(warning.get(_SHORT)))
        if step := self._steps.get(_bytes(warning.get(_VERTEX))):
            self._on_line(f"#{step.number} WARN: {self._warnings[-1]}")

    def _vertex(self, vertex: dict[int, int | bytes]) -> None:
        digest = _bytes(vertex.get(_DIGEST))
        step = self._steps.get(digest)
        if step is None:
            if _STARTED not in vertex and not vertex.get(_CACHED):
                return  # it waits
            step = self._steps[digest] = _Step(len(self._steps) + 1, _seconds(vertex.get(_STARTED)))
            self._on_line(f"#{step.number} {_text(vertex.get(_NAME))}")
        if step.ended or not (_COMPLETED in vertex or vertex.get(_CACHED)):
            return
        step.ended = True
        self._flush(step)
        if error := _text(vertex.get(_ERROR)):
            end = f"ERROR: {error}"
        elif vertex.get(_CACHED):
            end = "CACHED"
        else:
            end = f"DONE {max(0.0, _seconds(vertex.get(_COMPLETED)) - step.started):.1f}s"
        self._on_line(f"#{step.number} {end}")

    def _log(self, log: dict[int, int | bytes]) -> None:
        step = self._steps.get(_bytes(log.get(_VERTEX)))
        if step is None:
            return
        *lines, step.rest = (step.rest + _text(log.get(_TEXT))).split("\n")
        after = max(0.0, _seconds(log.get(_TIME)) - step.started)
        for line in lines:
            self._on_line(f"#{step.number} {after:.3f} {line.rstrip(chr(13))}" if line.strip() else "")

    def _flush(self, step: _Step) -> None:
        if step.rest:
            self._on_line(f"#{step.number} {step.rest}")
            step.rest = ""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values: whole numbers, or the bytes of strings and messages."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            if place >= len(message):
                raise ValueError("a protobuf message is cut off")
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while place < len(message):
        key = varint()
        match key & 7:
            case 0:
                yield key >> 3, varint()
                continue
            case 2:
                size = varint()
            case 1:
                size = 8
            case 5:
                size = 4
            case kind:
                raise ValueError(f"no protobuf message: wire type {kind}")
        if place + size > len(message):
            raise ValueError("a protobuf message is cut off")
        yield key >> 3, message[place : place + size]
        place += size


def _bytes(value: int | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: int | bytes | None) -> str:
    return _bytes(value).decode(errors="replace")


def _seconds(value: int | bytes | None) -> float:
    """A google.protobuf.Timestamp, in seconds."""
    time = dict(_fields(_bytes(value)))
    seconds, nanoseconds = time.get(1, 0), time.get(2, 0)
    return (seconds if isinstance(seconds, int) else 0) + (nanoseconds if isinstance(nanoseconds, int) else 0) / 1e9
