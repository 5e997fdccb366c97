"""The ledger's file: SQLite, made whole or not at all, told apart from a damaged one, brought to the newest schema.

Durability: WAL, so every commit survives a killed process. What claims an effect waits for the disk, too (synchronous=FULL):
it survives a power failure, and so does all before it, as far as the disk keeps its own promises. The other transitions need
not (NORMAL): without them the ledger says what it said before, as after a kill between an act and its record. A wait for the
disk takes 0.5 to 10 ms, and is most of what a transition costs.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.errors import KfoldError
from kfold.ledger.rows import COLUMNS

SCHEMA_VERSION = 3

# AUTOINCREMENT: the number of a record that went is never another's, so a caller with an old record cannot hit a new one
_EFFECTS = """
CREATE TABLE effects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    store TEXT NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL,
    config TEXT NOT NULL, mark TEXT NOT NULL, before TEXT NOT NULL, made INTEGER NOT NULL, details TEXT NOT NULL,
    state TEXT NOT NULL, identity TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    UNIQUE (store, kind, place, name)
);
"""
_IDENTITY = "CREATE TABLE ledger (id TEXT NOT NULL, lost INTEGER NOT NULL);"
# where the ledger lay when it was written last, and the inode of the project's folder: a copy of a folder has another one
_HOME = "ALTER TABLE ledger ADD COLUMN home TEXT NOT NULL DEFAULT ''; ALTER TABLE ledger ADD COLUMN folder INTEGER;"

MIGRATIONS = {1: _IDENTITY + "INSERT INTO ledger VALUES (lower(hex(randomblob(16))), 0);", 2: _HOME}
"""Schema version -> what makes the next one of it. Older versions can be read as they are: `effects` is the same in all."""


class Damaged(KfoldError):
    """The file is no ledger any more: cut, overwritten, or another program's bytes."""


