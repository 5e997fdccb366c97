"""What the legacy builder (an engine without buildx) needs: a context as a tar, and an eye on what it leaves behind."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

from kfold.stores.engine_interface import BuildRequest

DOCKERFILE = ".kfold-dockerfile"
"""What a Dockerfile is called in the context if it is none of the files that the image may have."""

_IGNORE = ".dockerignore"


def dockerfile_name(request: BuildRequest) -> str:
    """The Dockerfile's path in the context that the builder is sent."""
    try:
        own = request.dockerfile.relative_to(request.context).as_posix()
    except ValueError:
        return DOCKERFILE
    return own if own in request.files and not request.dockerfile.is_symlink() else DOCKERFILE


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

    dockerfile = dockerfile_name(request)
    with tarfile.open(path, "w") as archive:
        for name in request.files:
            if dockerfile != DOCKERFILE or name != _IGNORE:
                archive.add(request.context / name, name, recursive=False, filter=plain)
        if dockerfile == DOCKERFILE:
            add(archive, DOCKERFILE, request.dockerfile.read_bytes())
            # The daemon drops a Dockerfile that this file names before it copies anything, and uses the file for nothing
            # else. The docker client adds a line to it as well when a Dockerfile lies outside of the context.
            own = (request.context / _IGNORE).read_bytes() if _IGNORE in request.files else f"{_IGNORE}\n".encode()
            add(archive, _IGNORE, own.rstrip(b"\n") + f"\n{DOCKERFILE}\n".encode())
    return path


class Layers:
    """Hears a build's lines and tells which intermediate images this build made, and not the cache or a FROM.

    Each is an image of its own in the engine, without a label. A build that succeeds has them as its image's parents,
    which go with it; a build that fails leaves them behind.
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
        elif self._ours and (image := re.fullmatch(r" ---> ([0-9a-f]{12,64})", text)):
            self._on_layer(image[1])
