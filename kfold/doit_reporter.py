"""What doit prints for our tasks (they speak for themselves).

doit calls `initialize` in the main thread before any task: from then on signals are the session's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TextIO

from doit.exceptions import TaskFailed
from doit.reporter import ConsoleReporter

from kfold.session import Session


class Stopped(TaskFailed):  # type: ignore[misc]
    """A task that did not end because the run was asked to: no success, and no failure that a person has to read."""

    def __init__(self) -> None:
        super().__init__("stopped", report=False)


def reporter_for(session: Session) -> type[ConsoleReporter]:
    """The reporter class that doit is given: it knows the session whose tasks it reports."""
    return type("KfoldReporter", (KfoldReporter,), {"session": session})


def _closure(tasks: Mapping[str, Any], selected: Iterable[str]) -> frozenset[str]:
    """Names of all tasks that a selection leads to."""
    found: set[str] = set()
    pending = list(selected)
    while pending:
        name = pending.pop()
        if name not in found and name in tasks:
            found.add(name)
            pending += tasks[name].task_dep
    return frozenset(found)


class KfoldReporter(ConsoleReporter):  # type: ignore[misc]
    """Silent about kfold's own tasks while they work; doit's own words for a user's tasks."""

    desc = "kfold: each step tells what it does"
    session: ClassVar[Session]

    def __init__(self, outstream: TextIO, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self._ran = 0
        self._up_to_date = 0
        self._stopped = False

    def initialize(self, tasks: Any, selected_tasks: Any) -> None:
        self.session.deploying = any(name.partition(":")[0] in ("deploy", "wait") for name in selected_tasks)
        self.session.walked = _closure(tasks, selected_tasks)
        if threading.current_thread() is threading.main_thread():
            self.session.hear_signals()

    def execute_task(self, task: Any) -> None:
        if task.actions and not self._ours(task):
            super().execute_task(task)
        self._ran += bool(task.actions)

    def skip_uptodate(self, task: Any) -> None:
        if self._ours(task):
            self._up_to_date += 1
        else:
            super().skip_uptodate(task)

    def add_failure(self, task: Any, fail: Any) -> None:
        if isinstance(fail, Stopped):
            # one Ctrl+C stops all that runs side by side
            self._stopped = True
        elif not self._ours(task) or fail.traceback:
            super().add_failure(task, fail)
        elif fail.report:
            self.session.console_error(f"{task.name} failed: {fail.message}")

    def complete_run(self) -> None:
        super().complete_run()
        if self._stopped:
            self.session.console.line("stopped")
        if self._up_to_date and not self._ran:
            self.write("Nothing to do: everything is up to date.\n")

    def _ours(self, task: Any) -> bool:
        return str(task.name).partition(":")[0] in self.session.verbs
