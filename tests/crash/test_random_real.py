"""Random projects, runs and kills on real stores: the engine and the embedded cluster. The same stories as on the fakes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from tests.crash import points
from tests.crash.killing import killed
from tests.crash.stories import CALM, Json, Scene, Story, Trouble, config, manifests, one_object, play, stories
from tests.engine import docker
from tests.scenarios.application import PATHS, Application, ApplicationFactory, Place, api, application, applications, place

__all__ = ["api", "application", "applications", "place"]

STORIES = 10
FOREVER = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"


class Stage:
    """One project, two namespaces, and what it makes of the shared engine and sandbox: all under names of its own."""

    def __init__(self, app: Application, base_image: str) -> None:
        self.app, self.base_image = app, base_image
        self.project = app.project.folder
        self.namespaces = {"": app.place.name, "elsewhere": f"{app.name}-elsewhere"}
        self.own = f"{app.name}-own"
        self.state_home = Path(app.project.environment["XDG_STATE_HOME"])
        del app.project.environment["KFOLD_NAMESPACE"]  # the config says it

    def clear(self) -> None:
        for name in (".kfold", "k8s", "web", "base", "kfold.yaml"):
            path = self.project / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.state_home, ignore_errors=True)

    def go_to(self, checkout: int) -> None:
        """One is enough here: two are in the rooms of registry and nodes (`test_two_checkouts.py`)."""

    def show(self, scene: Scene) -> None:
        document = config(scene)
        document["metadata"]["name"] = self.app.name
        for artifact in document["build"]["artifacts"]:
            artifact["image"] = self.image(artifact["image"])
            for required in artifact.get("requires", ()):
                required["image"] = self.image(required["image"])
        document["deploy"] = {
            "statusCheck": False,
            "kubectl": {"defaultNamespace": self.namespaces[scene.namespace]},
        }
        self.app.project.write("kfold.yaml", json.dumps(document))
        shutil.rmtree(self.project / "k8s", ignore_errors=True)
        self.app.project.write("k8s/none.yaml", "")
        for number, manifest in enumerate(manifests(scene)):
            self.app.project.write(f"k8s/{number}.yaml", json.dumps(self.named(manifest)))
        for name, content in zip(("web", "base"), scene.files, strict=True):
            based = name == "web" and "base" in scene.artifacts
            first = "ARG BASE\nFROM $BASE\n" if based else f"FROM {self.base_image}\n"
            self.app.project.write(f"{name}/file", str(content))
            self.app.project.write(f"{name}/Dockerfile", f"{first}COPY file /\n")

    def image(self, name: str) -> str:
        return f"{self.app.name}-{name}"

    def named(self, manifest: Json, **spec: Any) -> Json:
        """A manifest of the stories under names of this stage, with Pods that can run here and end at once."""
        metadata = manifest["metadata"]
        if manifest["kind"] == "Namespace":
            metadata["name"] = self.own
        elif metadata.get("namespace") == "own":
            metadata["namespace"] = self.own
        if "template" in manifest.get("spec", {}):
            manifest["spec"] |= spec
            pods = manifest["spec"]["template"]["spec"]
            pods["terminationGracePeriodSeconds"] = 1
            script = "true" if manifest["kind"] == "Job" else FOREVER
            (one,) = pods["containers"]
            image = self.image("web") if one["image"] == "web" else self.base_image
            one |= {"image": image, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
        return manifest

    def state(self) -> dict[str, Any]:
        """All that must be the same again: not what every write changes, nor the history of somebody's Deployment."""
        get = self.app.place.api.get
        objects = {}
        for namespace in self.namespaces.values():
            for plural, root in PATHS.items():
                for item in get(f"/{root}/namespaces/{namespace}/{plural}")["items"]:
                    if item["metadata"]["name"] == "kube-root-ca.crt" or plural == "replicasets":
                        continue
                    rest = {key: value for key, value in item.items() if key not in ("metadata", "status")}
                    metadata = {key: item["metadata"].get(key) for key in ("uid", "labels")}
                    notes = item["metadata"].get("annotations") or {}
                    ours = {key: value for key, value in notes.items() if "kubernetes.io/" not in key}
                    objects[f"{namespace}/{plural}/{item['metadata']['name']}"] = {**rest, **metadata, "notes": ours}
        label = f"kfold.dev%2Fconfig%3D{self.app.name}"
        parents = get(f"/api/v1/configmaps?labelSelector={label}")["items"]
        return {"engine": self.app.engine(), "objects": objects, "own": get(f"/api/v1/namespaces/{self.own}"),
                "parents": [item["metadata"]["name"] for item in parents]}  # fmt: skip

    def doit(self, *arguments: str, kill_at: int = 0, trouble: Trouble = CALM) -> tuple[int, str]:
        """Without the trouble: real stores have their own tests for that. Nor does anybody press Ctrl+C in a `dev` here."""
        arguments = ("deploy",) if arguments == ("dev",) else arguments
        done, moments = killed(self.app.project, kill_at, *arguments)
        note(f"doit {' '.join(arguments)} (kill at {kill_at}): {done.code}\n{done.output}")
        assert "Traceback" not in done.output, done.output
        if done.code == -signal.SIGKILL:
            self.moments.append((arguments[0], moments[-1]))
        return done.code, done.output

    def tell(self, story: Story) -> None:
        """Play the story, clean up, and compare."""
        self.clear()
        self.moments: list[tuple[str, str]] = []
        theirs = [self.named(one_object(name, 99, "theirs"), replicas=0) for name in story.theirs]
        if theirs:
            self.app.place.apply(*theirs)
        if story.their_image:
            docker("tag", self.base_image, f"{self.image('web')}:latest")
        before = self.state()
        assert before["own"] is None and before["parents"] == []
        play(story, self)
        for verb, moment in self.moments:
            points.survived(f"random {verb}", moment)
        for one in theirs:
            self.app.place.kubectl("delete", one["kind"], one["metadata"]["name"]).succeeded()
        if story.their_image:
            docker("rmi", f"{self.image('web')}:latest")


@pytest.fixture
def stage(application: ApplicationFactory, place: Place, base_image: str) -> Iterator[Stage]:
    made = Stage(application(artifact=False), base_image)
    elsewhere = made.namespaces["elsewhere"]
    place.cluster.kubectl("create", "namespace", elsewhere).succeeded()
    yield made
    place.cluster.kubectl("delete", "namespace", elsewhere, made.own, "--ignore-not-found", seconds=90).succeeded()


@pytest.mark.sandbox
@pytest.mark.timeout(600)
def test_any_story_ends_as_it_began_on_real_stores(stage: Stage) -> None:
    begun = told = 0

    @settings(
        max_examples=STORIES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.generate],
    )
    @given(stories)
    def tell(story: Story) -> None:
        nonlocal begun, told
        begun += 1
        stage.tell(replace(story, runs=story.runs[:2]))  # a run takes a second here
        told += 1

    try:
        (seed(0)(tell) if os.environ.get("CI") else tell)()
    finally:
        points.told("real stores", told, begun - told)
    assert told == STORIES
