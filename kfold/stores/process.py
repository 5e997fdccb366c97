"""Child programs: run without a shell, their lines handed on as they come, ended when the run is."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kfold.errors import Interrupted, StoreError

GRACE = 5.0
"""Seconds between asking a child to end (SIGINT, as Ctrl+C would) and killing it."""


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

    When `stop` is set the child gets SIGINT, and after GRACE seconds SIGKILL. Raises ChildFailed on another exit code than
    0, Interrupted when it was stopped, StoreError when it cannot be started.
    """
    source = standard_input.open("rb") if standard_input else subprocess.DEVNULL
    try:
        child = subprocess.Popen(
            list(arguments),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise StoreError(f"the program `{arguments[0]}` is not installed (or not on PATH)") from error
    except OSError as error:
        raise StoreError(f"`{arguments[0]}` cannot be started: {error.strerror}") from error
    finally:
        if not isinstance(source, int):
            source.close()
    watcher = threading.Thread(target=_end_when_stopped, args=(child, stop), daemon=True)
    watcher.start()
    last: list[str] = []
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            text = line.rstrip("\r\n")
            last = [*last[-19:], text]
            on_line(text)
    code = child.wait()
    if stop.is_set():
        raise Interrupted(f"`{Path(arguments[0]).name}` was stopped")
    if code:
        raise ChildFailed(f"`{' '.join(arguments[:3])}` failed with exit code {code}", code, last)


def _end_when_stopped(child: subprocess.Popen[str], stop: threading.Event) -> None:
    while child.poll() is None:
        if stop.wait(0.1):
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
            return


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
        )
    except FileNotFoundError as error:
        raise StoreError(f"the program `{arguments[0]}` is not installed (or not on PATH)") from error
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"`{' '.join(arguments[:3])}` did not answer within {timeout:.0f} s") from error
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise ChildFailed(lines[-1] if lines else "no message", result.returncode, lines)
    return result.stdout
