"""What `prune` takes back, what it leaves alone, and what it says about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.engine import docker
from tests.images.conftest import Shop

pytestmark = pytest.mark.engine


def test_prune_takes_back_all_that_was_built_without_a_config(shop: Shop) -> None:
    image = shop.tag()
    (shop.folder / "kfold.yaml").rename(shop.folder / "away.yaml")
    preview = shop.doit("prune", "--all", "--dry-run").succeeded()
    assert image[7:19] in preview.output and f"{shop.image}:latest" in preview.output
    assert shop.changes()
    done = shop.prune_all()
    lines = ("Pruning images...", f"untagged image {shop.image}:latest", f"deleted image {image}", "Removed images of ")
    for line in lines:
        assert line in done.output


def test_prune_keeps_the_newest_and_takes_what_is_superseded(shop: Shop) -> None:
    first = shop.tag()
    shop.doit("prune").succeeded()
    assert first in shop.corner.state().images
    shop.project.write("web/a.txt", "b\n")
    second = shop.tag()
    shop.doit("prune").succeeded()
    after = shop.corner.state()
    assert after.images - shop.before.images == {second}
    assert after.names - shop.before.names == {f"{shop.image}:latest = {second}", f"{shop.id_name(second)} = {second}"}
    shop.up_to_date()
    shop.prune_all()


def test_a_name_that_pointed_elsewhere_is_pointed_back(shop: Shop) -> None:
    name = f"{shop.image}:latest"
    docker("tag", shop.corner.base, name)
    theirs = shop.corner.state()
    for text in ("a\n", "b\n"):
        shop.project.write("web/a.txt", text)
        image = shop.tag()
        assert image != shop.corner.image
    done = shop.doit("prune", "--all").succeeded()
    assert f"pointed {name} back" in done.output
    assert theirs.difference(shop.corner.state()) == []
    assert shop.corner.names()[name] == shop.corner.image


def test_a_name_that_somebody_moved_between_two_builds_is_pointed_back_to_theirs(shop: Shop) -> None:
    name = f"{shop.image}:latest"
    shop.tag()
    docker("tag", shop.corner.base, name)
    shop.project.write("web/a.txt", "b\n")
    assert shop.tag() != shop.corner.image
    shop.doit("prune", "--all").succeeded()
    assert shop.corner.names()[name] == shop.corner.image
    docker("rmi", name)
    assert shop.changes() == []


def test_a_name_that_somebody_moved_after_the_build_is_left_alone(shop: Shop) -> None:
    name = f"{shop.image}:latest"
    shop.tag()
    docker("tag", shop.corner.base, name)
    done = shop.doit("prune", "--all").succeeded()
    assert f"{name} stays" in done.output
    assert shop.corner.names()[name] == shop.corner.image
    docker("rmi", name)
    assert shop.changes() == []


def test_a_name_that_somebody_gave_our_image_first_stays_theirs(shop: Shop) -> None:
    shop.doit("build").succeeded()
    label = f"label=dev.kfold.artifact={shop.image}"
    (image,) = docker("image", "ls", "--no-trunc", "--quiet", "--filter", label).split()
    name = f"{shop.image}:latest"
    docker("tag", image, name)
    assert shop.tag() == image
    shop.project.write("web/a.txt", "b\n")
    assert shop.tag() != image
    shop.doit("prune", "--all").succeeded()
    assert shop.corner.names() == {shop.corner.base: shop.corner.image, name: image}
    docker("rmi", name)
    assert shop.changes() == []


def test_somebodys_own_name_keeps_the_image(shop: Shop) -> None:
    image = shop.tag()
    theirs = f"{shop.image}-mine:1"
    docker("tag", image, theirs)
    done = shop.doit("prune", "--all").succeeded()
    assert f"{theirs} is a name that kfold did not give" in done.output
    state = shop.corner.state()
    assert state.images - shop.before.images == {image}
    assert state.names - shop.before.names == {f"{theirs} = {image}"}
    docker("rmi", theirs)
    assert shop.changes() == []


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_an_image_in_use_stays_with_its_record_until_it_is_free(shop: Shop, running: bool) -> None:
    image = shop.tag()
    container = shop.corner.container(image, running=running)
    before = shop.corner.state()
    done = shop.doit("prune", "--all").failed()
    assert f"in use by container {container}" in done.output
    assert "run `doit prune --all` again" in done.output
    assert before.difference(shop.corner.state()) == []
    shop.corner.remove_container(container)
    shop.prune_all()


def test_a_superseded_image_in_use_is_told_and_no_failure(shop: Shop) -> None:
    first = shop.tag()
    container = shop.corner.container(first, running=False)
    shop.project.write("web/a.txt", "b\n")
    shop.tag()
    before = shop.corner.state()
    done = shop.doit("prune").succeeded()
    assert f"in use by container {container}" in done.output
    assert before.difference(shop.corner.state()) == []
    failed = shop.doit("prune", "--all").failed()
    assert f"in use by container {container}" in failed.output
    assert shop.corner.state().images - shop.before.images == {first}, "one that stays must not keep the others"
    shop.corner.remove_container(container)
    shop.prune_all()


def test_an_image_that_another_was_made_from_stays_until_that_is_gone(shop: Shop) -> None:
    """The legacy builder makes a child of ours; BuildKit's has no parent, and keeps nothing."""
    shop.project.environment["DOCKER_BUILDKIT"] = "0"
    image = shop.tag()
    text = f"FROM {shop.image}:latest\nRUN touch /theirs\n".encode()
    theirs = f"{shop.image}-theirs:1"
    command = ["docker", "build", "-q", "-t", theirs, "-"]
    legacy = os.environ | {"DOCKER_BUILDKIT": "0"}
    subprocess.run(command, input=text, check=True, capture_output=True, env=legacy, timeout=60)
    done = shop.doit("prune", "--all").failed()
    assert "dependent child images" in done.output
    assert image in shop.corner.state().images
    child = shop.corner.names()[theirs]
    assert child in shop.corner.state().images
    assert shop.tag() == image, "theirs has inherited the labels, and the engine lists ours no more"
    docker("rmi", theirs)
    shop.doit("prune", "--all").succeeded()
    assert shop.changes() == []


