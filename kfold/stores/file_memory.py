"""What was hashed before: content hashes by path, size, times and inode, and digests of whole sets. One SQLite file.

It is a cache. A missing or broken file is made anew; where another process holds it for long, or it is closed, nothing
is known and nothing is remembered, and the digests are the same.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kfold.errors import StoreError

KEPT_DAYS = 30
"""Days after which a hash is forgotten, so that the file does not grow with every file that ever was."""

PATIENCE = 1.0
"""Seconds to wait for another process."""

_DAY = 86_400
_FEW = 100
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER, digest TEXT, day INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sets (
  key BLOB PRIMARY KEY, signature BLOB, digest TEXT, files INTEGER, bytes INTEGER, day INTEGER
) WITHOUT ROWID;
"""

Identity = tuple[int, int, int, int]
"""Size in bytes, mtime and ctime in nanoseconds, inode: with the same ones a file is the same."""


class FileMemory:
    """Hashes of files by path and identity. May be used from several threads."""

    def __init__(self, database: Path) -> None:
        """Opens or makes `database`.

        Raises:
            StoreError: the file cannot be written.
        """
        self._lock = threading.RLock()
        self._path = database
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                for suffix in ("", "-wal", "-shm", "-journal"):
                    Path(f"{database}{suffix}").unlink(missing_ok=True)
                self._connection = self._open()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the file cache {str(database)!r} cannot be opened: {error}", hint="Check that its folder is writable."
            ) from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # Losing the last entries in a power cut costs reading those files again.
            connection.execute("PRAGMA synchronous=OFF")
            connection.executescript(_SCHEMA)
            connection.execute("SELECT count(*) FROM sets").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def hashes(self, folder: bytes, paths: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """What is known of `paths`, all below `folder`: path -> its identity and, last, its hash."""
        columns = "SELECT path, size, mtime, ctime, inode, digest FROM files WHERE path"
        if len(paths) < _FEW:
            rows = self._ask(f"{columns} IN ({', '.join('?' * len(paths))})", paths)
        else:
            # "0" is the character after "/".
            rows = self._ask(f"{columns} > ? AND path < ?", (folder + b"/", folder + b"0"))
        return {row[0]: row[1:] for row in rows}

    def remember_hashes(self, hashes: Iterable[tuple[bytes, Identity, str]]) -> None:
        """Keeps path, identity and hash of files."""
        rows = [(path, *identity, digest, _today()) for path, identity, digest in hashes]
        if rows:
            self._tell("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def file_set(self, key: bytes, signature: bytes) -> tuple[str, int, int] | None:
        """Digest, number of files and bytes of the set `key`, if its signature is still this one."""
        rows = self._ask("SELECT digest, files, bytes FROM sets WHERE key = ? AND signature = ?", (key, signature))
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def remember_set(self, key: bytes, signature: bytes, digest: str, files: int, size: int) -> None:
        """Keeps what `file_set` answers."""
        row = (key, signature, digest, files, size, _today())
        self._tell("INSERT OR REPLACE INTO sets VALUES (?, ?, ?, ?, ?, ?)", [row])

    def _ask(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error:
                return []

    def _tell(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(query, rows)
                for table in ("files", "sets"):
                    self._connection.execute(f"DELETE FROM {table} WHERE day < ?", (_today() - KEPT_DAYS,))
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _today() -> int:
    return int(time.time()) // _DAY
