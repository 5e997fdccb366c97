"""An engine that is killed or stopped in the middle, and comes back with what it had; then all is taken back."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator

import pytest

from kfold.ledger import Ledger
from tests.conftest import ProjectFactory
from tests.crash import points
from tests.crash.killing import killed, killing, moments
from tests.crash.own_engine import OwnEngine
from tests.engine import Finished, Project, wait_until
from tests.images.lab import require_builder
from tests.scenarios.application import DOCKERFILE, LOOP, container, workload

GONE = "Cannot connect to the Docker daemon"


@pytest.fixture
def taken_back(own_engine: OwnEngine) -> Iterator[Callable[[Project], str]]:
    """`doit prune --all`, which must leave the engine as it was before the test, and no record; its output."""
    before = own_engine.state()

    def check(project: Project) -> str:
        output = project.doit("prune", "--all").succeeded().output
        assert before.difference(own_engine.state()) == [], output
        assert not (project.folder / ".kfold").exists(), output
        return output

    yield check
    if own_engine.ended():
        own_engine.start()  # a test that failed
    assert before.difference(own_engine.state()) == [], "the next test would not find a clean engine"


def shop(project: ProjectFactory, engine: OwnEngine, step: str = "true") -> Project:
    """Two artifacts, one made from the other; `step` is what the first one runs."""
    made = project()
    made.environment |= engine.environment
    web = {"image": "web", "context": "web", "requires": [{"image": "shared"}]}
    artifacts = [web, {"image": "shared", "context": "shared"}]
    config = {"apiVersion": "kfold/v1", "kind": "Config", "metadata": {"name": "restarts"}}
    made.write("kfold.yaml", json.dumps({**config, "build": {"tagPolicy": {"sha256": {}}, "artifacts": artifacts}}))
    made.write("shared/Dockerfile", f"FROM {engine.base_image()}\nCOPY a.txt /\nRUN {step}\n")
    made.write("shared/a.txt", "a")
    made.write("web/Dockerfile", "ARG shared\nFROM $shared\nCOPY Dockerfile /\n")
    return made


def records(project: Project) -> list[str]:
    ledger = Ledger(project.folder / ".kfold" / "ledger.db")
    try:
        return [f"{record.state} {record.effect.kind}" for record in ledger.records()]
    finally:
        ledger.close()


def refused(done: Finished, where: str) -> None:
    """It says where and what, what to do next, and once."""
    output = done.failed().output
    assert f"{where} failed: " in output and GONE in output and "systemctl start docker" in output, output


def test_killed_in_the_middle(own_engine: OwnEngine, project: ProjectFactory, taken_back: Callable[[Project], str]) -> None:
    """Of a build, and it stays away; then of a prune. The same again goes on from there."""
    require_builder("buildkit")
    made = shop(project, own_engine, "echo be''gun; sleep 3")
    before = own_engine.state()
    building = made.start_doit("tag")
    building.wait_for("begun")
    own_engine.stop()
    refused(building.wait(), "build:shared")
    own_engine.start()
    assert records(made) == ["intended image"] and before.difference(own_engine.state()) == []
    made.doit("tag").succeeded()
    held = own_engine.state()
    assert len(held.images - before.images) == 2

    # the names of one image are gone, and the image itself is about to be
    pruned, reached = killed(made, 10, "prune", "--all", victim=own_engine.pid)
    own_engine.start()
    assert reached[9].startswith("undoing image"), reached
    refused(pruned, "prune")
    assert before != own_engine.state() != held
    assert "deleted image" in taken_back(made)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: str(number.name))
@pytest.mark.parametrize("back", [False, True], ids=["away", "back at once"])
@pytest.mark.parametrize("builder", ["legacy", "buildkit", "buildx"])
def test_stopped_while_it_builds(
    own_engine: OwnEngine,
    project: ProjectFactory,
    taken_back: Callable[[Project], str],
    builder: str,
    back: bool,
    number: signal.Signals,
) -> None:
    """What the legacy builder leaves (a step's container, layers below it) is nobody's any more, and goes with the rest."""
    require_builder("legacy" if builder == "legacy" else "buildkit")
    made = shop(project, own_engine, f"echo be''gun; sleep 3; : {builder} {back} {number}")
    # the engine's own builder is asked without buildx, unless a variable of buildx is set
    made.environment |= {"legacy": {"DOCKER_BUILDKIT": "0"}, "buildx": {"BUILDX_GIT_INFO": "false"}}.get(builder, {})
    building = made.start_doit("build")
    building.wait_for("begun")
    own_engine.stop(number)
    if back:
        own_engine.start()
    done = building.wait()
    assert "Traceback" not in done.output and (back or done.code == 1), done.output
    if not back:
        own_engine.start()
    if builder == "legacy" and number == signal.SIGKILL:
        assert "ended in the middle" in done.failed().output, done.output
        assert own_engine.state().containers, "the container of the step is left"
    taken_back(made)


@pytest.mark.parametrize("command", ["tag", "prune --all"])
@pytest.mark.parametrize("back", [False, True], ids=["away", "back at once"])
def test_killed_at_the_moments_of_the_ledger(
    own_engine: OwnEngine, project: ProjectFactory, taken_back: Callable[[Project], str], command: str, back: bool
) -> None:
    made = shop(project, own_engine)
    moment = 1
    while True:
        if command != "tag":
            made.doit("tag").succeeded()
        pid = own_engine.pid
        running = killing(made, moment, *command.split(), victim=pid)
        run = running.process
        wait_until(lambda run=run: own_engine.ended() or run.poll() is not None, "an end")  # type: ignore[misc]
        if back and own_engine.ended():
            own_engine.start()
        done = running.wait()
        assert "Traceback" not in done.output and done.code in (0, 1), done.output
        if own_engine.ended():
            own_engine.start()
        if own_engine.pid == pid:
            break
        if command == "tag" and moment % 2:
            made.doit("tag").succeeded()
        taken_back(made)
        points.survived(f"{command} (engine)", moments(made)[moment - 1])
        moment += points.step()
    assert moment > 20
    taken_back(made)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: str(number.name))
def test_pods_of_dev_come_back_with_the_engine(
    own_engine: OwnEngine, project: ProjectFactory, taken_back: Callable[[Project], str], number: signal.Signals
) -> None:
    """On the embedded cluster that dev started: the same Pod runs again, edits go on, and at the end all is gone."""
    require_builder("buildkit")
    made = project()
    made.environment |= own_engine.environment | {"KFOLD_SANDBOX_SERVICES": "aliases"}
    before = own_engine.state()
    head = {"apiVersion": "kfold/v1", "kind": "Config", "metadata": {"name": "restarts"}}
    docker = {"buildArgs": {"BASE": own_engine.base_image()}}
    build = {"tagPolicy": {"sha256": {}}, "artifacts": [{"image": "hello", "docker": docker}]}
    made.write("kfold.yaml", json.dumps({**head, "build": build, "manifests": {"rawYaml": ["k8s/*"]}}))
    made.write("k8s/hello.json", json.dumps(workload("Deployment", "hello", container("hello", "hello"))))
    # an engine that finds containers of a killed one gives each ten seconds to end on its signal
    made.write("Dockerfile", f"{DOCKERFILE}STOPSIGNAL SIGKILL\n")
    made.write("app.sh", LOOP)
    made.write("greeting.txt", "Hello, world!\n")
    try:
        dev = made.start_doit("dev", "--prune", "all")
        dev.wait_for("[hello] Hello, world!")
        dev.wait_for("Watching for changes...")
        own_engine.stop(number)
        own_engine.start()
        dev.wait_for("[hello] Hello, world!", after=len(dev.output))
        after = len(dev.output)
        made.write("greeting.txt", "Hello, again!\n")
        dev.wait_for("[hello] Hello, again!", after=after)
        dev.wait_for("Watching for changes...", after=after)
        dev.interrupt()
        output = dev.wait().succeeded().output
        assert " - embedded cluster stopped" in output, output
        assert before.difference(own_engine.state()) == [] and not (made.folder / ".kfold").exists(), output
    finally:
        made.kfold("sandbox", "down")
    taken_back(made)
