"""The ledger itself: the write-ahead protocol, one commit a transition (or a step of many).

One process writes at a time (`lock.py`); its threads share one connection (`database.py`). Every commit is told to a second
copy outside the project (`journal.py`), from which a ledger that was damaged or removed is restored (`ledger_file.py`).
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.errors import KfoldError
from kfold.ledger import journal
from kfold.ledger.journal import Copy, Journal
from kfold.ledger.ledger_file import LedgerFile
from kfold.ledger.lock import LedgerBusy
from kfold.ledger.records import Effect, Record, State
from kfold.ledger.rows import COLUMNS, row

__all__ = ["Ledger", "LedgerBusy"]

TICK = 1e-6
"""Seconds between two transitions, at the least: four times what a float tells apart at this time of the world."""


class Ledger(LedgerFile):
    """Records of effects, by (store, kind, place, name), and their transitions."""

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

    def note(self, record: Record, **details: Any) -> None:
        """Add to what is recorded of an effect that is under way; without details it is again as in `record`. It is no
        transition: nothing is claimed or confirmed."""
        effect = replace(record.effect, details={**record.effect.details, **details})
        self._write(replace(record, effect=effect))

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
                # what was left is told twice until then: it may go when this ledger has it on the disk, too
                self._execute("UPDATE ledger SET lost = lost", (), on_disk=True)
                journal.inherited(self._journals, self._database.identity(), len(left))
        except OSError as error:
            self._tell(f"what other projects left to this one cannot be read: {error}")

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
