"""The process is killed at every moment of the ledger, and in the middle of a build; then `prune --all` takes all back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from kfold.ledger import Ledger, Transition
from tests.crash import points
from tests.crash.killing import killed
from tests.engine import docker, wait_until
from tests.images.conftest import Shop
from tests.images.lab import require_builder

pytestmark = pytest.mark.engine

MOMENTS = set(Transition.__args__)  # type: ignore[attr-defined]


def each_moment(shop: Shop, prepare: Callable[[], None], *arguments: str, step: int = 0) -> Iterator[str]:
    """Prepares, runs the command and has it killed, at one moment after the other (`step`) until it comes to its end."""
    step = step or points.step()
    kill_at = 1 - step
    while True:
        prepare()
        kill_at += step
        done, moments = killed(shop.project, kill_at, *arguments)
        if done.code == 0:
            assert 4 <= len(moments) < kill_at, moments
            yield ""
            return
        assert done.code == -signal.SIGKILL, done.output
        assert len(moments) == kill_at
        yield f"killed at moment {kill_at} of `doit {' '.join(arguments)}`: {moments[-1]}"
        points.survived(" ".join(arguments), moments[-1])  # who asks for the next one has compared


def cleaned(shop: Shop, moment: str) -> None:
    done = shop.doit("prune", "--all").succeeded()
    assert shop.changes() == [], f"{moment}\n{done.output}"
    assert shop.records() == [], moment


def test_killed_in_a_first_build(shop: Shop) -> None:
    require_builder("buildkit")
    built = 0
    for moment in each_moment(shop, lambda: None, "tag"):
        built += bool(shop.changes())
        cleaned(shop, moment)
    assert built >= 8 // points.step(), "most of these runs came as far as an image"


def test_killed_around_a_first_build_by_the_legacy_builder(shop: Shop) -> None:
    """Before it begins and after it ended; in between, see below."""
    shop.project.environment["DOCKER_BUILDKIT"] = "0"
    _, moments = killed(shop.project, 0, "tag")
    assert [moment for moment in moments if moment.endswith((" image 1", " image 2"))], "layers were heard of"
    assert shop.changes()
    cleaned(shop, "to its end")
    around = [moment for moment in moments if moment.startswith(("before-done", "done")) or moment == "intended image 0"]
    assert len(around) >= 7, moments
    for moment in around[:5]:
        done, _ = killed(shop.project, moments.index(moment) + 1, "tag")
        assert done.code == -signal.SIGKILL
        cleaned(shop, moment)


def test_killed_while_a_name_of_somebody_moves(shop: Shop) -> None:
    """The second image of an artifact, its name somebody else's at first; the engine is left as that somebody had it."""
    name = f"{shop.image}:latest"
    docker("tag", shop.corner.base, name)
    shop.before = shop.corner.state()
    seen: set[str] = set()

    def prepare() -> None:
        shop.project.write("web/a.txt", "a\n")
        assert shop.tag() != shop.corner.image
        shop.project.write("web/a.txt", "b\n")

    for moment in each_moment(shop, prepare, "tag", step=points.step(3)):
        seen.add(shop.corner.names()[name])
        cleaned(shop, moment)
        assert shop.corner.names()[name] == shop.corner.image, moment
    assert len(seen) == 2, "the name was seen at both images"
    docker("rmi", name)


def test_killed_in_a_prune(shop: Shop) -> None:
    def prepare() -> None:
        shop.tag()
        assert shop.changes()

    moments = list(each_moment_and_clean(shop, prepare))
    assert {moment.split()[0] for moment in moments} >= {"before-undoing", "undoing", "before-gone", "gone"}


def each_moment_and_clean(shop: Shop, prepare: Callable[[], None]) -> Iterator[str]:
    for moment in each_moment(shop, prepare, "prune", "--all"):
        cleaned(shop, moment)
        if moment:
            yield moment.split(": ")[1]


def test_killed_and_then_built_to_the_end(shop: Shop) -> None:
    """What a crash left is used, not made twice; and it is known as ours all the same."""
    for moment in each_moment(shop, lambda: None, "tag", step=points.step(4)):
        image = shop.tag()
        assert len(shop.corner.state().images - shop.before.images) == 1, moment
        assert image in shop.corner.state().images
        shop.up_to_date()
        cleaned(shop, moment)


