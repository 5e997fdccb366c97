"""Hooks around deployments, on the embedded cluster: when they run, what they are told, and how `delete` takes them back."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from kfold.ledger import Ledger
from kfold.plan.applyset import parent_name
from tests.crash import points
from tests.crash.killing import killed
from tests.engine import wait_until
from tests.hooks.conftest import Rows, lines
from tests.hooks.test_process import gone
from tests.scenarios.application import Application, ApplicationFactory, config_map, container, pod, workload

pytestmark = pytest.mark.sandbox

NOTHING = "Nothing to do: everything is up to date."


def configure(app: Application, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """Hooks of a deployment; those that are no `container` are of this host."""
    def entry(hook: dict[str, Any]) -> dict[str, Any]:
        return {"container" if "podName" in hook else "host": hook}

    document = {
        "apiVersion": "kfold/v1",
        "kind": "Config",
        "metadata": {"name": app.name},
        "manifests": {"rawYaml": ["k8s/*"]},
        "deploy": {"kubectl": {"hooks": {"before": [*map(entry, before)], "after": [*map(entry, after)]}}},
    }
    app.project.write("kfold.yaml", json.dumps(document, indent=2))


def shell(script: str, undo: str = "", **more: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **({"undo": ["sh", "-c", undo]} if undo else {}), **more}


def records(app: Application) -> list[str]:
    ledger = Ledger(app.project.folder / ".kfold" / "ledger.db")
    try:
        kept = [record for record in ledger.records() if record.effect.kind != "set"]  # the cluster's own record
        return [f"{record.state} {record.effect.kind}" for record in kept]
    finally:
        ledger.close()


def test_when_they_run_and_what_they_are_told(application: ApplicationFactory) -> None:
    """Before the first object is sent, after the last; each undo on the other side of the deletion."""
    app = application(artifact=False)
    folder = app.project.folder
    there = f"kubectl get configmap settings -n {app.place.name} -o name >> seen.txt 2>/dev/null || echo absent >> seen.txt"
    tell = "env | grep ^SKAFFOLD_ | sort"
    configure(
        app,
        [shell(f"{there}; {tell} > before.txt", f"{there}; echo $KFOLD_HOOK >> seen.txt")],
        [shell(f"{there}; {tell} > after.txt", f"{there}; echo $SKAFFOLD_NAMESPACES >> seen.txt")],
    )
    app.deploys(config_map("settings", {"a": "1"}))
    output = app.doit("deploy").succeeded().output
    assert [output.index(text) for text in ("pre-deploy", "Starting deploy...", "post-deploy")] == sorted(
        output.index(text) for text in ("pre-deploy", "Starting deploy...", "post-deploy")
    )
    assert lines(folder, "seen.txt") == ["absent", "configmap/settings"]
    before = dict(line.split("=", 1) for line in lines(folder, "before.txt"))
    run = before.pop("SKAFFOLD_RUN_ID")
    context = app.status()["target"]["context"]
    namespace = app.place.name
    wanted = {"SKAFFOLD_KUBE_CONTEXT": context, "SKAFFOLD_NAMESPACES": namespace, "SKAFFOLD_WORK_DIR": str(folder)}
    assert before == wanted and run
    assert f"SKAFFOLD_RUN_ID={run}" in lines(folder, "after.txt")

    assert app.doit("deploy").succeeded().output.strip() == NOTHING
    app.deploys(config_map("settings", {"a": "2"}))
    app.doit("deploy").succeeded()
    assert lines(folder, "seen.txt")[2:] == ["configmap/settings", "configmap/settings"], "at each deployment"
    assert records(app) == ["done hook", "done object", "done hook"], "once in the record"
    (folder / "seen.txt").unlink()
    (folder / "kfold.yaml").rename(folder / "kfold.yaml.away")
    assert app.doit("delete", "--dry-run").succeeded().output.count("would be undone by") == 2
    app.doit("delete").succeeded()
    assert lines(folder, "seen.txt") == ["configmap/settings", namespace, "absent", "done"]
    assert records(app) == [] and app.place.held() == {}


def test_hooks_that_fail(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    configure(app, [shell("test -e ready || exit 5")], [shell("echo x >> after.txt; test -e good", "touch undone")])
    app.deploys(config_map("settings", {"a": "1"}))
    output = app.doit("deploy").failed().output
    assert "kfold.yaml:" in output and "pre-deploy hook `sh -c test -e ready || exit 5` failed with exit code 5" in output
    assert app.place.held() == {} and records(app) == [], "nothing is deployed where a hook before it fails"
    app.project.write("ready", "")
    for _ in range(2):
        assert "failed with exit code 1" in app.doit("deploy").failed().output
    assert lines(app.project.folder, "after.txt") == ["x", "x"], "it is owed until it comes to a good end"
    app.project.write("good", "")
    assert "configmap" not in app.doit("deploy").succeeded().output
    assert app.doit("deploy").succeeded().output.strip() == NOTHING
    assert len(lines(app.project.folder, "after.txt")) == 3
    app.doit("delete").succeeded()
    assert (app.project.folder / "undone").exists() and records(app) == []


def test_what_came_before_a_deployment_goes_after_all_of_it(application: ApplicationFactory) -> None:
    """An object that does not go keeps the hook that it was deployed upon."""
    app = application(artifact=False)
    rows = Rows(app.project)
    configure(app, [rows.hook("before")], [])
    app.deploys(config_map("stuck", {}, finalizers=["kfold.test/never"]))
    app.doit("deploy").succeeded()
    rows.told()
    app.doit("delete", "--timeout", "1").failed(1)
    assert rows.told() == [] and "before" in rows.names() and "configmaps/stuck" in app.place.held()
    patch = '{"metadata":{"finalizers":null}}'
    app.place.kubectl("patch", "configmap", "stuck", "--type=merge", "-p", patch).succeeded()
    app.doit("delete").succeeded()
    assert rows.told() == ["undo before done"] and rows.dump() == rows.before and app.place.held() == {}


def test_killed_at_each_moment_of_deploy_and_delete(application: ApplicationFactory) -> None:
    """A hook that made a row in a SQLite file, its undo that removes it: run, killed, deleted; the file as before."""
    app = application(artifact=False)
    rows = Rows(app.project)
    configure(app, [rows.hook("before")], [rows.hook("after")])
    app.deploys(config_map("settings", {"a": "1"}))

    def doit(kill_at: int, verb: str) -> tuple[int, list[str]]:
        done, moments = killed(app.project, kill_at, verb)
        return done.code, moments

    def deleted(moment: str) -> list[str]:
        rows.told()
        done = app.doit("delete").succeeded()
        assert rows.dump() == rows.before, f"{moment}\n{done.output}"
        assert app.place.held() == {} and records(app) == [], f"{moment}\n{done.output}"
        return rows.told()

    code, forward = doit(0, "deploy")
    assert code == 0 and rows.names() == ["after", "before", "mine"]
    code, backward = doit(0, "delete")
    assert code == 0 and rows.dump() == rows.before
    told = set()

    def of_hooks(moments: list[str]) -> list[tuple[int, str]]:
        chosen = [(number, moment) for number, moment in enumerate(moments, 1) if " hook " in moment]
        assert len(chosen) == 8, moments
        return points.some(chosen, 2)

    for number, moment in of_hooks(forward):
        assert doit(number, "deploy")[0] == -signal.SIGKILL, moment
        told.update(deleted(f"deploy: {moment}"))
        points.survived("deploy (hooks)", moment)
    assert told == {f"undo {name} {state}" for name in ("before", "after") for state in ("intended", "done")}
    for number, moment in of_hooks(backward):
        app.doit("deploy").succeeded()
        assert doit(number, "delete")[0] == -signal.SIGKILL, moment
        deleted(f"delete: {moment}")
        points.survived("delete (hooks)", moment)


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_ended_while_a_hook_runs(application: ApplicationFactory, how: str) -> None:
    app = application(artifact=False)
    rows = Rows(app.project)
    configure(app, [rows.hook("row", "hang")], [])
    app.deploys(config_map("settings", {"a": "1"}))
    running = app.project.start_doit("deploy")
    running.wait_for("hanging ")
    wait_until(lambda: "\n" in running.output.partition("hanging ")[2], "the number of the hook's process")
    pid = int(running.output.partition("hanging ")[2].split()[0])
    assert rows.names() == ["mine", "row"]
    if how == "killed":
        running.kill()
        running.wait()
    else:
        running.interrupt()
        assert "stopped" in running.wait(seconds=15).failed().output
    wait_until(lambda: gone(pid), "the end of the hook's process", seconds=5)
    assert list(app.place.held()) == [f"configmaps/{parent_name(app.name, app.place.name)}"], "only what keeps the hook"
    app.doit("delete").succeeded()
    assert rows.told() == ["run row", "undo row intended"] and rows.dump() == rows.before
    assert app.place.held() == {}


def test_a_hook_that_left_the_config_is_taken_back_all_the_same(application: ApplicationFactory) -> None:
    """Another command is another effect; the same one listed twice has two; `--forget` names what it does not run."""
    app = application(artifact=False)
    rows = Rows(app.project)
    configure(app, [rows.hook("old"), rows.hook("twice"), rows.hook("twice")], [])
    app.deploys(config_map("settings", {"a": "1"}))
    app.doit("deploy").succeeded()
    configure(app, [rows.hook("new")], [])
    app.deploys(config_map("settings", {"a": "2"}))
    app.doit("deploy").succeeded()
    rows.told()
    app.doit("delete").succeeded()
    assert rows.told() == ["undo new done", "undo twice done", "undo twice done", "undo old done"]
    assert rows.dump() == rows.before
    app.doit("deploy").succeeded()
    output = app.doit("delete", "--forget").succeeded().output
    assert "is forgotten, its undo `" in output and records(app) == [] and "new" in rows.names()


def test_in_containers(application: ApplicationFactory, base_image: str) -> None:
    """In every running container that matches, each once; before a deployment only in those of an earlier one."""
    app = application(artifact=False)
    note = {"command": ["sh", "-c", "echo note $HOSTNAME | tee -a /tmp/notes"], "podName": "web-*"}
    undo = {"undo": ["sh", "-c", "echo taken back: $KFOLD_HOOK $(cat /tmp/notes | wc -l)"]}
    fails = {"command": ["sh", "-c", "echo no >&2; exit 3"], "podName": "none-*"}
    configure(app, [{**note, "containerName": "a*"}], [{**note, **undo, "containerName": "app"}, fails])
    spec = container("app", base_image, "while true; do sleep 1 & wait $!; done", imagePullPolicy="Never")
    app.deploys(workload("Deployment", "web", spec, replicas=2))
    output = app.doit("deploy").succeeded().output
    assert output.count("no new container of Pods `web-*` is running") == 1, "there is none before the first deployment"
    pods = [item["metadata"]["name"] for item in app.place.list("pods")]
    assert len(pods) == 2
    for name in pods:
        assert f"[{name} app] note {name}\n" in output, output
        assert app.place.kubectl("exec", name, "--", "cat", "/tmp/notes").output == f"note {name}\n"
    assert records(app) == ["done object", "done hook"]
    output = app.doit("delete").succeeded().output
    for name in pods:
        assert f"[{name} app] taken back: done 1\n" in output, output
    assert records(app) == []

    # one that fails; one whose containers are gone
    missing = {"command": ["no-such-program"], "podName": "one"}
    configure(app, [], [{**fails, "podName": "one", **undo}])
    app.deploys(pod("one", spec))
    output = app.doit("deploy").failed().output
    assert "the post-deploy hook `sh -c echo no >&2; exit 3` failed with exit code 3 in one, container app" in output
    assert "[one app] no\n" in output and "kfold.yaml:" in output
    configure(app, [], [missing])
    assert "no-such-program" in app.doit("deploy").failed().output
    app.place.kubectl("delete", "pod", "one", "--now").succeeded()
    output = app.doit("delete").failed().output
    assert "no container of Pods `one` runs any more" in output and records(app) == ["intended hook"]
    app.doit("delete", "--forget").succeeded()
    assert records(app) == [] and not Path(app.project.folder / "notes").exists()
