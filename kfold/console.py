"""Everything that a person sees. Plain text where there is no terminal; colours off with NO_COLOR."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import TextIO

from kfold.events import Event

_COLOURS = {"heading": "34", "warning": "33", "error": "31", "success": "32"}
_SUBJECT_COLOURS = ("91", "92", "93", "94", "95", "31", "32", "33", "34", "35", "36")
"""As Skaffold colours its log prefixes: one colour a subject, round-robin."""

CLEAR = "\r\x1b[K"
"""To the begin of the line, and nothing in it."""


class Console:
    """Prints events, one whole line at a time, from any thread. A terminal that went away (SIGHUP) stops nothing."""

    def __init__(self, out: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._out = out
        self._mutex = threading.Lock()
        self._colours: dict[str, str] = {}
        stream = out or sys.stdout
        self._terminal = stream.isatty() and environment.get("TERM") != "dumb"
        self._coloured = self._terminal and not environment.get("NO_COLOR")
        self._dead = False
        self._clear = ""

    def report(self, event: Event) -> None:
        """Print one event. Progress is for a terminal only, on a line that the next event takes."""
        if event.level == "progress":
            if self._terminal:
                self._write(event.text, "")
        elif event.level == "output":
            self.line(f"{self._prefix(event.subject)}{event.text}")
        else:
            self.line(self._paint(event.text, _COLOURS.get(event.level, "")))

    def line(self, text: str) -> None:
        """Print text and a line end."""
        self._write(text, "\n")

    def _write(self, text: str, end: str) -> None:
        with self._mutex:
            text, self._clear = f"{self._clear}{text}{end}", "" if end else CLEAR
            if self._dead:
                return
            try:
                stream = self._out or sys.stdout
                stream.write(text)
                stream.flush()
            except (OSError, ValueError):
                # the terminal is gone; what is being taken back must be taken back all the same
                self._dead = True
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115

    def _prefix(self, subject: str) -> str:
        if not subject:
            return ""
        colour = self._colours.setdefault(subject, _SUBJECT_COLOURS[len(self._colours) % len(_SUBJECT_COLOURS)])
        return f"{self._paint(f'[{subject}]', colour)} "

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._coloured else text
