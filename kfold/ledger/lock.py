"""One run at a time may change things for a project: an advisory lock that dies with its process, `kill -9` included."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Any

from kfold import state_folder
from kfold.errors import KfoldError

PROBE = 0.1
"""Seconds in which `is_taken` has let go of a lock again that it got."""


class LedgerBusy(KfoldError):
    """Another process of this project is changing things."""


class ProjectLock:
    """`flock` on a file in the state folder. The kernel drops it when the holder ends, however it ends.

    The file says who holds it, for the message that the other process prints; the lock itself is the kernel's. `since`: when
    it was taken, seconds since the epoch.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self.since = 0.0

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self, command: str) -> None:
        """Take the lock, or raise LedgerBusy naming the holder. Taking it twice in one process is one taking."""
        if self._file is not None:
            return
        file = self._open()
        if file is None:
            time.sleep(PROBE)  # another project may just look whether it is taken
            file = self._open()
        if file is None:
            with self._path.open("a+") as held:
                raise LedgerBusy(
                    f"another run works on this project{self._holder(held)}",
                    hint="Wait for it or end it (Ctrl+C there), then run this again.",
                )
        file.seek(0)
        file.truncate()
        self.since = time.time()
        json.dump({"pid": os.getpid(), "command": command, "since": self.since}, file)
        file.flush()
        self._file = file

    def _open(self) -> IO[str] | None:
        """The file, locked; None where somebody else has it."""
        while True:
            state_folder.make(self._path.parent)
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # who ends takes the folder away with the lock in it: a lock on that file keeps nobody out any more
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    return file
            except BlockingIOError:
                file.close()
                return None
            except FileNotFoundError:
                pass
            except BaseException:
                file.close()
                raise
            file.close()

    @staticmethod
    def _holder(file: IO[str]) -> str:
        try:
            file.seek(0)
            holder: dict[str, Any] = json.load(file)
            since = time.strftime("%H:%M:%S", time.localtime(float(holder["since"])))
            return f": `{holder['command']}`, process {holder['pid']}, since {since}"
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            return ""

    @staticmethod
    def is_taken(path: Path) -> bool:
        """Whether some process holds the lock with this file."""
        try:
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @staticmethod
    def taken_since(path: Path) -> float | None:
        """When the lock with this file was taken last, as its holder wrote; None where that cannot be read."""
        try:
            return float(json.loads(path.read_text())["since"])
        except (ValueError, KeyError, TypeError, OSError):
            return None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
