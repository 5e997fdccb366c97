"""However `doit dev` is asked to end, it takes everything back; and what stays says how to go on."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kfold.commands import dev as commands
from kfold.errors import KfoldError
from kfold.plan.facts import Facts, Target
from kfold.plan.steps import Plan
from kfold.session import Options, Session
from tests.dev.terminal import Terminal
from tests.engine import EngineState, Running, docker, wait_until
from tests.scenarios.application import Application, ApplicationFactory, config_map, container, pod, unique, workload

WATCHING = "Watching for changes..."
HELD = "example.com/held"


def told(output: str) -> str:
    """What kfold itself says: without the builder's and the containers' lines."""
    return "\n".join(line for line in output.splitlines() if not line.startswith("["))


def watching(app: Application, *arguments: str) -> Running:
    """`doit dev` after its first deploy."""
    dev = app.dev(*arguments)
    dev.wait_for("[hello] Hello, world!")
    dev.wait_for(WATCHING)
    assert "pods/hello" in app.place.held() and app.images()
    return dev


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: str(number.name))
@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "process"])
def test_a_signal(application: ApplicationFactory, number: signal.Signals, whole_group: bool) -> None:
    app = application()
    dev = watching(app, "--prune", "all")
    if whole_group:
        dev.interrupt(number)
    else:
        dev.process.send_signal(number)
    output = dev.wait(seconds=30).succeeded().output
    assert output.count("Cleaning up...") == 1 and ' - pod "hello" deleted' in output, output
    assert "Traceback" not in output and "cleanup ended early" not in output, output
    app.assert_nothing_left()


def doit(app: Application, *arguments: str) -> Terminal:
    return Terminal(app.project, [sys.executable, "-m", "doit", *arguments])


def test_control_c_on_a_terminal(application: ApplicationFactory) -> None:
    app = application()
    terminal = doit(app, "dev", "--prune", "all")
    terminal.wait_for("Hello, world!")
    terminal.wait_for(WATCHING)
    assert "\x1b[" in terminal.output, "no colours on a terminal"
    terminal.type("\x03")
    assert terminal.wait(seconds=30) == 0, terminal.output
    assert "Cleaning up..." in terminal.output and 'pod "hello" deleted' in terminal.output
    app.assert_nothing_left()


def test_a_terminal_that_is_closed(application: ApplicationFactory) -> None:
    """SIGHUP, and every write fails from then on: the cleanup is done all the same."""
    app = application()
    terminal = doit(app, "dev", "--prune", "all")
    terminal.wait_for("Hello, world!")
    terminal.wait_for(WATCHING)
    assert "pods/hello" in app.place.held()
    terminal.hang_up()
    terminal.wait(seconds=30)
    app.assert_nothing_left()


def test_while_it_builds(application: ApplicationFactory) -> None:
    app = application()
    app.project.write("Dockerfile", app.project.read("Dockerfile") + f"RUN echo begun; sleep 60  # not cached: {app.name}\n")
    dev = app.dev("--prune", "all")
    dev.wait_for("begun")
    dev.interrupt()
    finished = dev.wait(seconds=30)
    assert "Traceback" not in finished.output, finished.output
    assert "Building" in finished.output and WATCHING not in finished.output
    assert finished.code == 0 and "failed" not in told(finished.output), finished.output
    assert finished.output.count("stopped\n") == 1, finished.output
    app.assert_nothing_left()
    assert app.status()["engine"] == app.status()["cluster"] == []


def test_while_it_waits_for_a_pod(application: ApplicationFactory) -> None:
    app = application()
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    app.deploys(workload("Deployment", "never", container("c", app.name, readinessProbe=probe)))
    dev = app.dev("--prune", "all")
    dev.wait_for("Waiting for deployments to stabilize...")
    dev.interrupt()
    finished = dev.wait(seconds=30)
    assert "Traceback" not in finished.output and WATCHING not in finished.output, finished.output
    assert finished.code == 0 and "failed" not in told(finished.output), finished.output
    assert finished.output.count("stopped\n") == 1, finished.output
    app.assert_nothing_left()


@pytest.mark.parametrize("task", ["deploy", "build"])
def test_control_c_in_a_single_run_stops_it_and_takes_nothing_back(application: ApplicationFactory, task: str) -> None:
    app = application()
    app.project.write("Dockerfile", app.project.read("Dockerfile") + f"RUN echo begun; sleep 60  # not cached: {app.name}\n")
    running = app.project.start_doit(task)
    running.wait_for("begun")
    running.interrupt()
    output = running.wait(seconds=20).failed(1).output
    assert len(re.findall("stopped", output)) == 1 and output.endswith("\nstopped\n"), output
    assert "failed" not in told(output), output
    assert app.place.held() == {} and app.images() == set()


def test_a_second_control_c_ends_the_cleanup_early(application: ApplicationFactory) -> None:
    app = application()
    app.deploys(pod("hello", container("hello", app.name)), config_map("stuck", {"a": "1"}, finalizers=[HELD]))
    dev = watching(app)
    dev.interrupt()
    dev.wait_for("Cleaning up...")
    dev.wait_for('waiting for configmap "stuck": held by finalizer example.com/held')
    assert dev.process.poll() is None
    dev.interrupt()
    finished = dev.wait(seconds=10).failed(1)
    assert "cleanup ended early" in finished.output, finished.output
    assert "`doit delete` and `doit prune` go on from where it stopped" in finished.output, finished.output
    assert finished.output.count("`doit delete`") == 1, finished.output
    assert {item["name"] for item in app.status()["cluster"]} == {"stuck"}
    assert app.place.there("configmaps", "stuck")

    app.place.kubectl("patch", "configmap", "stuck", "--type=merge", "-p", '{"metadata":{"finalizers":null}}').succeeded()
    app.doit("delete").succeeded()
    assert app.place.held() == {} and app.status()["cluster"] == []
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


@pytest.mark.parametrize("loop", [KfoldError("the loop ends"), ZeroDivisionError("loop"), None], ids=str)
@pytest.mark.parametrize("delete", [KfoldError("web stays"), ZeroDivisionError("delete"), None], ids=str)
@pytest.mark.parametrize("prune", [KfoldError("an image stays"), ZeroDivisionError("prune"), None], ids=str)
def test_each_part_of_the_cleanup_runs_and_every_fault_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loop: Exception | None,
    delete: Exception | None,
    prune: Exception | None,
) -> None:
    """Also where kfold itself has faults, in more than one part."""
    ran: list[str] = []

    def part(name: str, fault: Exception | None) -> Callable[..., None]:
        def act(*arguments: object, **options: object) -> None:
            ran.append(name)
            if fault:
                raise fault

        return act

    monkeypatch.setattr("kfold.loop.dev.prepare", part("prepare", None))
    monkeypatch.setattr("kfold.loop.dev.dev", part("loop", loop))
    monkeypatch.setattr("kfold.verbs.deployment.delete_deployment", part("delete", delete))
    monkeypatch.setattr("kfold.verbs.prune.prune_images", part("prune", prune))
    session = Session(Options(), folder=tmp_path)
    plan = Plan((), Facts(Target("here", "remote", (), "default", (), "push")), ())
    raised: Exception | None = None
    try:
        dev = commands.command(session, plan, lambda selection: 0)
        dev.action(no_cleanup=False, prune="all", no_tail=True)
    except Exception as error:
        raised = error
    session.close()
    shutil.rmtree(tmp_path / ".kfold", ignore_errors=True)
    assert ran == ["prepare", "loop", "delete", "prune"]
    faults = [fault for fault in (loop, delete, prune) if isinstance(fault, ZeroDivisionError)]
    told = capsys.readouterr().out if faults else str(raised)
    assert all(str(fault) in told for fault in (loop, delete, prune) if isinstance(fault, KfoldError)), told
    found = list(raised.exceptions) if isinstance(raised, ExceptionGroup) else [raised]
    assert found == faults if faults else type(raised) is (KfoldError if loop or delete or prune else type(None))


def test_no_cleanup(application: ApplicationFactory) -> None:
    app = application()
    dev = watching(app, "--no-cleanup")
    held = app.place.held()
    dev.interrupt()
    output = dev.wait().succeeded().output
    assert "Cleaning up..." not in output, output
    assert app.place.held() == held
    assert app.doit().succeeded().output.startswith("Nothing to do")
    app.doit("delete").succeeded()
    assert app.place.held() == {}


@pytest.mark.parametrize(("prune", "left"), [("none", 2), ("superseded", 1), ("all", 0)])
def test_which_images_go_at_the_end(application: ApplicationFactory, prune: str, left: int) -> None:
    app = application()
    dev = watching(app, "--prune", prune)
    app.project.write("greeting.txt", "Hello, again!\n")
    dev.wait_for("[hello] Hello, again!")
    assert len(app.images()) == 2
    dev.interrupt()
    output = dev.wait().succeeded().output
    assert ("Pruning images..." in output) == (prune != "none"), output
    assert app.place.held() == {}
    assert len(app.images()) == left, output


def test_a_word_that_prune_does_not_know(application: ApplicationFactory) -> None:
    app = application()
    output = app.doit("dev", "--prune", "some").failed(3).output
    assert "some" in output and "superseded" in output, output
    assert app.images() == set()


def test_one_dev_a_project(application: ApplicationFactory) -> None:
    app = application()
    dev = watching(app)
    held = app.place.held()
    for command in (("dev",), ("delete",), ("prune", "--all")):
        output = app.doit(*command).failed(1).output
        assert "another run works on this project" in output, output
        assert f"process {dev.process.pid}" in output and "dev" in output.partition("process")[0], output
    # looking is free
    assert app.status()["cluster"]
    assert app.place.held() == held and app.images()
    app.project.write("greeting.txt", "Hello, still!\n")
    dev.wait_for("[hello] Hello, still!")
    dev.interrupt()
    dev.wait().succeeded()
    assert app.place.held() == {}


def test_an_embedded_cluster_of_its_own(application: ApplicationFactory) -> None:
    """Where no kube context is, `dev` starts the sandbox, says so, and stops it at the end."""
    app = application()
    home = Path(app.project.environment["KFOLD_SANDBOX_HOME"]).parent / f"home-{unique('own')}"
    app.project.environment |= {"KFOLD_SANDBOX_HOME": str(home), "KUBECONFIG": str(home / "none"), "HOME": str(home)}
    app.project.environment["KFOLD_NAMESPACE"] = "default"
    dev = app.dev("--prune", "all")
    dev.wait_for("No kube context: starting the embedded cluster")
    dev.wait_for("[hello] Hello, world!")
    dev.wait_for(WATCHING)
    assert docker("ps", "-q", "--filter", f"ancestor={next(iter(app.engine().names)).split()[0]}").strip()
    dev.interrupt()
    output = dev.wait().succeeded().output
    assert " - embedded cluster stopped" in output, output
    assert not (home / "default").exists()
    assert app.engine() == EngineState()


def test_a_context_that_exists_never_gives_way_to_the_sandbox(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    home = Path(app.project.environment["KFOLD_SANDBOX_HOME"]).parent / f"home-{unique('own')}"
    kubeconfig = app.project.folder / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: docker-desktop\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {token: t}}]\n"
        "contexts: [{name: docker-desktop, context: {cluster: c, user: u}}]\n"
    )
    app.project.environment |= {"KFOLD_SANDBOX_HOME": str(home), "KUBECONFIG": str(kubeconfig)}
    dev = app.dev()
    dev.wait_for("does not answer")
    dev.wait_for(WATCHING)
    dev.interrupt()
    finished = dev.wait(seconds=30)
    assert "Traceback" not in finished.output and "embedded cluster" not in finished.output, finished.output
    assert not home.exists()
    wait_until(lambda: app.status()["cluster"] == [], "nothing in the record", seconds=5)
