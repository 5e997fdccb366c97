"""The ledger itself: the write-ahead protocol, one commit a transition (or a step of many).

One process writes at a time (`lock.py`); its threads share one connection (`database.py`). Every commit is told to a second
copy outside the project (`journal.py`), from which a ledger that was damaged or removed is restored.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.errors import KfoldError
from kfold.ledger import journal
from kfold.ledger.database import Damaged, Database
from kfold.ledger.journal import Copy, Journal
from kfold.ledger.lock import LedgerBusy, ProjectLock
from kfold.ledger.origin import Origin, came_back, in_place, moved, origin
from kfold.ledger.records import Effect, Record, State, Transition
from kfold.ledger.rows import COLUMNS, of_row, row

__all__ = ["Ledger", "LedgerBusy"]

TICK = 1e-6
"""Seconds between two transitions, at the least: four times what a float tells apart at this time of the world."""

Listener = Callable[[Transition, Effect], None]
Tell = Callable[[str], None]


def _ignore(transition: Transition, effect: Effect) -> None:
    """Nobody listens."""


def _silent(text: str) -> None:
    """Nobody is told."""


class Ledger:
    """Records of effects, by (store, kind, place, name).

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

    # reading

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

    # writing

    def claim(self) -> None:
        """Become the one process that writes. Raises LedgerBusy, naming who does."""
        # the threads of one run all ask; the kernel would take two open files of one process for two holders
        with self._mutex:
            try:
                state_folder.make(self.path.parent)
                self._lock.acquire(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
            except OSError as error:
                raise self._database.unusable(error) from error
            self._look()
            if self._database.exists():
                self._database.migrate()
                self._own_identity()
                self._inherit()

    def intend(self, effect: Effect, *, anew: bool = False) -> Record:
        """Commit that `effect` is about to be made (or made again), and wait for the disk. Keeps what was recorded as there
        before us.

        `anew`: what the record spoke of is gone, and its successor will have another identity.
        """
        self._listener("before-intended", effect)
        now = self._now()
        with self._mutex:
            known = self.find(effect)
            if known is None:
                cursor = self._execute(
                    f"INSERT INTO effects ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*row(effect), "intended", "", now, now),
                    on_disk=True,
                )
                record = Record(int(cursor.lastrowid or 0), effect, "intended", "", now, now)
                self._copy(record)
            else:
                # what was there before the first intent is what must come back, not what we put there ourselves
                effect = replace(effect, before=known.effect.before, made=known.effect.made)
                identity = "" if anew else known.identity
                record = replace(known, effect=effect, state="intended", identity=identity, updated=now)
                self._write(record, on_disk=True)
        self._listener("intended", effect)
        return record

    def done(self, record: Record, identity: str, **details: Any) -> Record:
        """Commit that the effect is there, under `identity`. `details` are added to those of the effect."""
        return self._move(record, "done", identity=identity, details=details)

    def undoing(self, record: Record, *, identity: str | None = None) -> Record:
        """Commit that the reverse is about to run (on `identity`, where that was only learned now)."""
        return self._move(record, "undoing", identity=identity)

    def gone(self, record: Record) -> None:
        """Drop the record: the effect was seen to be gone (or let go: found, adopted, another's now).

        Raises KfoldError where another project left it to this one meanwhile: it is to be taken back now."""
        self._listener("before-gone", record.effect)
        with self._mutex:
            if record.effect.made or record.effect.store == "cluster" or not self._let_go(record):
                self._drop(record)
        self._listener("gone", record.effect)

    def _drop(self, record: Record) -> None:
        self._execute("DELETE FROM effects WHERE id = ?", (record.id,))
        self._copy(record, gone=True)

    def _let_go(self, record: Record) -> bool:
        """Drop what was found, so that who looks whether to leave it to this project sees it, or that it went. Whether it
        could be done so."""
        if self._journals is None or not self._copies:
            return False
        try:
            with journal.let_go(self._journals, self._database.identity(), record) as free:
                if free:
                    self._drop(record)
        except OSError:
            return False
        if not free:  # it is inherited by the next claim: who calls this has records in hand that know nothing of it
            raise KfoldError(f"another checkout left {record.effect.name} to this one a moment ago", hint="Run this again.")
        return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is committed at once: a commit waits for the disk, and a hundred objects are one step of a
        deletion. No other thread writes meanwhile; so nothing slow belongs inside.
        """
        with self._mutex:
            self._look()
            if not self._database.exists():
                yield
                return
            self._execute("BEGIN IMMEDIATE", (), on_disk=True)
            self._held = []
            try:
                yield
            finally:
                held, self._held = self._held, None
                # also after an error: what was written until then is true
                self._execute("COMMIT", ())
                for record, gone in held:
                    self._copy(record, gone=gone)

    def bequeath(self, record: Record, *heirs: Copy) -> None:
        """Leave the effect to another project's ledger, which knows it as found: it is its to take back from now on. Of a
        hook: let those ledgers know that it was taken back here."""
        for heir in heirs:
            assert self._journals is not None
            try:
                journal.bequeath(self._journals, heir.identity, record)
            except OSError as error:
                raise KfoldError(f"{record.effect.name} cannot be left to {heir.project}: {error}") from error
        self.gone(record)

    def leave(self, record: Record, heir: Copy, as_known: Callable[[Sequence[Record]], Record | None]) -> bool:
        """Leave the effect to another project's ledger as `bequeath` does, if that still has to do with it: `as_known` tells
        of its records how it will know this one. False: it let go meanwhile."""
        assert self._journals is not None
        # first, and told: an heir that lets go at once would leave it to us, who are about to forget it
        record = self.undoing(record)
        left = as_known(heir.records)
        try:
            done = left and journal.bequeath(self._journals, heir.identity, left, lambda records: bool(as_known(records)))
        except OSError as error:
            raise KfoldError(f"{record.effect.name} cannot be left to {heir.project}: {error}") from error
        if done:
            self.gone(record)
        return bool(done)

    def moved_by_others(self, record: Record, ours: Iterable[str]) -> None:
        """Drop the record of a name that points at none of `ours` (identities) any more. A project that moved it on from
        one of them inherits what it pointed at before."""
        for heir in self.others():
            for mine in (replace(record, identity=identity) for identity in ours):
                if any(theirs.moved_on(mine) for theirs in heir.records):
                    self.bequeath(mine, heir)
                    return
        self.gone(record)

    def _now(self) -> float:
        """The time of a transition: later than all that are recorded, though the clock was set back since. What is the
        newest, for `prune`, is what was used last."""
        with self._mutex:
            if self._newest is None:
                try:
                    self._newest = float(self._execute("SELECT MAX(updated) FROM effects", ()).fetchone()[0] or 0.0)
                except (sqlite3.Error, ValueError) as error:
                    raise self._database.unusable(error) from error
            self._newest = max(self._clock(), self._newest + TICK)
            return self._newest

    def _move(
        self, record: Record, state: State, *, identity: str | None = None, details: dict[str, Any] | None = None
    ) -> Record:
        self._listener("before-done" if state == "done" else "before-undoing", record.effect)
        effect = replace(record.effect, details={**record.effect.details, **(details or {})})
        moved = replace(record, effect=effect, state=state, updated=self._now())
        if identity is not None:
            moved = replace(moved, identity=identity)
        self._write(moved)
        self._listener("done" if state == "done" else "undoing", effect)
        return moved

    def _write(self, record: Record, *, on_disk: bool = False) -> None:
        with self._mutex:
            if not self._rewrite(record, on_disk=on_disk):
                raise KfoldError(
                    f"the record of {record.effect.kind} {record.effect.name} went while it was worked on",
                    hint="Another run took it back at the same time. `doit status` shows what is recorded.",
                )
            self._copy(record)

    def _rewrite(self, record: Record, *, on_disk: bool = False) -> bool:
        """Commit it to the ledger alone. False: it is not there any more."""
        cursor = self._execute(
            "UPDATE effects SET store=?, kind=?, place=?, name=?, config=?, mark=?, before=?, made=?, details=?,"
            " state=?, identity=?, updated=? WHERE id=?",
            (*row(record.effect), record.state, record.identity, record.updated, record.id),
            on_disk=on_disk,
        )
        return bool(cursor.rowcount)

    # the file and its copy

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

    def _inherit(self) -> None:
        """Own what another project left to this one: known as found, to be taken back by us now. Of a hook it says that it
        was taken back."""
        if self._journals is None:
            return
        try:
            left = journal.inherit(self._journals, self._database.identity())
            for theirs in left:
                if isinstance(theirs, str):
                    self._tell(f"a line of what other projects left to this one is torn, and passed over: {theirs[:80]}")
                    continue
                known = self.find(theirs.effect)
                if known and theirs.effect.kind == "hook":
                    if known.updated <= theirs.updated:  # it did not run again since
                        self.gone(known)  # another checkout took it back
                elif theirs.effect.kind == "manifest" and not (known and known.identity):
                    self.done(self.intend(theirs.effect), theirs.identity)  # this one has a tag of it only
                elif known and known.moved_on(theirs):
                    # what was there before us was theirs, and goes: what was there before them is what comes back
                    self._write(replace(known, effect=replace(known.effect, before=theirs.effect.before)))
                elif known and known.identity == theirs.identity and not known.effect.made:
                    # `derived` (in nodes): whether names came with it that are to go with it. We found them there
                    mine, left_with = known.effect.details, theirs.effect.details
                    details = {**mine, **{key: left_with[key] for key in ("derived",) if key in left_with}}
                    effect = replace(known.effect, made=theirs.effect.made, before=theirs.effect.before, details=details)
                    self._write(replace(known, effect=effect))
            if left:
                journal.inherited(self._journals, self._database.identity(), len(left))
        except OSError as error:
            self._tell(f"what other projects left to this one cannot be read: {error}")

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

    def close(self, *, nothing_left: Callable[[], None] | None = None) -> None:
        """Bring the second copy up to date and let go of the file and the lock.

        `nothing_left` is called first where nobody else is writing, and nothing is recorded any more; not while records are
        lost that nobody looked for.
        """
        with self._mutex:
            records: list[Record] | None = None
            lost = True
            try:
                if nothing_left and self.path.parent.is_dir():
                    with suppress(LedgerBusy):
                        self.claim()
                if self._lock.held:
                    records, lost = self.records(), self.lost
                    if not records and self._journals and self._copies and not self._journal and self._database.exists():
                        # of a run that was killed right after its last commit: it would bring back what is gone
                        self._journal = Journal(self._journals, self._database.identity())
                if self._journal is not None and records:
                    self._journal.begin(self.path, records)
                elif self._journal is not None:
                    self._journal.end()
            except (OSError, KfoldError) as error:
                self._tell(f"the ledger's second copy cannot be kept: {error}")
            self._journal = None
            self._database.close()
            if nothing_left and records == [] and not lost:
                nothing_left()
            self._lock.release()
