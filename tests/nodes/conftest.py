"""A kind cluster of two nodes: node containers of the real engine, and a sandbox whose Node objects describe them."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfold.ledger import Ledger
from tests.conftest import ProjectFactory
from tests.engine import REPOSITORY, EngineState, Finished, Project, docker, run
from tests.images.lab import Lab, lab
from tests.nodes.node import TestNode, node

NOTHING = "Nothing to do: everything is up to date."


@dataclass(frozen=True)
class Api:
    """The sandbox as an API server. `kubeconfig`: its own file."""

    kubeconfig: Path
    folder: Path

    def context(self, name: str) -> Path:
        """A kubeconfig whose one context, with this name, leads to it."""
        config = json.loads(self.kubeconfig.read_text())
        config["contexts"][0] |= {"name": name}
        config["contexts"][0]["context"]["cluster"] = config["clusters"][0]["name"] = config["current-context"] = name
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(config))
        return file

    def apply(self, *manifests: dict[str, Any]) -> None:
        file = self.folder / f"{uuid.uuid4().hex}.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
        self.kubectl("apply", "-f", str(file))

    def kubectl(self, *arguments: str) -> str:
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return run(command, folder=self.folder, environment=dict(os.environ)).succeeded().output

    @contextmanager
    def nodes(self, *nodes: TestNode) -> Iterator[None]:
        """Node objects, as kind's and k3d's clusters have them."""
        self.apply(*(node_object(one) for one in nodes))
        try:
            yield
        finally:
            self.kubectl("delete", "node", *(one.name for one in nodes))


def node_object(one: TestNode) -> dict[str, Any]:
    provider = f"kind://docker/{one.cluster}/{one.name}" if one.kind == "kind" else f"k3s://{one.name}"
    labels = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    if one.kind == "k3d":
        labels["node.kubernetes.io/instance-type"] = "k3s"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": one.name, "labels": labels},
        "spec": {"providerID": provider, "unschedulable": True},
    }


@pytest.fixture(scope="session")
def api(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A sandbox of these tests' own: its Node objects would surprise others."""
    folder = tmp_path_factory.mktemp("nodes")
    environment = {**os.environ, "KFOLD_SANDBOX_HOME": str(folder / "sandbox")}
    command = [sys.executable, "-m", "kfold.sandbox"]
    run([*command, "up"], folder=REPOSITORY, environment=environment).succeeded()
    try:
        yield Api(folder / "sandbox" / "default" / "kubeconfig", folder)
    finally:
        run([*command, "down"], folder=REPOSITORY, environment=environment).succeeded()


@pytest.fixture(scope="session")
def corner(engine: str) -> Iterator[Lab]:
    with lab() as made:
        yield made


@dataclass
class App:
    """A project with the artifact `web` and a Deployment without Pods, and the nodes of its cluster."""

    project: Project
    corner: Lab
    nodes: tuple[TestNode, ...]
    image: str
    before: tuple[EngineState, list[dict[str, list[str]]]]

    def world(self) -> tuple[EngineState, list[dict[str, list[str]]]]:
        """What engine and nodes hold."""
        return self.corner.state(), [one.state() for one in self.nodes]

    def doit(self, *arguments: str) -> Finished:
        return self.project.doit(*arguments)

    def write(self, text: str) -> None:
        self.project.write("web/a.txt", text)

    def name(self) -> str:
        """What manifests call the image, as a node names it."""
        image = self.corner.names()[f"{self.image}:latest"]
        return f"docker.io/library/{self.image}:{image.removeprefix('sha256:')}"

    def records(self, store: str = "") -> list[str]:
        ledger = Ledger(self.project.folder / ".kfold" / "ledger.db")
        try:
            return [f"{record.state} {record.effect.store} {record.effect.name}" for record in ledger.records(store)]
        finally:
            ledger.close()

    def taken_back(self, why: str = "") -> Finished:
        """`doit prune --all` must leave engine and nodes as they were, and no record."""
        done = self.doit("prune", "--all").succeeded()
        assert self.world() == self.before, f"{why}\n{done.output}"
        assert self.records() == [], why
        return done


@contextmanager
def app_on(api: Api, corner: Lab, project: Project, *nodes: TestNode) -> Iterator[App]:
    image = f"{corner.token}-{uuid.uuid4().hex[:6]}-web"
    project.environment["KUBECONFIG"] = str(api.context(f"{nodes[0].kind}-{nodes[0].cluster}"))
    document = {
        "apiVersion": "kfold/v1",
        "kind": "Config",
        "metadata": {"name": image},
        "build": {"tagPolicy": {"sha256": {}}, "artifacts": [{"image": image, "context": "web"}]},
        "manifests": {"rawYaml": ["k8s.json"]},
    }
    labels = {"app": image}
    container = {"name": "web", "image": image, "command": ["sleep", "9"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": image},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    project.write("kfold.yaml", json.dumps(document))
    project.write("k8s.json", json.dumps(deployment))
    project.write("web/Dockerfile", f"FROM {corner.base}\nCOPY a.txt /out/\n")
    project.write("web/a.txt", "a\n")
    before = (corner.state(), [one.state() for one in nodes])
    try:
        with api.nodes(*nodes):
            yield App(project, corner, nodes, image, before)
    finally:
        # after a test that failed the next one must find clean corners
        project.end()
        corner.sweep(before[0])
        for one, state in zip(nodes, before[1], strict=True):
            if docker("ps", "-q", "--no-trunc", "--filter", f"id={one.id}").strip():
                there = {line.partition(" = ")[0] for line in state["names"]}
                if left := [name for name in one.images() if name not in there]:
                    one.ctr("images", "rm", "--sync", *left)


@pytest.fixture
def app(api: Api, corner: Lab, two_nodes: tuple[TestNode, TestNode], project: ProjectFactory) -> Iterator[App]:
    with app_on(api, corner, project(), *two_nodes) as made:
        yield made


@pytest.fixture
def own_node(old_node_image: str) -> Iterator[TestNode]:
    """A cluster of one node that a test may break."""
    from tests.nodes.node import cluster_name

    with node(old_node_image, cluster_name()) as made:
        yield made
