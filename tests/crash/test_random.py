"""Random projects, runs and kills on the fakes: whatever happened, delete and prune leave every store as it was."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, currently_in_test_context, example, given, note, seed, settings

from kfold.stores.cluster_interface import ClusterError, ObjectRef
from kfold.stores.engine_interface import EngineError
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.fake_engine import FakeEngine
from tests import thorough
from tests.crash import points
from tests.crash.kept import nodes, registry
from tests.crash.run_on_fakes import copy_ledger, kubeconfig
from tests.crash.stories import CALM, Fault, Run, Scene, Story, Trouble, config, manifests, one_object, play, stories
from tests.engine import REPOSITORY, run

CHECKOUTS = ("project", "other")
STORIES, PARTS = 200 if thorough.wanted() else 24, 4
PROGRAM = Path(__file__).with_name("run_on_fakes.py")
tried: dict[str, int] = {"begun": 0, "stories": 0, "killed": 0, "faults": 0, "power": 0}


class Stage:
    """One project beside its stores, a second checkout of it, and the environment in which doit runs in them."""

    def __init__(self, folder: Path, environment: dict[str, str], context: str = "docker-desktop") -> None:
        self.folder, self.project, self.context, self.push = folder, folder / "project", context, False
        shutil.rmtree(folder, ignore_errors=True)
        for name in CHECKOUTS:
            (folder / name).mkdir(parents=True)
        self.engine = FakeEngine(folder / "engine.json")
        self.cluster = FakeCluster(folder / "cluster.json", context=context)
        self.registry, self.nodes = registry(folder), nodes(folder, self.engine)
        homes = {f"XDG_{name}_HOME": str(folder / "home" / name) for name in ("STATE", "CACHE", "CONFIG")}
        self._environment = {**environment, **homes, "KFOLD_SANDBOX_HOME": str(folder / "sandbox")}
        if not context:
            self._environment["KUBECONFIG"] = str(folder / "none")

    def go_to(self, checkout: int) -> None:
        self.project = self.folder / CHECKOUTS[checkout]

    def show(self, scene: Scene) -> None:
        """Make the project say what the scene says."""
        self.push = scene.push
        self._write("kfold.yaml", config(scene))
        shutil.rmtree(self.project / "k8s", ignore_errors=True)
        self._write("k8s/none.yaml", {})
        (self.project / "k8s" / "none.yaml").write_text("")
        for number, manifest in enumerate(manifests(scene)):
            self._write(f"k8s/{number}.yaml", manifest)
        for name, content in zip(("web", "base"), scene.files, strict=True):
            based = name == "web" and "base" in scene.artifacts
            first = "ARG BASE\nFROM $BASE\n" if based else "FROM scratch\n"
            self._write(f"{name}/file", content)
            (self.project / name / "Dockerfile").write_text(f"{first}COPY file /\n")

    def _write(self, name: str, content: Any) -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def doit(self, *arguments: str, kill_at: int = 0, trouble: Trouble = CALM) -> tuple[int, str]:
        other = next(self.folder / name for name in CHECKOUTS if name != self.project.name)
        asked = {**asdict(trouble), "arguments": arguments, "kill_at": kill_at, "context": self.context, "push": self.push,
                 "other": str(other)}  # fmt: skip
        self._fail(trouble.fault)
        done = run([sys.executable, PROGRAM, json.dumps(asked)], folder=self.project, environment=self._environment)
        if trouble.power and done.code == -signal.SIGKILL:
            copy_ledger(self.folder / "disk", self.project / ".kfold")
        self._fail(None)
        tell_of = note if currently_in_test_context() else print
        tell_of(f"doit {' '.join(arguments)} (kill at {kill_at}, {trouble}): {done.code}\n{done.output}")
        assert "Traceback" not in done.output, done.output
        tried["killed"] += done.code == -signal.SIGKILL
        tried["power"] += done.code == -signal.SIGKILL and trouble.power
        return done.code, done.output

    def _fail(self, fault: Fault | None) -> None:
        """Only the next run meets it."""
        for store in ("cluster", "engine"):
            file = self.folder / f"{store}.json"
            if file.exists():
                file.write_text(json.dumps({**json.loads(file.read_text()), "failures": []}))
        self.registry.will_fail(fault.method if fault and fault.store == "registry" else "")
        self.nodes.will_fail(fault.method if fault and fault.store == "node" else "")
        if fault and fault.store == "cluster":
            error = ClusterError(f"answered {fault.status}", code=fault.status)
            self.cluster.fail(fault.method, error, fault.times, after_effect=fault.after_effect)
        elif fault and fault.store == "engine":
            failure = EngineError(f"answered {fault.status}")
            self.engine.fail(fault.method, failure, fault.times, after_effect=fault.after_effect)
        tried["faults"] += bool(fault)

    def state(self) -> dict[str, Any]:
        """All that must be the same again: not the marks of a change (versions, owners of fields)."""
        objects = {}
        for key, found in json.loads((self.folder / "cluster.json").read_text())["objects"].items():
            metadata = {k: v for k, v in found["metadata"].items() if k in ("uid", "labels", "annotations") and v}
            rest = {k: v for k, v in found.items() if k not in ("metadata", "status")}
            objects[key] = {**rest, "metadata": metadata}
        sandbox = (self.folder / "sandbox" / "default" / "kubeconfig").exists()
        return {"engine": self.engine.snapshot(), "cluster": objects, "registry": self.registry.snapshot(),
                "nodes": self.nodes.snapshot(), "sandbox": sandbox}  # fmt: skip


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment that leads to nothing outside of the test."""
    folder = tmp_path_factory.mktemp("nowhere")
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig("docker-desktop", "kind-lab")))
    foreign = ("KFOLD_", "SKAFFOLD_", "DOIT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "KUBECONFIG": str(folder / "kubeconfig"),
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
    }


