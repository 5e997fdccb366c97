"""What the fake engine can do beside: fail when it is told to, and keep its state in a file."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kfold.stores.engine_interface import EngineError, InUse
from kfold.stores.fake_engine import FakeEngine
from tests.stores.engine.conftest import Subject


def engine_of(fake: Subject) -> FakeEngine:
    assert isinstance(fake.engine, FakeEngine)
    return fake.engine


@pytest.mark.parametrize("method", ["identity", "names", "labelled", "image", "tag", "remove", "containers", "build"])
def test_a_method_fails_as_often_as_it_is_told_to(fake: Subject, method: str) -> None:
    engine = engine_of(fake)
    engine.put_image(fake.name())
    calls = {
        "identity": engine.identity,
        "names": engine.names,
        "labelled": lambda: engine.labelled({}),
        "image": lambda: engine.image(fake.name()),
        "tag": lambda: engine.tag(fake.name(), fake.name("2")),
        "remove": lambda: engine.remove(fake.name()),
        "containers": engine.containers,
        "build": lambda: engine.build(fake.request("RUN true"), lambda line: None, threading.Event()),
    }
    engine.fail(method, EngineError("the engine is away", hint="wait"), times=2)
    before = fake.state()
    for _ in range(2):
        with pytest.raises(EngineError, match="the engine is away") as failure:
            calls[method]()
        assert failure.value.hint == "wait"
        assert fake.state() == before
    calls[method]()


def test_an_answer_is_lost_after_the_effect(fake: Subject) -> None:
    engine = engine_of(fake)
    image = engine.put_image(fake.name())
    engine.fail("tag", EngineError("broken pipe"), after_effect=True)
    with pytest.raises(EngineError):
        engine.tag(image, fake.name("2"))
    assert engine.names().ids[fake.name("2")] == image
    engine.fail("remove", InUse("broken pipe"), after_effect=True)
    with pytest.raises(InUse):
        engine.remove(fake.name("2"))
    assert fake.name("2") not in engine.names().ids
    engine.fail("build", EngineError("broken pipe"), after_effect=True)
    with pytest.raises(EngineError):
        engine.build(fake.request("RUN true"), lambda line: None, threading.Event())
    assert len(fake.listed()) == 1


def test_another_process_sees_the_same_engine(fake: Subject) -> None:
    engine = engine_of(fake)
    image = engine.put_image(fake.name())
    program = (
        "import pathlib, sys; from kfold.stores.fake_engine import FakeEngine;"
        "engine = FakeEngine(pathlib.Path(sys.argv[1])); engine.tag(sys.argv[2], 'other:1'); print(engine.identity())"
    )
    command = [sys.executable, "-c", program, str(engine.path), image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == engine.identity(), done.stderr
    assert engine.names().ids["other:1"] == image


def test_a_file_that_vanished_is_named(fake: Subject) -> None:
    fake.write("a.txt", "a")
    request = fake.request("COPY a.txt /out/")
    (fake.folder / "a.txt").unlink()
    with pytest.raises(EngineError, match=r"a\.txt"):
        fake.engine.build(request, lambda line: None, threading.Event())
