"""What a person sees: plain where there is no terminal, whole lines from any thread, and a dead terminal stops nothing."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kfold import human
from kfold.console import Console
from kfold.events import Event, Level


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LEVELS: list[Level] = ["heading", "line", "output", "warning", "error", "success"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("stream", "environment"),
    [(io.StringIO, {}), (Terminal, {"NO_COLOR": "1"}), (Terminal, {"TERM": "dumb"})],
)
def test_plain_text(level: Level, stream: type[io.StringIO], environment: dict[str, str]) -> None:
    out = stream()
    Console(out, environment).report(Event(level, "text", "web"))
    assert out.getvalue() == ("[web] text\n" if level == "output" else "text\n")


def test_colours_on_a_terminal() -> None:
    out = Terminal()
    console = Console(out, {"NO_COLOR": ""})
    for level in LEVELS:
        console.report(Event(level, "text", "web"))
    lines = out.getvalue().splitlines()
    assert lines[0] == "\x1b[34mtext\x1b[0m"
    assert lines[1] == "text", "a fact is told plainly"
    assert lines[2].startswith("\x1b[") and lines[2].endswith(" text"), "the prefix is coloured, the text is the program's"
    assert all(line.startswith("\x1b[") for line in lines[3:])


def test_a_subject_keeps_its_colour_and_others_have_another() -> None:
    out = Terminal()
    console = Console(out, {})
    for subject in ("web", "api", "web"):
        console.report(Event("output", "x", subject))
    one, other, again = out.getvalue().splitlines()
    assert one == again and one.replace("web", "api") != other


def test_output_without_a_subject_has_no_prefix() -> None:
    out = io.StringIO()
    Console(out, {}).report(Event("output", "text"))
    assert out.getvalue() == "text\n"


def test_lines_of_many_threads_stay_whole() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, ThreadPoolExecutor(8) as pool:
        with os.fdopen(write, "w") as stream:
            console = Console(stream, {})
            list(pool.map(lambda number: console.report(Event("output", str(number) * 50, "web")), range(10, 90)))
        lines = reader.read().splitlines()
    assert sorted(lines) == sorted(f"[web] {str(number) * 50}" for number in range(10, 90))


def test_a_terminal_that_went_away_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    monkeypatch.setattr(sys, "stdout", stream)
    console = Console(environment={})
    for _ in range(3):
        console.report(Event("line", "nobody reads this"))
    assert sys.stdout is not stream, "doit's own prints would fail at the dead one"
    print("and this goes nowhere")
    sys.stdout.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5_600_000, "5.6 MB"),
        (1_200_000_000, "1.2 GB"),
        (3_000_000_000_000, "3.0 TB"),
        (3_000_000_000_000_000, "3000.0 TB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert human.size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (5.4, "5 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (864_000, "10 d"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert human.age(seconds) == text
