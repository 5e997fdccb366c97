"""What every engine does: images, names, labels, removal name by name, failing and stopped builds."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from kfold.errors import Interrupted
from kfold.stores.engine_interface import STEP, EngineError, InUse
from tests.engine import wait_until
from tests.stores.engine.conftest import Subject, request


def build(subject: Subject, dockerfile: str = "COPY a.txt /out/", **more: object) -> str:
    """An image of `a.txt`, or of what the Dockerfile says."""
    if not (subject.folder / "a.txt").exists():
        subject.write("a.txt", "a")
    lines: list[str] = []
    image = subject.engine.build(subject.request(dockerfile, **more), lines.append, threading.Event())
    assert lines, "nothing was heard of the build"
    return image


def test_identity(subject: Subject) -> None:
    assert subject.engine.identity()
    assert subject.engine.identity() == subject.again.identity()


def test_a_build_has_labels_and_no_name(subject: Subject) -> None:
    image = build(subject, labels={"token": subject.token, "second": "x y=z"})
    assert image.startswith("sha256:")
    found = subject.engine.image(image)
    assert found is not None
    assert (found.id, found.names, found.pulled) == (image, (), False)
    assert {"token": subject.token, "second": "x y=z"}.items() <= found.labels.items()
    assert found.size > 0
    names = subject.again.names()
    assert image in names.unnamed and names.has(image)
    assert image not in names.ids.values()
    assert [one.id for one in subject.again.labelled({"token": subject.token, "second": "x y=z"})] == [image]
    assert subject.engine.labelled({"token": subject.token, "second": "other"}) == []
    assert subject.engine.remove(image)


def test_an_image_is_for_the_platform_that_was_asked_for(subject: Subject) -> None:
    host = subject.engine.image(subject.base)
    assert host is not None and host.platform.startswith("linux/")
    subject.write("a.txt", "a")
    asked = subject.request("COPY a.txt /out/", platform=host.platform)
    made = [subject.engine.build(asked, lambda line: None, threading.Event())]
    if subject.engine.builder() == "buildkit":
        subject.write("Dockerfile", "FROM scratch\nCOPY a.txt /out/\n")
        asked = replace(request(subject.folder, subject.engine, labels={"token": subject.token}), platform="linux/s390x")
        made.append(subject.engine.build(asked, lambda line: None, threading.Event()))
    platforms = [found.platform for image in made if (found := subject.engine.image(image))]
    assert platforms == [host.platform, "linux/s390x"][: len(made)]
    assert all(subject.engine.remove(image) for image in made)


def test_equal_inputs_are_one_image_and_others_another(subject: Subject) -> None:
    first = build(subject)
    assert build(subject) == first
    subject.write("a.txt", "b")
    second = build(subject)
    assert second != first
    assert subject.listed() == {first, second}


def test_a_name_is_given_and_moved(subject: Subject) -> None:
    first = build(subject)
    subject.write("a.txt", "b")
    second = build(subject)
    subject.engine.tag(first, subject.name())
    assert subject.again.names().ids[subject.name()] == first
    assert first not in subject.engine.names().unnamed
    subject.engine.tag(second, subject.name())
    assert subject.again.names().ids[subject.name()] == second
    found = subject.engine.image(subject.name())
    assert found is not None and found.id == second and found.names == (subject.name(),)
    assert subject.engine.image(first) is not None


def test_a_name_for_nothing_is_refused(subject: Subject) -> None:
    with pytest.raises(EngineError, match="No such image"):
        subject.engine.tag(f"sha256:{'0' * 64}", subject.name())
    assert subject.name() not in subject.engine.names().ids


def test_what_is_not_there(subject: Subject) -> None:
    assert subject.engine.image(subject.name("none")) is None
    assert subject.engine.image(f"sha256:{'0' * 64}") is None
    assert subject.engine.remove(subject.name("none")) is False
    assert subject.engine.remove(f"sha256:{'0' * 64}") is False


def test_names_go_one_by_one_and_the_last_takes_the_image(subject: Subject) -> None:
    before = subject.state()
    image = build(subject)
    for tag in ("1", "2"):
        subject.engine.tag(image, subject.name(tag))
    assert subject.engine.remove(subject.name("1"))
    found = subject.engine.image(image)
    assert found is not None and found.names == (subject.name("2"),)
    assert subject.engine.remove(subject.name("2"))
    assert subject.engine.image(image) is None
    assert subject.state() == before


def test_an_image_with_several_names_does_not_go_by_id(subject: Subject) -> None:
    image = build(subject)
    for tag in ("1", "2"):
        subject.engine.tag(image, subject.name(tag))
    before = subject.state()
    with pytest.raises(InUse):
        subject.engine.remove(image)
    assert subject.state() == before


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("named", [True, False], ids=["by its last name", "by ID"])
def test_an_image_that_a_container_uses_stays(subject: Subject, running: bool, named: bool) -> None:
    image = build(subject)
    if named:
        for tag in ("1", "2"):
            subject.engine.tag(image, subject.name(tag))
    container = subject.run_container(image, running=running)
    if named:
        assert subject.engine.remove(subject.name("2")), "it still has another name"
    before = subject.state()
    with pytest.raises(InUse, match="container"):
        subject.engine.remove(subject.name("1") if named else image)
    assert subject.state() == before
    subject.remove_container(container)
    assert subject.engine.remove(subject.name("1") if named else image)
    assert subject.engine.image(image) is None


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_containers_are_listed_with_their_image_and_go_when_they_rest(subject: Subject, running: bool) -> None:
    image = build(subject)
    name = subject.run_container(image, running=running)
    (found,) = [container for container in subject.again.containers() if container.name == name]
    assert (found.image, found.running) == (image, running)
    if running:
        with pytest.raises(InUse, match="container"):
            subject.engine.remove_step(found.id)
        subject.remove_container(name)
    else:
        assert subject.engine.remove_step(found.id[:12])
    assert name not in [container.name for container in subject.engine.containers()]
    assert not subject.engine.remove_step(found.id)


def test_a_failing_build_says_why_and_leaves_nothing(subject: Subject) -> None:
    before = subject.state()
    layers: list[str] = []
    lines: list[str] = []
    asked = subject.request("COPY Dockerfile /out/\nRUN false")
    with pytest.raises(EngineError, match=r"build failed: .*false.*1") as failure:
        subject.engine.build(asked, lines.append, threading.Event(), layers.append)
    assert "Traceback" not in str(failure.value)
    assert any("RUN false" in line for line in lines)
    assert subject.listed() == set()
    for layer in reversed(layers):
        assert removed(subject, layer)
    assert subject.state() == before


def test_a_stopped_build_ends_at_once_and_leaves_nothing(subject: Subject) -> None:
    before = subject.state()
    stop = threading.Event()
    layers: list[str] = []
    lines: list[str] = []
    ended: list[BaseException] = []
    asked = subject.request("COPY Dockerfile /out/\nRUN sleep 61")

    def work() -> None:
        try:
            subject.engine.build(asked, lines.append, stop, layers.append)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: any("RUN sleep 61" in line for line in lines), "the build to sleep", tell=lambda: "\n".join(lines))
    started = time.monotonic()
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert time.monotonic() - started < 15
    assert [type(error) for error in ended] == [Interrupted], ended
    # the engine takes a moment to remove the container of the step that was stopped; it holds the layer below
    for layer in reversed(layers):
        wait_until(lambda layer=layer: removed(subject, layer), f"layer {layer} to be let go")
    wait_until(lambda: subject.state() == before, "the engine to be as it was", tell=lambda: str(subject.state()))


def removed(subject: Subject, layer: str) -> bool:
    """False as long as something uses it."""
    try:
        if layer.startswith(STEP):
            subject.engine.remove_step(layer.removeprefix(STEP))
            return True
        return subject.engine.remove(layer, parents=False)
    except InUse:
        return False


def test_an_image_made_from_ours_inherits_its_labels_and_comes_after_it(subject: Subject) -> None:
    ours = build(subject)
    subject.engine.tag(ours, subject.name())
    subject.write("Dockerfile", f"FROM {subject.name()}\nCOPY a.txt /out/more.txt\n")
    theirs = subject.engine.build(request(subject.folder, subject.engine), lambda line: None, threading.Event())
    assert theirs != ours
    assert [image.id for image in subject.engine.labelled({"token": subject.token})] == [ours, theirs]
