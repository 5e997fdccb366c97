"""Programs of this host: what they print arrives live and in one piece, and nothing of them outlives its end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from kfold.errors import Abandoned, Interrupted
from kfold.stores import process
from kfold.stores.lines import LONGEST_LINE
from tests.engine import REPOSITORY, start, wait_until


def run(*arguments: str, folder: Path | None = None, stop: threading.Event | None = None) -> list[str]:
    lines: list[str] = []
    end_with = signal.SIGTERM
    process.run(arguments, on_line=lines.append, stop=stop or threading.Event(), folder=folder, end_with=end_with)
    return lines


def shell(script: str, **more: object) -> list[str]:
    return run("sh", "-c", script, **more)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    """Whether that process has ended (one that nobody has waited for yet has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_lines_of_both_streams_in_their_order(tmp_path: Path) -> None:
    assert shell("echo one; echo two >&2; printf 'no end'", folder=tmp_path) == ["one", "two", "no end"]
    assert shell("pwd", folder=tmp_path) == [str(tmp_path)]
    assert shell("true") == []


def test_lines_come_while_the_program_runs(tmp_path: Path) -> None:
    """It goes on only when its line was heard."""
    def heard(line: str) -> None:
        (tmp_path / line).touch()

    script = "echo first; n=0; until [ -e first ]; do n=$((n+1)); [ $n -gt 500 ] && exit 1; sleep 0.02; done"
    process.run(["sh", "-c", script], on_line=heard, stop=threading.Event(), folder=tmp_path)


def test_what_is_no_text_is_told_all_the_same() -> None:
    assert shell(r"printf 'a\377b\r\n\000c\n\303\244\n'") == ["a�b", "\0c", "ä"]


def test_a_character_that_comes_in_two_pieces() -> None:
    assert shell(r"printf '\303'; sleep 0.1; printf '\244\n'") == ["ä"]


def test_a_line_without_an_end_is_cut() -> None:
    lines = shell("head -c 200000 /dev/zero | tr '\\0' x")
    assert "".join(lines) == "x" * 200_000
    assert [len(line) for line in lines][:3] == [LONGEST_LINE] * 3


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [("exit 3", 3, "failed with exit code 3"), ("kill -9 $$", -9, "was ended by SIGKILL")],
)
def test_the_end_of_one_that_fails(script: str, code: int, words: str) -> None:
    with pytest.raises(process.ChildFailed) as caught:
        shell(f"echo last; {script}")
    assert caught.value.code == code and words in caught.value.message and caught.value.output == ("last",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-program", "the program `no-such-program` is not installed (or not on PATH)"),
        ("", "the program `` is not installed (or not on PATH)"),
        ("./missing", "there is no program {folder}/missing"),
        ("./folder", "there is no program {folder}/folder"),
        ("./plain", "{folder}/plain is not executable"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    with pytest.raises(process.NotStarted) as caught:
        run(name, folder=tmp_path)
    assert caught.value.message == message.format(folder=tmp_path)
    with pytest.raises(process.NotStarted, match="zero byte"):
        run("echo", "a\0b")
    with pytest.raises(process.NotStarted, match="there is no folder"):
        run("echo", folder=tmp_path / "nowhere")


def test_a_program_beside_the_config(tmp_path: Path) -> None:
    """A name with a `/` counts from the folder that it runs in, as in Go."""
    (tmp_path / "own").write_text("#!/bin/sh\necho mine $1\n")
    (tmp_path / "own").chmod(0o755)
    assert run("./own", "x", folder=tmp_path) == ["mine x"]


ENDLESS = {
    "asked": "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
    "with children": "sleep 600 & echo $! > child; echo ready; wait",
    "that only its child is left of": "sleep 600 & echo $! > child; echo ready",
    "that prints for ever": "echo ready; yes",
    "that prints one line for ever": "echo ready; yes | tr -d '\\n'",
    "deaf": "trap '' TERM; echo $$ > child; echo ready; while :; do sleep 0.05; done",
    "that holds its output from elsewhere": "setsid sleep 9 & sleep 0.3; echo ready; wait",
}


@pytest.mark.parametrize("which", ENDLESS)
def test_stopping_ends_the_whole_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setattr(process, "GRACE", 0.7)
    stop = threading.Event()
    lines: list[str] = []

    def hear(line: str) -> None:
        lines[:] = [*lines[-20:], line]
        stop.set()

    began = time.monotonic()
    with pytest.raises(Interrupted) as ended:
        process.run(["sh", "-c", ENDLESS[which]], on_line=hear, stop=stop, folder=tmp_path, end_with=signal.SIGTERM)
    if which in ("asked", "deaf"):
        assert isinstance(ended.value, Abandoned) == (which == "deaf"), "what had to be killed may have begun something"
    assert time.monotonic() - began < 5
    if (tmp_path / "child").exists():
        pid = int((tmp_path / "child").read_text())
        wait_until(lambda: gone(pid), "the child's end", seconds=5)
    if which == "asked":
        assert (lines[0], lines[-1]) == ("ready", "bye"), "SIGTERM comes first, and what is said then is heard"


def test_killing_kfold_kills_what_it_runs(tmp_path: Path) -> None:
    program = (
        "import threading; from kfold.stores import process; process.run(['sh', '-c',"
        " 'sleep 600 & echo $! > child; echo $$ > self; echo ready; wait'], on_line=print, stop=threading.Event())"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    running = start([sys.executable, "-uc", program], folder=tmp_path, environment=environment)
    running.wait_for("ready")
    running.kill()
    running.wait()
    for name in ("child", "self"):
        pid = int((tmp_path / name).read_text())
        wait_until(lambda pid=pid: gone(pid), f"the end of {name}", seconds=5)
