"""The embedded cluster that `dev` started: it is stopped at the end, and never with somebody else's objects in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kfold.stores import sandbox_process
from kfold.stores.cluster import ClusterError
from kfold.stores.fake_cluster import FakeCluster
from kfold.verbs import sandbox
from kfold.verbs.sandbox import foreign
from kfold.verbs.undo import Kept
from tests.engine import Finished, Running, run, wait_until
from tests.hooks.checkout import Checkout
from tests.scenarios.application import Application, ApplicationFactory, config_map, unique, workload

WATCHING = "Watching for changes..."
Object = dict[str, Any]


class Started:
    """An application on the sandbox that its `dev` started."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.home = Path(app.project.environment["KFOLD_SANDBOX_HOME"]).parent / f"home-{unique('own')}"
        self.kubeconfig = self.home / "default" / "kubeconfig"
        app.project.environment |= {
            "KFOLD_SANDBOX_HOME": str(self.home),
            "KUBECONFIG": str(self.home / "none"),
            "HOME": str(self.home),
            "KFOLD_NAMESPACE": "default",
        }
        self.dev: Running = app.dev()
        self.dev.wait_for("No kube context: starting the embedded cluster")
        self.dev.wait_for(WATCHING)

    def sandbox(self, *arguments: str) -> Finished:
        command = [sys.executable, "-m", "kfold.sandbox", *arguments]
        return run(command, folder=self.app.project.folder, environment=self.app.project.environment, seconds=60)

    def runs(self) -> bool:
        return bool(json.loads(self.sandbox("status", "--json").output)["running"])

    def kubectl(self, *arguments: str) -> Finished:
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return run(command, folder=self.app.project.folder, environment=self.app.project.environment, seconds=60)


@pytest.fixture
def started(application: ApplicationFactory) -> Iterator[Started]:
    made = Started(application(artifact=False).deploys(config_map("it", {"a": "1"})))
    assert made.runs()
    yield made
    if made.dev.process.poll() is None:
        made.dev.interrupt(signal.SIGKILL)
    made.sandbox("down")


FOREIGN: dict[str, Object] = {
    "claim": {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "my-data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    "set": workload("StatefulSet", "mine", {"name": "c", "image": "x"}, replicas=0, serviceName="x"),
    "role": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "mine"}},
    "system": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "namespace": "kube-system"}},
    "definition": {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    },
}


@pytest.mark.parametrize("what", ["claim", "set", "system"])
def test_it_stays_with_what_somebody_else_put_into_it(started: Started, what: str) -> None:
    manifest = FOREIGN[what]
    file = started.app.project.folder / "foreign.json"
    file.write_text(json.dumps(manifest))
    started.kubectl("apply", "-f", str(file)).succeeded()
    started.dev.interrupt()
    output = started.dev.wait(seconds=60).succeeded().output
    noun, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    assert f"the sandbox stays: it holds {noun}/{name}" in output, output
    assert started.runs()
    assert started.kubectl("get", "-f", str(file)).succeeded()
    assert "NotFound" in started.kubectl("get", "configmap", "it").failed(1).output


def test_it_goes_while_the_cluster_still_takes_back_what_ours_made(application: ApplicationFactory) -> None:
    """Pods and ReplicaSets of a Deployment of ours, endpoints of a Service, a volume of a claim: nobody else's."""
    app = application()
    claim = {**FOREIGN["claim"], "metadata": {"name": "ours"}}
    spec = {"selector": {"app": "hello"}, "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
    pod = {"name": "hello", "image": app.name}
    app.deploys(workload("Deployment", "hello", pod), claim, service)
    made = Started(app)
    try:
        assert "persistentvolume/" in made.kubectl("get", "pv", "-o", "name").output
        made.dev.interrupt()
        output = made.dev.wait(seconds=60).succeeded().output
        assert " - embedded cluster stopped" in output, output
        assert not made.runs()
    finally:
        made.sandbox("down")


def test_it_stays_where_what_it_holds_cannot_be_asked(started: Started) -> None:
    text = started.kubeconfig.read_text()
    broken = json.loads(text)
    broken["users"][0]["user"]["token"] = "wrong"
    started.kubeconfig.write_text(json.dumps(broken))
    started.dev.interrupt()
    output = started.dev.wait(seconds=60).failed(1).output
    assert "the embedded cluster stays" in output and "does not accept user" in output, output
    assert started.runs()
    started.kubeconfig.write_text(text)
    output = started.app.doit("delete").succeeded().output
    assert " - embedded cluster stopped" in output, output
    assert not started.runs()


def test_a_dead_one_is_brought_back_to_be_cleaned(started: Started) -> None:
    pid = json.loads(started.sandbox("status", "--json").output)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not started.runs(), "the sandbox's end")
    started.dev.interrupt()
    output = started.dev.wait(seconds=15).failed(1).output
    assert "kfold sandbox up" in output, output
    started.sandbox("up").succeeded()
    output = started.app.doit("delete").succeeded().output
    assert " - embedded cluster stopped" in output, output


