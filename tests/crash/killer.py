"""A listener to a ledger that kills a process at the Nth moment. Without other imports: it is in each killed run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kfold.ledger import Effect, Transition


class Killer:
    """Listens to a ledger: writes each moment to `record`, one a line, and kills its process at the Nth (0: never), or
    presses Ctrl+C there. `victim`: the number of another process that is killed instead; this one goes on without it."""

    def __init__(
        self,
        record: Path,
        kill_at: int,
        line: Callable[[Transition, Effect], str],
        interrupts: Sequence[int] = (),
        victim: int = 0,
    ) -> None:
        self._record = record
        self._kill_at = kill_at
        self._interrupts = interrupts
        self._victim = victim
        self._line = line
        self._mutex = threading.Lock()
        self._count = 0

    def __call__(self, transition: Transition, effect: Effect) -> None:
        with self._mutex:
            self._count += 1
            with self._record.open("a") as file:
                file.write(self._line(transition, effect) + "\n")
            if self._count == self._kill_at:
                os.kill(self._victim or os.getpid(), signal.SIGKILL)
                while lives(self._victim):
                    time.sleep(0.001)
            if self._count in self._interrupts:
                os.kill(os.getpid(), signal.SIGINT)


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has asked about yet (a zombie) has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
