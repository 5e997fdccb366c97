"""`prune` in this process, on the fake engine: where it is asked to stop, and what becomes of its report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kfold.commands import dev, prune
from kfold.config.model import PrunePolicy
from kfold.errors import KfoldError
from kfold.planning import plan
from kfold.session import Options, Session
from kfold.stores.fake_engine import FakeEngine
from kfold.verbs.prune import prune_images
from kfold.verbs.report import CleanupReport, written_to
from tests.images.test_on_fakes import Shop, shop

__all__ = ["shop"]


@pytest.fixture
def command(shop: Shop) -> Iterator[Callable[..., None]]:
    """`doit prune` in the shop's world, its flags as arguments."""
    session = Session(Options(), folder=shop.world.folder)
    session.__dict__["world"] = shop.world
    act = prune.action(session, KfoldError("there is no config"))
    flags = dict.fromkeys(("all", "forget", "forget_hooks", "build_cache", "dry_run"), False)
    yield lambda **chosen: act(**{**flags, "report": "", **chosen})


def two_images(shop: Shop) -> set[str]:
    for text in "ab":
        (shop.world.folder / "web" / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /\n# {text}\n")
        shop.build()
    return {record.identity for record in shop.images()}


def test_asked_to_stop_between_two_images(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    images = two_images(shop)

    def remove(reference: str) -> bool:
        shop.world.stop.set()
        return FakeEngine.remove(shop.engine, reference)

    monkeypatch.setattr(shop.engine, "remove", remove)
    report = CleanupReport()
    with pytest.raises(KfoldError, match="stays: stopped before it was done"):
        prune_images(shop.world, "all", report=report)
    told = json.loads(report.as_json())
    assert len(told["removed"]) == len(told["failed"]) == 1, told
    assert told["removed"][0]["size"] > 0
    assert any(text.startswith("Removed images of 1 B") for text in shop.told), "also where some stay"
    assert {told["removed"][0]["id"], told["failed"][0]["id"]} == images
    assert [record.identity for record in shop.images()] == [told["failed"][0]["id"]], "its record stays"
    assert [image.id for image in shop.engine.labelled({})] == [told["failed"][0]["id"]]


def test_a_report_that_cannot_be_written_stops_all_that_was_asked_for(
    shop: Shop, command: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build cache, too."""
    images = two_images(shop)
    asked: list[str] = []
    monkeypatch.setattr(shop.engine, "prune_build_cache", lambda: asked.append("cache") or "1 GB")
    with pytest.raises(KfoldError, match="nothing was removed"):
        command(all=True, build_cache=True, report="none/report.json")
    assert {record.identity for record in shop.images()} == images and not asked
    for words in ({"report": "report.json"}, {"build_cache": True}):
        with pytest.raises(KfoldError, match="with --dry-run nothing does"):
            command(dry_run=True, **words)
    assert not asked and not (shop.world.folder / "report.json").exists()
    command(all=True, build_cache=True, report="report.json")
    assert asked and len(json.loads((shop.world.folder / "report.json").read_text())["removed"]) == 2


def test_a_report_into_a_pipe_and_onto_a_full_disk(shop: Shop, command: Callable[..., None], tmp_path: Path) -> None:
    two_images(shop)
    reads, writes = os.pipe()
    with open(reads) as pipe:
        command(all=True, report=f"/dev/fd/{writes}")
        os.close(writes)
        assert len(json.loads(pipe.read())["removed"]) == 2
    with pytest.raises(KfoldError, match=r"/dev/full could not be written: No space left.*\n.*is done"):
        command(all=True, report="/dev/full")
    assert shop.images() == []
    with pytest.raises(KfoldError, match=r"(?s)it is in use.*could not be written"), written_to("/dev/full", tmp_path):
        raise KfoldError("it is in use")


def test_dev_ends_by_the_policy_that_the_config_has_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    session = Session(Options(), folder=tmp_path)
    file = tmp_path / "kfold.yaml"
    file.write_text("apiVersion: kfold/v1\nkind: Config\nmetadata: {name: one}\n")
    began = plan(session)
    asked: list[dict[str, PrunePolicy]] = []
    monkeypatch.setattr("kfold.verbs.prune.prune_images", lambda *_, policies, **__: asked.append(policies))
    file.write_text("apiVersion: kfold/v1\nkind: Config\nmetadata: {name: two}\nprune: {keep: 3}\n")
    for _ in range(2):
        assert dev.clean_up(session, began, cleanup=False, prune="superseded") == []
        file.write_text("apiVersion: [")  # and one that cannot be read says nothing new
    assert asked == [{"one": PrunePolicy(), "two": PrunePolicy(3)}, {"one": PrunePolicy()}]
    session.close()
