"""What renders the same as the last run is not up to date for that: something else may stand in this cluster."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import pytest

from kfold.stores.fake_cluster import FakeCluster
from tests.crash.stories import Scene
from tests.crash.test_random import Stage, nowhere

__all__ = ["nowhere"]


@pytest.fixture
def stage(nowhere: dict[str, str], tmp_path: Path) -> Stage:
    return Stage(tmp_path / "stage", nowhere)


def deploy(stage: Stage, value: int, kill_at: int = 0) -> str:
    """The output; empty where it was killed."""
    stage.show(Scene((), (0, 0), ("config-a", "config-b"), value, ""))
    code, output = stage.doit("deploy", kill_at=kill_at)
    assert code in ((0, -signal.SIGKILL) if kill_at else (0,)), output
    return "" if code else output


def values(stage: Stage) -> list[str]:
    objects = json.loads((stage.folder / "cluster.json").read_text())["objects"].values()
    return [found["data"]["value"] for found in objects if found["kind"] == "ConfigMap" and "value" in (found["data"] or {})]


def test_after_a_deployment_to_another_cluster(stage: Stage) -> None:
    one, two = stage.folder / "one.json", stage.folder / "two.json"
    FakeCluster(two, context="docker-desktop").put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})

    def switch(put: Path, take: Path) -> None:
        (stage.folder / "cluster.json").rename(put)
        take.rename(stage.folder / "cluster.json")

    deploy(stage, 1)
    switch(one, two)
    deploy(stage, 1)
    deploy(stage, 2)
    switch(two, one)
    assert values(stage) == ["1", "1"]
    assert "Nothing to do" not in deploy(stage, 2)
    assert values(stage) == ["2", "2"]
    assert "Nothing to do" in deploy(stage, 2)


def test_after_a_killed_run_whose_edit_is_taken_back(stage: Stage) -> None:
    """Killed at the end, all of it stands, and only doit does not know."""
    deploy(stage, 1)
    for moment in itertools.count(1):
        ended = deploy(stage, 2, kill_at=moment)
        stood = values(stage)
        deploy(stage, 1)
        assert values(stage) == ["1", "1"], f"killed at moment {moment}, where {stood} stood"
        if ended:
            break
    assert moment > 8