# --- every kind, without a sandbox each -------------------------------------------------------------------------


@pytest.mark.parametrize("manifest", FOREIGN.values(), ids=FOREIGN)
def test_any_kind_counts(tmp_path: Path, manifest: Object) -> None:
    cluster = FakeCluster(tmp_path / "cluster.json")
    assert foreign(cluster) == ""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    namespace = manifest["metadata"].get("namespace", "default")
    spread = cluster.is_namespaced(manifest["apiVersion"], kind)
    cluster.apply({**manifest, "metadata": {"name": name, **({"namespace": namespace} if spread else {})}})
    assert foreign(cluster).startswith(f"{kind.lower()}/{name}")


def test_a_custom_object_counts_and_what_goes_does_not(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path / "cluster.json")
    owner = cluster.apply(config_map("owner", {"a": "1"}, namespace="default", finalizers=["example.com/held"]))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid}
    cluster.apply(config_map("child", {"a": "1"}, namespace="default", ownerReferences=[reference]))
    assert foreign(cluster) != ""
    cluster.delete(owner.ref, uid=owner.uid)
    assert foreign(cluster) == "", "being deleted, and with it what it owns"

    cluster.apply(FOREIGN["definition"])
    cluster.apply({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "default"}})
    assert "w" in foreign(cluster)


def test_an_error_is_not_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path / "cluster.json")
    cluster.fail("list_kind", ClusterError("forbidden", code=403))
    with pytest.raises(ClusterError, match="forbidden"):
        foreign(cluster)


def test_one_that_somebody_else_started_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `dev` killed before it started any, and after the one that it started was stopped."""
    world = Checkout(tmp_path / "project", tmp_path / "me").world
    world.environment = {**world.environment, "KFOLD_SANDBOX_HOME": str(tmp_path / "home")}
    world.open_cluster = lambda context, files: FakeCluster(tmp_path / "cluster.json")
    folder = tmp_path / "home" / "default"
    ended: list[str] = []
    monkeypatch.setattr(sandbox_process, "runs", lambda environment: folder.exists())
    monkeypatch.setattr(sandbox_process, "down", lambda environment: ended.append("down") or shutil.rmtree(folder))

    def up(environment: Any, mark: str) -> None:
        """As `kfold sandbox up` does."""
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "kubeconfig").touch()
            if mark:
                (folder / "mark").write_text(mark)

    def undone() -> bool:
        (record,) = world.ledger.records("host")
        result = sandbox.undo(world, record)
        assert world.ledger.records("host") == [] and folder.exists() == isinstance(result, Kept)
        return not isinstance(result, Kept)

    def killed(environment: Any, mark: str) -> None:
        raise KeyboardInterrupt

    for before, done in ((up, True), (killed, False)):
        monkeypatch.setattr(sandbox_process, "up", before)
        with suppress(KeyboardInterrupt):
            sandbox.start(world)
        if done:
            shutil.rmtree(folder)
        up({}, "")
        assert not undone() and ended == []
        shutil.rmtree(folder)
    # a run that was killed began it, and the next one finds it running
    monkeypatch.setattr(sandbox_process, "up", killed)
    with suppress(KeyboardInterrupt):
        sandbox.start(world)
    up({}, world.ledger.records("host")[0].effect.mark)
    monkeypatch.setattr(sandbox_process, "up", up)
    sandbox.start(world)
    assert undone() and ended == ["down"]
    world.ledger.close()
