"""A name in a node that two projects moved, one after the other: what it pointed at before both of them comes back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kfold.ledger import Effect
from kfold.stores.fake_engine import FakeEngine
from kfold.stores.fake_nodes import FakeNodes
from kfold.stores.node_interface import LoadRequest, NodeImage
from kfold.verbs import load
from kfold.verbs.world import World
from tests.hooks.checkout import Checkout

NAME = "docker.io/library/web:latest"


@pytest.mark.parametrize("first_goes", [True, False])
def test_a_name_that_two_projects_moved(tmp_path: Path, first_goes: bool) -> None:
    engine, nodes = FakeEngine(tmp_path / "engine.json"), FakeNodes()
    node = nodes.put_node("node", "kind")

    def put(id: str) -> str:
        image = NodeImage(NAME, id, f"sha256:{id * 64}", (f"sha256:{id}{id}",), 1, "linux/amd64")
        request = LoadRequest({node.id: [image]}, {}, "", lambda names: pytest.fail(), lambda count: None)
        return nodes.load(request, threading.Event()).digests[node.id][NAME]

    def moves(world: World, id: str) -> None:
        """As a load does it."""
        world.ledger.claim()
        entry = nodes.look(node.id).names[NAME]
        image = f"sha256:{id * 64}"
        details = {"artifact": "web", "image": image, "derived": True, "node": "node", "container": node.id, "kind": "kind",
                   "address": {}}  # fmt: skip
        before = {"digest": entry.digest, "media_type": entry.media_type}
        place = f"{engine.identity()}/{node.id}"
        record = world.ledger.intend(Effect("node", "name", place, NAME, "shop", before=before, details=details))
        nodes.keep(node.id, entry.digest, True)
        world.ledger.done(record, put(id))

    def goes(world: World) -> None:
        world.ledger.claim()
        (record,) = world.ledger.records()
        load.undo(world, record)
        world.ledger.close()

    put("a")
    worlds = [
        replace(Checkout(tmp_path / name, tmp_path / "me").world, open_engine=lambda _: engine, open_nodes=lambda _: nodes)
        for name in ("first", "second")
    ]
    before = nodes.look(node.id, [nodes.look(node.id).names[NAME].digest])
    for world, id in zip(worlds, "bc", strict=True):
        moves(world, id)
        world.ledger.close()
    for world in worlds if first_goes else reversed(worlds):
        goes(world)
        if first_goes and world is worlds[0]:
            assert nodes.look(node.id).names[NAME].digest not in before.configs, "the other one's still"
    now = nodes.look(node.id, list(before.configs))
    assert now.names[NAME] == before.names[NAME] and set(now.names) == set(before.names)
    assert now.snapshots == before.snapshots, "and no image of either is held"
