"""What a cleanup came to, one entry a thing, and the JSON file that `--report` asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from kfold.errors import KfoldError
from kfold.state_folder import NAME

Fate = Literal["removed", "kept", "failed"]


class CleanupReport:
    """Collects from any thread. An entry: `store`, `kind`, `name`, whatever else identifies the thing, and `why` it was
    kept or failed."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._entries: dict[Fate, list[dict[str, Any]]] = {"removed": [], "kept": [], "failed": []}

    def add(self, fate: Fate, *, store: str, kind: str, name: str, why: str = "", **more: Any) -> None:
        """One thing that was dealt with."""
        entry = {"store": store, "kind": kind, "name": name, **more, **({"why": why} if why else {})}
        with self._mutex:
            self._entries[fate].append(entry)

    def as_json(self, problem: str = "") -> str:
        """The whole report. `problem`: the message that the command ends with."""
        with self._mutex:
            return json.dumps({**self._entries, **({"problem": problem} if problem else {})}, indent=2) + "\n"


@contextmanager
def written_to(file: str, folder: Path) -> Iterator[CleanupReport]:
    """A report that is in `file` (relative to `folder`; empty: nowhere) at the end, whichever way that comes.

    Raises KfoldError at once where the file cannot be written: before anything is removed. Where it cannot be written in
    the end (a full disk), too, with what else went wrong.
    """
    report = CleanupReport()
    if not file:
        yield report
        return
    path = folder / file
    if (folder / NAME).resolve() in path.resolve().parents:
        raise KfoldError(
            f"the report {path} would lie in {NAME}, which goes with the last record; nothing was removed",
            hint="Name a file in another folder.",
        )
    try:
        stream = path.open("a", encoding="utf-8")  # what is there stays until there is something to put in its place
    except OSError as error:
        raise KfoldError(
            f"the report {path} cannot be written: {error.strerror}; nothing was removed",
            hint="Name a file in a folder that is there and may be written to.",
        ) from None
    problem: BaseException | None = None
    try:
        yield report
    except BaseException as error:
        problem = error
        raise
    finally:
        try:
            with stream:
                if path.is_file():  # a terminal or a pipe has nothing to be replaced
                    stream.truncate(0)
                stream.write(report.as_json("" if problem is None else str(problem) or type(problem).__name__))
        except OSError as error:
            told = f"the report {path} could not be written: {error.strerror}"
            if problem is None:
                raise KfoldError(told, hint="What it was to tell of is done.") from None
            if isinstance(problem, KfoldError):
                raise KfoldError(f"{problem.message}\n{told}", where=problem.where, hint=problem.hint) from None
