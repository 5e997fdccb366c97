"""A program on a real pseudo terminal: what is typed reaches it as signals, and the terminal can be closed."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Sequence

from tests.engine import Project, wait_until

_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the controlling terminal of the new session, then becomes the program."""


class Terminal:
    """`program` in a project, on a terminal of its own. Close it with `hang_up`; `wait` gives the exit code."""

    def __init__(self, project: Project, program: Sequence[str]) -> None:
        self._master, slave = pty.openpty()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _TAKE_TERMINAL, *program],
                cwd=project.folder,
                env={**project.environment, "TERM": "xterm"},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        finally:
            os.close(slave)
        self._chunks: list[bytes] = []
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # A read that waits would keep the terminal open after `close`. Reading fails (EIO) once no process has it open.
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                if select.select([self._master], [], [], 0.05)[0]:
                    self._chunks.append(os.read(self._master, 65536))

    @property
    def output(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")

    def wait_for(self, text: str, *, seconds: float = 60.0) -> None:
        def found() -> bool:
            assert self.process.poll() is None or text in self.output, f"ended before it printed {text!r}\n{self.output}"
            return text in self.output

        wait_until(found, f"the output {text!r}", seconds=seconds, tell=lambda: self.output)

    def type(self, text: str) -> None:
        """Type on the keyboard; "\\x03" is Ctrl+C."""
        os.write(self._master, text.encode())

    def hang_up(self) -> None:
        """Close the terminal's window: the session gets SIGHUP, and writing to it fails from now on."""
        self._closing.set()
        self._reader.join(5)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def wait(self, *, seconds: float = 60.0) -> int:
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, 9)
                self.process.wait(10)
            self.hang_up()
