"""A signal is heard whatever the main thread waits for."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.engine import REPOSITORY, start

PROGRAM = """
import queue, signal, threading
from kfold.signals import hear

heard = queue.Queue()
hear([signal.SIGINT, signal.SIGTERM], heard.put)

def other():
    # a signal that comes to this thread, while the main one waits for a lock
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    print(heard.get(timeout=20), flush=True)
    print(heard.get(timeout=20), flush=True)
    ended.put(None)

ended = queue.Queue()
threading.Thread(target=other, daemon=True).start()
ended.get()
"""


def test_a_signal_that_another_thread_got(tmp_path: Path) -> None:
    running = start([sys.executable, "-c", PROGRAM], folder=tmp_path, environment={"PYTHONPATH": str(REPOSITORY)})
    running.wait_for("2\n", seconds=10)
    running.interrupt(signal.SIGTERM)
    assert running.wait(seconds=10).succeeded().output == "2\n15\n"


NOHUP = """
import os, queue, signal
from kfold.signals import hear

signal.signal(signal.SIGHUP, signal.SIG_IGN)
heard = queue.Queue()
hear([signal.SIGHUP, signal.SIGTERM], heard.put)
os.kill(os.getpid(), signal.SIGHUP)
os.kill(os.getpid(), signal.SIGTERM)
print(heard.get(timeout=20), signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, flush=True)
"""


def test_nohup_is_kept_to(tmp_path: Path) -> None:
    running = start([sys.executable, "-c", NOHUP], folder=tmp_path, environment={"PYTHONPATH": str(REPOSITORY)})
    assert running.wait(seconds=10).succeeded().output == "15 True\n"