def test_a_build_of_what_somebody_removed_is_killed(shop: Shop) -> None:
    """The record knows an image that is gone; the new one, whose ID it never learned, has to be found by its labels."""

    def prepare() -> None:
        image = shop.tag()
        docker("rmi", f"{shop.image}:latest", shop.id_name(image))
        assert shop.changes() == []

    for moment in each_moment(shop, prepare, "build"):
        cleaned(shop, moment)


def test_every_moment_is_met(shop: Shop) -> None:
    _, forward = killed(shop.project, 0, "tag")
    _, backward = killed(shop.project, 0, "prune", "--all")
    assert {line.split()[0] for line in [*forward, *backward]} == MOMENTS
    kinds = {line.split()[1] for line in forward}
    assert kinds == {line.split()[1] for line in backward} == {"image", "name"}
    assert shop.changes() == []


def test_killed_in_the_middle_of_a_step_of_the_builder(shop: Shop, builder: str) -> None:
    shop.dockerfile("COPY a.txt /out/", "RUN sleep 3", "RUN touch /finished")
    running = shop.project.start_doit("tag")
    running.wait_for("RUN sleep 3")
    wait_until(lambda: shop.changes() or builder == "buildkit", "the legacy builder to leave a layer")
    wait_until(lambda: shop.records(), "the intent")
    running.kill()
    running.wait()
    pruned = shop.doit("prune", "--all").succeeded()
    # the engine takes a moment to end the step and to remove its container
    wait_until(lambda: not shop.changes(), "the engine to be as it was", tell=lambda: pruned.output + str(shop.changes()))
    assert shop.records() == []


def test_killed_when_the_legacy_builder_is_ahead_of_what_was_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that no record names; they say themselves whose they are. Those of another artifact stay."""
    shop.project.environment["DOCKER_BUILDKIT"] = "0"
    others = f"LABEL dev.kfold.config={shop.image} dev.kfold.artifact={shop.image}-other dev.kfold.content-key=unfinished"
    shop.dockerfile(others, folder="other")
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    docker("build", "-q", str(shop.folder / "other"))
    theirs = shop.corner.state()
    assert theirs != shop.before
    shop.dockerfile(
        "COPY a.txt /out/", "RUN touch /x", f"FROM {shop.corner.base} AS last", "COPY run.sh /out/", "RUN sleep 20"
    )
    running = shop.project.start_doit("tag")
    running.wait_for("Step 1/")  # before that there is no builder yet
    os.kill(running.process.pid, signal.SIGSTOP)
    # two stages with a label each; the last one has one layer, the first one two
    wait_until(lambda: len(shop.corner.state().images - theirs.images) >= 5, "layers", tell=lambda: str(shop.changes()))
    running.kill()
    running.wait()
    ledger = Ledger(shop.folder / ".kfold" / "ledger.db")
    layers = ledger.records()[0].effect.details["layers"]
    ledger.close()
    assert len(layers) < 5, "all were heard of"
    done = shop.doit("prune", "--all").succeeded()
    wait_until(lambda: shop.corner.state() == theirs, "prune to take all", tell=lambda: done.output + str(shop.changes()))
    assert shop.records() == []


def test_killed_leaves_no_folder_outside_of_the_project(shop: Shop, builder: str) -> None:
    """What a build needs for itself lies in the project's own folder, and the next build takes away what a kill left."""
    shop.dockerfile("COPY a.txt /out/", f"RUN sleep 3; echo {shop.image}")
    place = shop.folder.parent / "system-tmp"
    place.mkdir()
    own = shop.folder / ".kfold" / "tmp"
    running = shop.project.start_doit("tag", env={"TMPDIR": str(place)})
    running.wait_for("RUN sleep 3")
    left = set(own.iterdir())
    assert left
    running.kill()
    running.wait()
    assert not [path for path in place.iterdir() if "kfold" in path.name] and left <= set(own.iterdir())
    shop.tag()
    assert list(own.iterdir()) == []
    shop.prune_all()
