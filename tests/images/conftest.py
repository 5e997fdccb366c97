"""Projects with artifacts on a base image of our own, and the engine's state before each test."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfold.ledger import Ledger
from tests.engine import EngineState, Finished, Project
from tests.images.lab import Lab, lab, require_builder

NOTHING = "Nothing to do: everything is up to date."


@dataclass
class Shop:
    """A project with one artifact `web` (or what `config` is told), in a corner of the engine. `before`: what was there."""

    project: Project
    corner: Lab
    before: EngineState
    image: str

    @property
    def folder(self) -> Path:
        return self.project.folder

    def config(
        self,
        *artifacts: dict[str, Any],
        policy: Mapping[str, Any] | None = None,
        docker: Mapping[str, Any] | None = None,
    ) -> None:
        """Write kfold.yaml (JSON is YAML). `docker`: settings of the one artifact, where none are named."""
        own = {"image": self.image, "context": "web", **({"docker": dict(docker)} if docker else {})}
        document = {
            "apiVersion": "kfold/v1",
            "kind": "Config",
            "metadata": {"name": self.image},
            "build": {"tagPolicy": policy or {"sha256": {}}, "artifacts": list(artifacts) or [own]},
        }
        self.project.write("kfold.yaml", json.dumps(document, indent=2))

    def dockerfile(self, *lines: str, folder: str = "web", base: str = "") -> None:
        self.project.write(f"{folder}/Dockerfile", "\n".join([f"FROM {base or self.corner.base}", *lines, ""]))

    def doit(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        return self.project.doit(*arguments, env=env)

    def tag(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """`doit tag`, which must succeed; the ID that `web:latest` has then."""
        self.doit("tag", *arguments, env=env).succeeded()
        return self.corner.names()[f"{self.image}:latest"]

    def up_to_date(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """`doit ARGUMENTS` (tag) must do nothing, and say so."""
        before = self.corner.state()
        assert before != self.before, "nothing was built"
        done = self.doit(*(arguments or ("tag",)), env=env).succeeded()
        assert NOTHING in done.output and "Building" not in done.output, done.output
        assert before.difference(self.corner.state()) == []

    def changes(self) -> list[str]:
        """What is different from before the test."""
        return self.before.difference(self.corner.state())

    def prune_all(self) -> Finished:
        """`doit prune --all`, which must find something, succeed, and leave the engine as it was before the test."""
        assert self.changes(), "there is nothing to prune"
        done = self.doit("prune", "--all").succeeded()
        assert self.changes() == [], done.output
        assert self.records() == []
        return done

    def records(self) -> list[str]:
        """What the project's ledger holds."""
        ledger = Ledger(self.folder / ".kfold" / "ledger.db")
        try:
            return [f"{record.state} {record.effect.kind} {record.effect.name}" for record in ledger.records()]
        finally:
            ledger.close()

    def id_name(self, image: str) -> str:
        """The name that manifests get."""
        return f"{self.image}:{image.removeprefix('sha256:')}"

    def git(self, *arguments: str) -> str:
        """git in the project's folder; its answer."""
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True, timeout=30).stdout

    def clone(self, name: str) -> Shop:
        """A fresh `git clone` of the project as it is."""
        if not (self.folder / ".git").exists():
            self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "all")
        target = self.folder.parent / name
        self.git("clone", "-q", str(self.folder), str(target))
        assert not (target / ".kfold").exists()
        project = Project(target, dict(self.project.environment), self.project.running)
        return Shop(project, self.corner, self.corner.state(), self.image)


@pytest.fixture(scope="session")
def corner(engine: str) -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.fixture
def shop(project: Callable[..., Project], corner: Lab) -> Iterator[Shop]:
    """With the artifact `web`: `COPY . /out/` of a folder that holds a.txt and run.sh."""
    made = Shop(project(), corner, corner.state(), f"{corner.token}-{uuid.uuid4().hex[:6]}-web")
    made.config()
    made.dockerfile("COPY . /out/")
    made.project.write("web/a.txt", "a\n")
    made.project.write("web/run.sh", "#!/bin/sh\n")
    yield made
    made.project.end()
    corner.sweep(made.before)
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture(params=["buildkit", "legacy"])
def builder(request: pytest.FixtureRequest, shop: Shop) -> str:
    """The shop's project builds with this builder."""
    require_builder(request.param)
    shop.project.environment["DOCKER_BUILDKIT"] = "0" if request.param == "legacy" else "1"
    return str(request.param)
