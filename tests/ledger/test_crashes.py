"""A real process is killed (SIGKILL, by itself, in the listener) at every transition; what was committed is there."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import get_args

import pytest

from kfold.ledger import Ledger, State, Transition
from tests.engine import run
from tests.ledger.effects import effect, facts_of

CHILD = """
import json, os, signal, sys
from pathlib import Path
from kfold.ledger import Effect, Ledger

path, transition, occurrence = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
count = 0

def listen(heard, effect):
    global count
    print(json.dumps([heard, effect.name]), flush=True)
    count += heard == transition
    if heard == transition and count == occurrence:
        os.kill(os.getpid(), signal.SIGKILL)

ledger = Ledger(path, listener=listen)
ledger.claim()
for name in ("one", "two"):
    effect = Effect("engine", "image", "engine-1", name, "shop", mark=f"mark-{name}", before="theirs")
    record = ledger.done(ledger.intend(effect), f"id-{name}", size=5)
record = ledger.undoing(record)
ledger.gone(record)
again = ledger.intend(Effect("engine", "image", "engine-1", "one", "shop", mark="again"), anew=True)
ledger.gone(ledger.undoing(ledger.done(again, "id-new")))
print("the end", flush=True)
ledger.close()
"""
OCCURRENCES = {"intended": 3, "done": 3, "undoing": 2, "gone": 2}
"""How often the child passes each commit."""
POINTS = [(t, n) for t in get_args(Transition) for n in range(1, OCCURRENCES[t.removeprefix("before-")] + 1)]


def walk(path: Path, transition: str, occurrence: int) -> tuple[int, list[tuple[str, str]]]:
    """The child's exit code, and the transitions that it passed."""
    done = run([sys.executable, "-c", CHILD, path, transition, str(occurrence)], folder=path.parent.parent)
    lines = [line for line in done.output.splitlines() if line.startswith("[")]
    return done.code, [(heard, name) for heard, name in map(json.loads, lines)]


def committed(heard: list[tuple[str, str]]) -> dict[str, State]:
    """The oracle: what the transitions that were heard say is in the ledger."""
    states: dict[str, State] = {}
    for transition, name in heard:
        if transition == "gone":
            del states[name]
        elif not transition.startswith("before-"):
            states[name] = transition  # type: ignore[assignment]
    return states


def test_every_transition_is_met(tmp_path: Path) -> None:
    """The points below are all there are: a new transition fails this until the child passes it."""
    code, heard = walk(tmp_path / ".kfold" / "ledger.db", "none", 0)
    assert code == 0
    assert {transition for transition, _ in heard} == set(get_args(Transition))
    assert {(t, n) for t in OCCURRENCES for n in range(1, sum(h == t for h, _ in heard) + 1)} == {
        (t, n) for t, n in POINTS if not t.startswith("before-")
    }
    assert len(heard) == len(POINTS) == 20


@pytest.mark.parametrize(("transition", "occurrence"), POINTS)
def test_a_killed_process_leaves_what_it_had_committed(tmp_path: Path, transition: str, occurrence: int) -> None:
    path = tmp_path / ".kfold" / "ledger.db"
    code, heard = walk(path, transition, occurrence)
    assert code == -9
    assert heard[-1][0] == transition
    records = {record.effect.name: record for record in facts_of(path)}
    assert {name: record.state for name, record in records.items()} == committed(heard)
    for name, record in records.items():
        assert record.effect.before == "theirs"
        assert record.effect.mark in (f"mark-{name}", "again")
        if record.state == "done":
            assert record.identity in (f"id-{name}", "id-new") and record.effect.details.get("size") in (5, None)
    ledger = Ledger(path)
    ledger.claim()
    for record in records.values():
        ledger.gone(ledger.undoing(record))
    ledger.gone(ledger.done(ledger.intend(effect("after")), "id"))
    ledger.close()
    assert facts_of(path) == [], "the next run takes it from there"


@pytest.mark.parametrize("moment", ["made", "filled"])
def test_a_ledger_that_was_only_half_made_is_no_ledger(tmp_path: Path, moment: str) -> None:
    """Killed while the very first file is made: nothing was intended yet, and nothing is in the way of the next run."""
    path = tmp_path / ".kfold" / "ledger.db"
    hook = "os.kill(os.getpid(), 9)"
    name, attribute = ("sqlite3", "connect") if moment == "made" else ("os", "fsync")
    code = CHILD.replace("ledger = Ledger", f"import {name}\n{name}.{attribute} = lambda *a, **k: {hook}\nledger = Ledger")
    if moment == "filled":
        code = code.replace("os.fsync =", "from pathlib import Path as P; P.rename =")
    done = run([sys.executable, "-c", code, path, "none", "0"], folder=tmp_path)
    assert done.code == -9, done.output
    assert not path.exists()
    if moment == "filled":
        assert [file.name for file in path.parent.glob("ledger*")] == ["ledger.db.new"]
    assert facts_of(path) == []
    ledger = Ledger(path)
    ledger.claim()
    ledger.intend(effect())
    ledger.close()
    assert [record.effect for record in facts_of(path)] == [effect()]
    assert not list(path.parent.glob("*.new"))


def test_the_file_is_one_that_sqlite_reads(tmp_path: Path) -> None:
    """A person without kfold can still see what it made."""
    path = tmp_path / ".kfold" / "ledger.db"
    walk(path, "done", 2)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, state, identity FROM effects ORDER BY id").fetchall()
    connection.close()
    assert rows == [("one", "done", "id-one"), ("two", "done", "id-two")]
