"""Signals, heard whatever the main thread waits for.

The kernel may give a signal to any thread. Python runs its handlers in the main thread alone, and one that waits for a lock
(doit's waits for the result of a task) does not wake for a signal that another thread got: a Ctrl+C was lost that way about
once in a hundred times on a busy machine. What C code writes to a pipe the moment that the signal comes is not.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable


def hear(numbers: Iterable[int], heard: Callable[[int], object]) -> None:
    """Have `heard(number)` called for each of these signals, in a thread of its own, until the process ends. To be called in
    the main thread. SIGHUP that is ignored stays ignored: that is what `nohup` asks for."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen() -> None:
        while told := os.read(reading, 1):
            if told[0] in wanted:
                heard(told[0])

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    wanted = frozenset(number for number in numbers if not (nohup and number == signal.SIGHUP))
    threading.Thread(target=listen, name="kfold-signals", daemon=True).start()
    signal.set_wakeup_fd(writing)
    for number in wanted:
        signal.signal(number, lambda *_: None)  # without a handler there is none of C's either
