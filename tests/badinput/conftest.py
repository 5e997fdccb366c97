"""A project that must change nothing: in the engine, in the cluster, in its own folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import Cluster, ProjectFactory
from tests.engine import EngineState
from tests.scenarios.application import Api, Application, Place, api, config_map, unique

__all__ = ["api"]

HEAD = "apiVersion: kfold/v1\nkind: Config\nmetadata:\n  name: {name}\n"


@dataclass(frozen=True)
class Bad:
    """`app` deploys into the shared sandbox, with a Dockerfile and a manifest that are good."""

    app: Application

    def config(self, body: str) -> None:
        """The config: its head is four lines; IMAGE stands for a name that nothing else has."""
        text = (HEAD.format(name=self.app.name) + body).replace("IMAGE", self.app.name)
        self.app.project.write("kfold.yaml", text)

    def refused(self, *arguments: str, code: int = 1, command: str = "doit") -> str:
        """What the command says. It must say it once, in two or three lines, and must have changed nothing."""
        before = self.app.place.held()
        run: Callable[..., object] = getattr(self.app, command)
        output = run(*arguments).failed(code).output  # type: ignore[attr-defined]
        # what only the cluster can refuse is refused when the deployment has begun
        text: str = output.removeprefix("Starting deploy...\n").rstrip("\n").replace(self.app.name, "IMAGE")
        assert self.app.place.held() == before
        assert self.app.engine() == EngineState()
        state = self.app.project.folder / ".kfold"
        assert not (state / "ledger.db").exists() or self.app.status()["engine"] == self.app.status()["cluster"] == []
        lines = text.splitlines()
        assert lines and " failed: " in lines[0], text
        assert all(line.startswith("  ") for line in lines[1:]), f"more than one message:\n{text}"
        return text


@pytest.fixture(scope="module")
def space(sandbox_cluster: Cluster, api: Api) -> Iterator[Place]:
    """One namespace for all: nothing is ever made in it."""
    name = unique("bad-ns")
    sandbox_cluster.kubectl("create", "namespace", name).succeeded()
    made = Place(name, sandbox_cluster, api)
    yield made
    assert made.held() == {}
    made.end()


@pytest.fixture
def bad(project: ProjectFactory, space: Place) -> Iterator[Bad]:
    name = unique("bad")
    here = project(name=name)
    here.environment |= space.cluster.environment | {"KFOLD_NAMESPACE": space.name}
    app = Application(here, space, name)
    here.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    app.deploys(config_map(name, {"a": "1"}))
    yield Bad(app)
    assert app.engine() == EngineState()
