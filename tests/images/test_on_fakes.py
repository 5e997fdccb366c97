"""Builds and their records in this process, on the fake engine: what a real one does too seldom to wait for."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kfold.config.model import PrunePolicy
from kfold.errors import Abandoned, KfoldError, Position
from kfold.events import Event
from kfold.ledger import Effect, Ledger, Record
from kfold.plan.facts import Facts
from kfold.plan.steps import Step, compile_plan
from kfold.session import Options, Session
from kfold.stores import priming
from kfold.stores.engine_interface import BuildRequest, EngineError, InUse
from kfold.stores.fake_engine import FakeEngine
from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.registry_interface import OCI_MANIFEST, Manifest, RegistryError
from kfold.verbs import build, tag
from kfold.verbs.lent_names import LentNames
from kfold.verbs.presence import look
from kfold.verbs.prune import prune_images
from kfold.verbs.report import CleanupReport
from kfold.verbs.versions import candidates
from kfold.verbs.world import Run, World
from tests.plan.test_graphs import artifact, config, target

DAY = 86400.0


@dataclass
class Shop:
    """One artifact `web` in a world of fakes. `ago`: how many seconds the ledger's clock is behind."""

    world: World
    engine: FakeEngine
    told: list[str]
    ago: list[float]

    def step(self, *platforms: str, verb: str = "build") -> tuple[Run, Step]:
        """The step that builds it, in a run of its own."""
        web = replace(artifact("r.io/web"), context="web", position=Position("kfold.yaml", 3))
        plan = compile_plan((config("shop", web),), Facts(target("push"), platforms=platforms))
        return Run(self.world, plan.facts, plan.configs), plan.step(f"{verb}:web")

    def build(self, *platforms: str, run: Run | None = None) -> None:
        """Build it, as a run of its own where none is handed over."""
        new, step = self.step(*platforms)
        run = run or new
        run.outcomes[step.name], _ = build.do(run, step)

    def images(self) -> list[Record]:
        return self.world.ledger.records("engine", "image")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    session = Session(Options(), folder=tmp_path)
    engine = FakeEngine(tmp_path / "engine.json")
    told: list[str] = []
    ago = [0.0]

    def hear(event: Event) -> None:
        told.append(event.text)

    registry = FakeRegistry("r.io")
    world = replace(
        session.world,
        ledger=Ledger(session.state.ledger, clock=lambda: time.time() - ago[0]),
        open_engine=lambda address: engine,
        open_registry=lambda host, insecure: registry,
        report=hear,
    )
    yield Shop(world, engine, told, ago)
    world.ledger.close()
    session.close()


