"""A project whose artifact is pushed to a registry of its own, and the state of both before each test."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Finished, Project
from tests.images.conftest import Shop
from tests.images.lab import Lab, lab
from tests.registry.server import Front, Server, front


@dataclass
class Pushing(Shop):
    """`image` is a name in the registry. `registry_before`: what that held."""

    server: Server = field(default_factory=lambda: Server(Path()))
    registry_before: dict[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> str:
        return self.image.partition("/")[2]

    def config(
        self, *artifacts: dict[str, Any], policy: Mapping[str, Any] | None = None, docker: Mapping[str, Any] | None = None
    ) -> None:
        own = {"image": self.image, "context": "web", **({"docker": dict(docker)} if docker else {})}
        build = {"tagPolicy": policy or {"sha256": {}}, "local": {"push": True}, "artifacts": list(artifacts) or [own]}
        name = self.repository.replace("/", "-")
        document = {"apiVersion": "kfold/v1", "kind": "Config", "metadata": {"name": name}, "build": build}
        self.project.write("kfold.yaml", json.dumps(document, indent=2))

    def push(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        return self.doit("push", *arguments, env=env).succeeded()

    def pushed(self) -> dict[str, str]:
        """Tag -> digest, as the registry has them."""
        start = f"{self.repository}:"
        return {name.removeprefix(start): digest for name, digest in self.server.state().items() if name.startswith(start)}

    def key_tags(self) -> list[str]:
        return [tag for tag in self.pushed() if tag.startswith("kfold-")]

    def all_taken_back(self) -> str:
        """`doit prune --all` leaves engine and registry as they were; its output."""
        assert self.server.state() != self.registry_before, "nothing was pushed"
        done = self.doit("prune", "--all").succeeded()
        assert self.server.state() == self.registry_before, done.output
        assert self.changes() == [], done.output
        assert self.records() == []
        return done.output

    def elsewhere(self, name: str) -> Pushing:
        """The same project on another machine: another folder, no memory of this one, none of its images in the engine."""
        self.corner.sweep(self.before)
        folder = self.folder.parent / name
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(".kfold"))
        environment = {**self.project.environment, "XDG_STATE_HOME": str(folder.parent / f"{name}-state")}
        project = Project(folder, environment, self.project.running)
        return Pushing(project, self.corner, self.corner.state(), self.image, self.server, self.server.state())


@pytest.fixture(scope="session")
def corner(engine: str) -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A registry that is not started yet: a test may want it its own way."""
    made = Server(tmp_path / "registry")
    yield made
    made.stop()


Open = Callable[..., Pushing]


@pytest.fixture
def pushing(project: Callable[..., Project], corner: Lab, server: Server) -> Iterator[Open]:
    """Opens the project on the started registry: `COPY . /out/` of a folder with a.txt. `host`: another way to it."""
    made: list[Pushing] = []

    def start(host: str = "") -> Pushing:
        if not server.port:
            server.start()
        image = f"{host or server.host}/{corner.token}-{uuid.uuid4().hex[:6]}/web"
        made.append(Pushing(project(), corner, corner.state(), image, server, server.state()))
        made[-1].config()
        made[-1].dockerfile("COPY . /out/")
        made[-1].project.write("web/a.txt", "a\n")
        return made[-1]

    yield start
    for one in made:
        one.project.end()
        corner.sweep(one.before)


@pytest.fixture
def troubled(server: Server) -> Iterator[Front]:
    """A front before the registry, which fails when it is told to."""
    server.start()
    with front(server) as made:
        yield made
