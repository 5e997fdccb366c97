"""What the legacy builder (an engine without buildx) needs: a context as a tar, and an eye on what it leaves behind."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

from kfold.plan.dockerfile import parse
from kfold.stores.engine_interface import LABEL_ARTIFACT, LABEL_CONFIG, LABEL_KEY, STEP, UNFINISHED, BuildRequest

LABEL_PLATFORM = "dev.kfold.platform"

OURS = (LABEL_CONFIG, LABEL_ARTIFACT, LABEL_KEY)

DOCKERFILE = ".kfold-dockerfile"
"""What the Dockerfile is called in the context: the one that the image may have keeps its name and its text."""

_IGNORE = ".dockerignore"


def marked(request: BuildRequest) -> str:
    """The Dockerfile with the build's labels set at the beginning of each stage. Raises OSError.

    Each step is an image of its own in the engine, and only what it carries itself tells whose it is once the process that
    watched the build is dead. The values are the same for every build of an artifact, so the builder's cache holds. It takes
    an image of another platform for this one's (20.10), so the platform is among them.
    """
    text = request.dockerfile.read_bytes().decode(errors="surrogateescape")
    constant = {name: value for name, value in {**request.labels, LABEL_KEY: UNFINISHED}.items() if name in OURS}
    if LABEL_ARTIFACT not in constant:
        return text
    if request.platform:
        constant[LABEL_PLATFORM] = request.platform
    label = " ".join(["LABEL", *(f"{name}={json.dumps(value)}" for name, value in sorted(constant.items()))])
    dockerfile = parse(text, file=str(request.dockerfile))
    lines = text.removesuffix("\n").split("\n")
    starts = [stage.line for stage in dockerfile.stages[1:]] + [len(lines) + 1]
    # before what follows the FROM: a FROM may go on over several lines
    places = [
        stage.instructions[0].line if stage.instructions else next_start
        for stage, next_start in zip(dockerfile.stages, starts, strict=True)
    ]
    for place in reversed(places):
        lines.insert(place - 1, label)
    return "\n".join([*lines, ""])


def context(request: BuildRequest, path: Path) -> Path:
    """The context as a tar file: just what the Dockerfile reads (as Skaffold sends it). Raises OSError.

    Owners and times do not count for the builder's cache, so they are left out.
    """

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.mode, entry.size = 0o644, len(content)
        archive.addfile(entry, io.BytesIO(content))

    with tarfile.open(path, "w") as archive:
        for name in request.files:
            if name != _IGNORE:
                archive.add(request.context / name, name, recursive=False, filter=plain)
        add(archive, DOCKERFILE, marked(request).encode(errors="surrogateescape"))
        # The daemon drops a Dockerfile that this file names before it copies anything, and uses the file for nothing
        # else. The docker client adds a line to it as well when a Dockerfile lies outside of the context.
        own = (request.context / _IGNORE).read_bytes() if _IGNORE in request.files else f"{_IGNORE}\n".encode()
        add(archive, _IGNORE, own.rstrip(b"\n") + f"\n{DOCKERFILE}\n".encode())
    return path


class Layers:
    """Hears a build's lines and tells which intermediate images this build made, and not the cache or a FROM.

    Each is an image of its own in the engine. A build that succeeds has them as its image's parents, which go with it; a
    build that fails leaves them behind. So does an engine that is killed with the container that a step runs in.
    """

    def __init__(self, on_layer: Callable[[str], None]) -> None:
        self._on_layer = on_layer
        self._ours = False

    def line(self, text: str) -> None:
        """One line of the builder's output."""
        if step := re.match(r"Step \d+/\d+ : *(\S+)", text):
            self._ours = step[1].upper() != "FROM"
        elif text.startswith(" ---> Using cache"):
            self._ours = False
        elif container := re.fullmatch(r" ---> Running in ([0-9a-f]{12,64})", text):
            self._on_layer(f"{STEP}{container[1]}")
        elif self._ours and (image := re.fullmatch(r" ---> ([0-9a-f]{12,64})", text)):
            self._on_layer(image[1])
