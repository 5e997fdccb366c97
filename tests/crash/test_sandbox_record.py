"""`dev` starts the sandbox where there is no cluster: killed at each moment of that record, as it comes and as it goes."""

from __future__ import annotations

from pathlib import Path

from tests.crash.stories import Run, Scene, Story
from tests.crash.test_random import nowhere, tell, tried

__all__ = ["nowhere"]

MOMENTS = 4
"""Before and after it is announced, and before and after it is confirmed; and so for its end."""


def test_killed_around_the_record_of_the_sandbox(nowhere: dict[str, str], tmp_path: Path) -> None:
    scene, before = Scene((), (0, 0), (), 0, ""), tried["killed"]
    for moment in range(1, MOMENTS + 1):
        run = Run(scene, ("dev",), kill_at=moment)
        tell(Story((), False, (run,), cleanup_kill_at=moment, context=""), tmp_path / "stage", nowhere)
    assert tried["killed"] - before == MOMENTS + MOMENTS - 1, "the first of them left nothing to be taken back"
