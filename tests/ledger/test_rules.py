"""The rules that one step of the protocol must keep, each by itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kfold.errors import KfoldError
from kfold.ledger import Effect, Ledger, Transition
from tests.ledger.effects import effect, facts_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".kfold" / "ledger.db"


def test_reading_a_ledger_that_is_not_there_writes_nothing(path: Path) -> None:
    ledger = Ledger(path)
    assert ledger.records() == []
    assert ledger.records("engine", "image") == []
    assert ledger.find(effect()) is None
    ledger.close()
    assert not path.parent.parent.exists()


def test_the_first_intent_is_what_comes_back(path: Path) -> None:
    ledger = Ledger(path)
    ledger.done(ledger.intend(effect(before="sha256:theirs", made=False)), "sha256:ours")
    again = ledger.intend(effect(before="sha256:ours", made=True, mark="second", details={"size": 2}))
    assert (again.effect.before, again.effect.made) == ("sha256:theirs", False)
    assert (again.effect.mark, again.effect.details) == ("second", {"size": 2}), "the rest is the new intent's"
    assert again.identity == "sha256:ours", "until another is learned, this one may be what is there"
    ledger.close()
    assert facts_of(path) == [again]


def test_anew_forgets_the_identity_of_what_is_gone(path: Path) -> None:
    ledger = Ledger(path)
    ledger.done(ledger.intend(effect(before="theirs")), "uid-1")
    again = ledger.intend(effect(before="other"), anew=True)
    assert again.identity == ""
    assert again.effect.before == "theirs", "what was there before us is still what must come back"
    ledger.close()
    assert facts_of(path) == [again]


def test_a_record_that_went_can_come_again(path: Path) -> None:
    ledger = Ledger(path)
    first = ledger.done(ledger.intend(effect(before="theirs")), "uid-1")
    ledger.gone(ledger.undoing(first))
    assert ledger.records() == []
    second = ledger.intend(effect())
    assert (second.effect.before, second.identity, second.state) == (None, "", "intended")
    ledger.close()


def test_what_a_listener_hears_is_committed_and_what_it_heard_before_is_not(path: Path) -> None:
    """The crash tests stand on this: a process that dies in the listener leaves exactly this behind."""
    seen: list[tuple[Transition, list[tuple[str, str]]]] = []

    def listen(transition: Transition, changed: Effect) -> None:
        seen.append((transition, [(record.state, record.identity) for record in facts_of(path)]))

    ledger = Ledger(path, listener=listen)
    ledger.gone(ledger.undoing(ledger.done(ledger.intend(effect()), "uid")))
    ledger.close()
    assert seen == [
        ("before-intended", []),
        ("intended", [("intended", "")]),
        ("before-done", [("intended", "")]),
        ("done", [("done", "uid")]),
        ("before-undoing", [("done", "uid")]),
        ("undoing", [("undoing", "uid")]),
        ("before-gone", [("undoing", "uid")]),
        ("gone", []),
    ]


def test_many_threads_write_one_ledger(path: Path) -> None:
    ledger = Ledger(path)

    def one(number: int) -> None:
        ledger.claim()
        record = ledger.done(ledger.intend(effect(f"image{number}")), f"id{number}")
        if number % 2:
            ledger.gone(ledger.undoing(record))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(200)))
    ledger.close()
    left = {(record.effect.name, record.identity, record.state) for record in facts_of(path)}
    assert left == {(f"image{number}", f"id{number}", "done") for number in range(0, 200, 2)}


def test_the_folder_is_for_the_user_alone_and_git_passes_it_by(path: Path) -> None:
    ledger = Ledger(path)
    ledger.intend(effect())
    ledger.close()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (path.parent / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("act", [lambda ledger: ledger.claim(), lambda ledger: ledger.intend(effect())])
def test_a_folder_that_cannot_be_made_is_told(path: Path, act: object) -> None:
    path.parent.parent.mkdir()
    path.parent.write_text("a file in the way")
    ledger = Ledger(path)
    with pytest.raises(KfoldError, match=r"\.kfold"):
        act(ledger)  # type: ignore[operator]
    ledger.close()
    assert path.parent.read_text() == "a file in the way"


def test_a_ledger_of_a_newer_kfold_is_left_alone(path: Path) -> None:
    import sqlite3

    ledger = Ledger(path)
    ledger.intend(effect())
    ledger.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    newer = Ledger(path)
    with pytest.raises(KfoldError, match="schema version 99"):
        newer.records()
    with pytest.raises(KfoldError, match="schema version 99"):
        newer.intend(effect("other"))
    newer.close()
    assert path.read_bytes() == before


def test_a_full_disk_is_told(path: Path) -> None:
    """The change that could not be recorded must not be made: the caller gets an error before it makes it."""
    ledger = Ledger(path)
    ledger.done(ledger.intend(effect()), "uid")
    ledger._database.open().execute("PRAGMA max_page_count=1")  # SQLite then says what it says on a full disk
    with pytest.raises(KfoldError, match="full"):
        for number in range(1000):
            ledger.intend(effect(f"image{number}", details={"text": "x" * 1000}))
    ledger.close()
    assert facts_of(path)[0].identity == "uid"
    assert os.path.getsize(path) < 1_000_000


def test_what_is_written_together_is_committed_at_once(path: Path) -> None:
    heard: list[str] = []

    def listen(transition: Transition, effect: Effect) -> None:
        heard.append(f"{transition} {len(facts_of(path))}")

    ledger = Ledger(path)
    records = [ledger.done(ledger.intend(effect(name=f"one-{number}")), "uid") for number in range(3)]
    ledger._listener = listen
    with ThreadPoolExecutor(1) as pool, ledger.together():
        for record in records:
            ledger.gone(record)
        other = pool.submit(ledger.intend, effect(name="other"))
        assert len(facts_of(path)) == 3 and not other.done(), "others wait"
    assert heard[:6] == ["before-gone 3", "gone 3"] * 3, "a run that is killed inside has all records still"
    assert [record.effect.name for record in facts_of(path)] == ["other"]
    with pytest.raises(RuntimeError), ledger.together():
        ledger.gone(other.result())
        raise RuntimeError
    assert facts_of(path) == [], "what was seen before a failure is true"
    ledger.close()


def test_claims_wait_for_the_disk_and_what_follows_does_not(path: Path) -> None:
    """A power failure takes at most what came after the newest claim; a wait for every transition costs four times that."""
    waits: list[tuple[str, int]] = []

    def listen(transition: Transition, effect: Effect) -> None:
        (level,) = ledger._database.open().execute("PRAGMA synchronous").fetchone()
        waits.append((transition, level))

    ledger = Ledger(path, listener=listen)
    normal, full = 1, 2  # https://sqlite.org/pragma.html#pragma_synchronous
    first = ledger.done(ledger.intend(effect()), "sha256:a")
    ledger.done(ledger.intend(first.effect), "sha256:b")
    with ledger.together():
        ledger.gone(ledger.undoing(ledger.records()[0]))
        ledger.intend(effect("other"))
    ledger.close()
    told = [(name, level) for name, level in waits if not name.startswith("before-")]
    again = [("intended", full), ("done", normal)]
    assert told == [*again, *again, ("undoing", full), ("gone", full), ("intended", full)], "one commit, which claims"
