"""Two checkouts of one project by one user, on the same stores: what both have goes with the last one. On the fakes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kfold.errors import KfoldError
from kfold.ledger import Ledger
from kfold.stores.fake_engine import FakeEngine
from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.registry_interface import DOCKER_MANIFEST, Manifest
from kfold.verbs import prune, push, tag
from kfold.verbs.prune import prune_images
from kfold.verbs.versions import Candidate
from kfold.verbs.world import World
from tests.images.test_on_fakes import Shop, shop

__all__ = ["shop"]


class Pushing(FakeEngine):
    """It pushes, into `registry`."""

    registry: FakeRegistry

    def push(
        self, name: str, on_line: Callable[[str], None], stop: threading.Event, environment: Mapping[str, str]
    ) -> str:
        found = self.image(name)
        assert found
        return self.arrives(name, found.id)

    def arrives(self, name: str, image: str) -> str:
        """What the registry has in the end; the digest."""
        repository, word = name.removeprefix("r.io/").split(":")
        self.registry._blobs.setdefault(repository, {})[image] = b"{}"
        manifest = Manifest(DOCKER_MANIFEST, json.dumps({"config": {"digest": image}}).encode())
        self.registry.put(repository, word, manifest)
        return manifest.digest


@dataclass
class Checkout:
    """A folder of the project, with a ledger of its own."""

    shop: Shop
    engine: Pushing
    registry: FakeRegistry
    journals: Path

    def push(self) -> None:
        """`build`, `tag` and `push`, as one run."""
        run, step = self.shop.step(verb="push")
        self.shop.build(run=run)
        _, tagging = self.shop.step(verb="tag")
        run.outcomes[tagging.name], _ = tag.do(run, tagging)
        push.do(run, step)
        self.ends()

    def prune(self, **options: Any) -> None:
        self.world.ledger.claim()
        prune_images(self.world, "all", **options)
        assert self.world.ledger.records() == []
        self.ends()

    def ends(self) -> None:
        """Its process does."""
        self.world.ledger.close()

    @property
    def world(self) -> World:
        return self.shop.world

    def held(self) -> tuple[Any, ...]:
        """What engine and registry have."""
        return self.engine.snapshot()["images"], self.registry.tags("web"), self.registry._manifests.get("web", {})


NOTHING = ({}, [], {})


@pytest.fixture
def checkouts(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Checkout]]:
    """Opens one by its name. `engine`: of a machine of its own, with the same folder of second copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry = FakeRegistry("r.io")
    made = []

    def checkout(name: str, engine: str = "engine") -> Checkout:
        pushing = Pushing(tmp_path / f"{engine}.json")
        pushing.registry = registry
        ledger = Ledger(tmp_path / name / ".kfold" / "ledger.db", journals=lambda: tmp_path / "ledgers")
        stores: dict[str, Any] = {"open_engine": lambda address: pushing, "open_registry": lambda *_: registry}
        world = replace(shop.world, ledger=ledger, **stores)
        made.append(Checkout(replace(shop, world=world, engine=pushing), pushing, registry, tmp_path / "ledgers"))
        return made[-1]

    yield checkout
    for one in made:
        one.ends()


@pytest.mark.parametrize("engine", ["engine", "another"])
@pytest.mark.parametrize("first", [0, 1])
def test_what_both_pushed(checkouts: Callable[..., Checkout], engine: str, first: int) -> None:
    """The manifest came with the one, and goes with the last."""
    both = checkouts("one"), checkouts("two", engine)
    for checkout in both:
        checkout.push()
    _, tags, manifests = both[0].held()
    assert len(tags) == 2 and len(manifests) == 1
    goes, stays = both[first], both[1 - first]
    goes.prune()
    assert goes.held()[1:] == (tags, manifests), "the other one needs them"
    stays.prune()
    assert [one.held() for one in both] == [NOTHING, NOTHING]


@pytest.mark.parametrize("first", [0, 1])
def test_pruned_at_the_same_time(checkouts: Callable[..., Checkout], first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has looked what the other one needs, and what itself has found; then that one prunes from beginning to end."""
    both = checkouts("one"), checkouts("two")
    for checkout in both:
        checkout.push()
    slow, quick = both[first], both[1 - first]
    look = prune.candidates

    def looked(*asked: Any) -> list[Candidate]:
        found = look(*asked)
        monkeypatch.setattr(prune, "candidates", look)
        quick.prune()
        return found

    monkeypatch.setattr(prune, "candidates", looked)
    if slow is both[1]:
        with pytest.raises(KfoldError, match="to this one a moment ago"):
            slow.prune()
    slow.prune()
    assert slow.held() == NOTHING
    assert not [path for path in slow.journals.iterdir() if path.name != "bequests.lock"], "nothing is left to nobody"
