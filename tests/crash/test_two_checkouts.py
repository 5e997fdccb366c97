"""Two checkouts of one project beside the same stores, taken back in both orders, and at the same time: nothing stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.stories import Run, Scene, Story, Trouble
from tests.crash.test_random import nowhere, tell

__all__ = ["nowhere"]

SCENE = Scene(("base", "web"), (0, 0), ("deployment-web",), 0, "")


@pytest.mark.parametrize("second_first", [False, True], ids=["the maker first", "the finder first"])
@pytest.mark.parametrize("where", ["registry", "node"])
def test_taken_back_one_after_the_other(nowhere: dict[str, str], tmp_path: Path, where: str, second_first: bool) -> None:
    scene = replace(SCENE, push=where == "registry")
    runs = tuple(Run(scene, ("deploy",), 0, checkout=checkout) for checkout in (0, 1))
    context = "docker-desktop" if scene.push else "kind-lab"
    tell(Story((), False, runs, context=context, second_first=second_first), tmp_path / "stage", nowhere)


@pytest.mark.parametrize("moment", [1, 4])
def test_taken_back_at_the_same_time(nowhere: dict[str, str], tmp_path: Path, moment: int) -> None:
    """The other one ends while this one is on its way, and knows the other's records as they were."""
    scene = replace(SCENE, objects=())
    runs = tuple(Run(scene, ("deploy",), 0, checkout=checkout) for checkout in (0, 1))
    prune = ("prune", "--all")
    last = Run(scene, prune, 0, Trouble(meanwhile=prune, meanwhile_at=moment))
    tell(Story((), False, (*runs, last), context="kind-lab"), tmp_path / "stage", nowhere)
