"""What verbs and stores tell while they work. They report events; only the console decides what a person sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Level = Literal["heading", "line", "progress", "output", "warning", "error", "success"]


@dataclass(frozen=True)
class Event:
    """One thing worth telling.

    `text` is a line without its end. `subject` names what it is about (an artifact, a container), for prefix and colour.
    `level`: "heading" opens a phase (`Starting deploy...`), "line" is one fact of it (` - pod "web" created`),
    "progress" is how far it is, until the next event, "output" is a child program's own line, "warning", "error" and
    "success" say how it went.
    """

    level: Level
    text: str
    subject: str = ""


Report = Callable[[Event], None]
"""Takes an event; called from any thread; must not raise."""
