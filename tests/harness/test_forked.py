"""What the fork server runs sees, prints and leaves what a program does that Python was started for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.engine import Finished, Running
from tests.forked import Forked

SHOW = """\
import os, signal, sys, threading
def task_show():
    print(sys.argv, sys.path, os.getcwd(), sys.flags, __name__, sys.modules["__main__"].__dict__["__name__"])
    print(sorted(os.listdir("/proc/self/fd")), os.getsid(0) == os.getpgrp() == os.getpid())
    print({number: signal.getsignal(number) for number in signal.valid_signals()}, signal.pthread_sigmask(0, []))
    print(threading.active_count(), os.umask(0), sorted(os.environ.items()), sys.stdout.line_buffering)
    print("to the error stream", file=sys.stderr)
    return {"actions": None}
"""
AT_EXIT = "import atexit, sys, threading, time\natexit.register(print, 'at the end')\n"
THREAD = "threading.Thread(target=lambda: time.sleep(0.1) or print('the last thread')).start()\n"
FAILS = "def task_it():\n    return {'actions': [lambda: 1 / 0]}\n"
WAITS = "import time; print('begun', flush=True); time.sleep(60)\n"

Both = Callable[..., list[Running]]


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    """`python -m doit ARGUMENTS` with this dodo.py, forked and as a process of its own."""

    def begin(dodo: str, *arguments: str, environment: Mapping[str, str] = os.environ) -> list[Running]:
        (tmp_path / "dodo.py").write_text(dodo)
        command = [sys.executable, "-m", "doit", *arguments]
        monkeypatch.delenv("KFOLD_TEST_PROCESSES", raising=False)
        forked = Running(command, folder=tmp_path, environment=environment)
        monkeypatch.setenv("KFOLD_TEST_PROCESSES", "1")
        started = Running(command, folder=tmp_path, environment=environment)
        assert isinstance(forked.process, Forked) and not isinstance(started.process, Forked)
        return [forked, started]

    return begin


def ended(running: list[Running]) -> Finished:
    """How both ended: the same."""
    forked, started = (one.wait() for one in running)
    assert (forked.code, forked.output) == (started.code, started.output)
    return forked


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_what_it_sees(both: Both, unbuffered: str) -> None:
    environment = {"PATH": os.environ["PATH"], "ONE": "\udcff", "PYTHONUNBUFFERED": unbuffered}
    environment |= {name: os.environ[name] for name in os.environ if name.startswith(("LANG", "LC_", "PYTHON"))}
    assert "to the error stream" in ended(both(SHOW, "list", "-q", environment=environment)).succeeded().output


@pytest.mark.parametrize(("program", "says", "code"), [
    ("sys.exit('a reason')", "a reason\nat the end\n", 1),
    (f"{THREAD}sys.exit(300)", "the last thread\nat the end\n", 300 & 0xFF),
    (FAILS, "ZeroDivisionError", 2),
])  # fmt: skip
def test_how_it_ends(both: Both, program: str, says: str, code: int) -> None:
    done = ended(both(AT_EXIT + program))
    assert done.code == code and says in done.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_its_group(both: Both, number: int) -> None:
    codes = []
    for one in both(WAITS):
        one.wait_for("begun")
        assert one.process.poll() is None
        one.interrupt(number)
        codes.append(one.wait().code)
    assert codes == [-number, -number]