def tell(story: Story, folder: Path, nowhere: dict[str, str]) -> None:
    """Play the story, clean up, and compare."""
    tried["begun"] += 1
    stage = Stage(folder, nowhere, story.context)
    stage.cluster.put(one_object("namespace-elsewhere", 0))
    for name in story.theirs:
        theirs = one_object(name, 99, "theirs")
        theirs["metadata"]["namespace"] = "default"
        if "stringData" in theirs:  # a server keeps it as data
            theirs["data"] = {k: base64.b64encode(v.encode()).decode() for k, v in theirs.pop("stringData").items()}
        stage.cluster.put(theirs)
    if story.their_image:
        stage.engine.put_image("web:latest", "theirs:1")
    play(story, stage)
    for name in CHECKOUTS:
        assert not (folder / name / ".kfold" / "ledger.db").exists(), f"nothing is recorded any more: {name}"
    tried["stories"] += 1


PARENT_KILLED_TWICE = Story(
    theirs=(),
    their_image=False,
    runs=(Run(Scene((), (0, 0), ("config-a",), 0, ""), ("deploy",), kill_at=3),),
    cleanup_kill_at=2,
    lose_ledger=False,
)
"""Killed when the set's parent is there and recorded as intended alone; and once more while the next run learns of it."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_any_story_ends_as_it_began(part: int, nowhere: dict[str, str], tmp_path: Path) -> None:
    """In parts, so that several workers share them. CI says the same of the same commit; elsewhere each run is another."""

    @settings(
        max_examples=STORIES // PARTS,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        phases=[Phase.explicit, Phase.generate, *([] if os.environ.get("CI") else [Phase.shrink])],  # which takes minutes
    )
    @given(stories)
    @example(PARENT_KILLED_TWICE)
    def one(story: Story) -> None:
        tell(story, tmp_path / "stage", nowhere)

    before = dict(tried)
    try:
        (seed(part)(one) if os.environ.get("CI") else one)()
    finally:
        told = {name: tried[name] - before[name] for name in tried}
        points.told("the fakes", told["stories"], told["begun"] - told["stories"])
    assert told["stories"] >= STORIES // PARTS and told["killed"] >= told["stories"] // 4, told


def test_a_reference_to_the_fakes(tmp_path: Path) -> None:
    """What the stage takes for a state is what a foreign change changes."""
    cluster = FakeCluster(tmp_path / "cluster.json")
    cluster.put({**one_object("config-a", 1), "metadata": {"name": "a", "namespace": "default"}})
    assert cluster.get(ObjectRef("v1", "ConfigMap", "default", "a"))
