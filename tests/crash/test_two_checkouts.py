"""Two checkouts of one project beside the same stores, taken back in both orders: nothing stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.stories import Run, Scene, Story
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
