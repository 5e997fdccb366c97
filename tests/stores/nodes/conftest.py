"""Nodes under test: the fake ones, and real ones with a containerd of 1.6 and of 2, each with images to load."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from kfold.stores.fake_nodes import FakeNodes
from kfold.stores.node_interface import LoadRequest, Moved, Node, NodeImage, Nodes, Progress
from kfold.stores.nodes import ContainerNodes
from tests.engine import docker
from tests.nodes.node import TestNode


@dataclass
class Subject:
    """Two nodes of one cluster, and a way to put images into the engine that load into them. `state`: what they hold."""

    nodes: Nodes
    kind: str
    cluster: str
    make: Callable[[str, Mapping[str, bytes]], str]
    state: Callable[[], Any]
    lent: list[str] = field(default_factory=list)

    def both(self) -> list[Node]:
        return self.nodes.nodes(self.kind, self.cluster)

    def image(self, *layers: bytes) -> NodeImage:
        """An image of the engine with these layers, each with one file of that content."""
        files = {f"f{number}": content for number, content in enumerate(layers)}
        (found,) = self.nodes.images([self.make(f"kft-{uuid.uuid4().hex[:8]}:1", files)])
        return found

    def load(self, *images: NodeImage, nodes: list[Node] | None = None) -> Moved:
        request = self.request(images, nodes or self.both(), uuid.uuid4().hex, lambda size: None)
        return self.nodes.load(request, threading.Event())

    def request(self, images: Sequence[NodeImage], nodes: list[Node], mark: str, progress: Progress) -> LoadRequest:
        contents = {node.id: self.nodes.look(node.id, blobs=True) for node in nodes}
        return LoadRequest({node.id: images for node in nodes}, contents, mark, self.lend, progress)

    @contextmanager
    def lend(self, names: Mapping[str, str]) -> Iterator[None]:
        for name, image in names.items():
            docker("tag", image, name)
        self.lent += names
        try:
            yield
        finally:
            docker("rmi", *names)


@pytest.fixture
def fake() -> Subject:
    nodes = FakeNodes()
    nodes.put_node("c-control-plane", "c")
    nodes.put_node("c-worker", "c")

    def make(name: str, files: Mapping[str, bytes]) -> str:
        digests = [f"sha256:{hashlib.sha256(path.encode() + content).hexdigest()}" for path, content in files.items()]
        image = f"sha256:{hashlib.sha256(json.dumps([name, *digests]).encode()).hexdigest()}"
        size = sum(map(len, files.values()))
        nodes.put_image(NodeImage(f"docker.io/library/{name}", name, image, tuple(digests), size, "linux/amd64"))
        return name

    return Subject(nodes, "kind", "c", make, lambda: [nodes.look(node.id).names for node in nodes.nodes("kind", "c")])


@pytest.fixture
def real(two_nodes: tuple[TestNode, TestNode]) -> Iterator[Subject]:
    """The nodes of the session, which are to be as they were at the end; images of the test are removed."""
    made: list[str] = []

    def make(name: str, files: Mapping[str, bytes]) -> str:
        docker("load", input=archive(name, files))
        made.append(name)
        return name

    def state() -> list[dict[str, list[str]]]:
        return [node.state() for node in two_nodes]

    before = state()
    yield Subject(ContainerNodes(), "kind", two_nodes[0].cluster, make, state)
    if made:
        docker("rmi", *made)
    assert state() == before


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def archive(name: str, files: Mapping[str, bytes], architecture: str = "amd64") -> bytes:
    """What `docker load` reads: an image with a layer for each file."""
    layers = {f"{path}/layer.tar": _tar({path: content}) for path, content in files.items()}
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers.values()]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": {"name": name}},
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": [{"created_by": path} for path in files],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}]
    return _tar({"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode(), **layers})


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The variants of `subject` on real nodes need an engine, though they name no such fixture."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("subject") == "real":
            item.add_marker("engine")
