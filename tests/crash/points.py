"""The crash matrix: at which moments of the ledger a process was killed, and that the stores were as before afterwards.

A test says so with `survived` after it has compared; the terminal summary shows verbs × transitions. Each point costs a
second or two on real stores: of the moments of a command every third one is tried (so that each kind of
transition is among them), unless KFOLD_TEST_CRASH=all.
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
_stories: Counter[str] = Counter()
_PROPERTY = "killed and taken back"
_STORIES = "random stories"


def step(of_few: int = 3) -> int:
    """Every how many moments one is tried."""
    return 1 if EVERY else of_few


def some(moments: Sequence[Moment], of_few: int = 3) -> list[Moment]:
    """Those that are tried: every `of_few`-th, and the last."""
    return [moment for number, moment in enumerate(moments) if not number % step(of_few) or number == len(moments) - 1]


def survived(command: str, moment: str) -> None:
    """`doit COMMAND` was killed at `moment` (the transition is its first word), and every store is as it was before."""
    _survived.append((command, moment.split()[0]))


def told(stores: str, count: int) -> None:
    """So many random stories (runs of random configs, killed at random moments) ended as they began on these stores."""
    _stories[stores] += count


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
        self.stories: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report = yield
        if _survived:
            report.user_properties.append((_PROPERTY, [list(point) for point in _survived]))
            _survived.clear()
        if _stories:
            report.user_properties.append((_STORIES, dict(_stories)))
            _stories.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, points in report.user_properties:
            if name == _PROPERTY and report.when == "call":
                self.points.update(_pairs(points))
            if name == _STORIES and report.when == "call":
                self.stories.update(points)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for stores, count in sorted(self.stories.items()):
            terminalreporter.write_line(f"Random stories (edits, runs, kills) on {stores} that ended as they began: {count}")
        if not self.points:
            return
        transitions = get_args(Transition)
        line = terminalreporter.write_line
        line("Killed at a moment of the ledger and taken back, on real stores (points tried; stores that differed: 0)")
        line(f"{'':24}" + "".join(f"{name:>16}" for name in transitions))
        for command in sorted({command for command, _ in self.points}):
            line(f"{command:24}" + "".join(f"{self.points[command, name] or '-':>16}" for name in transitions))
        line(f"{sum(self.points.values())} points")


def _pairs(points: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    return [(command, transition) for command, transition in points]
