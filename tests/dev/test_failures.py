"""An iteration that fails: reported, what runs goes on running, and the next edit repairs it."""

from __future__ import annotations

from tests.engine import Running
from tests.scenarios.application import (
    FOREVER,
    Application,
    ApplicationFactory,
    Object,
    config_map,
    container,
    uid,
    workload,
)

WATCHING = "Watching for changes..."
WAITS = "What ran before goes on running; save a change to try again."


def running(app: Application) -> str:
    """The UID of the one Pod that is there, which must be ready."""
    (pod,) = [item for item in app.place.list("pods") if not item["metadata"].get("deletionTimestamp")]
    assert pod["status"]["phase"] == "Running", pod["status"]
    return uid(pod)


def failing(dev: Running, behind: int, *told: str) -> int:
    """Wait for the report of a failing iteration, with each of `told` in it; returns the offset behind it."""
    end = dev.wait_for(WAITS, after=behind)
    for text in told:
        assert text in dev.output[behind:end], dev.output[behind:]
    assert "Traceback" not in dev.output
    return dev.wait_for(WATCHING, after=end)


def test_what_is_broken_is_told_and_repaired_by_the_next_edit(application: ApplicationFactory) -> None:
    app = application()
    write, read = app.project.write, app.project.read
    good = [workload("Deployment", "hello", container("hello", app.name)), config_map("settings", {"a": "1"})]
    app.deploys(*good)
    dev = app.dev()
    dev.wait_for("[hello] Hello, world!")
    behind = dev.wait_for(WATCHING)
    first, held = running(app), app.place.held()

    # a Dockerfile that does not build
    dockerfile = read("Dockerfile")
    write("Dockerfile", dockerfile + "RUN exit 7\n")
    behind = failing(dev, behind, f"build:{app.name} failed", "7")
    # one that is none
    write("Dockerfile", "FROM\n")
    behind = failing(dev, behind, "deploy failed", "Dockerfile:1")
    # a file that is not there
    write("Dockerfile", dockerfile + "COPY missing /\n")
    behind = failing(dev, behind, "deploy failed", "missing")
    write("Dockerfile", dockerfile)
    behind = dev.wait_for(WATCHING, after=behind)

    # a manifest that is broken, beside one that was taken away: nothing is deleted
    app.deploys(good[0])
    write("k8s/zzz.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: [\n")
    behind = failing(dev, behind, "k8s/zzz.yaml:")
    write("k8s/zzz.yaml", "just text\n")
    behind = failing(dev, behind, "k8s/zzz.yaml:1:1", "no Kubernetes object")
    assert app.place.held() == held

    # a config that is broken
    config = read("kfold.yaml")
    write("kfold.yaml", config.replace("artifacts", "artefacts"))
    behind = failing(dev, behind, "kfold.yaml:", "artefacts")
    assert running(app) == first and app.place.held() == held
    (app.project.folder / "k8s" / "zzz.yaml").unlink()
    write("kfold.yaml", config)
    behind = dev.wait_for('configmap "settings" deleted', after=behind)
    behind = dev.wait_for(WATCHING, after=behind)
    assert running(app) == first

    # a new Pod that cannot start: the old one is not taken away for it
    app.deploys(workload("Deployment", "hello", container("hello", "kfold-no-such-image:1")))
    behind = failing(dev, behind, 'deployment.apps "hello" failed', "can't be pulled")
    assert first in {uid(item) for item in app.place.list("pods") if not item["metadata"].get("deletionTimestamp")}

    app.deploys(good[0])
    behind = dev.wait_for("Deployments stabilized", after=behind)
    write("greeting.txt", "Hello, repaired!\n")
    dev.wait_for("[hello] Hello, repaired!", after=behind)
    dev.interrupt()
    dev.wait().succeeded()
    assert app.place.held() == {}
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


def test_a_first_deploy_that_fails_is_repaired_too(application: ApplicationFactory) -> None:
    """A Pod in a crash loop from the start; its last lines are told, and its log is followed once it works."""
    app = application()
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 1, "periodSeconds": 1}

    def deployment(script: str) -> Object:
        return workload("Deployment", "web", container("web", app.name, script, readinessProbe=probe))

    app.deploys(deployment("echo no database; exit 3"))
    dev = app.dev()
    failing(dev, 0, 'deployment.apps "web" failed', "exit code 3", "[web] no database")
    app.deploys(deployment(f"echo at work; {FOREVER}"))
    dev.wait_for("[web] at work")
    dev.wait_for("Deployments stabilized")
    dev.interrupt()
    dev.wait().succeeded()
    assert app.place.held() == {}


def test_a_config_that_cannot_be_read_at_the_start_ends_it(application: ApplicationFactory) -> None:
    app = application()
    app.project.write("kfold.yaml", "apiVersion: kfold/v1\nkind: Config\nbuilt: {}\n")
    output = app.dev().wait(seconds=30).failed(1).output
    assert "kfold.yaml:3:1" in output and "built" in output, output
    assert WATCHING not in output
    assert app.place.held() == {}
