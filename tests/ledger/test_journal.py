"""The ledger's second copy: what a damaged or removed ledger is restored from, and how checkouts know each other."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfold.errors import KfoldError
from kfold.ledger import Ledger, Record, is_moved
from kfold.ledger import journal as copies
from kfold.ledger.database import Database
from tests.engine import run
from tests.ledger.effects import effect


class Desk:
    """Projects of one user, and what their ledgers told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journals = folder / "state" / "ledgers"
        self.told: list[str] = []

    def path(self, project: str = "shop") -> Path:
        return self.folder / project / ".kfold" / "ledger.db"

    def open(self, project: str = "shop", **options: Any) -> Ledger:
        return Ledger(self.path(project), journals=lambda: self.journals, tell=self.told.append, **options)

    def fill(self, project: str = "shop", count: int = 3, **changes: Any) -> list[Record]:
        ledger = self.open(project)
        ledger.claim()
        for number in range(count):
            ledger.done(ledger.intend(effect(f"image{number}", **changes)), f"id{number}", size=number)
        ledger.close()
        return self.records(project)

    def records(self, project: str = "shop") -> list[Record]:
        ledger = self.open(project)
        try:
            return ledger.records()
        finally:
            ledger.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_removed_folder_comes_back(desk: Desk) -> None:
    records = desk.fill()
    assert len(records) == 3
    shutil.rmtree(desk.path().parent)
    assert desk.records() == records
    (told,) = desk.told
    assert str(desk.path()) in told and "3 records came back" in told
    desk.told.clear()
    assert desk.records() == records and desk.told == []


def test_what_is_written_after_that_stays(desk: Desk) -> None:
    desk.fill()
    shutil.rmtree(desk.path().parent)
    ledger = desk.open()
    ledger.claim()
    ledger.gone(ledger.undoing(ledger.records()[0]))
    ledger.done(ledger.intend(effect("new")), "id-new")
    ledger.close()
    shutil.rmtree(desk.path().parent)
    assert [record.effect.name for record in desk.records()] == ["image1", "image2", "new"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 12_287))