class Database:
    """The file, opened when it is first needed. One connection for all threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._waits = False

    def exists(self) -> bool:
        return self._connection is not None or self.path.exists()

    def execute(self, query: str, values: tuple[Any, ...] = (), *, on_disk: bool = False) -> sqlite3.Cursor:
        """`on_disk`: the commit is on the disk when this returns (see the module). In a transaction its beginning says that.

        Raises Damaged, or KfoldError where the disk does not let it.
        """
        with self._mutex:
            try:
                connection = self.open()
                if on_disk != self._waits and not connection.in_transaction:  # where SQLite takes no such change
                    connection.execute(f"PRAGMA synchronous={'FULL' if on_disk else 'NORMAL'}")
                    self._waits = on_disk
                return connection.execute(query, values)
            except (sqlite3.Error, UnicodeError) as error:  # what is wrong with it may quote bytes that are no text
                raise self.unusable(error) from error

    def open(self) -> sqlite3.Connection:
        """The connection; the file is made where there is none. Raises Damaged, KfoldError."""
        if self._connection is None:
            try:
                if not self.path.exists():
                    self.begin(uuid.uuid4().hex)
                self._refuse_cut()
                connection = _connect(self.path, self._mode())
            except (sqlite3.Error, OSError) as error:
                raise self.unusable(error) from error
            try:
                connection.execute("PRAGMA synchronous=NORMAL")
                self._waits = False
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != SCHEMA_VERSION and version not in MIGRATIONS:
                    raise self._unknown(version)
            except (sqlite3.Error, UnicodeError) as error:
                connection.close()
                raise self.unusable(error) from error
            except KfoldError:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def migrate(self) -> None:
        """Bring an older schema to this one, each step in a transaction. Only for who holds the project's lock."""
        with self._mutex:
            (version,) = self.execute("PRAGMA user_version").fetchone()
            while version != SCHEMA_VERSION:
                try:
                    self.open().executescript(f"BEGIN; {MIGRATIONS[version]} PRAGMA user_version={version + 1}; COMMIT;")
                except sqlite3.Error as error:
                    raise self.unusable(error) from error
                version += 1

    def identity(self) -> str:
        """What tells this ledger from every other, wherever its folder is moved to. Empty before it was migrated."""
        return str(self._about("id") or "")

    def lost(self) -> bool:
        """Whether records were lost for good."""
        return bool(self._about("lost"))

    def home(self) -> tuple[str, int]:
        """Where it lay when it was settled last, and the inode of the project's folder then; ("", 0) where nobody knows."""
        return str(self._about("home", since=3) or ""), int(self._about("folder", since=3) or 0)

    def settle(self, home: str, folder: int, identity: str) -> None:
        """Remember where it lies, under which identity."""
        self.execute("UPDATE ledger SET id = ?, home = ?, folder = ?", (identity, home, folder))

    def _about(self, column: str, *, since: int = 2) -> Any:
        (version,) = self.execute("PRAGMA user_version").fetchone()
        return None if version < since else self.execute(f"SELECT {column} FROM ledger").fetchone()[0]

    def set_aside(self) -> Path:
        """Give a damaged file a second name, its log with it, and return that name. What it holds is kept for a person.

        It stays in its place until the new one takes that: a process that dies in between leaves a damaged ledger, and not
        a project in which nothing was ever recorded.
        """
        with self._mutex:
            self.close()
            number = 1
            while (aside := self.path.with_name(f"ledger.damaged-{number}.db")).exists() and not aside.samefile(self.path):
                number += 1
            if not aside.exists():
                try:
                    os.link(self.path, aside)
                except OSError:  # a file system without links (FAT); half a copy of a killed process has not that name
                    half = aside.with_suffix(".copy")
                    shutil.copyfile(self.path, half)
                    half.rename(aside)
            for ending in ("-wal", "-shm"):
                log = self.path.with_name(self.path.name + ending)
                if log.exists():
                    log.rename(aside.with_name(aside.name + ending))
            return aside

    def begin(
        self, identity: str, rows: Iterable[tuple[Any, ...]] = (), *, home: str = "", folder: int = 0, lost: bool = False
    ) -> str:
        """Make the file, with these rows of `effects`, in the place of a damaged one, whose new name is returned.

        All of it is made under another name first: an empty `ledger.db` is then always one that was damaged, and a process
        that dies here leaves none. Who writes has the claim, so no other process makes one at the same time.
        Raises KfoldError.
        """
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            state_folder.make(self.path.parent)
            for ending in ("", "-journal", "-wal", "-shm"):
                new.with_name(new.name + ending).unlink(missing_ok=True)
            connection = _connect(new, mode="rwc")
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(f"BEGIN; {_EFFECTS}{_IDENTITY}{_HOME}PRAGMA user_version={SCHEMA_VERSION};")
                connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?)", (identity, int(lost), home, folder))
                connection.executemany(f"INSERT INTO effects ({COLUMNS}) VALUES ({', '.join('?' * 14)})", rows)
                connection.execute("COMMIT")
                # last: until then nothing lies in a log that the new name would not lead to
                connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()
            aside = self.set_aside().name if self.path.exists() else ""
            for ending in ("-wal", "-shm"):  # of a file that is gone: SQLite would play that log into this one
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            new.rename(self.path)
            self._sync_folder()
        except (sqlite3.Error, OSError) as error:
            raise self.unusable(error) from error
        return aside

    def _sync_folder(self) -> None:
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

    def _mode(self) -> str:
        """How SQLite opens it. In a folder that may not be written it cannot make the files that it reads a log with: where
        there is no log it has to be told that it needs none."""
        folder, log = self.path.parent, self.path.with_name(f"{self.path.name}-wal")
        writable = os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
        return "rw" if writable or log.exists() else "ro&immutable=1"

    def _unknown(self, version: int) -> KfoldError:
        return KfoldError(
            f"the ledger {self.path} has schema version {version}; this kfold knows {SCHEMA_VERSION}",
            hint="Run the kfold that wrote it (`doit delete`, `doit prune --all` there), or a newer one.",
        )

    def unusable(self, error: Exception) -> KfoldError:
        """The error for a person. Damaged, where no waiting and no room on the disk would help."""
        if isinstance(error, (sqlite3.OperationalError, OSError)):
            hint = "It records what kfold makes, before it is made. Mend that (space, rights), then run this again."
            return KfoldError(f"the ledger {self.path} cannot be used: {error}", hint=hint)
        hint = "It records what kfold made. Restore it from a backup, or move it away and remove what is left by hand."
        return Damaged(f"the ledger {self.path} cannot be used: {error}", hint=hint)

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10.0, isolation_level=None, check_same_thread=False
    )


def is_of(path: Path, identity: str) -> bool:
    """Whether the ledger with this identity lies there. One that cannot be read counts as it."""
    if not path.exists():
        return False
    try:
        connection = _connect(path, mode="ro")
        try:
            return bool(connection.execute("SELECT id FROM ledger").fetchone()[0] == identity)
        finally:
            connection.close()
    except (sqlite3.Error, TypeError):
        return True
