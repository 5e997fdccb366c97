"""What every `Nodes` does, the fake and the real one."""

from __future__ import annotations

import os

import pytest

from kfold.stores.node_interface import NodeError
from tests.stores.nodes.conftest import Subject


def test_nodes_are_found_by_their_cluster(subject: Subject) -> None:
    names = [node.name for node in subject.both()]
    assert names == [f"{subject.cluster}-control-plane", f"{subject.cluster}-worker"]
    assert subject.nodes.nodes("k3d", subject.cluster) == subject.nodes.nodes("kind", f"{subject.cluster}x") == []
    for node in subject.both():
        assert node.state == "running"
        assert subject.nodes.node(node.id) == node
    assert subject.nodes.node("f" * 64) is None


def test_an_image_comes_into_every_node_and_goes_without_a_trace(subject: Subject) -> None:
    before = subject.state()
    image = subject.image(b"a", b"b")
    assert not any(subject.nodes.look(node.id).has(image) for node in subject.both())
    moved = subject.load(image)
    for node in subject.both():
        contents = subject.nodes.look(node.id)
        assert contents.has(image)
        assert contents.platform == image.platform
        # the CRI names it too
        assert contents.names[image.id] == contents.names[image.name]
        assert moved.digests[node.id] == {image.name: contents.names[image.name].digest}
    assert subject.state() != before
    for node in subject.both():
        subject.nodes.remove(node.id, [image.name, image.id])
    assert subject.state() == before
    for node in subject.both():
        subject.nodes.remove(node.id, [image.name])  # no error


def test_an_image_whose_layer_is_not_unpacked_is_not_there(subject: Subject) -> None:
    image, other = subject.image(b"a"), subject.image(b"a", os.urandom(8))
    subject.load(image)
    for node in subject.both():
        contents = subject.nodes.look(node.id)
        assert contents.has(image) and not contents.has(other)
        subject.nodes.remove(node.id, [image.name, image.id])


def test_a_name_is_kept_and_pointed_back(subject: Subject) -> None:
    first, second = subject.image(os.urandom(9)), subject.image(os.urandom(9))
    node = subject.both()[0]
    subject.load(first, second, nodes=[node])
    was = subject.nodes.look(node.id).names[first.name]
    subject.nodes.keep(node.id, was.digest, True)
    subject.nodes.remove(node.id, [first.name, first.id])
    subject.nodes.point(node.id, second.name, was)
    contents = subject.nodes.look(node.id, [was.digest])
    assert contents.names[second.name] == was
    assert contents.configs[was.digest] == first.id and first.chain in contents.snapshots
    subject.nodes.keep(node.id, was.digest, False)
    subject.nodes.remove(node.id, [second.name, first.id, second.id])
    with pytest.raises(NodeError):
        subject.nodes.point(node.id, second.name, was)


def test_a_node_that_is_not_there(subject: Subject) -> None:
    image = subject.image(b"a")
    gone = "f" * 64
    for call in (lambda: subject.nodes.look(gone), lambda: subject.nodes.remove(gone, [image.name])):
        with pytest.raises(NodeError):
            call()
    with pytest.raises(NodeError):
        subject.load(image, nodes=[type(subject.both()[0])("x", gone, "kind", "x", "running")])
