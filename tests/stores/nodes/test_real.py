"""What only real nodes can show: which bytes move, and what is said of a node that cannot do it."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kfold.errors import Interrupted
from kfold.stores import node_import, node_loading
from kfold.stores.node_interface import NodeError, NodeStopped
from kfold.stores.nodes import ContainerNodes
from tests.engine import docker, wait_until
from tests.nodes.node import TestNode, cluster_name, node
from tests.stores.nodes.conftest import Subject

pytestmark = pytest.mark.engine

BIG = 20_000_000


@pytest.fixture
def small_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a test are small; here they count as big ones."""
    monkeypatch.setattr(node_loading, "SMALL", 100_000)


def taken_away(subject: Subject, *images: object) -> None:
    for one in subject.both():
        subject.nodes.remove(one.id, [name for image in images for name in (image.name, image.id)])  # type: ignore[attr-defined]


def test_only_changed_layers_move(real: Subject, small_is_nothing: None, two_nodes: tuple[TestNode, TestNode]) -> None:
    base = os.urandom(2_000_000)
    first, second, third = (real.image(base, os.urandom(1000)) for _ in range(3))
    moved = real.load(first)
    assert moved.whole == "most of it is new to the node" and moved.sent > 4_000_000, moved
    # the engine made the base itself and would have to compress it to know its digest
    moved = real.load(second)
    assert moved.whole == "the engine does not know the digests of its layers yet", moved
    with real.lend({"127.0.0.1:1/kft:1": first.id}):
        learn(first.id)
    moved = real.load(third)
    assert moved.whole == "" and moved.sent < 2 * 20_000, moved
    for one in two_nodes:
        # every blob is there: the image could be exported, or pushed from the node
        check = one.ctr("images", "check", f"name=={third.name}")
        assert "complete (3/3)" in check, check
    assert all(real.nodes.look(one.id).has(third) for one in real.both())
    taken_away(real, first, second, third)


def learn(image: str) -> None:
    """Push an image to nowhere: from then on the engine knows its layers by digest, as of one that was pulled."""
    from kfold.stores.push_endpoint import Endpoint

    with Endpoint(None) as endpoint:
        docker("tag", image, endpoint.name("1"))
        docker("push", "-q", endpoint.name("1"))
        docker("rmi", endpoint.name("1"))


def test_layers_whose_blobs_a_node_dropped(
    real: Subject, small_is_nothing: None, two_nodes: tuple[TestNode, TestNode]
) -> None:
    """kind's nodes keep what is unpacked and drop the blobs of what they pulled."""
    base = os.urandom(2_000_000)
    first, second = (real.image(base, os.urandom(1000)) for _ in range(2))
    learn(first.id)
    real.load(first)
    for one in two_nodes:
        one.ctr("content", "rm", first.layers[0])
    moved = real.load(second)
    assert moved.whole == "" and moved.sent < 2 * 20_000
    for one in two_nodes:
        assert second.chain in one.state()["snapshots"]
    taken_away(real, first, second)


def test_what_the_engine_knows_by_digest_and_the_node_lacks(real: Subject, small_is_nothing: None) -> None:
    """The endpoint is believed to have all layers; those that the node lacks must come all the same."""
    base = os.urandom(2_000_000)
    first, second = real.image(base), real.image(base, os.urandom(1000))
    learn(second.id)
    real.load(first)
    moved = real.load(second)
    assert moved.whole == "" and moved.sent < 2 * 20_000
    assert all(real.nodes.look(one.id).has(second) for one in real.both())
    taken_away(real, first, second)


def test_images_of_one_load_share_their_layers(real: Subject) -> None:
    base = os.urandom(3_000_000)
    images = [real.image(base, os.urandom(100)) for _ in range(5)]
    moved = real.load(*images)
    assert moved.whole == "" and moved.sent < 2 * 3_200_000
    assert all(real.nodes.look(one.id).has(image) for one in real.both() for image in images)
    taken_away(real, *images)
    named = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert real.lent and not set(named) & set(real.lent), "what was lent is given back"


