"""A damaged ledger: an error that names it, or all that is in it; never a traceback, never an empty set."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kfold.errors import KfoldError
from kfold.ledger import Ledger, Record
from tests.engine import run
from tests.ledger.effects import effect, facts_of


def filled(path: Path, count: int = 12) -> list[Record]:
    ledger = Ledger(path)
    for number in range(count):
        ledger.done(ledger.intend(effect(f"image{number}", details={"text": "x" * 300})), f"id{number}")
    ledger.close()
    return facts_of(path)


def read_or_refused(path: Path) -> list[Record] | None:
    """The records; None where the ledger says that it cannot be used, and how to go on."""
    try:
        return facts_of(path)
    except KfoldError as error:
        assert str(path) in error.message and error.hint
        return None


def test_cut_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / ".kfold" / "ledger.db"
    records = filled(path, 3)
    whole = path.read_bytes()
    assert len(records) == 3 and len(whole) > 8000
    assert not list(path.parent.glob("*-wal")), "all of it is in the one file"
    for length in reversed(range(len(whole))):
        os.truncate(path, length)
        assert read_or_refused(path) is None, f"cut at {length} of {len(whole)} bytes, and nothing was said"
    path.write_bytes(whole)
    assert facts_of(path) == records


def test_a_log_cut_at_any_byte_is_an_earlier_ledger(tmp_path: Path) -> None:
    """What a power failure does to the newest commits: each is there as a whole, or not at all."""
    path = tmp_path / "made" / "ledger.db"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom kfold.ledger import Effect, Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for n in range(8):\n"
        "    ledger.done(ledger.intend(Effect('engine', 'image', 'p', f'image{n}', 'c')), f'id{n}')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert run([sys.executable, "-c", code, path], folder=tmp_path).code == -signal.SIGKILL
    log = (path.parent / "ledger.db-wal").read_bytes()
    main = path.read_bytes()
    history = [[]] + [
        [(f"image{n}", "done") for n in range(number)] + [(f"image{number}", state)]
        for number in range(8)
        for state in ("intended", "done")
    ]
    seen = []
    for length in [*range(1, 200), *range(200, len(log), 211), len(log)]:
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "ledger.db").write_bytes(main)
        (folder / "ledger.db-wal").write_bytes(log[:length])
        found = [(record.effect.name, record.state) for record in facts_of(folder / "ledger.db")]
        assert found in history
        seen.append(history.index(found))
    assert seen == sorted(seen), "a longer log tells no less"
    assert seen[0] == 0 and seen[-1] == len(history) - 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.integers(0, 12_000))
@example(b"\x80", 3478)  # in the text of the schema, which SQLite's complaint quotes
def test_overwritten_anywhere(tmp_path_factory: pytest.TempPathFactory, noise: bytes, offset: int) -> None:
    """SQLite keeps no checksums of its main file, so some values may be wrong; but never a traceback."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    filled(path, 6)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(noise)
    read_or_refused(path)
    ledger = Ledger(path)
    try:
        ledger.gone(ledger.undoing(ledger.done(ledger.intend(effect("image3")), "id")))
    except KfoldError as error:
        assert str(path) in str(error) or "went while" in str(error)
    ledger.close()


@pytest.mark.parametrize("content", [b"", b"\0", b"{}", b"SQLite format 3\0", b"x" * 5000, b"\0" * 8192])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    ledger = Ledger(path)
    for act in (ledger.records, lambda: ledger.find(effect()), lambda: ledger.intend(effect())):
        with pytest.raises(KfoldError, match="cannot be used"):
            act()
    ledger.close()
    assert path.read_bytes() == content, "what it cannot read it does not overwrite"


def test_a_folder_that_may_not_be_written() -> None:
    """Then a ledger can be looked at, and only writing is refused. (The superuser may write everywhere, and steps down.)"""
    user = os.geteuid()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:  # pytest's own folders are root's alone
        path = Path(name) / ".kfold" / "ledger.db"
        records = filled(path, 3)
        for folder, rights in ((Path(name), 0o755), (path.parent, 0o555)):
            folder.chmod(rights)
        os.seteuid(user or 65534)
        try:
            assert facts_of(path) == records and len(records) == 3
            with pytest.raises(KfoldError, match="cannot be used"):
                Ledger(path).intend(effect("new"))
        finally:
            os.seteuid(user)
            path.parent.chmod(0o755)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE effects (mine TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(KfoldError, match="schema version 0"):
        facts_of(path)
    assert path.read_bytes() == before


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.mkdir()
    with pytest.raises(KfoldError, match="cannot be used"):
        facts_of(path)


def test_a_row_that_is_no_record(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "ledger.db"
    filled(path, 2)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE effects SET details = '{' WHERE name = 'image1'")
    connection.commit()
    connection.close()
    with pytest.raises(KfoldError, match="cannot be used"):
        facts_of(path)
