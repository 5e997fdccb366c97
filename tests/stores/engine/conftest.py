"""The engines under test, each with a base image and a way to see everything that it holds of ours."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.engine import DockerEngine
from kfold.stores.engine_interface import BuildRequest, Engine
from kfold.stores.fake_engine import FakeEngine
from kfold.stores.files import FileDigests, artifact_inputs
from tests.images.lab import Lab, lab, require_builder


@dataclass
class Subject:
    """An engine under test, another client of the same engine, the name of a base image in it, a folder to build in."""

    engine: Engine
    again: Engine
    base: str
    token: str
    folder: Path
    state: Callable[[], Any]
    run_container: Callable[..., str]
    remove_container: Callable[[str], None]

    def name(self, tag: str = "1") -> str:
        """An image name of this test's own."""
        return f"{self.token}-web:{tag}"

    def write(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def request(self, dockerfile: str, *, labels: dict[str, str] | None = None, **more: Any) -> BuildRequest:
        """Writes `Dockerfile` below the base, and asks for its build as the verb does."""
        self.write("Dockerfile", f"FROM {self.base}\n{dockerfile}\n")
        return request(self.folder, self.engine, labels=labels or {"token": self.token}, **more)

    def listed(self) -> set[str]:
        """The IDs of the images that carry our label."""
        return {image.id for image in self.engine.labelled({"token": self.token})}


def request(
    folder: Path, engine: Engine, *, dockerfile: str = "Dockerfile", labels: dict[str, str] | None = None, **more: Any
) -> BuildRequest:
    """The request for `dockerfile` in `folder`, files and ignore rules worked out as for any artifact."""
    with FileDigests(folder.parent / "digests.db") as digests:
        legacy = engine.builder() == "legacy"
        inputs = artifact_inputs(folder, dockerfile, {}, "", digests, folder=folder.parent, all_stages=legacy)
    settings: dict[str, Any] = {"target": "", "build_args": {}, "no_cache": False, **more}
    return BuildRequest(
        context=folder,
        dockerfile=inputs.dockerfile_path,
        labels=labels or {},
        files=tuple(inputs.file_set.listing),
        ignore=inputs.ignore.patterns,
        **settings,
    )


@pytest.fixture(scope="session")
def corner(engine: str) -> Iterator[Lab]:
    with lab() as made:
        yield made


def _real(corner: Lab, builder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """The real engine with one of its builders. What a failed test left there is swept away, not what it found."""
    require_builder(builder)
    monkeypatch.setenv("DOCKER_BUILDKIT", "0" if builder == "legacy" else "1")
    before = corner.state()
    engine = DockerEngine()
    assert engine.builder() == builder
    token = f"{corner.token}-{uuid.uuid4().hex[:6]}"
    containers = (corner.container, corner.remove_container)
    yield Subject(engine, DockerEngine(), corner.base, token, _folder(tmp_path), corner.state, *containers)
    corner.sweep(before)


@pytest.fixture(params=["buildkit", "legacy"])
def real(
    request: pytest.FixtureRequest, corner: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Subject]:
    """What only the real engine can show."""
    yield from _real(corner, request.param, tmp_path, monkeypatch)


@pytest.fixture
def fake(tmp_path: Path) -> Subject:
    engine = FakeEngine(tmp_path / "engine.json")
    engine.put_image("base:1")

    def container(image: str, *, running: bool) -> str:
        name = f"container-{uuid.uuid4().hex[:6]}"
        engine.put_container(name, image, running=running)
        return name

    again = FakeEngine(tmp_path / "engine.json")
    token = f"t{uuid.uuid4().hex[:6]}"
    return Subject(
        engine, again, "base:1", token, _folder(tmp_path), engine.snapshot, container, engine.remove_container
    )


@pytest.fixture(params=["fake", "real-buildkit", "real-legacy"])
def subject(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Subject]:
    """Every engine there is."""
    if request.param == "fake":
        yield request.getfixturevalue("fake")
        return
    builder = request.param.removeprefix("real-")
    yield from _real(request.getfixturevalue("corner"), builder, tmp_path, monkeypatch)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The variants of `subject` on the real engine need an engine, though they name no such fixture."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and str(callspec.params.get("subject", "")).startswith("real"):
            item.add_marker("engine")
