"""Errors that a person reads: one message with the place, the thing and the next step. Never a traceback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file. `line` and `column` count from 1; 0 means "the file as a whole"."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class KfoldError(Exception):
    """What went wrong for the user: `message`, where it stands (`where`), and what to do next (`hint`).

    `str()` is the whole text that the console prints: "file:line:column: message" and, on a line of its own, the hint.
    """

    def __init__(self, message: str, *, where: Position | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class ConfigError(KfoldError):
    """The config says something that cannot be. Nothing was changed."""


class StoreError(KfoldError):
    """An outside store (engine, cluster, registry, host) could not be reached or refused. Says which and why."""


class Interrupted(KfoldError):
    """The user or the system asked this run to end (Ctrl+C, SIGTERM, SIGHUP)."""


class Abandoned(Interrupted):
    """So it did, and what was under way did not end when it was asked to: what it had others do may still come about."""
