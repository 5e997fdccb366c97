"""What a builder's output says about why it failed, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

NO_ENGINE = "Start it (Docker Desktop, `systemctl start docker`), or point DOCKER_HOST or `docker context use` at one."


def reason(output: Sequence[str]) -> str:
    """The line of a builder's output that says what went wrong."""
    for line in reversed(output):
        text = line.strip()
        if text.startswith(("ERROR:", "Error", "error:")) or "returned a non-zero code" in text:
            return f"build failed: {text.removeprefix('ERROR: ')}"
    return f"build failed: {output[-1].strip()}" if output else "build failed without a word"


def hint(output: Sequence[str], *, buildkit: bool, dockerfile: Path) -> str:
    """What to do next; empty where the output itself is all there is to say."""
    text = "\n".join(output)
    if "Cannot connect" in text or "error during connect" in text:
        return NO_ENGINE
    if "context not found" in text:
        return "`docker context ls` shows which contexts there are; DOCKER_CONTEXT and `docker context use` choose one."
    if "no space left" in text:
        return "The engine's disk is full: `doit prune` frees what is superseded, `docker system df` shows the rest."
    if "unknown instruction" in text.lower() and _has_heredoc(dockerfile):
        # the frontend is the engine's own; a `# syntax=` line brings another one, which has to be pulled
        older = "an older one with `# syntax=docker/dockerfile:1` as the first line" + ("" if buildkit else " and buildx")
        return f"{dockerfile.name} has a heredoc (`<<`). Docker Engine 23 or newer reads it by itself; {older}."
    if not buildkit and ("unknown instruction" in text.lower() or "requires BuildKit" in text):
        return "This Dockerfile needs BuildKit: install Docker's buildx plug-in."
    return ""


def _has_heredoc(dockerfile: Path) -> bool:
    try:
        text = dockerfile.read_text(errors="replace")
    except OSError:
        return False
    return bool(re.search(r"^\s*(RUN|COPY|ADD)\b.*<<-?[\"']?\w", text, re.MULTILINE | re.IGNORECASE))
