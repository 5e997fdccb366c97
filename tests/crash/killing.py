"""A `doit` run that is killed at the Nth moment of its ledger, and the moments that it came to."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from kfold.ledger import Effect, Transition
from tests.engine import REPOSITORY, Finished, Project

PROGRAM = Path(__file__).with_name("run_and_kill.py")


class Killer:
    """Listens to a ledger: writes each moment to `record`, one a line, and kills its process at the Nth (0: never)."""

    def __init__(self, record: Path, kill_at: int, line: Callable[[Transition, Effect], str]) -> None:
        self._record = record
        self._kill_at = kill_at
        self._line = line
        self._mutex = threading.Lock()
        self._count = 0

    def __call__(self, transition: Transition, effect: Effect) -> None:
        with self._mutex:
            self._count += 1
            with self._record.open("a") as file:
                file.write(self._line(transition, effect) + "\n")
            if self._count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def killed(project: Project, kill_at: int, *arguments: str) -> tuple[Finished, list[str]]:
    """`doit ARGUMENTS`, killed at that moment of its ledger (0: never), and the moments that it came to.

    A moment is the transition, the effect's kind and its count of layers.
    """
    record = project.folder.parent / f"moments-{project.folder.name}"
    record.unlink(missing_ok=True)
    environment = {"PYTHONPATH": str(REPOSITORY)}
    done = project.start(sys.executable, PROGRAM, str(kill_at), record, *arguments, env=environment).wait()
    return done, record.read_text().splitlines() if record.exists() else []
