"""Second copies of ledgers, in one folder of the user: what a ledger is restored from, and how checkouts know each other.

One file a ledger, named by its identity. Its first line tells where the ledger lies; each later line is one transition. It
is appended to after the ledger's own commit and without a sync: a killed process loses at most the newest line, a power
failure the newest lines. Whoever opens the ledger to write begins the file anew from it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfold.ledger.lock import ProjectLock
from kfold.ledger.records import Effect, Record
from kfold.state_folder import INODE


@dataclass(frozen=True)
class Copy:
    """What a journal tells: which ledger (its `identity`), of which file, and its records, oldest first. `folder`: the inode
    of the project's folder."""

    identity: str
    ledger: Path
    records: tuple[Record, ...]
    folder: int = 0

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.ledger.parent.parent

    @property
    def is_written(self) -> bool:
        """Whether a run works on that project now."""
        return ProjectLock.is_taken(self.ledger.with_name("lock"))

    @property
    def written_since(self) -> float | None:
        """Since when, in seconds since the epoch; None where that cannot be told."""
        return ProjectLock.taken_since(self.ledger.with_name("lock"))


class Journal:
    """The copy of one ledger, while it is written."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.path = folder / f"{identity}.jsonl"

    def begin(self, ledger: Path, records: list[Record]) -> None:
        """Make the file anew, of these records. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = {"ledger": str(ledger.absolute()), "folder": inode(ledger)}
        lines = [json.dumps(first), *(_line(record) for record in records)]
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.path)

    def add(self, record: Record) -> None:
        """A transition. Raises OSError."""
        self._append(_line(record))

    def drop(self, record: Record) -> None:
        """The record went. Raises OSError."""
        self._append(json.dumps({"gone": record.id}))

    def renamed(self, identity: str) -> str:
        """It is the copy of that ledger from now on. Returns the identity. Raises OSError."""
        self.path = self.path.rename(self.path.with_stem(identity))
        return identity

    def end(self) -> None:
        """Nothing is recorded any more: no copy is needed."""
        self.path.unlink(missing_ok=True)

    def _append(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")


def read(path: Path) -> Copy | None:
    """The copy in a file; None where it holds none (cut before its first line's end, gone meanwhile). Never raises."""
    records: dict[int, Record] = {}
    try:
        first, *lines = path.read_text(errors="replace").splitlines()
        about = json.loads(first)
        ledger, folder = Path(about["ledger"]), int(about.get("folder", 0))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for line in lines:
        try:
            said = json.loads(line)
            if "gone" in said:
                records.pop(said["gone"], None)
            else:
                record = _record(said)
                records[record.id] = record
        except (ValueError, KeyError, TypeError):
            continue  # the newest line of a writer that was killed
    return Copy(path.stem, ledger, tuple(records[number] for number in sorted(records)), folder)


def inode(ledger: Path) -> int:
    """What tells a project's folder from a copy of it, and not from where it is moved to; 0 where it is not there."""
    try:
        return ledger.absolute().parent.parent.stat().st_ino & INODE
    except OSError:
        return 0


def is_same_folder(one: Path, other: Path) -> bool:
    """Whether both ledgers' paths lead to the same folder, as they do through a bind mount."""
    try:
        return one.parent.samefile(other.parent)
    except OSError:
        return False


def copies(folder: Path) -> list[Copy]:
    """Every copy in the folder."""
    return [copy for path in sorted(folder.glob("*.jsonl")) if (copy := read(path))]


def of_project(folder: Path, ledger: Path) -> Copy | None:
    """The copy of the ledger that lay at this path; the one with most records, where several did."""
    found = [copy for copy in copies(folder) if copy.ledger == ledger.absolute()]
    return max(found, key=lambda copy: len(copy.records), default=None)


@contextmanager
def _bequests(folder: Path, identity: str) -> Iterator[Path]:
    """The file of what was left to a ledger, for one process at a time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "bequests.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / f"{identity}.bequests"
    finally:
        os.close(lock)


def bequeath(folder: Path, identity: str, record: Record, still: Callable[[Sequence[Record]], bool] | None = None) -> bool:
    """Leave the effect of `record` to the ledger `identity`, which knows the same thing as found: it is its to take back.

    `still`: whether it still knows it, of the records that it has by now; False is returned where not. Raises OSError."""
    with _bequests(folder, identity) as path:
        if still is not None:
            copy = read(Journal(folder, identity).path)
            if not still(copy.records if copy else ()):
                return False
        with path.open("a+b") as file:
            torn = file.tell() and path.read_bytes()[-1:] != b"\n"  # by a writer that was killed
            file.write(b"\n" * bool(torn) + _line(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    return True


@contextmanager
def let_go(folder: Path, identity: str, record: Record) -> Iterator[bool]:
    """Whether nobody has left the effect of `record` to this ledger, nor can meanwhile. Raises OSError."""
    with _bequests(folder, identity) as path:
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        left = (_bequest(line) for line in lines)
        yield not any(isinstance(one, Record) and one.is_of(record) for one in left)


def inherit(folder: Path, identity: str) -> list[Record | str]:
    """What was left to this ledger, as text where that cannot be read. It stays left until `inherited`. Raises OSError."""
    if not (folder / f"{identity}.bequests").exists():
        return []
    with _bequests(folder, identity) as path:
        return [_bequest(line) for line in path.read_text(errors="replace").splitlines()] if path.exists() else []


def inherited(folder: Path, identity: str, count: int) -> None:
    """The first `count` of what was left is in the ledger now."""
    with _bequests(folder, identity) as path:
        rest = path.read_text(errors="replace").splitlines()[count:]
        if rest:
            new = path.with_suffix(".new")  # what another project left is nowhere else: never a moment without it
            with new.open("w") as file:
                file.write("".join(f"{line}\n" for line in rest))
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
        else:
            path.unlink()


def _line(record: Record) -> str:
    # dataclasses.asdict copies all that is in it first, and takes longer than the commit
    return json.dumps({**vars(record), "effect": vars(record.effect)})


def _bequest(line: str) -> Record | str:
    try:
        return _record(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return line


def _record(said: dict[str, Any]) -> Record:
    return Record(**{**said, "effect": Effect(**said["effect"])})