def test_a_cut_ledger_comes_back(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    records = desk.fill()
    assert length < desk.path().stat().st_size
    os.truncate(desk.path(), length)
    assert desk.records() == records
    (told,) = desk.told
    assert "set aside as ledger.damaged-1.db" in told
    assert desk.path().with_name("ledger.damaged-1.db").stat().st_size == length


def test_a_damaged_ledger_without_a_copy_says_that_it_is_lost(desk: Desk) -> None:
    desk.fill()
    shutil.rmtree(desk.journals)
    desk.path().write_bytes(b"x" * 5000)
    assert desk.records() == []
    assert "has to be found again" in desk.told[0]
    ledger = desk.open()
    assert ledger.lost, "whoever comes next has to look, too"
    ledger.claim()
    ledger.found_again()
    assert not ledger.lost
    ledger.close()


class Killed(BaseException):
    """The process ends here."""


def kill(*arguments: object, **options: object) -> None:
    raise Killed


def test_killed_while_a_damaged_ledger_is_set_aside(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes next knows that records were lost, and a person finds the damaged file, once."""
    moments = 0
    for moment in range(1, 4):
        desk.fill()
        shutil.rmtree(desk.journals)
        desk.path().write_bytes(b"x" * 5000)
        left = moment

        def killed(act: Any) -> Any:
            def acts(*arguments: Any, **options: Any) -> Any:
                nonlocal left, moments
                left -= 1
                if not left:
                    moments += 1
                    raise Killed
                return act(*arguments, **options)

            return acts

        with monkeypatch.context() as patch, suppress(Killed):
            for where, name in ((os, "link"), (Path, "rename")):
                patch.setattr(where, name, killed(getattr(where, name)))
            desk.records()
        ledger = desk.open()
        assert ledger.lost and ledger.records() == [], f"killed before change {moment}"
        ledger.close()
        (aside,) = desk.path().parent.glob("ledger.damaged-*.db")
        assert aside.read_bytes() == b"x" * 5000
        shutil.rmtree(desk.path().parent)
    assert moments == 2, "its second name, the new ledger"


@pytest.mark.parametrize("occurrence", range(1, 9))
def test_a_killed_process_leaves_a_true_copy(desk: Desk, occurrence: int) -> None:
    """Killed right after a commit: the copy may lack that one transition, and nothing else."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom kfold.ledger import Effect, Ledger\n"
        "count = 0\n"
        "def listen(heard, effect):\n"
        "    global count\n"
        "    count += not heard.startswith('before')\n"
        "    if count == int(sys.argv[3]): os.kill(os.getpid(), 9)\n"
        "ledger = Ledger(Path(sys.argv[1]), journals=lambda: Path(sys.argv[2]), listener=listen)\n"
        "ledger.claim()\n"
        "for n in range(2):\n"
        "    record = ledger.done(ledger.intend(Effect('engine', 'image', 'p', f'image{n}', 'c')), f'id{n}')\n"
        "    ledger.gone(ledger.undoing(record))\n"
    )
    done = run([sys.executable, "-c", code, desk.path(), desk.journals, str(occurrence)], folder=desk.folder)
    assert done.code == -signal.SIGKILL, done.output
    committed = desk.records()
    shutil.rmtree(desk.path().parent)
    assert desk.records() == committed
    assert bool(committed) == (occurrence not in (4, 8))


def test_what_is_gone_does_not_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the last record's end was committed, and before the copy was told."""
    desk.fill(count=1)
    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(copies.Journal, "drop", kill)
        ledger = desk.open()
        ledger.claim()
        ledger.gone(ledger.undoing(ledger.records()[0]))
    ledger._database.close(), ledger._lock.release()
    ledger = desk.open()
    ledger.close(nothing_left=lambda: shutil.rmtree(desk.path().parent))
    assert not desk.path().parent.exists()
    assert desk.records() == [] and desk.told == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_while_a_ledger_comes_back_under_a_new_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another folder stands where the first one was: its records come back once, with the mark that its hooks ran in
    another one; and what is taken back then does not come again."""
    desk.fill(count=2, store="host", kind="hook")
    (desk.folder / "shop").rename(desk.folder / "moved")
    (desk.folder / "shop").mkdir()
    begin = Database.begin

    def killed(*arguments: Any, **options: Any) -> Any:
        if moment == "after":
            begin(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Database, "begin", killed)
        desk.records()
    ledger = desk.open()
    ledger.claim()
    assert [is_moved(record) for record in ledger.records()] == [True, True]
    assert [copy.identity for copy in copies.copies(desk.journals)] == [ledger.identity]
    for record in ledger.records():
        ledger.gone(record)
    ledger.close(nothing_left=lambda: shutil.rmtree(desk.path().parent))
    desk.told.clear()
    assert desk.records() == [] and desk.told == []


def test_an_empty_ledger_keeps_no_copy(desk: Desk) -> None:
    desk.fill(count=1)
    assert len(copies.copies(desk.journals)) == 1
    ledger = desk.open()
    ledger.claim()
    ledger.gone(ledger.undoing(ledger.records()[0]))
    ledger.close()
    assert copies.copies(desk.journals) == []
    shutil.rmtree(desk.path().parent)
    assert desk.records() == [] and not desk.path().parent.exists() and desk.told == []


def test_a_copy_that_cannot_be_written_is_told_once(desk: Desk) -> None:
    desk.journals.parent.mkdir()
    desk.journals.write_text("a file in the way")
    assert len(desk.fill()) == 3
    assert len([told for told in desk.told if "second copy" in told]) == 1, desk.told


def test_checkouts_know_each_other(desk: Desk) -> None:
    desk.fill("one"), desk.fill("two", count=1)
    ledger = desk.open("one")
    (other,) = ledger.others()
    ledger.close()
    assert other.project == desk.folder / "two" and other.records == tuple(desk.records("two"))
    shutil.rmtree(desk.folder / "two")
    ledger = desk.open("one")
    assert ledger.others() == [], "nobody is there who could use it"
    ledger.close()


def test_a_checkout_counts_before_it_runs_again(desk: Desk) -> None:
    """Renamed, or without the ledger, which comes back from the second copy: what it found is left to it."""
    desk.fill("maker", count=2), desk.fill("finder", count=2, made=False)
    maker = desk.open("maker")
    maker.claim()
    first, second = maker.records()
    (desk.folder / "finder").rename(desk.folder / "renamed")
    (heir,) = maker.others()
    assert heir.project == desk.folder / "renamed"
    maker.bequeath(first, heir)
    assert [record.effect.made for record in _claimed(desk, "renamed")] == [True, False]
    shutil.rmtree(desk.path("renamed").parent)
    (heir,) = maker.others()
    maker.bequeath(second, heir)
    assert [record.effect.made for record in _claimed(desk, "renamed")] == [True, True]
    (desk.folder / "another").mkdir()
    shutil.rmtree(desk.folder / "renamed")
    assert maker.others() == []
    maker.close()


def _claimed(desk: Desk, project: str) -> list[Record]:
    """What a project has recorded once it runs."""
    ledger = desk.open(project)
    ledger.claim()
    ledger.close()
    return desk.records(project)


def test_a_moved_project_is_no_other_one_and_a_copied_one_is(desk: Desk) -> None:
    desk.fill("one")
    (desk.folder / "one").rename(desk.folder / "moved")
    ledger = desk.open("moved")
    ledger.claim()
    assert ledger.others() == []
    ledger.done(ledger.intend(effect("more")), "id")
    ledger.close()
    shutil.copytree(desk.folder / "moved", desk.folder / "copied")
    ledger = desk.open("copied")
    ledger.claim()
    assert [other.project.name for other in ledger.others()] == ["moved"]
    ledger.done(ledger.intend(effect("own")), "id")
    ledger.close()
    ledger = desk.open("moved")
    (other,) = ledger.others()
    ledger.close()
    assert other.project.name == "copied" and len(other.records) == 5


def test_a_new_clone_where_a_moved_project_was(desk: Desk) -> None:
    """Both know what the moved one recorded; neither takes the other's identity, nor itself for a copy of the other."""
    desk.fill("one")
    desk.fill("one", count=1, store="host", kind="hook")
    (desk.folder / "one").rename(desk.folder / "moved")
    (desk.folder / "one").mkdir()
    clone, moved = desk.open("one"), desk.open("moved")
    clone.claim(), moved.claim()
    assert clone.identity != moved.identity and clone.records()[:3] == moved.records()[:3]
    assert [len(ledger.records(kind="hook")) for ledger in (clone, moved)] == [1, 1]
    moved.intend(effect("more")), clone.intend(effect("own"))
    assert [other.identity for other in clone.others()] == [moved.identity]
    assert [other.identity for other in moved.others()] == [clone.identity]
    clone.close(), moved.close()


def test_what_hooks_did_stays_with_the_folder_in_which_they_ran(desk: Desk) -> None:
    """Where the first one has no record any more before its copy is used, nobody knows whether it was cleaned up: the copy
    keeps those that no cluster keeps."""
    for gone in (False, True):
        desk.fill("one")
        desk.fill("one", count=1, store="host", kind="hook")
        shutil.copytree(desk.folder / "one", desk.folder / "copy")
        if gone:
            shutil.rmtree(desk.path("one").parent), shutil.rmtree(desk.journals)
        copy = desk.open("copy")
        copy.claim()
        assert [is_moved(record) for record in copy.records(kind="hook")] == [True] * gone
        assert len(copy.records()) == 3 + gone
        copy.close()
        shutil.rmtree(desk.folder / "copy"), shutil.rmtree(desk.folder / "one")


def test_a_ledger_that_comes_back_to_where_its_hooks_ran(desk: Desk) -> None:
    """It was used in a container, where the folder has another path and inode, and the second copy is not there."""
    desk.fill("one", count=2, store="host", kind="hook")
    (desk.folder / "inside" / ".kfold").mkdir(parents=True)
    desk.path("one").rename(desk.path("inside"))
    outside = (desk.folder / "one").rename(desk.folder / "outside"), desk.journals.rename(desk.folder / "known")
    ledger = desk.open("inside")
    ledger.claim()
    assert [is_moved(record) for record in ledger.records()] == [True, True]
    ledger.close()

    shutil.rmtree(desk.journals)
    outside[0].rename(desk.folder / "one"), outside[1].rename(desk.journals)
    desk.path("inside").rename(desk.path("one"))
    ledger = desk.open("one")
    ledger.claim()
    assert [is_moved(record) for record in ledger.records()] == [False, False]
    ledger.close()


def test_the_copy_says_nothing_that_is_not_committed(desk: Desk) -> None:
    """Killed in the middle of a step of many: neither the ledger nor its copy know of it."""
    desk.fill(count=3)
    ledger = desk.open()
    ledger.claim()
    first, *others = ledger.records()
    ledger.undoing(first)
    before = copies.copies(desk.journals)
    with ledger.together():
        for record in others:
            ledger.gone(record)
        assert copies.copies(desk.journals) == before
    (copy,) = copies.copies(desk.journals)
    assert [record.state for record in copy.records] == ["undoing"] and list(copy.records) == ledger.records()
    ledger.close()


def test_a_torn_line_of_what_was_left_stops_nothing(desk: Desk) -> None:
    """Its writer was killed, and leaves it again. What follows is on a line of its own."""
    desk.fill("maker", count=2, before="theirs")
    desk.fill("finder", count=2, made=False)
    maker = desk.open("maker")
    maker.claim()
    (heir,) = maker.others()
    first, second = maker.records()
    maker.bequeath(first, heir)
    file = desk.journals / f"{heir.identity}.bequests"
    file.write_text(f'{{"id": 7, "effect": {{"sto\n{file.read_text()}{{"torn')
    maker.bequeath(second, heir)
    maker.close()
    finder = desk.open("finder")
    finder.claim()
    assert [record.effect.made for record in finder.records()] == [True, True]
    assert [told for told in desk.told if "torn, and passed over" in told] == desk.told and len(desk.told) == 2
    finder.close()
    assert not file.exists()


def test_what_one_leaves_another_takes_back(desk: Desk) -> None:
    """The image is built by one checkout, found by the other: the last one to let go has what it takes to remove it."""
    desk.fill("maker", count=1, before="theirs", details={"derived": True, "artifact": "maker's"})
    desk.fill("finder", count=1, made=False, details={"derived": False, "artifact": "web"})
    maker = desk.open("maker")
    maker.claim()
    (record,), (heir,) = maker.records(), maker.others()
    maker.bequeath(record, heir)
    assert maker.records() == []
    maker.close()
    finder = desk.open("finder")
    finder.claim()
    (own,) = finder.records()
    finder.close()
    assert (own.effect.made, own.effect.before) == (True, "theirs")
    assert own.effect.details == {"derived": True, "artifact": "web", "size": 0}, "in a node: the names that came with it"
    finder = desk.open("finder")
    finder.claim()
    finder.gone(finder.records()[0])
    finder.intend(effect("image0", made=False))
    finder.claim()
    finder.close()
    assert [record.effect.made for record in desk.records("finder")] == [False], "what was left is taken once"


def test_beside_another_checkout_on_a_disk_that_takes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other one has is known all the same, is left to nobody, and stays."""
    desk.fill("maker", count=1)
    desk.fill("finder", count=1, made=False)
    ledger = desk.open("maker")
    ledger.claim()

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(copies.Journal, "begin", refuse)
    monkeypatch.setattr(copies, "_bequests", refuse)
    (record,) = ledger.records()
    ledger.undoing(record)
    (heir,) = ledger.others()
    with pytest.raises(KfoldError, match=r"image0 cannot be left to .*finder: .*Read-only"):
        ledger.bequeath(record, heir)
    assert [one.identity for one in ledger.records()] == [record.identity]
    ledger.claim()
    ledger.close()
    assert len([told for told in desk.told if "second copy" in told]) == 1, desk.told


def test_a_name_that_another_project_moved_on(desk: Desk) -> None:
    """What it pointed at before both of them is put back by the last one."""
    desk.fill("first", count=1, kind="name", before="theirs")
    desk.fill("second", count=1, kind="name", before="id0")
    first = desk.open("first")
    first.claim()
    (record,), (heir,) = first.records(), first.others()
    first.bequeath(record, heir)
    first.close()
    second = desk.open("second")
    second.claim()
    assert [(own.effect.before, own.effect.made) for own in second.records()] == [("theirs", True)]
    second.close()


def test_a_ledger_of_the_first_schema_is_read_and_brought_along(desk: Desk) -> None:
    records = desk.fill()
    shutil.rmtree(desk.journals)
    connection = sqlite3.connect(desk.path())
    connection.executescript("DROP TABLE ledger; PRAGMA user_version=1;")
    connection.close()
    assert desk.records() == records
    ledger = desk.open()
    assert not ledger.lost and ledger.others() == []
    ledger.claim()
    ledger.close()
    connection = sqlite3.connect(desk.path())
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert len(connection.execute("SELECT id FROM ledger").fetchone()[0]) == 32
    connection.close()
    assert desk.records() == records


def test_who_restores_holds_the_lock(desk: Desk) -> None:
    desk.fill()
    other = Ledger(desk.path())
    other.claim()
    os.truncate(desk.path(), 100)
    with pytest.raises(KfoldError, match="another run works on this project"):
        desk.records()
    other.close()
    assert len(desk.records()) == 3


@pytest.mark.parametrize("how", ["killed", "full disk"])
@pytest.mark.parametrize("lost", ["removed", "moved away", "cut"])
def test_a_restore_that_does_not_come_to_its_end(desk: Desk, how: str, lost: str) -> None:
    """The next one does it all: a part of a ledger never stands in its place, and the copy stays until it does."""
    records = desk.fill(count=60, details={"text": "x" * 2000})
    if lost == "removed":
        shutil.rmtree(desk.path().parent)
    elif lost == "cut":
        os.truncate(desk.path(), 100)
    else:
        (desk.folder / "shop").rename(desk.folder / "moved")
        (desk.folder / "shop").mkdir()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if how == "killed" else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))  # bytes
        with suppress(KfoldError):
            desk.records()
        try:
            os._exit(len(desk.records()))
        finally:
            os._exit(99)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended == (-signal.SIGXFSZ if how == "killed" else 99), ended
    assert [record.identity for record in desk.records()] == [record.identity for record in records]
    assert not list(desk.path().parent.glob("*.new*"))


def test_a_name_that_two_projects_move_in_turn(desk: Desk) -> None:
    """What it pointed at before both is known by the one whose turn was in between."""
    desk.fill("first", count=1, kind="name", before="theirs")
    desk.fill("second", count=1, kind="name", before="id0")
    desk.fill("third", count=1, kind="name", before="another")
    first = desk.open("first")
    first.claim()
    (record,) = first.records()
    first.moved_by_others(record, ["id", "id0"])
    assert first.records() == []
    first.close()
    for project, before in (("second", "theirs"), ("third", "another")):
        ledger = desk.open(project)
        ledger.claim()
        assert [own.effect.before for own in ledger.records()] == [before]
        (own,) = ledger.records()
        ledger.moved_by_others(own, ["id0"])
        assert ledger.records() == [], "nobody moved it on from there"
        ledger.close()


def test_what_was_left_is_never_cut(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it takes the first of two from the file leaves both or the second."""
    records = desk.fill(count=2)
    for record in records:
        copies.bequeath(desk.journals, "heir", record)
    full = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        copies.inherited(desk.journals, "heir", 1)
    assert copies.inherit(desk.journals, "heir") == records
    monkeypatch.setattr(os, "fsync", full)
    copies.inherited(desk.journals, "heir", 1)
    assert copies.inherit(desk.journals, "heir") == records[1:]
    copies.inherited(desk.journals, "heir", 1)
    assert [file.name for file in desk.journals.glob("heir*")] == []


def test_the_top_folders_of_two_volumes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have the same inode number; the same folder in two places, by a bind mount, is no copy."""
    monkeypatch.setattr(copies, "inode", lambda ledger: 256 if ledger.parent.parent.exists() else 0)
    desk.fill("one")
    desk.fill("one", count=1, store="host", kind="hook")
    shutil.copytree(desk.folder / "one", desk.folder / "copy")
    (desk.folder / "bound").symlink_to(desk.folder / "one")
    one = desk.open("one")
    one.claim()
    identity = one.identity
    one.close()
    for name, same in (("bound", True), ("one", True), ("copy", False), ("one", True)):
        ledger = desk.open(name)
        ledger.claim()
        assert (ledger.identity == identity, len(ledger.records(kind="hook"))) == (same, int(same)), name
        ledger.close()
    (desk.folder / "bound").unlink()
