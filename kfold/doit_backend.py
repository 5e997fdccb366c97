"""doit's database of task results, kept so that a killed run loses nothing that it had finished.

doit's own back ends write once, at the end of a run: `kill -9` loses every result, and two runs at once lose each other's.
This one is SQLite in WAL mode with one commit a task. It is a cache: a broken file is replaced by an empty one, and where
it cannot be written that is said once, and every step is looked at again in the next run.
Only the standard library is imported, since every doit in the environment loads this module through its entry point.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from kfold import state_folder

LOCK_TIMEOUT = 30.0
"""Seconds that a commit waits for another doit process on the same file."""


_NOT_BROKEN = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_FULL,
    }
)
"""What SQLite says of a file that may be well. Anything else it says of one that is not a database of ours."""


class Codec(Protocol):
    """doit's codec: how a task's record becomes text. (Its JSON codec by default.)"""

    def encode(self, data: Any) -> str: ...
    def decode(self, data: str) -> Any: ...


class Backend:
    """doit's database interface (doit/dependency.py, 0.37): get, set, in_, remove, remove_all, dump.

    `name` is the file (doit's `dep_file`); its folder is made, readable by the user alone.
    """

    def __init__(self, name: str, codec: Codec, *, module_name: str | None = None) -> None:
        self.name = name
        self._codec = codec
        self._lock = threading.RLock()
        # `doit list` in a project that never ran makes no folder; the first result does
        self._connection: sqlite3.Connection | None = None
        self._records: dict[str, dict[str, Any]] = {}
        self._warned = False
        if Path(name).exists():
            self._read()

    def _read(self) -> None:
        try:
            rows = self._open().execute("SELECT task, record FROM results").fetchall()
            records = {task: self._codec.decode(record) for task, record in rows}
            if not all(isinstance(record, dict) for record in records.values()):
                raise ValueError("a record is no mapping")
            self._records = records
        except (sqlite3.Error, ValueError, TypeError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _NOT_BROKEN:
                # busy or unreadable for now: it may be in use by another run, so it must not be replaced
                self._warn(error)
            else:
                self._discard()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            state_folder.make(Path(self.name).parent)
            deadline = time.monotonic() + LOCK_TIMEOUT
            while self._connection is None:
                try:
                    self._connection = self._connect()
                except sqlite3.OperationalError as error:
                    # two runs that make the file together: SQLite does not wait for its turn when it changes to WAL
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.name, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # NORMAL survives a killed process; a power failure may lose the newest rows, which only costs a check
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("CREATE TABLE IF NOT EXISTS results (task TEXT PRIMARY KEY, record TEXT)")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _discard(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                try:
                    Path(self.name + suffix).unlink()
                except OSError as error:
                    self._warn(error)
        self._records = {}

    def _change(self, query: str, *values: str) -> None:
        try:
            self._open().execute(query, values)
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"kfold: {self.name} does not keep what was done: {error}\n")

    def get(self, task_id: str, dependency: str) -> Any:
        return self._records.get(task_id, {}).get(dependency)

    def in_(self, task_id: str) -> bool:
        return task_id in self._records

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        with self._lock:
            self._records.setdefault(task_id, {})[dependency] = value
            # doit writes `deps:` last for a task that succeeded, and `ignore:` alone: the two moments to commit
            if dependency in ("deps:", "ignore:"):
                self._commit(task_id)

    def _commit(self, task_id: str) -> None:
        text = self._codec.encode(self._records[task_id])
        self._change("INSERT OR REPLACE INTO results VALUES (?, ?)", task_id, text)

    def remove(self, task_id: str) -> None:
        with self._lock:
            if self._records.pop(task_id, None) is not None:
                self._change("DELETE FROM results WHERE task = ?", task_id)

    def remove_all(self) -> None:
        with self._lock:
            if self._records:
                self._change("DELETE FROM results")
            self._records = {}

    def dump(self) -> None:
        """Nothing is left to write; the file is closed (doit calls this once, at the end of a run)."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def read_results(name: str) -> dict[str, dict[str, Any]]:
    """What the database holds, for a look from outside a run (`doit why`): task -> record. Empty where there is none."""
    path = Path(name).absolute()
    if not path.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=LOCK_TIMEOUT)) as connection:
            rows = connection.execute("SELECT task, record FROM results").fetchall()
        records = {task: json.loads(record) for task, record in rows}
    except (sqlite3.Error, ValueError, TypeError):
        return {}
    return {task: record for task, record in records.items() if isinstance(record, dict)}
