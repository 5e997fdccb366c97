"""The crash matrix: at which moments of the ledger a process was killed, and that the stores were as before afterwards.

A test says so with `survived` after it has compared; where it fails before that, the point of the last kill counts as one
that differed. The terminal summary shows verbs × transitions. Each point costs a second or two on real stores: of the
moments of a command every third one is tried (so that each kind of transition is among them), unless KFOLD_TEST_CRASH=all.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest

from kfold.ledger import Transition

EVERY = os.environ.get("KFOLD_TEST_CRASH") == "all"
Moment = TypeVar("Moment")
_survived: list[tuple[str, str]] = []
_open: list[tuple[str, str]] = []
_stories: Counter[str] = Counter()
_differed: Counter[str] = Counter()
_PROPERTY = "killed and taken back"
_OPEN = "killed and not taken back"
_STORIES = "random stories"
_DIFFERED = "random stories that differed"


def step(of_few: int = 3) -> int:
    """Every how many moments one is tried."""
    return 1 if EVERY else of_few


def some(moments: Sequence[Moment], of_few: int = 3) -> list[Moment]:
    """Those that are tried: every `of_few`-th, and the last."""
    return [moment for number, moment in enumerate(moments) if not number % step(of_few) or number == len(moments) - 1]


def tried(command: str, moment: str) -> None:
    """`doit COMMAND` was killed at `moment` (the transition is its first word); what became of it is not known yet."""
    _open[:] = [(command, moment.split()[0])]


def survived(command: str, moment: str) -> None:
    """`doit COMMAND` was killed at `moment`, and every store is as it was before."""
    _open.clear()
    _survived.append((command, moment.split()[0]))


def told(stores: str, count: int, differed: int) -> None:
    """So many random stories (runs of random configs, killed at random moments) ended as they began on these stores, and
    so many did not."""
    _stories[stores] += count
    _differed[stores] += differed


FOLDER = Path(__file__).parent
KILLED = (
    *(f"{room}/test_crash.py" for room in ("cleanup", "images", "nodes", "registry")),
    *(f"hooks/{name}.py" for name in ("test_build", "test_deploy", "test_elsewhere")),
)
"""Where real runs are killed at moments of the ledger: in the rooms of what they make, below tests/."""


def with_the_rooms(config: pytest.Config) -> None:
    """Who names tests/crash means the whole matrix. To be called in each process (-n): all begin with the same words."""
    if any(Path(argument).resolve() == FOLDER for argument in config.args):
        config.args += [str(path) for name in KILLED if str(path := FOLDER.parent / name) not in config.args]


class Matrix:
    """Collects the points from all workers (they travel with the tests' reports), and prints them."""

    def __init__(self) -> None:
        self.points: Counter[tuple[str, str]] = Counter()
        self.differed: Counter[tuple[str, str]] = Counter()
        self.stories: Counter[str] = Counter()
        self.stories_differed: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report = yield
        collected = {_PROPERTY: _survived, _OPEN: _open if report.failed else [], _STORIES: _stories, _DIFFERED: _differed}
        report.user_properties += [(name, _plain(found)) for name, found in collected.items() if found]
        for found in (_survived, _open, _stories, _differed):
            found.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for name, found in report.user_properties:
            if name in (_PROPERTY, _OPEN):
                self.points.update(_pairs(found))
            if name == _OPEN:
                self.differed.update(_pairs(found))
            if name == _STORIES:
                self.stories.update(found)
            if name == _DIFFERED:
                self.stories_differed.update(found)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        line = terminalreporter.write_line
        for stores in sorted(self.stories.keys() | self.stories_differed.keys()):
            count, differed = self.stories[stores], self.stories_differed[stores]
            line(f"Random stories (edits, kills) on {stores} that ended as they began: {count}, that did not: {differed}")
        if not self.points:
            return
        transitions = get_args(Transition)
        points = f"points tried; stores that differed: {sum(self.differed.values())}"
        line(f"Killed at a moment of the ledger and taken back, on real stores ({points})")
        line(f"{'':24}" + "".join(f"{name:>16}" for name in transitions))
        for command in sorted({command for command, _ in self.points}):
            line(f"{command:24}" + "".join(f"{self.points[command, name] or '-':>16}" for name in transitions))
        line(f"{sum(self.points.values())} points")
        for (command, transition), count in sorted(self.differed.items()):
            line(f"DIFFERED: {command}, killed at {transition} ({count})")


def _plain(found: Counter[str] | list[tuple[str, str]]) -> Any:
    """As it travels between processes; another object, since this one is emptied."""
    return dict(found) if isinstance(found, Counter) else [list(point) for point in found]


def _pairs(points: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    return [(command, transition) for command, transition in points]
