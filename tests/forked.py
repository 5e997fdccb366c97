"""Programs of ours in processes that a warm one forks (`fork_server.py`), where a new Python would import everything first.

With KFOLD_TEST_PROCESSES=1 there is a Python for each all the same. There always is where the environment says something to
Python itself or names another locale, where there are no pidfds (Linux has them), and for what else a test starts than
`python -m doit`, `python -m kfold.sandbox`, the command `kfold` and the runs of tests/crash.

All that one server forks have the same hash seed: that nothing hangs on the order of a set is for tests that set
PYTHONHASHSEED to say.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_MODULES = ("doit", "kfold.sandbox")
_PROGRAMS = (
    Path(sys.executable).parent / "kfold",
    *(REPOSITORY / "tests" / "crash" / name for name in ("run_and_kill.py", "run_on_fakes.py")),
)
_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "MALLOC_", "LD_")
"""Variables that begin like this are read once, when a process or its Python starts."""


class Forked:
    """A running process, as `subprocess.Popen` has it."""

    def __init__(self, pid: int, answers: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._answers = answers
        self._mutex = threading.Lock()

    def poll(self) -> int | None:
        """The exit code (negative: the signal), or None while it runs."""
        return self._asked(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._asked(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _asked(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            ready = select.poll()
            ready.register(self._answers, select.POLLIN)
            if ready.poll(None if seconds is None else seconds * 1000):
                with self._mutex:
                    if self.returncode is None:
                        self.returncode = int(_told(self._answers, "ended"))
                        self._answers.close()
        return self.returncode


_server: tuple[subprocess.Popen[bytes], socket.socket] | None = None
_starting = threading.Lock()
_own = dict(os.environ)


def fork(command: Sequence[str], folder: Path, environment: Mapping[str, str], output: int) -> Forked | None:
    """Start the command in a session of its own, both streams to `output` and without input. None where it must be a
    Python that was started for it."""
    arguments = _arguments(command) if hasattr(os, "pidfd_open") and not os.environ.get("KFOLD_TEST_PROCESSES") else []
    if not arguments or _read_at_start(environment) != _read_at_start(_own):
        return None
    asked = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there, open(os.devnull, "rb") as nothing:
        socket.send_fds(_control(), [json.dumps(asked).encode()], [nothing.fileno(), output, output, there.fileno()])
    return Forked(int(_told(here, "begun")), here)


def _arguments(command: Sequence[str]) -> list[str]:
    """What follows the name of Python, where it is one of the programs that are forked; else nothing."""
    if command[0] == sys.executable and (command[1:2] + command[2:3] in [["-m", module] for module in _MODULES]):
        return list(command[1:])
    program = list(command[1:] if command[0] == sys.executable else command)
    return program if Path(program[0]) in _PROGRAMS else []


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment says to a process that starts. Entries of PYTHONPATH count that others than we added."""
    found = {name: value for name, value in environment.items() if name.startswith(_AT_START)}
    found.pop("PYTHONUNBUFFERED", None)
    path = found.pop("PYTHONPATH", "").split(os.pathsep)
    return found | {"PYTHONPATH": os.pathsep.join(entry for entry in path if entry != str(REPOSITORY))}


def _told(answers: socket.socket, what: str) -> str:
    word, _, answer = answers.recv(64).decode().partition(" ")
    assert word == what, f"{word or 'nothing'} {answer} instead of {what}: the standard error of the fork server says why"
    return answer


def _control() -> socket.socket:
    """The way to the server, which is started when it is first needed."""
    global _server
    with _starting:
        if _server is None:
            here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with there:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.fork_server", str(there.fileno())],
                    cwd=REPOSITORY,
                    env=_own | {"PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[there.fileno()],
                    start_new_session=True,
                )
            _server = process, here
            atexit.register(_end)
    return _server[1]


def _end() -> None:
    global _server
    if _server:
        process, control = _server
        control.close()
        process.wait(10)
        _server = None
