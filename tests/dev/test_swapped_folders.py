"""A watched folder that is replaced by another one of its name: edits in the new one arrive all the same."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kfold.loop import watch
from kfold.loop.watch import Watcher, settled_inputs
from kfold.session import Options, Session
from tests.engine import wait_until
from tests.scenarios.application import ApplicationFactory, config_map, uid

WATCHING = "Watching for changes..."
DEAF = 10.0
"""Seconds after which an edit did not arrive."""


def renamed_and_copied(folder: Path) -> None:
    aside = folder.with_name("aside")
    folder.rename(aside)
    shutil.copytree(aside, folder)
    shutil.rmtree(aside)


def swapped_for_a_copy(folder: Path) -> None:
    """As one does it who wants no moment without the folder: a copy first, then two renames."""
    new, old = folder.with_name("new"), folder.with_name("old")
    shutil.copytree(folder, new)
    folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old)


def deleted_and_copied(folder: Path) -> None:
    """File systems give an inode number out again at once: the new folder may have the old one's."""
    aside = folder.with_name("aside")
    shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    shutil.copytree(aside, folder)
    shutil.rmtree(aside)


def moved_off_and_back(folder: Path) -> None:
    folder.rename(folder.with_name("aside"))
    folder.with_name("aside").rename(folder)


SWAPS = [renamed_and_copied, swapped_for_a_copy, deleted_and_copied, moved_off_and_back]


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("inside", ["file", "deep/file"])
@pytest.mark.parametrize("single", [True, False], ids=["file", "folder"])
def test_a_watcher_knows_that_it_is_deaf(tmp_path: Path, swap: Callable[[Path], None], inside: str, single: bool) -> None:
    """Made anew whenever it says so, watchers tell of every later edit."""
    folder = tmp_path / "watched"
    file = folder / inside
    file.parent.mkdir(parents=True)
    file.write_text("one")

    def watch() -> Watcher:
        return Watcher([] if single else [folder], [file] if single else [], threading.Event())

    watcher = watch()
    assert not watcher.stale()
    swap(folder if not single else file.parent)
    assert _tells(watcher), "the swap itself went by"
    assert watcher.stale()
    watcher.close()

    watcher = watch()
    assert not watcher.stale()
    file.write_text("two")
    assert _tells(watcher), "the edit after the swap went by"
    watcher.close()


def _tells(watcher: Watcher) -> bool:
    told = threading.Event()

    def wait() -> None:
        if watcher.wait():
            told.set()

    threading.Thread(target=wait, daemon=True).start()
    return told.wait(DEAF)


def test_a_folder_that_goes_and_comes(tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    watcher = Watcher([folder], [], threading.Event())
    folder.rename(tmp_path / "off")
    assert _tells(watcher) and watcher.stale()
    watcher.close()
    watcher = Watcher([folder], [], threading.Event())
    (tmp_path / "off").rename(folder)
    assert _tells(watcher) and watcher.stale()
    watcher.close()


class Meanwhile(threading.Event):
    """A stop that does not come; while it is waited for, somebody does one thing after the other."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__()
        self.steps = list(steps)

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        if self.steps:
            self.steps.pop(0)()
        return False


def test_a_manifest_that_is_gone_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    manifest = tmp_path / "k8s" / "it.yaml"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps(config_map("it", {"a": "0"})))
    (tmp_path / "kfold.yaml").write_text("apiVersion: kfold/v1\nkind: Config\nmetadata: {name: it}\n")
    session = Session(Options(), folder=tmp_path)
    seen = settled_inputs(session, None)
    assert list(seen.manifests) == [manifest]
    whole = manifest.read_text()

    manifest.write_text("")
    session.stop = Meanwhile(lambda: manifest.write_text(whole[:9]), manifest.unlink, lambda: manifest.write_text(whole))
    assert settled_inputs(session, seen) == seen and session.stop.steps == []

    # while a config is broken, what it names is not known to be gone
    config = (tmp_path / "kfold.yaml").read_text()
    (tmp_path / "kfold.yaml").write_text("{")
    broken = settled_inputs(session, seen)
    assert broken.fingerprint != seen.fingerprint and broken.manifests == seen.manifests
    (tmp_path / "kfold.yaml").write_text(config)
    manifest.unlink()
    session.stop = Meanwhile()
    gone = settled_inputs(session, seen)
    assert gone.fingerprint != seen.fingerprint and not gone.manifests


def test_an_empty_manifest_gets_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell cuts the file at the start of `generator > file`; something else may change all the while."""
    monkeypatch.setattr(watch, "EMPTIED", 0.6)
    monkeypatch.setattr(watch, "LONGEST", 1.2)
    manifest, other = tmp_path / "k8s" / "it.yaml", tmp_path / "k8s" / "other.yaml"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps(config_map("it", {"a": "0"})))
    (tmp_path / "kfold.yaml").write_text("apiVersion: kfold/v1\nkind: Config\nmetadata: {name: it}\n")
    session = Session(Options(), folder=tmp_path)
    seen = settled_inputs(session, None)

    manifest.write_text("")
    began = time.monotonic()
    assert settled_inputs(session, seen).emptied(seen)
    assert 0.6 <= time.monotonic() - began < 1.2
    session.stop = Meanwhile(*[lambda n=n: other.write_text("#" * n) for n in range(10**5)])  # type: ignore[misc]
    began = time.monotonic()
    settled_inputs(session, seen)
    assert session.stop.steps and time.monotonic() - began < 3, "it waited for what never rests"


def test_dev_follows_a_folder_through_every_swap(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "0"}))
    folder = app.project.folder / "k8s"
    dev = app.dev()
    dev.wait_for(WATCHING)
    deployed = uid(app.place.there("configmaps", "it"))
    for number, swap in enumerate(SWAPS, 1):
        swap(folder)
        for edit in ("x", "y"):
            manifest = config_map("it", {"a": f"{number}{edit}"})
            (folder / "configmap-it.json").write_text(json.dumps(manifest))
            wait_until(
                lambda wanted=manifest: app.place.there("configmaps", "it")["data"] == wanted["data"],  # type: ignore[misc]
                f"edit {edit} after {swap.__name__}",
                seconds=DEAF,
                tell=lambda: dev.output,
            )
    assert uid(app.place.there("configmaps", "it")) == deployed, "it went with its manifest for a moment"
    assert os.listdir(folder) == ["configmap-it.json"]
    dev.interrupt()
    dev.wait().succeeded()
    assert app.place.held() == {}
