"""`kill -9` of `doit dev`, at several moments; then cleanup by the record alone, with the config moved away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine import docker, wait_until
from tests.scenarios.application import Application, ApplicationFactory, config_map, container, pod, workload

WATCHING = "Watching for changes..."

MOMENTS = {
    "at-start": "",
    "during-build": "begun",
    "after-build": "succeeded in",
    "during-deploy": "Starting deploy...",
    "while-waiting": "Waiting for deployments to stabilize...",
    "while-watching": WATCHING,
}


def clean_up_by_the_record(app: Application) -> None:
    """As a user would, who has thrown the config away meanwhile."""
    folder = app.project.folder
    (folder / "kfold.yaml").rename(folder / "kfold.yaml.away")
    app.doit("delete").succeeded()
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()
    status = app.status()
    assert status["engine"] == status["cluster"] == status["host"] == []
    # nothing comes late: what the killed run had started was ended with it
    assert not docker("ps", "-q", "--filter", f"name={app.name}").strip()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(application: ApplicationFactory, moment: str) -> None:
    app = application()
    app.project.write("Dockerfile", app.project.read("Dockerfile") + "RUN echo begun; sleep 1\n")
    app.deploys(
        config_map("settings", {"a": "1"}),
        pod("hello", container("hello", app.name)),
        workload("Deployment", "many", container("c", app.name), replicas=2),
    )
    dev = app.dev()
    if moment == "at-start":
        wait_until(lambda: (app.project.folder / ".kfold" / "lock").exists(), "the project's lock")
    else:
        dev.wait_for(MOMENTS[moment])
    dev.kill()
    assert dev.process.wait(10) == -9
    clean_up_by_the_record(app)


def test_killed_during_the_second_iteration(application: ApplicationFactory) -> None:
    app = application()
    dev = app.dev()
    dev.wait_for("[hello] Hello, world!")
    dev.wait_for(WATCHING)
    behind = len(dev.output)
    app.project.write("greeting.txt", "Hello, again!\n")
    dev.wait_for("Starting deploy...", after=behind)
    assert len(app.images()) == 2
    dev.kill()
    dev.process.wait(10)
    clean_up_by_the_record(app)


def test_killed_during_its_cleanup(application: ApplicationFactory) -> None:
    app = application()
    dev = app.dev("--prune", "all")
    dev.wait_for(WATCHING)
    dev.interrupt()
    dev.wait_for("Cleaning up...")
    dev.kill()
    dev.process.wait(10)
    clean_up_by_the_record(app)


def test_a_killed_run_is_gone_on_with(application: ApplicationFactory) -> None:
    """The next `dev` needs no cleanup in between: it takes over what is there, and takes all of it back."""
    app = application()
    dev = app.dev()
    dev.wait_for("[hello] Hello, world!")
    dev.wait_for(WATCHING)
    dev.kill()
    dev.process.wait(10)
    held = app.place.held()
    assert "pods/hello" in held
    again = app.dev("--prune", "all")
    again.wait_for(WATCHING)
    assert app.place.held() == held, "it was deployed anew without need"
    again.interrupt()
    again.wait().succeeded()
    app.assert_nothing_left()


@dataclass(frozen=True)
class Bare:
    """An application on a machine without any kube context: `dev` starts the embedded cluster."""

    app: Application
    home: Path


@pytest.fixture
def bare(application: ApplicationFactory, tmp_path: Path) -> Iterator[Bare]:
    app, home = application(), tmp_path / "own-sandboxes"
    app.project.environment |= {
        "KFOLD_SANDBOX_HOME": str(home),
        "KUBECONFIG": str(tmp_path / "none"),
        "KFOLD_NAMESPACE": "default",
    }
    yield Bare(app, home)
    app.kfold("sandbox", "down")


def test_the_sandbox_that_a_killed_dev_started_goes_with_the_rest(bare: Bare) -> None:
    app = bare.app
    dev = app.dev()
    dev.wait_for("[hello] Hello, world!")
    (server,) = bare.home.glob("*/server.pid")
    pid = int(json.loads(server.read_text())["pid"])
    dev.kill()
    dev.process.wait(10)
    assert Path(f"/proc/{pid}").exists(), "the sandbox must outlive a crash: it holds what was deployed"
    clean_up_by_the_record(app)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the sandbox's end", seconds=5)
    assert not list(bare.home.glob("*/kubeconfig"))
