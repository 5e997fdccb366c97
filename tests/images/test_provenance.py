"""Images with kfold's labels that kfold did not build, or that another one did: on the fake engine, in this process."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kfold.ledger import Ledger
from kfold.stores.engine_interface import BuildRequest
from kfold.stores.fake_nodes import FakeNodes
from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.node_interface import LoadRequest, NodeImage
from kfold.stores.registry_interface import OCI_MANIFEST, Manifest
from kfold.verbs import tag
from kfold.verbs.prune import prune_images
from kfold.verbs.recovery import find_images
from kfold.verbs.recovery_elsewhere import find_elsewhere
from tests.images.test_on_fakes import Shop, shop

__all__ = ["shop"]


def tagged(shop: Shop) -> str:
    """`tag`, as a run of its own; the image that `r.io/web:latest` names then."""
    run, step = shop.step(verb="tag")
    shop.build(run=run)
    tag.do(run, step)
    return shop.engine.names().ids["r.io/web:latest"]


def made_from(shop: Shop, base: str, *names: str) -> str:
    """What somebody builds FROM an image; without kfold, so it has inherited its labels."""
    file = shop.world.folder / "theirs"
    file.write_text(f"FROM {base}\nENV A={len(shop.engine.calls)}\n")
    request = BuildRequest(shop.world.folder, file, "", {}, False, {})
    image = shop.engine.build(request, shop.told.append, threading.Event())
    for name in names:
        shop.engine.tag(image, name)
    return image


def killed_before_it_is_recorded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> str:
    """Build it, and die before the ledger learns the image's ID, which is returned."""
    before = shop.engine.names().unnamed

    def die(*_: object, **__: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(shop.world.ledger, "done", die)
        with pytest.raises(InterruptedError):
            shop.build()
    (image,) = shop.engine.names().unnamed - before
    assert [record.identity for record in shop.images()] == [""]
    return image


def test_what_somebody_made_from_ours_is_not_taken_for_it(shop: Shop) -> None:
    ours = tagged(shop)
    theirs = made_from(shop, "r.io/web:latest", "mine:1")
    nameless = made_from(shop, "r.io/web:latest")
    prune_images(shop.world, "all")
    before = shop.engine.snapshot()
    assert before["images"].keys() == {theirs, nameless}
    again = tagged(shop)
    assert again not in (ours, theirs, nameless)
    assert tagged(shop) == again and any("Found Locally" in text for text in shop.told), "ours is found among them"
    prune_images(shop.world, "all")
    assert shop.engine.snapshot() == before


@pytest.mark.parametrize("names", [("mine:1",), ("mine:1", "mine:2"), ()], ids=str)
def test_what_a_killed_run_made_goes_unless_somebody_named_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Its inputs were touched since, so it is not to be trusted."""
    image = killed_before_it_is_recorded(shop, monkeypatch)
    for name in names:
        shop.engine.tag(image, name)
    os.utime(shop.world.folder / "web" / "Dockerfile", (1, 1))
    shop.build()
    assert {name for name, id_ in shop.engine.names().ids.items() if id_ == image} == set(names)
    assert (shop.images()[0].identity != image) == bool(names), "the same inputs would give the same ID"
    prune_images(shop.world, "all")
    assert shop.engine.snapshot()["images"].keys() == ({image} if names else set())


def test_a_build_in_vain_takes_no_name_along(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input changed while it was built; meanwhile somebody named the image."""
    dockerfile, build = shop.world.folder / "web" / "Dockerfile", shop.engine.build

    def edited(request: BuildRequest, *rest: object) -> str:
        image = build(request, *rest)  # type: ignore[arg-type]
        if "mine:1" not in shop.engine.names().ids:
            shop.engine.tag(image, "mine:1")
            dockerfile.write_text(f"{dockerfile.read_text()}# edited\n")
        return image

    monkeypatch.setattr(shop.engine, "build", edited)
    shop.build()
    assert shop.engine.names().ids["mine:1"] != shop.images()[0].identity


def test_a_killed_build_beside_what_somebody_made_of_an_older_image(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tagged(shop)
    theirs = {made_from(shop, "r.io/web:latest", "mine:1"), made_from(shop, "r.io/web:latest")}
    prune_images(shop.world, "all")
    assert killed_before_it_is_recorded(shop, monkeypatch) not in theirs
    prune_images(shop.world, "all")
    assert shop.engine.snapshot()["images"].keys() == theirs
    image = killed_before_it_is_recorded(shop, monkeypatch)
    shop.build()
    assert [record.identity for record in shop.images()] == [image], "it is used"
    prune_images(shop.world, "all")
    assert shop.engine.snapshot()["images"].keys() == theirs


@pytest.mark.parametrize("same_user", [True, False])
def test_a_nameless_image_is_left_to_whose_it_is(shop: Shop, same_user: bool, tmp_path: Path) -> None:
    """Named and unnamed again it would go."""
    journals = tmp_path / "ledgers"
    theirs = replace(shop.world, ledger=Ledger(tmp_path / "theirs" / "ledger.db", journals=lambda: journals))
    replace(shop, world=theirs).build()
    (image,) = shop.engine.names().unnamed
    own = Ledger(tmp_path / "own" / "ledger.db", journals=lambda: journals if same_user else tmp_path / "elsewhere")
    mine = replace(shop, world=replace(shop.world, ledger=own))
    assert tagged(mine) != image
    prune_images(mine.world, "all")
    assert shop.engine.snapshot()["images"].keys() == {image}
    prune_images(theirs, "all")
    assert not shop.engine.snapshot()["images"]
    for world in (mine.world, theirs):
        world.ledger.close()


def test_lost_records_are_not_found_in_what_somebody_made_from_ours(shop: Shop, tmp_path: Path) -> None:
    ours = tagged(shop)
    shop.engine.remove("r.io/web:latest")
    theirs = {made_from(shop, f"r.io/web:{ours[7:]}"), made_from(shop, f"r.io/web:{ours[7:]}", "mine:1")}
    lost = tmp_path / "lost" / "ledger.db"
    lost.parent.mkdir()
    lost.write_bytes(b"x" * 5000)
    world = replace(shop.world, ledger=Ledger(lost, journals=lambda: tmp_path / "none"))
    find_images(world, ["shop"])
    assert [record.identity for record in world.ledger.records("engine", "image")] == [ours]
    assert all(any(f"image {image[7:19]} stays" in text for text in shop.told) for image in theirs)
    prune_images(world, "all")
    assert shop.engine.snapshot()["images"].keys() == theirs
    world.ledger.close()


def test_lost_records_of_nodes_are_found_and_those_of_registries_are_told(shop: Shop, tmp_path: Path) -> None:
    ours = tagged(shop)
    run, _ = shop.step()
    name = f"r.io/web:{ours.removeprefix('sha256:')}"
    nodes, registry = FakeNodes(cri=False), FakeRegistry("r.io")
    node, stopped = nodes.put_node("node", "it"), nodes.put_node("other", "it")
    images = [NodeImage(one, one, ours, ("sha256:1",), 1, "linux/amd64") for one in (name, "r.io/web:mine")]
    nodes.load(LoadRequest({node.id: images}, {}, "", lambda names: pytest.fail(), lambda count: None), threading.Event())
    nodes.stop(stopped.id)
    registry.put("web", "kfold-key", Manifest(OCI_MANIFEST, b"{}"))
    lost = tmp_path / "lost" / "ledger.db"
    lost.parent.mkdir()
    lost.write_bytes(b"x" * 5000)
    ledger = Ledger(lost, journals=lambda: tmp_path / "none")
    world = replace(
        shop.world, ledger=ledger, open_nodes=lambda _: nodes, open_registry=lambda host, insecure: registry
    )
    find_images(world, ["shop"], lambda: find_elsewhere(world, run.facts, run.configs, [("kind", "it")]))
    assert [record.effect.name for record in world.ledger.records("node")] == [name]
    told = "\n".join(shop.told)
    assert "what node other has is not looked for: node other is exited" in told, told
    assert "r.io/web: kfold-key stay: which machine pushed them is not known" in told, told
    prune_images(world, "all")
    assert nodes.look(node.id).names.keys() == {"r.io/web:mine"} and registry.tags("web") == ["kfold-key"]
    assert world.ledger.records() == []
    world.ledger.close()
