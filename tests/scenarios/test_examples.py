"""The examples as a newcomer has them: what is listed, what a second run does, and what makes nothing new."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.conftest import ProjectFactory
from tests.engine import Project
from tests.scenarios.application import Application, ApplicationFactory, ExampleFactory, uid

EXAMPLES = {"getting-started": ["getting-started"], "microservices": ["quotes-server", "quotes-reader"]}
NOTHING = "Nothing to do: everything is up to date.\n"


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_the_tasks_of_an_example(project: ProjectFactory, example: str) -> None:
    here = project(example)
    output = here.doit("list", "--all").succeeded().output
    listed = {line.split()[0] for line in output.splitlines() if line.strip()}
    for image in EXAMPLES[example]:
        assert {f"build:{image}", f"tag:{image}", f"load:{image}", f"prune:{image}"} <= listed, output
    assert {f"deploy:{example}", f"wait:{example}", f"render:{example}"} <= listed, output
    assert {"build", "tag", "load", "deploy", "wait", "delete", "prune", "status", "why", "dev"} <= listed, output
    assert not (here.folder / ".kfold").exists(), "looking left a trace"


def test_microservices(example: ExampleFactory) -> None:
    """Twice; touched; one artifact edited: what is the same is never written, built or replaced."""
    app = example("microservices")
    server, reader = f"{app.name}-server", f"{app.name}-reader"
    app.doit("deploy").succeeded()
    held, images = app.place.held(), app.images()
    assert {f"deployments/{server}", f"deployments/{reader}", f"services/{server}"} <= set(held)
    assert len(images) == 2

    # other processes have their sets in other orders
    assert app.doit("deploy", env={"PYTHONHASHSEED": "1"}).succeeded().output == NOTHING
    for path in ("reader/reader.sh", "server/Dockerfile", "k8s/server.yaml", "kfold.yaml"):
        os.utime(app.project.folder / path)
    assert app.doit("deploy", env={"PYTHONHASHSEED": "2"}).succeeded().output == NOTHING
    assert app.place.held() == held and app.images() == images

    before = {name.removeprefix("pods/") for name in held if name.startswith("pods/")}
    app.project.replace("reader/reader.sh", "The server says", "They say")
    output = app.doit("deploy").succeeded().output
    assert f"Building [{reader} for " in output and f"Building [{server}" not in output, output
    assert f'deployment.apps "{reader}" configured' in output and f'"{server}" configured' not in output, output
    now = app.place.held()
    for kind in ("deployments", "services"):
        assert now[f"{kind}/{server}"] == held[f"{kind}/{server}"]
    living = {item["metadata"]["name"] for item in app.place.list("pods") if not item["metadata"].get("deletionTimestamp")}
    assert len(before) == 2 and [name.startswith(server) for name in before & living] == [True], (before, living)
    assert app.images() > images and len(app.images()) == 3

    app.doit("delete").succeeded()
    assert app.place.held() == {}
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


def _clone(app: Application, folder: Path, umask: int) -> Application:
    """The project's files elsewhere, as `git clone` under a umask makes them: new times, no .kfold, group and others as
    the umask says."""
    folder.mkdir()
    for path in sorted(app.project.folder.rglob("*")):
        target = folder / path.relative_to(app.project.folder)
        if ".kfold" in path.parts or "__pycache__" in path.parts:
            continue
        if path.is_dir():
            target.mkdir()
            target.chmod(0o777 & ~umask)
        else:
            shutil.copyfile(path, target)
            target.chmod((0o777 if path.stat().st_mode & stat.S_IXUSR else 0o666) & ~umask)
    return Application(Project(folder, dict(app.project.environment)), app.place, app.name)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_fresh_clone_builds_nothing(example: ExampleFactory, tmp_path: Path, umask: int) -> None:
    app = example("getting-started")
    app.doit("deploy").succeeded()
    first, images = app.place.there("pods", app.name), app.images()
    assert len(images) == 1

    clone = _clone(app, tmp_path / "clone", umask)
    output = clone.doit("build").succeeded().output
    assert "Found Locally" in output and "Building" not in output, output
    output = clone.doit("deploy").succeeded().output
    assert f'pod "{app.name}" configured' in output, "the same set, whichever checkout deploys it"
    assert app.images() == images
    assert uid(app.place.there("pods", app.name)) == uid(first)
    assert clone.doit("deploy").succeeded().output == NOTHING
    assert app.doit("deploy").succeeded().output == NOTHING

    # the deployment is one config's in one namespace: any of its checkouts takes it back; the image is one checkout's
    clone.doit("delete").succeeded()
    assert app.place.held() == {}
    app.doit("deploy").succeeded()
    app.doit("delete").succeeded()
    clone.doit("prune", "--all").succeeded()
    assert app.images() == images
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


def test_getting_started_twice(example: ExampleFactory) -> None:
    app = example("getting-started")
    output = app.doit().succeeded().output
    assert f"Building [{app.name}]..." in output and f'pod "{app.name}" created' in output, output
    held = app.place.held()
    assert f"pods/{app.name}" in held
    assert app.doit().succeeded().output == NOTHING
    assert app.place.held() == held
    app.project.environment["UNRELATED"] = "1"
    assert app.kfold("deploy").succeeded().output == NOTHING


def test_a_users_own_task(application: ApplicationFactory) -> None:
    app = application()
    app.project.write(
        "dodo.py",
        "import kfold\n\nDOIT_CONFIG, task_kfold = kfold.project()\n\n\ndef task_mine():\n"
        f"    return {{'actions': ['echo mine > mine.txt'], 'task_dep': ['build:{app.name}'], 'verbosity': 2}}\n",
    )
    output = app.doit("mine").succeeded().output
    assert f"Building [{app.name}]..." in output, output
    assert app.project.read("mine.txt") == "mine\n"
    assert len(app.images()) == 1
    assert app.place.held() == {}, "more was done than the task asked for"
    output = app.doit("mine", "deploy").succeeded().output
    assert ".  mine" in output and "Building" not in output, output
    assert app.place.there("pods", "hello")


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_any_number_of_jobs(application: ApplicationFactory, jobs: str) -> None:
    app = application()
    app.doit("-n", jobs, "deploy").succeeded()
    held = app.place.held()
    assert "pods/hello" in held
    assert app.doit("-n", jobs, "deploy").succeeded().output == NOTHING
    assert app.place.held() == held
    app.doit("-n", jobs, "delete").succeeded()
    app.doit("-n", jobs, "prune", "--all").succeeded()
    app.assert_nothing_left()


def test_processes_instead_of_threads_are_refused(application: ApplicationFactory) -> None:
    app = application()
    output = app.doit("-n", "2", "-P", "process", "deploy").failed(1).output
    assert "-P process" in output, output
    assert app.images() == set() and app.place.held() == {}
