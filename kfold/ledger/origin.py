"""Whose records a ledger has that lies in another folder than when it was written last: moved there, or a copy.

Its second copy is the judge. It says where the ledger was written last, and what was not taken back then.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from kfold.ledger import database, journal
from kfold.ledger.journal import Copy, Journal
from kfold.ledger.records import Record, is_moved
from kfold.state_folder import INODE


@dataclass(frozen=True)
class Origin:
    """`owner`: the project's folder whose ledger this one was copied from, and which still has it, or gets it back from the
    second copy; None where there is none. `cleaned`: that folder is there, and its ledger is not any more. `sure`: what
    the second copy tells that nobody took back."""

    owner: Path | None
    cleaned: bool = False
    sure: tuple[Record, ...] = ()

    @property
    def is_copy(self) -> bool:
        return self.owner is not None or self.cleaned

    def is_moved(self, record: Record) -> bool:
        """Whether a hook may have been taken back in the folder in which it ran."""
        return not any(one.is_of(record) and not is_moved(one) for one in self.sure)


def origin(journals: Path, identity: str, home: Path | None, folder: int, here: Path) -> Origin:
    """Of the ledger `here`, which was at `home` when it was settled last (None: nobody knows), in a project's folder with
    the inode `folder`."""
    known = journal.read(Journal(journals, identity).path)
    places = dict.fromkeys(place for place in (known and known.ledger, home) if place)
    # the inode alone does not tell: the top folder of every volume has the same one
    others = [place for place in places if not journal.is_same_folder(place, here)]
    for place in others:
        if database.is_of(place, identity):
            return Origin(place.parent.parent)
    if known:
        comes_back = known.ledger in others and known.records and journal.inode(known.ledger) == known.folder != 0
        return Origin(known.project) if comes_back else Origin(None, sure=known.records)
    return Origin(None, cleaned=home in others and journal.inode(home) == folder != 0)


def in_place(copy: Copy) -> Copy | None:
    """The copy of a ledger that its project has still, with the place where it is now; None where nobody has it any more.

    One that is gone alone comes back from the copy. A project that was renamed is found beside its old place; moved anywhere
    else, it cannot be told from one that was removed until it runs again.
    """
    if database.is_of(copy.ledger, copy.identity):
        return copy
    if copy.ledger.exists() or not copy.folder or not copy.records:
        return None
    if journal.inode(copy.ledger) == copy.folder:
        return copy
    try:
        with os.scandir(copy.project.parent) as beside:
            same = [Path(entry.path) for entry in beside if entry.inode() & INODE == copy.folder and entry.is_dir()]
    except OSError:
        return None
    places = (folder / copy.ledger.relative_to(copy.project) for folder in same)
    return next((replace(copy, ledger=place) for place in places if database.is_of(place, copy.identity)), None)


def moved(record: Record, home: str, folder: int) -> Record:
    """The same, as it is known in a folder that is not the one in which it ran; what is no hook, or known so, as it was."""
    if record.effect.kind != "hook" or is_moved(record):
        return record
    return replace(record, effect=replace(record.effect, details={**record.effect.details, "moved": [home, folder]}))


def came_back(record: Record, here: str, folder: int) -> Record:
    """The same, where this is the folder in which it ran."""
    details = dict(record.effect.details)
    if details.get("moved") == [here, folder]:
        del details["moved"]
    return replace(record, effect=replace(record.effect, details=details))
