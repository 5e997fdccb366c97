"""The ledger itself: SQLite, one commit a transition.

Durability: WAL with synchronous=FULL, so a committed transition survives a killed process and a power failure (as far as
the disk keeps its own promises). One process writes at a time (`lock.py`); its threads share one connection.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.errors import KfoldError
from kfold.ledger.lock import LedgerBusy, ProjectLock
from kfold.ledger.records import Effect, Record, State, Transition

__all__ = ["Ledger", "LedgerBusy"]

SCHEMA_VERSION = 1

# AUTOINCREMENT: the number of a record that went is never another's, so a caller with an old record cannot hit a new one
_SCHEMA = f"""
CREATE TABLE effects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    store TEXT NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL,
    config TEXT NOT NULL, mark TEXT NOT NULL, before TEXT NOT NULL, made INTEGER NOT NULL, details TEXT NOT NULL,
    state TEXT NOT NULL, identity TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    UNIQUE (store, kind, place, name)
);
PRAGMA user_version={SCHEMA_VERSION};
"""
_COLUMNS = "id, store, kind, place, name, config, mark, before, made, details, state, identity, created, updated"

Listener = Callable[[Transition, Effect], None]


def _ignore(transition: Transition, effect: Effect) -> None:
    """Nobody listens."""


class Ledger:
    """Records of effects, by (store, kind, place, name).

    `path`: the file; where it is absent and nothing is written, nothing is made. `listener` hears every transition, before
    and after its commit (the crash tests kill the process there).
    """

    def __init__(self, path: Path, *, listener: Listener = _ignore, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._listener = listener
        self._clock = clock
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._lock = ProjectLock(path.with_name("lock"))

    # reading

    def records(self, store: str = "", kind: str = "") -> list[Record]:
        """All records, oldest first; of one store or kind where named. Needs no lock."""
        if self._connection is None and not self.path.exists():
            return []
        condition = "WHERE (? = '' OR store = ?) AND (? = '' OR kind = ?)"
        return self._read(f"SELECT {_COLUMNS} FROM effects {condition} ORDER BY id", (store, store, kind, kind))

    def find(self, effect: Effect) -> Record | None:
        """The record of this effect's (store, kind, place, name), or None."""
        if self._connection is None and not self.path.exists():
            return None
        key = (effect.store, effect.kind, effect.place, effect.name)
        condition = "WHERE store = ? AND kind = ? AND place = ? AND name = ?"
        return next(iter(self._read(f"SELECT {_COLUMNS} FROM effects {condition}", key)), None)

    # writing

    def claim(self) -> None:
        """Become the one process that writes. Raises LedgerBusy, naming who does."""
        # the threads of one run all ask; the kernel would take two open files of one process for two holders
        with self._mutex:
            try:
                state_folder.make(self.path.parent)
                self._lock.acquire(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
            except OSError as error:
                raise self._unusable(error) from error

    def intend(self, effect: Effect, *, anew: bool = False) -> Record:
        """Commit that `effect` is about to be made (or made again). Keeps what was recorded as there before us.

        `anew`: what the record spoke of is gone, and its successor will have another identity.
        """
        self._listener("before-intended", effect)
        now = self._clock()
        with self._mutex:
            known = self.find(effect)
            if known is None:
                cursor = self._execute(
                    f"INSERT INTO effects ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*_row(effect), "intended", "", now, now),
                )
                record = Record(int(cursor.lastrowid or 0), effect, "intended", "", now, now)
            else:
                # what was there before the first intent is what must come back, not what we put there ourselves
                effect = replace(effect, before=known.effect.before, made=known.effect.made)
                identity = "" if anew else known.identity
                record = replace(known, effect=effect, state="intended", identity=identity, updated=now)
                self._write(record)
        self._listener("intended", effect)
        return record

    def done(self, record: Record, identity: str, **details: Any) -> Record:
        """Commit that the effect is there, under `identity`. `details` are added to those of the effect."""
        return self._move(record, "done", identity=identity, details=details)

    def undoing(self, record: Record, *, identity: str | None = None) -> Record:
        """Commit that the reverse is about to run (on `identity`, where that was only learned now)."""
        return self._move(record, "undoing", identity=identity)

    def gone(self, record: Record) -> None:
        """Drop the record: the effect was seen to be gone (or let go: found, adopted, another's now)."""
        self._listener("before-gone", record.effect)
        self._execute("DELETE FROM effects WHERE id = ?", (record.id,))
        self._listener("gone", record.effect)

    def _move(
        self, record: Record, state: State, *, identity: str | None = None, details: dict[str, Any] | None = None
    ) -> Record:
        self._listener("before-done" if state == "done" else "before-undoing", record.effect)
        effect = replace(record.effect, details={**record.effect.details, **(details or {})})
        moved = replace(record, effect=effect, state=state, updated=self._clock())
        if identity is not None:
            moved = replace(moved, identity=identity)
        self._write(moved)
        self._listener("done" if state == "done" else "undoing", effect)
        return moved

    def _write(self, record: Record) -> None:
        cursor = self._execute(
            "UPDATE effects SET store=?, kind=?, place=?, name=?, config=?, mark=?, before=?, made=?, details=?,"
            " state=?, identity=?, updated=? WHERE id=?",
            (*_row(record.effect), record.state, record.identity, record.updated, record.id),
        )
        if not cursor.rowcount:
            raise KfoldError(
                f"the record of {record.effect.kind} {record.effect.name} went while it was worked on",
                hint="Another run took it back at the same time. `doit status` shows what is recorded.",
            )

    # the file

    def _read(self, query: str, values: tuple[Any, ...]) -> list[Record]:
        with self._mutex:
            try:
                return [_record(row) for row in self._execute(query, values).fetchall()]
            except (sqlite3.Error, ValueError, TypeError) as error:
                raise self._unusable(error) from error

    def _execute(self, query: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        with self._mutex:
            try:
                return self._open().execute(query, values)
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                if not self.path.exists():
                    self._create()
                self._refuse_cut()
                connection = _connect(self.path)
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error
            try:
                connection.execute("PRAGMA synchronous=FULL")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != SCHEMA_VERSION:
                    raise self._unknown(version)
            except sqlite3.Error as error:
                connection.close()
                raise self._unusable(error) from error
            except KfoldError:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _create(self) -> None:
        """Make the file under another name first: an empty `ledger.db` is then always one that was damaged.

        Who writes has the claim, so no other process makes one at the same time.
        """
        state_folder.make(self.path.parent)
        new = self.path.with_name(f"{self.path.name}.new")
        new.unlink(missing_ok=True)
        connection = _connect(new, mode="rwc")
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
        finally:
            connection.close()
        new.rename(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _refuse_cut(self) -> None:
        """SQLite reads the missing part of a last page as zeros. Only beside a log can a part of a page be missing."""
        with self.path.open("rb") as file:
            header = file.read(100)
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            return
        size = int.from_bytes(header[16:18], "big") or 1
        if len(header) < 100 or self.path.stat().st_size % (65536 if size == 1 else size):
            raise sqlite3.DatabaseError("it was cut")

    def _unknown(self, version: int) -> KfoldError:
        return KfoldError(
            f"the ledger {self.path} has schema version {version}; this kfold knows {SCHEMA_VERSION}",
            hint="Run the kfold that wrote it (`doit delete`, `doit prune --all` there), or a newer one.",
        )

    def _unusable(self, error: Exception) -> KfoldError:
        damaged = not isinstance(error, (sqlite3.OperationalError, OSError))
        hint = (
            "It records what kfold made. Restore it from a backup, or move it away and remove what is left by hand."
            if damaged
            else "It records what kfold makes, before it is made. Mend that (space, rights), then run this again."
        )
        return KfoldError(f"the ledger {self.path} cannot be used: {error}", hint=hint)

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        self._lock.release()


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10.0, isolation_level=None, check_same_thread=False
    )


def _row(effect: Effect) -> tuple[Any, ...]:
    return (
        effect.store, effect.kind, effect.place, effect.name, effect.config, effect.mark,
        json.dumps(effect.before), int(effect.made), json.dumps(dict(effect.details)),
    )  # fmt: skip


def _record(row: tuple[Any, ...]) -> Record:
    id_, store, kind, place, name, config, mark, before, made, details, state, identity, created, updated = row
    effect = Effect(
        store=store,
        kind=kind,
        place=place,
        name=name,
        config=config,
        mark=mark,
        before=json.loads(before),
        made=bool(made),
        details=json.loads(details),
    )
    return Record(id_, effect, state, identity, created, updated)
