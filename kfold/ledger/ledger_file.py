"""The ledger's file and its second copy: read, restored where it is damaged or gone, told from copies of its folder."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.ledger import journal
from kfold.ledger.database import Damaged, Database
from kfold.ledger.journal import Copy, Journal
from kfold.ledger.lock import ProjectLock
from kfold.ledger.origin import Origin, came_back, in_place, moved, origin
from kfold.ledger.records import Effect, Record, Transition
from kfold.ledger.rows import COLUMNS, of_row, row

Listener = Callable[[Transition, Effect], None]
Tell = Callable[[str], None]


def _ignore(transition: Transition, effect: Effect) -> None:
    """Nobody listens."""


def _silent(text: str) -> None:
    """Nobody is told."""


class LedgerFile:
    """What every use of a ledger needs, whether it writes or not.

    `path`: the file; where it is absent and nothing is written, nothing is made. `listener` hears every transition, before
    and after its commit (the crash tests kill the process there). `journals` gives the folder of all ledgers' second
    copies, asked when it is first needed (None: no copy is kept). `tell` gets what a person has to know: that the ledger
    was damaged, and what came of it.
    """

    def __init__(
        self,
        path: Path,
        *,
        journals: Callable[[], Path] | None = None,
        listener: Listener = _ignore,
        clock: Callable[[], float] = time.time,
        tell: Tell = _silent,
    ) -> None:
        self.path = path
        self._listener = listener
        self._clock = clock
        self._tell = tell
        self._mutex = threading.RLock()
        self._database = Database(path)
        self._lock = ProjectLock(path.with_name("lock"))
        self._folder = journals
        self._journal: Journal | None = None
        self._copies = True
        self._looked = journals is None
        self._held: list[tuple[Record, bool]] | None = None
        self._newest: float | None = None

    def records(self, store: str = "", kind: str = "") -> list[Record]:
        """All records, oldest first; of one store or kind where named. Needs no lock."""
        condition = "WHERE (? = '' OR store = ?) AND (? = '' OR kind = ?)"
        return self._read(f"SELECT {COLUMNS} FROM effects {condition} ORDER BY id", (store, store, kind, kind))

    def find(self, effect: Effect) -> Record | None:
        """The record of this effect's (store, kind, place, name), or None."""
        key = (effect.store, effect.kind, effect.place, effect.name)
        condition = "WHERE store = ? AND kind = ? AND place = ? AND name = ?"
        return next(iter(self._read(f"SELECT {COLUMNS} FROM effects {condition}", key)), None)

    @property
    def identity(self) -> str:
        """What tells this ledger from every other one, wherever its folder is moved to; "" where there is none yet."""
        self._look()
        return self._database.identity() if self._database.exists() else ""

    @property
    def held_since(self) -> float:
        """When this process became the one that writes, in seconds since the epoch."""
        return self._lock.since

    @property
    def lost(self) -> bool:
        """Whether records were lost for good, and were not looked for yet in what the stores tell (`found_again`)."""
        self._look()
        return self._database.exists() and self._database.lost()

    def lose(self) -> None:
        """Records were lost for good, this ledger's file with them."""
        self._execute("UPDATE ledger SET lost = 1", ())

    def found_again(self) -> None:
        """What the stores could tell of lost records is recorded."""
        self._execute("UPDATE ledger SET lost = 0", ())

    def others(self) -> list[Copy]:
        """What the ledgers of all other projects of this user say that have them still, by their second copies."""
        if self._journals is None:
            return []
        own = self._database.identity() if self._database.exists() else ""
        found = (copy for copy in journal.copies(self._journals) if copy.identity != own)
        return [there for copy in found if (there := in_place(copy))]

    # the file and its copy

    def _rewrite(self, record: Record, *, on_disk: bool = False) -> bool:
        """Commit it to the ledger alone. False: it is not there any more."""
        cursor = self._execute(
            "UPDATE effects SET store=?, kind=?, place=?, name=?, config=?, mark=?, before=?, made=?, details=?,"
            " state=?, identity=?, updated=? WHERE id=?",
            (*row(record.effect), record.state, record.identity, record.updated, record.id),
            on_disk=on_disk,
        )
        return bool(cursor.rowcount)

    @cached_property
    def _journals(self) -> Path | None:
        return self._folder() if self._folder else None

    def _read(self, query: str, values: tuple[Any, ...]) -> list[Record]:
        with self._mutex:
            self._look()
            if not self._database.exists():
                return []
            try:
                return [of_row(values) for values in self._database.execute(query, values).fetchall()]
            except (sqlite3.Error, ValueError, TypeError) as error:
                raise self._database.unusable(error) from error

    def _execute(self, query: str, values: tuple[Any, ...], *, on_disk: bool = False) -> sqlite3.Cursor:
        self._look()
        return self._database.execute(query, values, on_disk=on_disk)

    def _look(self) -> None:
        """Once: is the ledger there, and whole? If not, restore it from its second copy, and say so.

        Raises LedgerBusy where another process holds the project's lock.
        """
        with self._mutex:
            if self._looked:
                return
            damage = ""
            try:
                if self._database.exists():
                    self._database.open()
                    self._looked = True
                    return
            except Damaged as error:
                damage = error.message
            copy = journal.of_project(self._journals, self.path) if self._journals else None
            if not damage and not (copy and copy.records):
                self._looked = True
                return
            held = self._lock.held
            state_folder.make(self.path.parent)
            try:
                self._lock.acquire(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
                self._restore(damage, copy)
            except OSError as error:
                raise self._database.unusable(error) from error
            finally:
                if not held:
                    self._lock.release()
            self._looked = True

    def _restore(self, damage: str, copy: Copy | None) -> None:
        what = damage or f"the ledger {self.path} is gone"
        if copy is None:
            aside = self._database.begin(uuid.uuid4().hex, lost=True)
            what += f"; it was set aside as {aside}"
            self._tell(f"{what}. There is no second copy of it: what it recorded has to be found again")
            return
        records, identity = copy.records, copy.identity
        if copy.folder != journal.inode(self.path):
            # another folder stood here: it may have been moved, and is that ledger still. The copy is ours from now on, and
            # not before and after: whenever this process dies, one copy tells these records, and they come back once
            assert self._journals is not None
            identity = Journal(self._journals, identity).renamed(uuid.uuid4().hex)
            records = tuple(moved(record, str(copy.ledger), copy.folder) for record in records)
        rows = [(r.id, *row(r.effect), r.state, r.identity, r.created, r.updated) for r in records]
        aside = self._database.begin(identity, rows, home=str(copy.ledger), folder=copy.folder)
        if aside:
            what += f"; it was set aside as {aside}"
        count = len(copy.records)
        self._tell(f"{what}. Its {count} record{'s' * (count != 1)} came back from the second copy of {copy.identity[:8]}")

    def _copy(self, record: Record, *, gone: bool = False) -> None:
        """Tell a commit to the second copy. One that cannot be written is told once, and done without."""
        if self._journals is None or not self._copies:
            return
        if self._held is not None:  # the copy may not say what a rollback takes back
            self._held.append((record, gone))
            return
        try:
            if self._journal is None:
                self._begin_copy(self._own_identity())
            elif gone:
                self._journal.drop(record)
            else:
                self._journal.add(record)
        except OSError as error:
            self._do_without_copy(error)

    def _begin_copy(self, identity: str) -> None:
        if self._journals is not None and self._copies:
            self._journal = Journal(self._journals, identity)
            self._journal.begin(self.path, self.records())

    def _do_without_copy(self, error: OSError) -> None:
        self._tell(f"the ledger's second copy in {self._journals} cannot be kept: {error}")
        # what other projects' copies say counts all the same
        self._copies, self._journal = False, None

    def _own_identity(self) -> str:
        """This ledger's identity: a new one, where it is the copy of a ledger whose folder still is in its place. What hooks
        did is that folder's, where they ran. A copy whose first folder is gone is its heir."""
        identity = self._database.identity()
        if self._journals is None:
            return identity
        (home, folder), here, inode = self._database.home(), str(self.path.absolute()), journal.inode(self.path)
        if (home, folder) == (here, inode):
            return identity
        found = origin(self._journals, identity, Path(home) if home else None, folder, self.path)
        hooks = [came_back(record, here, inode) for record in self.records(kind="hook")]
        if found.is_copy:
            self._leave_hooks(hooks, found, home, folder)
            identity = uuid.uuid4().hex
        elif home:
            unsure = folder != inode and home != here
            for record in hooks:
                self._rewrite(moved(record, home, folder) if unsure and found.is_moved(record) else record)
            try:
                # before it is settled: of several copies whose first folder is gone, the one that is used first is the heir
                self._begin_copy(identity)
            except OSError as error:
                self._do_without_copy(error)
        self._database.settle(here, inode, identity)
        return identity

    def _leave_hooks(self, hooks: list[Record], found: Origin, home: str, folder: int) -> None:
        """In a copy: drop the hooks that another folder has, or the cluster, and say so."""
        left = [record for record in hooks if found.owner or record.effect.details.get("copy")]
        for record in hooks:
            if record in left:
                self._execute("DELETE FROM effects WHERE id = ?", (record.id,))
            else:
                self._rewrite(moved(record, home, folder))
        if undone := [record for record in left if record.effect.details.get("undo")]:
            project = found.owner or Path(home).parent.parent
            count = f"{len(undone)} hook{'s' * (len(undone) != 1)}"
            self._tell(f"this folder is a copy of {project}: what {count} did there is taken back there, and not here")
