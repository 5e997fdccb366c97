"""One process at a time changes things: two real processes, and the end of one by `kill -9`."""

from __future__ import annotations

import fcntl
import shutil
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from kfold.ledger import Ledger, LedgerBusy
from kfold.ledger.lock import ProjectLock
from tests.engine import Running, start, wait_until
from tests.ledger.effects import effect

HOLDER = """
import sys, time
from pathlib import Path
from kfold.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.claim()
print("claimed", flush=True)
sys.stdin.read()
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".kfold" / "ledger.db"


def holder(path: Path) -> Running:
    running = start([sys.executable, "-c", HOLDER, path, "deploy", "--loudly"], folder=path.parent.parent)
    running.wait_for("claimed")
    return running


def test_a_lock_on_a_file_that_was_taken_away_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ends takes the folder away with the lock in it, at a moment when another one has opened the file."""
    real, lock = fcntl.flock, path.with_name("lock")
    taken_away = []

    def flock(file: IO[str], operation: int) -> None:
        real(file, operation)
        if not taken_away:
            taken_away.append(lock.stat().st_ino)
            shutil.rmtree(lock.parent)

    monkeypatch.setattr(fcntl, "flock", flock)
    first = ProjectLock(lock)
    first.acquire("first")
    assert taken_away and ProjectLock.is_taken(lock)
    with pytest.raises(LedgerBusy, match="first"):
        ProjectLock(lock).acquire("second")
    first.release()


def test_the_second_process_is_told_who_holds_it(path: Path) -> None:
    running = holder(path)
    try:
        ledger = Ledger(path)
        with pytest.raises(LedgerBusy) as caught:
            ledger.claim()
        ledger.close()
        text = str(caught.value)
        assert f"process {running.process.pid}" in text
        assert "deploy --loudly" in text
        assert "Wait for it or end it" in text
        assert ledger.records() == [], "reading needs no lock"
        ledger.close()
    finally:
        running.end()


def test_a_killed_holder_holds_nothing(path: Path) -> None:
    running = holder(path)
    running.kill()
    assert running.wait().code == -9
    ledger = Ledger(path)
    ledger.claim()
    ledger.intend(effect())
    ledger.close()


def test_a_child_that_outlives_the_holder_does_not_hold_the_lock(path: Path) -> None:
    """A sandbox or a daemon that a run started stays; the project must not stay locked with it."""
    script = HOLDER.replace(
        'print("claimed"',
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        'print(f"child {child.pid} claimed"',
    )
    running = start([sys.executable, "-c", script, path], folder=path.parent.parent)
    try:
        running.wait_for("claimed")
        child = int(running.output.split()[1])
        running.kill()
        running.process.wait(10)
        assert Path(f"/proc/{child}").exists() or sys.platform == "darwin"
        ledger = Ledger(path)
        ledger.claim()
        ledger.close()
    finally:
        import os
        import signal

        os.killpg(running.process.pid, signal.SIGKILL)


def test_closing_gives_the_lock_back(path: Path) -> None:
    one, other = Ledger(path), Ledger(path)
    one.claim()
    one.claim()
    with pytest.raises(LedgerBusy):
        other.claim()
    one.close()
    other.claim()
    other.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "command": "x", "since": 1e300}', "\x00"])
def test_a_lock_file_that_says_nothing_useful(path: Path, text: str) -> None:
    """The kernel's lock decides; the text in the file is only for the message."""
    running = holder(path)
    try:
        (path.parent / "lock").write_text(text)
        ledger = Ledger(path)
        with pytest.raises(LedgerBusy, match="another run works on this project"):
            ledger.claim()
        ledger.close()
    finally:
        running.end()
    ledger = Ledger(path)
    wait_until(lambda: running.process.poll() is not None, "the holder's end")
    ledger.claim()
    ledger.close()


def test_who_only_looks_keeps_nobody_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another project asks whether this one is written, at the moment at which a run begins here."""
    path.parent.mkdir(exist_ok=True)
    lock = path.with_name("lock")
    looking = lock.open("a+")
    fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    monkeypatch.setattr(time, "sleep", lambda seconds: looking.close())
    ledger = Ledger(path)
    ledger.claim()
    assert ProjectLock.is_taken(lock)
    ledger.close()
    assert not ProjectLock.is_taken(lock)
