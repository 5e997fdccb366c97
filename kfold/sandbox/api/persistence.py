"""Objects on disk: one SQLite file, written through on every commit.

WAL with synchronous=NORMAL: every commit survives a killed process (`kill -9`), which is what a development cluster
has to survive; after a power failure the file is whole, and the last moments may be missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    grp TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (grp, plural, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

Key = tuple[str, str, str, str]


class Persistence:
    """Where the store's commits go. `path` None keeps nothing (tests of the store alone)."""

    def __init__(self, path: Path | None) -> None:
        # autocommit: a transaction is opened by hand around each commit of two statements
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_TABLES)

    def revision(self) -> int:
        """The last committed resourceVersion; 0 in a new file."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = 'revision'").fetchone()
        return int(row[0]) if row else 0

    def load(self) -> Iterator[tuple[Key, dict[str, Any]]]:
        """Every stored object with its (group, plural, namespace, name)."""
        rows = self._connection.execute("SELECT grp, plural, namespace, name, body FROM objects")
        for group, plural, namespace, name, body in rows:
            yield (group, plural, namespace, name), json.loads(body)

    def write(self, revision: int, key: Key, obj: dict[str, Any] | None) -> None:
        """Commit one change: the object as it is now, or None for a removal, together with the revision."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            if obj is None:
                execute("DELETE FROM objects WHERE grp = ? AND plural = ? AND namespace = ? AND name = ?", key)
            else:
                execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", (*key, json.dumps(obj)))
            execute("INSERT OR REPLACE INTO facts VALUES ('revision', ?)", (revision,))
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._connection.close()
