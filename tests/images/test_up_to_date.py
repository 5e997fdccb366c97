"""When an image is built, and when it is found instead."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.engine import docker
from tests.images.conftest import Shop

pytestmark = pytest.mark.engine


def test_a_second_build_is_a_no_op(shop: Shop, builder: str) -> None:
    first = shop.doit("build").succeeded()
    assert f"Building [{shop.image}]..." in first.output
    label = f"label=dev.kfold.artifact={shop.image}"
    (image,) = docker("image", "ls", "--no-trunc", "--quiet", "--filter", label).split()
    assert docker("image", "inspect", "--format", "{{.RepoTags}}", image).strip() == "[]"
    shop.up_to_date("build")
    assert shop.tag() == image
    shop.up_to_date("tag")
    shop.up_to_date("build")
    shop.prune_all()


@pytest.mark.parametrize("what", ["touch", "group bits", "umask", "order of files"])
def test_what_the_image_does_not_keep_builds_nothing(shop: Shop, what: str) -> None:
    shop.tag()
    script = shop.folder / "web" / "run.sh"
    if what == "touch":
        os.utime(script, (time.time() + 100, time.time() + 100))
    elif what == "group bits":
        script.chmod(0o664)
    elif what == "umask":
        for path in [*shop.folder.rglob("web/*"), shop.folder / "web"]:
            path.chmod(0o700 if path.is_dir() else 0o600)
    else:
        text = script.read_text()
        script.unlink()
        script.write_text(text)
    shop.up_to_date()
    shop.prune_all()


def test_what_the_image_keeps_builds_it_anew(shop: Shop) -> None:
    seen = [shop.tag()]
    web = shop.folder / "web"
    changes = {
        "content": lambda: (web / "a.txt").write_text("b\n"),
        "execute bit": lambda: (web / "run.sh").chmod(0o755),
        "new file": lambda: (web / "new").write_text(""),
        "file gone": lambda: (web / "new").unlink() or (web / "run.sh").chmod(0o644) or (web / "a.txt").unlink(),
        "link": lambda: (web / "link").symlink_to("run.sh"),
        "link's target": lambda: (web / "link").unlink() or (web / "link").symlink_to("a.txt"),
        "Dockerfile": lambda: shop.dockerfile("COPY . /out/", "ENV X=1"),
        "empty folder": lambda: (web / "empty").mkdir(),
    }
    for what, change in changes.items():
        change()
        image = shop.tag()
        assert image not in seen, what
        seen.append(image)
    assert set(seen) <= shop.corner.state().images
    shop.up_to_date()
    shop.prune_all()


def test_kfolds_own_folder_is_in_no_image_and_no_key(shop: Shop, builder: str) -> None:
    shop.dockerfile("COPY . /out/", folder=".")
    shop.config({"image": shop.image, "context": "."})
    image = shop.tag()
    assert (shop.folder / ".kfold" / "ledger.db").exists()
    shop.up_to_date()
    (shop.folder / ".kfold" / "scratch").write_text("x")
    shop.up_to_date()
    found = {path.split("/")[0] for path in shop.corner.export(image)}
    assert "a.txt" in {path.split("/")[-1] for path in shop.corner.export(image)}
    assert not [path for path in found if path.startswith(".kfold")]
    shop.prune_all()


def test_a_fresh_clone_finds_the_image_and_never_takes_it_away(shop: Shop, builder: str) -> None:
    image = shop.tag()
    clone = shop.clone("clone")
    done = clone.doit("tag").succeeded()
    assert "Found Locally" in done.output and "Building [" not in done.output
    assert clone.changes() == []
    assert "Nothing to do" in clone.doit("tag").succeeded().output
    pruned = clone.doit("prune", "--all").succeeded()
    assert clone.changes() == [], pruned.output
    assert image in shop.corner.state().images
    assert clone.records() == []
    assert "No images to prune." in clone.doit("prune", "--all").succeeded().output
    shop.up_to_date()
    shop.prune_all()


def test_a_fresh_clone_with_a_restored_state_folder_does_nothing(shop: Shop) -> None:
    """As on a build server that keeps `.kfold/` from run to run: every file is newly written, in another folder."""
    image = shop.tag()
    clone = shop.clone("clone")
    shutil.copytree(shop.folder / ".kfold", clone.folder / ".kfold", copy_function=shutil.copyfile)
    shutil.rmtree(shop.folder)
    shutil.rmtree(Path(shop.project.environment["XDG_STATE_HOME"]))
    clone.before = shop.before
    for verb in ("build", "tag"):
        clone.up_to_date(verb)
    assert image in clone.corner.state().images
    clone.prune_all()


def test_a_clone_that_edits_takes_back_its_own_edit_only(shop: Shop) -> None:
    first = shop.tag()
    clone = shop.clone("clone")
    assert clone.tag() == first
    clone.project.write("web/a.txt", "edited\n")
    second = clone.tag()
    assert second != first
    clone.doit("prune", "--all").succeeded()
    assert clone.changes() == []
    assert shop.corner.names()[f"{shop.image}:latest"] == first
    shop.prune_all()


def test_what_was_found_and_then_built_here_is_ours(shop: Shop) -> None:
    first = shop.tag()
    clone = shop.clone("clone")
    assert clone.tag() == first
    docker("rmi", f"{shop.image}:latest", shop.id_name(first))
    assert shop.changes() == []
    shop.doit("prune", "--all").succeeded()
    clone.before = shop.before
    again = clone.tag()
    assert again in shop.corner.state().images
    clone.prune_all()


def test_two_checkouts_take_nothing_from_each_other(shop: Shop) -> None:
    """The one that built it lets go first; the other still has it, and takes it back in the end."""
    image = shop.tag()
    clone = shop.clone("clone")
    assert clone.tag() == image
    pruned = shop.doit("prune", "--all").succeeded()
    assert f"the checkout {clone.folder} has it too" in pruned.output and shop.records() == []
    assert shop.corner.names()[f"{shop.image}:latest"] == image
    clone.before = shop.before
    clone.up_to_date()
    clone.prune_all()


def test_an_image_that_somebody_removed_is_built_again(shop: Shop) -> None:
    image = shop.tag()
    docker("rmi", f"{shop.image}:latest", shop.id_name(image))
    assert shop.changes() == []
    done = shop.doit("tag").succeeded()
    assert "Building [" in done.output
    assert shop.changes()
    shop.prune_all()


def test_there_and_back_again(shop: Shop) -> None:
    first = shop.tag()
    shop.project.write("web/a.txt", "b\n")
    second = shop.tag()
    assert second != first
    shop.project.write("web/a.txt", "a\n")
    done = shop.doit("tag").succeeded()
    assert "Found Locally" in done.output and "Building [" not in done.output
    assert shop.corner.names()[f"{shop.image}:latest"] == first
    pruned = shop.doit("prune").succeeded()
    assert shop.corner.state().images - shop.before.images == {first}, pruned.output
    shop.up_to_date()
    shop.prune_all()


def test_an_image_of_somebody_made_from_ours_is_not_taken_for_it(shop: Shop) -> None:
    image = shop.tag()
    theirs = f"{shop.image}-theirs:1"
    text = f"FROM {shop.image}:latest\nRUN touch /theirs\n".encode()
    docker("build", "-q", "-t", theirs, "-", input=text)
    child = shop.corner.names()[theirs]
    clone = shop.clone("clone")
    assert "Found Locally" in clone.doit("tag").succeeded().output
    assert clone.changes() == []
    assert shop.corner.names()[f"{shop.image}:latest"] == image != child
    clone.doit("prune", "--all").succeeded()
    assert clone.changes() == []
    docker("rmi", theirs)
    shop.prune_all()


def test_the_time_of_the_build_names_it_once(shop: Shop) -> None:
    shop.config(policy={"dateTime": {"format": "2006-01-02_15-04-05.999"}})
    shop.doit("tag").succeeded()
    names = {name for name in shop.corner.names() if name.startswith(shop.image)}
    assert len(names) == 2
    shop.up_to_date()
    shop.up_to_date()
    assert {name for name in shop.corner.names() if name.startswith(shop.image)} == names
    shop.prune_all()


def test_a_commit_names_another_tag_of_the_same_image(shop: Shop) -> None:
    shop.clone("once")  # makes it a repository with a commit
    shop.config(policy={"gitCommit": {"variant": "AbbrevCommitSha"}})
    shop.git("commit", "-qam", "x")
    done = shop.doit("tag").succeeded()
    assert "Building [" in done.output
    assert f"{shop.image}:{shop.git('rev-parse', '--short', 'HEAD').strip()}" in shop.corner.names()
    shop.up_to_date()
    shop.git("commit", "-q", "--allow-empty", "-m", "y")
    done = shop.doit("tag").succeeded()
    assert "Building [" not in done.output
    assert len([name for name in shop.corner.names() if name.startswith(shop.image)]) == 3
    shop.prune_all()