def test_a_build_that_did_not_end_when_it_was_stopped(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine may still make its image, so the record stays, and takes the image back when it comes."""
    finish: list[Callable[[], str]] = []

    def abandoned(request: BuildRequest, *rest: Any) -> str:
        finish.append(lambda: FakeEngine.build(shop.engine, request, shop.told.append, threading.Event()))
        raise Abandoned("`docker build` was stopped")

    monkeypatch.setattr(shop.engine, "build", abandoned)
    with pytest.raises(Abandoned):
        shop.build()
    (record,) = shop.images()
    assert record.state == "intended"
    with pytest.raises(InUse, match="may not have ended"):
        build.undo(shop.world, record)
    assert shop.images(), "it may come yet"
    image = finish[0]()
    assert shop.engine.image(image)
    build.undo(shop.world, record)
    assert shop.images() == [] and shop.engine.image(image) is None

    with pytest.raises(Abandoned):
        shop.build()
    with monkeypatch.context() as patch:
        patch.setattr(build, "LATE", 0.0)
        build.undo(shop.world, shop.images()[0])
    assert shop.images() == [], "it does not come any more"

    with pytest.raises(Abandoned):
        shop.build()
    (record,) = shop.images()
    ahead = {**record.effect.details, "abandoned": time.time() + DAY}
    build.undo(shop.world, replace(record, effect=replace(record.effect, details=ahead)))
    assert shop.images() == [], "the clock was set back since"

    with pytest.raises(Abandoned):
        shop.build()
    monkeypatch.undo()
    shop.build()
    (record,) = shop.images()
    assert record.state == "done" and "abandoned" not in record.effect.details


def test_platforms_are_built_side_by_side(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)

    def built(request: BuildRequest, *rest: Any) -> str:
        both.wait()  # breaks where one is built after the other
        return FakeEngine.build(shop.engine, request, *rest)

    monkeypatch.setattr(shop.engine, "build", built)
    shop.build("linux/amd64", "linux/arm64")
    images = shop.images()
    assert len({record.identity for record in images}) == 2 and {record.state for record in images} == {"done"}
    assert len({record.effect.details["whole"] for record in images}) == 1, "one index is to be over both"
    assert {one.platform for one in shop.engine.labelled({})} == {"linux/amd64", "linux/arm64"}


def test_one_platform_that_fails_stops_none_and_is_told(shop: Shop) -> None:
    (shop.world.folder / "web" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nRUN false\n")
    with pytest.raises(KfoldError, match="build failed"):
        shop.build("linux/amd64", "linux/arm64")
    assert shop.images() == [] and shop.engine.labelled({}) == []


def test_a_superseded_index_goes_by_its_age(shop: Shop) -> None:
    """Its images are those of the next index too, so no engine has anything of it alone."""

    def put(index: str) -> None:
        """As `push` records it."""
        for kind, name in (("tag", f"kfold-{index}"), ("manifest", f"sha256:{index}")):
            details = {"artifact": "r.io/web", "image": f"sha256:{index}", "ours": [], "whole": index}
            effect = Effect("registry", kind, "r.io/web", name, "shop", details=details)  # type: ignore[arg-type]
            shop.world.ledger.done(shop.world.ledger.intend(effect), f"sha256:{index}")

    def fates(days: float | None) -> list[tuple[str, bool]]:
        policy = PrunePolicy(max_age=None if days is None else days * DAY)
        found = candidates(shop.world, "superseded", "", {"shop": policy})
        return [(one.image, one.goes) for one in found if one.image == "sha256:one"]

    shop.ago[0] = 9 * DAY
    shop.build("linux/amd64", "linux/arm64")
    put("one")
    shop.ago[0] = 0.0
    shop.build("linux/amd64", "linux/arm64", "linux/s390x")
    (whole,) = {str(record.effect.details["whole"]) for record in shop.images()}
    put(whole)
    assert fates(None) == [("sha256:one", False)] and fates(10) == [("sha256:one", False)]
    assert fates(7) == [("sha256:one", True)]


def test_a_superseded_image_that_was_pushed_goes_from_the_engine(shop: Shop) -> None:
    """By `keep`; what the registry has of it goes by its age alone."""
    for number in range(3):
        (shop.world.folder / "web" / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /\n# {number}\n")
        shop.build()
        details = {"artifact": "r.io/web", "image": shop.images()[-1].identity, "ours": ["sha256:1"]}
        effect = Effect("registry", "tag", "r.io/web", f"kfold-{number}", "shop", details=details)
        shop.world.ledger.done(shop.world.ledger.intend(effect), "sha256:1")
    prune_images(shop.world, "superseded", policies={"shop": PrunePolicy(keep=1)})
    newest = [record.identity for record in shop.images()]
    assert len(newest) == 2 and {image.id for image in shop.engine.labelled({})} == {*newest}
    assert len(shop.world.ledger.records("registry")) == 3
    prune_images(shop.world, "superseded", policies={"shop": PrunePolicy(keep=1, max_age=0.0)})
    assert [record.effect.name for record in shop.world.ledger.records("registry")] == ["kfold-2"]
    assert len(shop.images()) == 2


def test_the_current_image_is_the_one_used_last_whatever_the_clock_says(shop: Shop) -> None:
    shop.ago[0] = -3600.0  # it is an hour ahead, and then set back
    images = []
    for text in ("a", "b", "a"):
        (shop.world.folder / "web" / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /\n# {text}\n")
        shop.build()
        images.append(max(shop.images(), key=lambda record: record.updated).identity)
        shop.ago[0] = 0.0
        stays = [one.image for one in candidates(shop.world, "superseded") if not one.goes]
        assert stays == images[-1:], text
        shop.world.ledger.close()
        shop.world = replace(shop.world, ledger=Ledger(shop.world.state.ledger))  # the next run
    assert images[0] == images[2] != images[1]


def test_a_config_that_is_not_known_may_want_all_to_be_kept(shop: Shop) -> None:
    """It was renamed, or another file's is used."""
    for text in "ab":
        (shop.world.folder / "web" / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /\n# {text}\n")
        shop.build()
    prune_images(shop.world, "superseded", policies={"renamed": PrunePolicy()})
    assert len(shop.images()) == 2
    assert [one.goes for one in candidates(shop.world, "all", policies={})] == [True, True]
    prune_images(shop.world, "superseded", policies={"renamed": PrunePolicy(), "shop": PrunePolicy()})
    assert len(shop.images()) == 1


def test_a_registry_that_is_gone_or_deletes_nothing_holds_no_engine_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = FakeRegistry("r.io", delete=False)
    world = replace(shop.world, open_registry=lambda host, insecure: registry)
    manifest = Manifest(OCI_MANIFEST, b"{}")

    def pushed() -> None:
        shop.build()
        (image,) = shop.images()
        shop.engine.tag(image.identity, "r.io/web:1")
        details = {"artifact": "r.io/web", "image": image.identity, "ours": [manifest.digest, image.identity], "address": {}}
        for kind, name, identity in (
            ("name", "r.io/web:1", image.identity), ("manifest", manifest.digest, manifest.digest),
            ("tag", "1", manifest.digest), ("tag", "2", manifest.digest),
        ):  # fmt: skip
            store, place = ("engine", shop.engine.identity()) if kind == "name" else ("registry", "r.io/web")
            effect = Effect(store, kind, place, name, "shop", details=details)  # type: ignore[arg-type]
            world.ledger.done(world.ledger.intend(effect), identity)
        for name in ("1", "2"):
            registry.put("web", name, manifest)

    def problems() -> list[str]:
        report = CleanupReport()
        with pytest.raises(KfoldError) as caught:
            prune_images(world, "all", report=report)
        assert shop.engine.names().ids == {} and shop.images() == [], "the engine's went"
        told = json.loads(report.as_json())
        assert sorted(one["kind"] for one in told["removed"]) == ["image", "name"]
        assert sorted(one["kind"] for one in told["failed"]) == ["manifest", "tag", "tag"]
        return str(caught.value).splitlines()[:-1]

    pushed()
    told = problems()
    assert len(told) == 1 and "deletes nothing" in told[0], told
    assert {record.effect.kind for record in world.ledger.records()} == {"tag", "manifest"}

    pushed()
    asked: list[str] = []

    def gone(repository: str, reference: str) -> str:
        asked.append(reference)
        raise RegistryError("the registry r.io cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "digest", gone)
        told = problems()
        assert len(told) == len(asked) == 1, "it is asked once, not once a tag"
        prune_images(world, "all", forget=True)
        assert world.ledger.records() == [] and len(registry.tags("web")) == 2, "forgotten, not touched"

    # a name that stays keeps its image, and the image its record
    registry._deletes = True
    pushed()
    shop.engine.fail("remove", EngineError("not now"), times=99)
    with pytest.raises(KfoldError, match="web:1 stays: not now"):
        prune_images(world, "all")
    assert {record.effect.kind for record in world.ledger.records()} == {"name", "image"}


def test_an_engine_that_was_replaced_keeps_its_records_alone(shop: Shop, tmp_path: Path) -> None:
    """Until they are to be forgotten: nothing in the new one is taken for what they speak of."""
    shop.build()
    old, new = shop.engine, FakeEngine(tmp_path / "new.json")
    (lost,) = shop.images()
    details = {"artifact": "r.io/web", "ours": [lost.identity], "address": dict(old.address())}
    name = shop.world.ledger.intend(Effect("engine", "name", old.identity(), "r.io/web:1", "shop", details=details))
    shop.world.ledger.done(name, lost.identity)
    shop.engine, shop.world = new, replace(shop.world, open_engine=lambda address: new)
    shop.build()
    new.tag(lost.identity, "r.io/web:1")  # the same image, as an engine that was restored may have it
    (mine,) = (record for record in shop.images() if record.effect.place == new.identity())
    report = CleanupReport()
    with pytest.raises(KfoldError, match=r"(?s)is another one than.*prune --all --forget"):
        prune_images(shop.world, "all", report=report)
    assert len(json.loads(report.as_json())["failed"]) == 2
    assert [record.id for record in shop.world.ledger.records()] == [lost.id, name.id], "the new one's went"
    assert new.names().ids == {"r.io/web:1": mine.identity}, "it stays, under a name that nobody gave there"
    there = look(shop.world, shop.world.ledger.records())
    assert {one.found for one in there} == {"unknown"} and "another one now" in there[0].why
    prune_images(shop.world, "all", forget=True)
    assert shop.world.ledger.records() == [] and new.names().ids and old.image(lost.identity)
    assert any("is forgotten, and stays if it is there" in text for text in shop.told)


def test_a_name_that_two_checkouts_move_in_turn(tmp_path: Path) -> None:
    """The user's own image comes back when both are pruned."""
    engine = FakeEngine(tmp_path / "engine.json")
    mine = engine.put_image("r.io/web:latest", "mine")
    worlds = []
    for name in ("one", "two"):
        (tmp_path / name / "web").mkdir(parents=True)
        session = Session(Options(), folder=tmp_path / name)
        ledger = Ledger(session.state.ledger, journals=lambda: tmp_path / "ledgers")
        worlds.append(replace(session.world, ledger=ledger, open_engine=lambda address: engine))
    for world, text in zip((*worlds, worlds[0]), "abc", strict=True):
        (world.folder / "web" / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /\n# {text}\n")
        web = replace(artifact("r.io/web"), context="web", position=Position("kfold.yaml", 3))
        plan = compile_plan((config("shop", web),), Facts(target("none")))
        run = Run(world, plan.facts, plan.configs)
        for verb, step in ((build, plan.step("build:web")), (tag, plan.step("tag:web"))):
            run.outcomes[step.name], _ = verb.do(run, step)
        world.ledger.close()
    for world in worlds:
        world.ledger.claim()
        prune_images(world, "all")
        world.ledger.close()
    found = engine.image("r.io/web:latest")
    assert found and found.id == mine


def test_names_that_a_priming_has_are_left_to_it(shop: Shop) -> None:
    """It works in the background, beside the next load: what it gave back is forgotten, and it goes on with the rest."""
    lent = LentNames(shop.world, shop.engine)
    image = shop.engine.put_image("r.io/web:1")
    with subprocess.Popen(["sleep", "600"]) as alive, ExitStack() as stack:
        stack.callback(alive.kill)
        running, gone = priming.identity(alive.pid), f"{alive.pid} long ago"
        for number, process in enumerate((running, running, gone)):
            lent._give(f"127.0.0.1:1/lent:{number}", image, process)
        shop.engine.remove("127.0.0.1:1/lent:0")
        lent.sweep()
        assert alive.poll() is None, "it goes on"
        assert [record.effect.name for record in shop.world.ledger.records("engine", "name")] == ["127.0.0.1:1/lent:1"]
        assert shop.engine.names().ids.keys() == {"r.io/web:1", "127.0.0.1:1/lent:1"}
    lent.sweep()
    assert not shop.world.ledger.records("engine", "name") and shop.engine.names().ids == {"r.io/web:1": image}


def test_a_name_that_moves_while_the_run_builds(shop: Shop) -> None:
    """What it pointed at when it was moved is what comes back."""
    theirs = shop.engine.put_image("theirs:1", "theirs")
    run, building = shop.step()
    assert "r.io/web:latest" not in run.engine_names.ids
    shop.engine.tag(theirs, "r.io/web:latest")
    run.outcomes[building.name], _ = build.do(run, building)
    _, step = shop.step(verb="tag")
    tag.do(run, step)
    (record,) = (one for one in shop.world.ledger.records("engine", "name") if one.effect.name == "r.io/web:latest")
    assert record.effect.before == theirs
    tag.undo(shop.world, record)
    assert shop.engine.names().ids["r.io/web:latest"] == theirs
