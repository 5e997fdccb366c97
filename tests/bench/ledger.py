"""What the ledger costs: an effect from its claim to its end, and a run with nothing to do after much history."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from kfold.ledger import Effect, Ledger
from tests.bench.table import Row, seconds

EFFECTS = 500
HISTORY = 100_000


def an_effect(folder: Path) -> Row:
    """Made and taken back, four transitions; beside a file of SQLite's alone with as many commits that wait for the disk as
    often (once)."""
    folder.mkdir()
    ledger = Ledger(folder / "state" / "ledger.db", journals=lambda: folder / "copies")
    ledger.claim()
    times = []
    for number in range(EFFECTS):
        begin = time.perf_counter()
        made(ledger, number)
        times.append(time.perf_counter() - begin)
    ledger.close()
    ours = statistics.median(times)
    return Row("ledger: an effect made and taken back", ours, "<= 0.001 s", alone(folder), "SQLite alone")


def made(ledger: Ledger, number: int) -> None:
    """One effect and its end."""
    effect = Effect("engine", "image", "engine-id", f"sha256:{number:064}", "shop", details={"artifact": "r.io/web"})
    ledger.gone(ledger.undoing(ledger.done(ledger.intend(effect), effect.name)))


def alone(folder: Path) -> float:
    connection = sqlite3.connect(folder / "alone.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE effects (name TEXT, state TEXT)")
    times = []
    for number in range(EFFECTS):
        begin = time.perf_counter()
        for wait, state in (("FULL", "intended"), ("NORMAL", "done"), ("NORMAL", "undoing"), ("NORMAL", "gone")):
            connection.execute(f"PRAGMA synchronous={wait}")
            connection.execute("INSERT INTO effects VALUES (?, ?)", (f"{number:064}", state))
        times.append(time.perf_counter() - begin)
    connection.close()
    return statistics.median(times)


def history(project: Path, run: Callable[[], object]) -> Row:
    """`run` has nothing to do in this project: after so many effects that came and went, beside before."""
    before = seconds(run)
    ledger = Ledger(project / ".kfold" / "ledger.db")
    ledger.claim()
    with ledger.together():
        for number in range(HISTORY):
            made(ledger, number)
    ledger.close()
    after = seconds(run)
    return Row(f"the same after {HISTORY:,} effects of history", after, "1.0x", before, "before them")
