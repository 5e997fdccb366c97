"""Child programs: their lines are handed on as they come, and they end when the run does, however it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kfold.errors import Interrupted, StoreError

GRACE = 5.0
"""Seconds between asking a child to end (SIGINT, as Ctrl+C would) and killing it."""

_KEEPER = """
exec 3<&0
(read -r _ <&3 || kill -s KILL -- "-$$") </dev/null >/dev/null 2>&1 &
source=$1
shift
exec "$@" <"$source" 3<&-
"""
"""A constant that /bin/sh runs: it becomes the program (`"$@"`), and leaves a watcher that kills the program's process
group when the other end of standard input closes without a line. That is how `kill -9` of kfold ends its builds: a
`docker build` of which only the client's parent died would go on, and make its image after everything was cleaned up."""

LAST_LINES = 20
"""How many lines of a program's output its failure carries."""


class ChildFailed(StoreError):
    """The program ended with `code` (negative: the signal that ended it). `output` holds its last lines."""

    def __init__(self, message: str, code: int, output: Sequence[str]) -> None:
        super().__init__(message)
        self.code = code
        self.output = tuple(output)


def run(
    arguments: Sequence[str],
    *,
    on_line: Callable[[str], None],
    stop: threading.Event,
    environment: Mapping[str, str] | None = None,
    standard_input: Path | None = None,
) -> None:
    """Run a program to its end; standard output and error go line by line to `on_line`, a file to its standard input.

    When `stop` is set the child and its own children (docker's plug-ins) get SIGINT, and after GRACE seconds SIGKILL.
    Should this process be killed, they are killed with it. Raises ChildFailed on another exit code than 0, Interrupted when
    it was stopped, StoreError when it cannot be started.
    """
    if not shutil.which(arguments[0]):
        raise StoreError(f"the program `{arguments[0]}` is not installed (or not on PATH)")
    try:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(standard_input or os.devnull), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
            # a group of its own: a terminal's Ctrl+C comes to us, and from us to it, once
            start_new_session=True,
        )
    except OSError as error:
        raise StoreError(f"`{arguments[0]}` cannot be started: {error.strerror}") from error
    threading.Thread(target=_end_when_stopped, args=(child, stop), daemon=True).start()
    last: deque[str] = deque(maxlen=LAST_LINES)
    assert child.stdout is not None and child.stdin is not None
    try:
        with child.stdout:
            for line in child.stdout:
                text = line.rstrip("\r\n")
                last.append(text)
                on_line(text)
        code = child.wait()
    except BaseException:
        _signal(child, signal.SIGKILL)
        raise
    finally:
        # the watcher goes when it reads a line
        with contextlib.suppress(OSError), child.stdin:
            child.stdin.write("\n")
    if stop.is_set():
        raise Interrupted(f"`{Path(arguments[0]).name}` was stopped")
    if code:
        raise ChildFailed(f"`{' '.join(arguments[:3])}` failed with exit code {code}", code, list(last))


def _end_when_stopped(child: subprocess.Popen[str], stop: threading.Event) -> None:
    while child.poll() is None:
        if stop.wait(0.1):
            _signal(child, signal.SIGINT)
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                pass
            _signal(child, signal.SIGKILL)  # what it started itself may still run, and hold its output open
            return


def _signal(child: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(child.pid, number)


def answer(arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout: float = 60.0) -> str:
    """What a short program prints on standard output. Raises ChildFailed (with standard error) and StoreError."""
    try:
        result = subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            # a terminal's Ctrl+C is for us: it would end the question without a word, and read as a refusal
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise StoreError(f"the program `{arguments[0]}` is not installed (or not on PATH)") from error
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"`{' '.join(arguments[:3])}` did not answer within {timeout:.0f} s") from error
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise ChildFailed(lines[-1] if lines else "no message", result.returncode, lines)
    return result.stdout
