"""Child programs: their lines are handed on as they come, and they end when the run does, however it ends."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from kfold.errors import Abandoned, Interrupted, StoreError
from kfold.stores.lines import LONGEST_LINE, LineSplitter

GRACE = 5.0
"""Seconds between asking a child and its own children to end and killing them."""

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


class NotStarted(StoreError):
    """The program was never started, so it has done nothing."""


def check_program(name: str, *, folder: Path | None = None, path: str | None = None) -> None:
    """Raises NotStarted where there is no such program. As the kernel and Go have it: a name with a `/` counts from the
    folder that the program starts in, any other is looked for on `path` (None: this process's PATH).
    """
    if folder is not None and not folder.is_dir():
        raise NotStarted(f"there is no folder {folder}")
    if "/" not in name:
        if not shutil.which(name, path=path):
            raise NotStarted(f"the program `{name}` is not installed (or not on PATH)")
        return
    file = (folder or Path()) / name
    if not file.is_file():
        raise NotStarted(f"there is no program {file}")
    if not os.access(file, os.X_OK):
        raise NotStarted(f"{file} is not executable")


def run(
    arguments: Sequence[str],
    *,
    on_line: Callable[[str], None],
    stop: threading.Event,
    environment: Mapping[str, str] | None = None,
    standard_input: Path | None = None,
    folder: Path | None = None,
    end_with: signal.Signals = signal.SIGINT,
) -> None:
    """Run a program to its end; standard output and error go line by line to `on_line`, a file to its standard input.

    It has ended when the program itself has, and nobody holds its output open any more. When `stop` is set the program
    and its own children (its process group) get `end_with` (SIGINT is what Ctrl+C is), and after GRACE seconds SIGKILL.
    Should this process be killed, they are killed with it. `environment` comes on top of this process's own. Raises
    ChildFailed on another exit code than 0, Interrupted when it was stopped (Abandoned, if it had to be killed), NotStarted
    when it cannot be started.
    """
    check_program(arguments[0], folder=folder, path=(environment or {}).get("PATH"))
    try:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(standard_input or os.devnull), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            # a group of its own: a terminal's Ctrl+C comes to us, and from us to it, once
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a word of it holds a zero byte"
        raise NotStarted(f"`{arguments[0]}` cannot be started: {reason}") from error
    assert child.stdout is not None and child.stdin is not None
    over, late, given_up = threading.Event(), threading.Event(), threading.Event()
    guard = threading.Thread(target=_end_when_stopped, args=(child, stop, over, late, given_up, end_with), daemon=True)
    guard.start()
    last: deque[str] = deque(maxlen=LAST_LINES)
    try:
        with child.stdout:
            for line in _lines(child.stdout, given_up):
                last.append(line)
                on_line(line)
        code = child.wait()
    except BaseException:
        _signal(child, signal.SIGKILL)
        raise
    finally:
        over.set()
        if stop.is_set():
            guard.join()  # it sees to it that nothing of the group is left
        # the watcher goes when it reads a line
        with contextlib.suppress(OSError), child.stdin:
            child.stdin.write(b"\n")
    if stop.is_set():
        raise (Abandoned if late.is_set() else Interrupted)(f"`{Path(arguments[0]).name}` was stopped")
    if code:
        raise ChildFailed(f"`{' '.join(arguments[:3])}` {ending(code)}", code, list(last))


def ending(code: int) -> str:
    """How a program ended, in words. A negative code is the signal that ended it."""
    if code >= 0:
        return f"failed with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _lines(pipe: IO[bytes], given_up: threading.Event) -> Iterator[str]:
    """Lines as they come. Ends with the pipe, or soon after `given_up`: a process that left the group may hold the pipe
    open for ever."""
    splitter = LineSplitter()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not given_up.is_set():
            if not selector.select(0.5):
                continue
            data = os.read(pipe.fileno(), LONGEST_LINE)
            if not data:
                break
            yield from splitter.feed(data)
    yield from splitter.end()


def _end_when_stopped(
    child: subprocess.Popen[bytes],
    stop: threading.Event,
    over: threading.Event,
    late: threading.Event,
    given_up: threading.Event,
    number: signal.Signals,
) -> None:
    while not over.is_set():
        if stop.wait(0.1):
            _signal(child, number)
            if not over.wait(GRACE):
                late.set()
            _signal(child, signal.SIGKILL)  # what it started itself may still run, and hold its output open
            if not over.wait(1):
                given_up.set()
            return


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
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