def test_one_artifact_is_pruned_alone(shop: Shop) -> None:
    other = f"{shop.image}-other"
    shop.config({"image": shop.image, "context": "web"}, {"image": other, "context": "other"})
    shop.dockerfile("COPY a.txt /out/", folder="other")
    shop.project.write("other/a.txt", "other\n")
    shop.tag()
    shop.doit(f"prune:{other}", "--all").succeeded()
    names = shop.corner.names()
    assert f"{shop.image}:latest" in names and f"{other}:latest" not in names
    assert len(shop.corner.state().images - shop.before.images) == 1
    shop.prune_all()


def test_another_engine_is_not_pruned(shop: Shop) -> None:
    shop.tag()
    before = shop.corner.state()
    dead = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    failed = shop.doit("build", env=dead).failed()
    assert "the Docker Engine does not answer" in failed.output and "DOCKER_HOST" in failed.output
    assert before.difference(shop.corner.state()) == []
    # the record leads to the engine that it was built in, whatever DOCKER_HOST says now
    shop.doit("prune", "--all", env=dead).succeeded()
    assert shop.changes() == []


def test_an_unreachable_engine_leaves_no_record(shop: Shop) -> None:
    dead = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    failed = shop.doit("tag", env=dead).failed()
    assert failed.output.count("does not answer") == 1, failed.output
    assert "No images to prune." in shop.doit("prune", "--all").succeeded().output


def test_a_lost_ledger_is_made_anew_from_its_second_copy(shop: Shop) -> None:
    shop.tag()
    shutil.rmtree(shop.folder / ".kfold")
    done = shop.prune_all()
    assert "came back from the second copy" in done.output
    assert not (shop.folder / ".kfold").exists(), "nothing is recorded any more"


def test_what_no_record_tells_any_more_is_found_by_its_labels(shop: Shop) -> None:
    """The ledger is damaged and its copy gone: images and names that only kfold makes go, a name that may be a person's
    stays, and is told."""
    image = shop.tag()
    by_id = shop.id_name(image)
    shutil.rmtree(next(shop.folder.parent.glob("**/kfold/ledgers")))
    (shop.folder / ".kfold" / "ledger.db").write_bytes(b"x" * 9000)
    done = shop.doit("prune", "--all").succeeded()
    assert f"{shop.image}:latest stays" in done.output, done.output
    assert by_id not in shop.corner.names() and shop.corner.names()[f"{shop.image}:latest"] == image
    assert shop.records() == []
    docker("rmi", f"{shop.image}:latest")
    assert shop.changes() == []


def test_as_many_superseded_images_stay_as_the_config_says(shop: Shop) -> None:
    path = shop.folder / "kfold.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prune": {"keep": 1}}))
    images = []
    for text in ("a\n", "b\n", "c\n"):
        shop.project.write("web/a.txt", text)
        images.append(shop.tag())
    assert len(set(images)) == 3
    preview = shop.doit("prune", "--dry-run").succeeded()
    assert "one of the 1 that are kept" in preview.output
    shop.doit("prune").succeeded()
    assert shop.corner.state().images - shop.before.images == set(images[1:])
    shop.prune_all()


@pytest.mark.alone
def test_the_build_cache_goes_when_it_is_asked_for(shop: Shop, builder: str) -> None:
    shop.dockerfile("COPY a.txt /out/", "RUN touch /made")
    shop.tag()
    done = shop.doit("prune", "--all", "--build-cache").succeeded()
    assert "Pruning the build cache..." in done.output and "Reclaimed of the build cache: " in done.output
    freed = done.output.split("Reclaimed of the build cache: ")[1].split()[0]
    if builder == "buildkit":
        assert freed != "0B", done.output
    assert docker("builder", "prune", "--force").strip().endswith("0B")
    assert shop.changes() == []


def test_a_report_tells_what_went_and_what_stayed(shop: Shop) -> None:
    first = shop.tag()
    shop.project.write("web/a.txt", "b\n")
    second = shop.tag()
    shop.doit("prune", "--report", "report.json").succeeded()
    told = json.loads((shop.folder / "report.json").read_text())
    assert [entry["id"] for entry in told["removed"] if entry["kind"] == "image"] == [first]
    assert {entry["id"] for entry in told["kept"]} == {second} and not told["failed"]
    user = docker("create", second, "nothing").strip()
    shop.doit("prune", "--all", "--report", "report.json").failed(1)
    told = json.loads((shop.folder / "report.json").read_text())
    assert "in use by container" in told["failed"][0]["why"] and "in use" in told["problem"]
    docker("rm", user)
    missing = shop.doit("prune", "--all", "--report", "none/report.json").failed(1)
    assert "nothing was removed" in missing.output and second in shop.corner.state().images
    shop.prune_all()