def test_a_load_that_is_stopped(real: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    before = real.state()
    image = real.image(os.urandom(BIG))
    stop = threading.Event()
    request = real.request([image], real.both(), "ab", lambda size: stop.set())
    with pytest.raises(Interrupted):
        real.nodes.load(request, stop)
    for one in real.both():
        real.nodes.end_load(one.id, "ab")
        assert image.name not in real.nodes.look(one.id).names
    wait_until(lambda: real.state() == before, "the nodes to let go of what came", tell=lambda: str(real.state()))


def test_what_a_killed_load_left_at_work_is_ended(real: Subject) -> None:
    one = real.both()[0]
    mark = uuid.uuid4().hex
    command = ["docker", "exec", "-i", "--env", f"KFOLD_LOAD={mark}", one.id, "ctr", "-n", "k8s.io", "images", "import", "-"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "images import" in docker("exec", one.id, "ps"), "the import")
        real.nodes.end_load(one.id, "0" * 32)
        assert child.poll() is None
        # with its process goes the other end of the pipe
        child.stdin.close()  # type: ignore[union-attr]
        real.nodes.end_load(one.id, mark)
        assert "images import" not in docker("exec", one.id, "ps")
    finally:
        child.kill()
        child.wait()


def test_containers_in_a_node(real: Subject, two_nodes: tuple[TestNode, TestNode]) -> None:
    image = real.image(b"a")
    real.load(image)
    for one in two_nodes:
        one.ctr("containers", "create", image.name, "c1", "true")
        (user,) = real.nodes.users(one.id)
        assert (user.id, user.image, user.running) == ("c1", image.name, False)
        one.ctr("containers", "rm", "c1")
    taken_away(real, image)


def test_the_image_runs(real: Subject, base_image: str, two_nodes: tuple[TestNode, TestNode]) -> None:
    (image,) = real.nodes.images([base_image])
    real.load(image)
    for one in two_nodes:
        said = one.ctr("run", "--rm", "--net-host", "--cgroup", "", image.name, "r1", "echo", "it runs")
        assert said.strip() == "it runs"
    taken_away(real, image)


@pytest.fixture(scope="module")
def small_node(old_node_image: str) -> Iterator[TestNode]:
    """A node with 30 MB of disk."""
    with node(old_node_image, cluster_name(), "kind", "control-plane", "--tmpfs", "/var/lib/containerd:size=30m") as made:
        yield made


def test_a_full_disk(small_node: TestNode, real: Subject) -> None:
    before = small_node.state()
    image = real.image(os.urandom(40_000_000))
    (one,) = real.nodes.nodes("kind", small_node.cluster)
    with pytest.raises(NodeError, match=f"the disk of node {small_node.name} is full") as raised:
        real.load(image, nodes=[one])
    assert "doit prune" in raised.value.hint
    wait_until(lambda: small_node.state() == before, "the node to let go of what came")
    # and it still takes what fits
    little = real.image(b"little")
    real.load(little, nodes=[one])
    assert real.nodes.look(one.id).has(little)
    real.nodes.remove(one.id, [little.name, little.id])


def test_one_node_that_fails_does_not_hold_up_the_other(
    small_node: TestNode, real: Subject, two_nodes: tuple[TestNode, TestNode]
) -> None:
    image = real.image(os.urandom(40_000_000))
    (full,) = real.nodes.nodes("kind", small_node.cluster)
    good = real.both()[0]
    with pytest.raises(NodeError, match=re.escape(small_node.name)):
        real.load(image, nodes=[full, good])
    assert real.nodes.look(good.id).has(image)
    real.nodes.remove(good.id, [image.name, image.id])


def test_a_node_that_does_not_answer(small_node: TestNode, real: Subject) -> None:
    nodes = ContainerNodes()
    (one,) = nodes.nodes("kind", small_node.cluster)
    small_node.stop_containerd()
    with pytest.raises(NodeStopped, match=f"containerd in node {small_node.name} does not answer"):
        nodes.look(one.id)
    with pytest.raises(NodeStopped, match="containerd"):
        real.load(real.image(b"a"), nodes=[one])
    small_node.start_containerd()
    docker("pause", one.id)
    try:
        assert nodes.node(one.id).state == "paused"  # type: ignore[union-attr]
        with pytest.raises(NodeStopped, match="is paused"):
            nodes.look(one.id)
    finally:
        docker("unpause", one.id)
    docker("stop", "-t", "5", one.id)
    assert nodes.node(one.id).state == "exited"  # type: ignore[union-attr]
    with pytest.raises(NodeStopped, match=f"node {small_node.name} does not run") as raised:
        nodes.look(one.id)
    assert f"docker start {small_node.name}" in raised.value.hint
    docker("start", one.id)
    small_node.wait()


def test_a_cluster_of_k3d(old_node_image: str, real: Subject) -> None:
    cluster = cluster_name()
    with ExitStack() as stack:
        server = stack.enter_context(node(old_node_image, cluster, "k3d", "server-0"))
        for role in ("loadbalancer", "registry"):
            name = f"k3d-{cluster}-{role}"
            labels = ["--label", "app=k3d", "--label", f"k3d.cluster={cluster}", "--label", f"k3d.role={role}"]
            docker("create", "--name", name, *labels, old_node_image)
            stack.callback(docker, "rm", name)
        found = real.nodes.nodes("k3d", cluster)
        assert [one.name for one in found] == [server.name]
        image = real.image(b"k3d")
        real.load(image, nodes=found)
        assert image.name in server.images()


def test_a_stream_goes_to_several_readers_and_none_that_ended_holds_it_up() -> None:
    parts = iter([bytes([number]) * 10 for number in range(100)])
    copies = node_import.copies(lambda: next(parts, b""), ["a", "b"])
    whole: list[bytes] = []
    reader = threading.Thread(target=lambda: whole.extend(copies["a"]))
    reader.start()
    other = iter(copies["b"])
    next(other)
    other.close()  # type: ignore[attr-defined]
    reader.join(10)
    assert len(whole) == 100 and not reader.is_alive()
