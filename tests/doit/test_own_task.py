"""A user's own task on one of kfold's steps, on a real engine."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.conftest import ProjectFactory
from tests.doit.projects import CONFIG, DODO
from tests.engine import EngineState, Project, image_ids

NAME = f"kfold-test-mine-{os.getpid()}"
MINE = f"""

def task_mine():
    look = "docker image inspect --format 'it is there' {NAME}:v1"
    return {{"actions": [look], "task_dep": ["build:{NAME}", "tag:{NAME}"]}}
"""


@pytest.fixture
def built(project: ProjectFactory, engine: str) -> Project:
    made = project()
    made.write("dodo.py", DODO + MINE)
    policy = "build:\n  tagPolicy: {envTemplate: {template: v1}}"
    made.write("kfold.yaml", CONFIG.replace("image: web", f"image: {NAME}").replace("build:", policy))
    made.write("Dockerfile", "FROM scratch\nCOPY file /\n")
    made.write("file", f"of {NAME}")
    return made


def test_it_runs_after_the_step_that_it_needs(built: Project, engine_snapshot: Callable[..., EngineState]) -> None:
    before = engine_snapshot(NAME)
    assert before == EngineState(), "left over from another run"
    try:
        first = built.doit("-n", "4", "mine").succeeded()
        assert "it is there" in first.output and "Building" in first.output
        (image,) = set(image_ids(NAME))
        second = built.doit("-n", "4", "mine").succeeded()
        assert "it is there" in second.output, "a task without dependencies of its own runs each time"
        assert "Building" not in second.output, "and what it needs is not built again"
        assert set(image_ids(NAME)) == {image}
    finally:
        (built.folder / "kfold.yaml").rename(built.folder / "away.yaml")
        pruned = built.doit("prune", "--all")
    pruned.succeeded()
    assert before.difference(engine_snapshot(NAME)) == []
