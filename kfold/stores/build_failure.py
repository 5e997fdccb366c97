"""What a builder's output says about why it failed, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kfold.stores.engine_interface import BuildRequest, EngineError

NO_ENGINE = "Start it (Docker Desktop, `systemctl start docker`), or point DOCKER_HOST or `docker context use` at one."

_ENDED = ("unexpected EOF", "code = Unavailable", "connection reset by peer")
"""How the docker client (legacy builder) and buildx tell of an engine that is not there any more."""

_LEGACY_PLATFORMS = (
    "For another platform than its own the legacy builder needs a base image of that one: it cannot start FROM scratch."
)


def reason(output: Sequence[str]) -> str:
    """The line of a builder's output that says what went wrong."""
    for line in reversed(output):
        text = line.strip()
        if text.startswith(("ERROR:", "Error", "error:")) or "returned a non-zero code" in text:
            return f"build failed: {text.removeprefix('ERROR: ')}"
    return f"build failed: {output[-1].strip()}" if output else "build failed without a word"


def hint(output: Sequence[str], *, buildkit: bool, request: BuildRequest) -> str:
    """What to do next; empty where the output itself is all there is to say."""
    text = "\n".join(output)
    if "Cannot connect" in text or "error during connect" in text:
        return NO_ENGINE
    if output and any(words in output[-1] for words in _ENDED):
        return "The engine ended in the middle of it: run this again when it is back (`docker info`)."
    if "context not found" in text:
        return "`docker context ls` shows which contexts there are; DOCKER_CONTEXT and `docker context use` choose one."
    if "no space left" in text:
        return "The engine's disk is full: `doit prune` frees what is superseded, `docker system df` shows the rest."
    dockerfile = request.dockerfile
    if request.platform and "exec format error" in text:
        # what Skaffold says too; the architecture's name in QEMU is binfmt's own matter
        architecture = request.platform.split("/")[1]
        return (
            f"RUN needs a machine of {request.platform}, or one that emulates it: QEMU through binfmt_misc."
            f" Once, on the engine's machine: `apt-get install qemu-user-static binfmt-support`, or"
            f" `docker run --privileged --rm tonistiigi/binfmt --install {architecture}`."
            " Without: let RUN cross-compile in a stage `FROM --platform=$BUILDPLATFORM`, and COPY from it."
        )
    # "does not match the specified platform", or "does not provide" it: containerd's image store
    if not buildkit and "the specified platform" in text:
        return f"{_LEGACY_PLATFORMS} Install Docker's buildx plug-in."
    if "unknown instruction" in text.lower() and _has_heredoc(dockerfile):
        # the frontend is the engine's own; a `# syntax=` line brings another one, which has to be pulled
        older = "an older one with `# syntax=docker/dockerfile:1` as the first line" + ("" if buildkit else " and buildx")
        return f"{dockerfile.name} has a heredoc (`<<`). Docker Engine 23 or newer reads it by itself; {older}."
    if not buildkit and ("unknown instruction" in text.lower() or "requires BuildKit" in text):
        return "This Dockerfile needs BuildKit: install Docker's buildx plug-in."
    return ""


def other_platform(made: str, request: BuildRequest, *, buildkit: bool) -> EngineError:
    """The error for an image that came out for another platform than the one that was asked for."""
    pinned = "A FROM of its last stage names a platform, or its base is for that one."
    return EngineError(
        f"build failed: the image was asked for {request.platform}, and {request.dockerfile.name} made one for {made}",
        hint=pinned if buildkit else f"{_LEGACY_PLATFORMS} Install Docker's buildx plug-in.",
    )


def _has_heredoc(dockerfile: Path) -> bool:
    try:
        text = dockerfile.read_text(errors="replace")
    except OSError:
        return False
    return bool(re.search(r"^\s*(RUN|COPY|ADD)\b.*<<-?[\"']?\w", text, re.MULTILINE | re.IGNORECASE))
