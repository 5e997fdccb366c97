"""`doit status` on kubeconfigs: what was detected, by which fact, with a cluster that answers and with one that does not."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfold.stores.cluster_interface import ClusterError
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.settings import own_file
from kfold.targets.evidence import Evidence
from kfold.targets.facts import Targets
from tests.conftest import Cluster, ProjectFactory
from tests.engine import Project, docker, run
from tests.scenarios.application import (
    Api,
    Application,
    Applications,
    Place,
    Sandbox,
    container,
    own_sandbox,
    pod,
    unique,
)
from tests.targets.doubles import minikube

KIND = "kind://docker/dev/dev-control-plane"


def kubeconfig(*entries: tuple[str, str], **cluster: Any) -> str:
    """Contexts and the servers behind them; the first one is current."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": entries[0][0],
            "clusters": [{"name": name, "cluster": {"server": server, **cluster}} for name, server in entries],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name, _ in entries],
        }
    )


@pytest.fixture
def alone(project: ProjectFactory) -> Project:
    """A project with a config and a kubeconfig of its own, and nothing else."""
    made = project()
    made.write("kfold.yaml", "apiVersion: kfold/v1\nkind: Config\nmetadata:\n  name: told\n")
    made.environment["KUBECONFIG"] = str(made.folder / "kubeconfig")
    made.environment["HOME"] = str(made.folder.parent / "home")
    Path(made.environment["HOME"]).mkdir()
    return made


def target(project: Project, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.doit("status", "--json", *arguments).succeeded().output)["target"]
    return found


def test_each_name_of_the_table_where_no_cluster_answers(alone: Project) -> None:
    contexts = {
        "docker-desktop": ("docker-desktop", "shared"),
        "docker-for-desktop": ("docker-desktop", "shared"),
        "minikube": ("minikube", "shared"),
        "kind-dev": ("kind", "load"),
        "dev@kind": ("kind", "load"),
        "k3d-dev": ("k3d", "load"),
        "kfold-sandbox": ("sandbox", "shared"),
        "gke_project_zone_name": ("remote", "push"),
    }
    alone.write("kubeconfig", kubeconfig(*((name, "https://127.0.0.1:1") for name in contexts)))
    for context, (kind, images) in contexts.items():
        found = target(alone, f"context={context}")
        assert (found["context"], found["kind"], found["images"]) == (context, kind, images)
        assert f'the context is named "{context}"' in found["because"][0]
        assert "does not answer: Connection refused" in found["because"][-1], found
    told = alone.doit("status").succeeded().output
    assert 'target: context "docker-desktop", docker-desktop (the context is named "docker-desktop")' in told, told


def test_a_cluster_that_is_silent_holds_nothing_up(alone: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alone.write("kubeconfig", kubeconfig(("kind-dev", f"https://127.0.0.1:{silent.getsockname()[1]}")))
        found = target(alone)
        assert found["kind"] == "kind" and "no answer within 3 s" in found["because"][-1], found
        silent.setblocking(False)
        assert connections(silent), "it was asked"
        alone.doit("list").succeeded()
        assert not connections(silent), "`doit list` asks nobody"


def connections(server: socket.socket) -> int:
    """How many came since the last time."""
    found = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            found += 1
    return found


def test_what_is_asked_and_how_often(tmp_path: Path) -> None:
    """Once after the kubeconfig changed; a silent cluster again after a while; one that forbids the question never."""
    cache = tmp_path / ".kfold" / "cache"
    cache.mkdir(parents=True)
    file = tmp_path / "kubeconfig"
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "KUBECONFIG": str(file), "PATH": ""}
    cluster = FakeCluster(tmp_path / "cluster.json")

    def learn(**how: bool) -> Evidence:
        """As a process of its own would."""
        cluster.calls.clear()
        known = Targets(environment, cache, lambda context, files: cluster).learn("", **{"ask": True, **how})
        assert known.evidence is not None
        return known.evidence

    def later() -> None:
        """A minute passes."""
        (kept,) = cache.glob("target-*")
        content = json.loads(kept.read_text())
        content["evidence"]["asked"] -= 61
        kept.write_text(json.dumps(content))

    file.write_text(kubeconfig(("prod", "https://127.0.0.1:1")))
    assert learn(ask=False).asked == 0 and not cluster.calls
    cluster.fail("list_kind", ClusterError("down", code=0))
    assert (learn().silence, learn().nodes) == ("down", None) and not cluster.calls, "not again at once"
    later()
    cluster.fail("list_kind", ClusterError("forbidden", code=403))
    assert (learn().silence, learn().nodes) == ("its nodes may not be listed by this user", ())
    later()
    learn()
    assert not cluster.calls, "that was an answer"

    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"providerID": KIND}}
    cluster.put({**node, "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "arm64"}}})
    told = [(node.provider, node.platform) for node in learn(fresh=True).nodes or ()] if learn().nodes == () else []
    assert told == [(KIND, "linux/arm64")]
    cluster.fail("get", ClusterError("forbidden", code=403))
    file.write_text(kubeconfig(("prod", "https://127.0.0.1:12")))
    assert len(learn().nodes or ()) == 1, "asked anew, and a forbidden ConfigMap is none"
    cluster.fail("list_kind", ClusterError("down", code=0))
    silent = learn(fresh=True)
    assert silent.silence == "down" and len(silent.nodes or ()) == 1, "what it said once is not forgotten"


def test_settings_and_flags(alone: Project) -> None:
    alone.write("kubeconfig", kubeconfig(("my-profile", "https://127.0.0.1:1"), ("kind-dev", "https://127.0.0.1:1")))
    assert target(alone)["images"] == "push"
    alone.kfold("config", "set", "--kube-context", "my-profile", "local-cluster", "true").succeeded()
    found = target(alone)
    file = own_file(alone.environment)
    assert found["images"] == "shared" and found["because"][0] == f"{file} says local-cluster: true" and not found["refusal"]
    assert target(alone, "context=kind-dev")["images"] == "load"
    alone.kfold("config", "set", "--global", "kind-disable-load", "true").succeeded()
    assert target(alone, "context=kind-dev")["images"] == "push"
    alone.kfold("config", "set", "--global", "default-repo", "ghcr.io/me").succeeded()
    for arguments, environment, repo in (
        ((), {}, "ghcr.io/me"),
        (("default_repo=other",), {"KFOLD_DEFAULT_REPO": "x"}, "other"),
        (("default_repo=",), {}, ""),
        ((), {"KFOLD_DEFAULT_REPO": "mine/", "SKAFFOLD_DEFAULT_REPO": "x"}, "mine"),
        ((), {"SKAFFOLD_DEFAULT_REPO": ""}, ""),
    ):
        before = dict(alone.environment)
        alone.environment.update(environment)
        assert target(alone, *arguments)["defaultRepo"] == repo, (arguments, environment)
        alone.environment.clear()
        alone.environment.update(before)
    output = alone.kfold("build", "--default-repo", "http://x").failed(1).output
    assert "'http://x' is no place for images" in output and "localhost:5000" in output, output
    file.write_text("global: {defualt-repo: a}\n")
    output = alone.doit("build").failed(1).output
    assert f"{file}: there is no setting `defualt-repo`" in output, output
    assert "defualt-repo" in target(alone)["refusal"]
    assert alone.doit("delete").succeeded().output == "Nothing is deployed.\n", "what cleans up works"


def test_minikube_by_its_files_and_by_its_list(alone: Project) -> None:
    home = Path(alone.environment["HOME"], ".minikube")
    (home / "profiles" / "p2").mkdir(parents=True)
    (home / "ca.crt").write_text("")
    profile = {"KubernetesConfig": {"ContainerRuntime": "containerd"}}
    (home / "profiles" / "p2" / "config.json").write_text(json.dumps(profile))
    alone.write("kubeconfig", kubeconfig(("p2", "https://127.0.0.1:1"), **{"certificate-authority": str(home / "ca.crt")}))
    found = target(alone)
    assert (found["kind"], found["cluster"], found["images"]) == ("minikube", "p2", "load")
    assert found["because"][0] == f"its certificate authority lies in {home}"

    double = minikube(alone.folder.parent / "bin")
    nodes = {"Config": {"Nodes": [{"IP": "127.0.0.1", "Port": 1}]}}
    double.answers("profile list -o json", json.dumps({"valid": [{"Name": "p3", **nodes}]}))
    alone.environment["PATH"] = double.path(alone.environment["PATH"])
    for context, because in (("p3", 'names "p3"'), ("renamed", 'says that 127.0.0.1:1 is profile "p3"')):
        alone.write("kubeconfig", kubeconfig((context, "https://127.0.0.1:1")))
        found = target(alone)
        assert (found["kind"], found["cluster"]) == ("minikube", "p3") and because in found["because"][0], found
    alone.write("kubeconfig", kubeconfig(("kind-dev", "https://127.0.0.1:1")))
    calls = len(double.calls)
    assert target(alone)["kind"] == "kind" and len(double.calls) == calls, "what is known without it is not asked of it"


def test_two_clusters_of_one_name(alone: Project) -> None:
    one, two = (alone.write(f"at-{port}", kubeconfig(("kind-dev", f"https://127.0.0.1:{port}"))) for port in (1, 2))
    alone.environment["KUBECONFIG"] = f"{one}:{two}"
    output = alone.doit("deploy").failed(1).output
    assert 'two clusters are named "kind-dev"' in output and str(one) in output and str(two) in output, output
    assert f"KUBECONFIG={one}" in output, output
    two.write_text(one.read_text())
    assert "two clusters" not in target(alone)["refusal"], "the same said twice is no contradiction"


def test_a_kind_container_on_this_engine(alone: Project, base_image: str) -> None:
    """A renamed context is still kind: by the container that publishes the very port which the context leads to."""
    name = unique("node")
    label = ["--label", f"io.x-k8s.kind.cluster={name}", "--label", "io.x-k8s.kind.role=control-plane"]
    docker("run", "-d", "--name", name, *label, "-p", "127.0.0.1::6443", base_image, "sleep", "600")
    try:
        port = docker("port", name, "6443/tcp").strip().rpartition(":")[2]
        alone.write("kubeconfig", kubeconfig(("prod", f"https://127.0.0.1:{port}")))
        found = target(alone)
        assert (found["kind"], found["cluster"], found["images"]) == ("kind", name, "load"), found
        assert f"kind's container {name} on this engine" in found["because"][0]
        alone.write("kubeconfig", kubeconfig((f"kind-{name}", "https://127.0.0.1:1")))
        assert f'two kind clusters are named "{name}"' in target(alone)["refusal"]
    finally:
        docker("rm", "-f", name)


# --- with a cluster that answers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, engine: str) -> Iterator[Sandbox]:
    """An API server whose Node objects say what a test wants."""
    folder = tmp_path_factory.mktemp("told")
    with own_sandbox(folder, os.environ) as made:
        yield made


Kubectl = Callable[..., None]


@pytest.fixture
def kubectl(cluster: Sandbox) -> Kubectl:
    def call(*arguments: str) -> None:
        environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
        run(["kubectl", *arguments], folder=cluster.kubeconfig.parent, environment=environment).succeeded()

    return call


def renamed(cluster: Sandbox, context: str) -> str:
    """The cluster's kubeconfig with another name for its context."""
    return cluster.kubeconfig.read_text().replace(f"kfold-sandbox-{cluster.name}", context)


def test_what_a_cluster_says_of_itself(alone: Project, cluster: Sandbox, kubectl: Kubectl, tmp_path: Path) -> None:
    alone.write("kubeconfig", renamed(cluster, "kind-dev"))
    found = target(alone)
    assert (found["kind"], found["images"]) == ("sandbox", "shared")
    assert found["because"][0].startswith("node kfold-sandbox says providerID") and "it would be kind" in found["because"][1]

    node = tmp_path / "node.json"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "dev-control-plane"}, "spec": {"providerID": KIND}}
    node.write_text(json.dumps(body))
    hosting = tmp_path / "hosting.yaml"
    try:
        kubectl("create", "-f", str(node))
        alone.write("kubeconfig", renamed(cluster, "prod"))
        found = target(alone)
        assert (found["kind"], found["cluster"], found["images"], found["registry"]) == ("kind", "dev", "load", None)

        text = "host: localhost:5001\nhostFromContainerRuntime: registry:5000\nhelp: none\n"
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "local-registry-hosting"}}
        hosting.write_text(json.dumps({**config_map, "data": {"localRegistryHosting.v1": text}}))
        kubectl("apply", "-n", "kube-public", "-f", str(hosting))
        found = target(alone)
        assert (found["images"], found["defaultRepo"]) == ("push", "localhost:5001")
        assert found["registry"] == {"host": "localhost:5001", "inCluster": "registry:5000"}
        assert "announces the registry localhost:5001, called registry:5000" in found["because"][0]
        assert target(alone, "default_repo=ghcr.io/me")["images"] == "load", "the user's word goes before it"

        hosting.write_text(json.dumps({**config_map, "data": {"localRegistryHosting.v1": "host: 'a b'\n"}}))
        kubectl("apply", "-n", "kube-public", "-f", str(hosting))
        found = target(alone)
        assert found["images"] == "load" and any("'a b' is no registry host" in fact for fact in found["because"]), found
    finally:
        kubectl("delete", "node", "dev-control-plane", "--ignore-not-found")
        kubectl("delete", "-n", "kube-public", "configmap", "local-registry-hosting", "--ignore-not-found")


@pytest.fixture
def application(
    cluster: Sandbox, project: ProjectFactory, base_image: str, kubectl: Kubectl
) -> Iterator[Application]:
    """An application for a namespace of `cluster`."""
    name = unique("told")
    kubectl("create", "namespace", name)
    api = Api(cluster.kubeconfig)
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    place = Place(name, Cluster(cluster.kubeconfig, f"kfold-sandbox-{cluster.name}", environment), api)
    made = Applications(project, place, base_image, [])
    here = made.add(project(name=name), name)
    here.project.write("kfold.yaml", CONFIG.format(name=name))
    here.project.write("Dockerfile", f"FROM {base_image}\nCOPY text /\nCMD [\"sleep\", \"1000000\"]\n")
    here.project.write("text", "1")
    here.deploys(pod("hello", container("hello", name)))
    yield here
    made.end()
    api.close()


CONFIG = """\
apiVersion: kfold/v1
kind: Config
metadata:
  name: {name}
build:
  tagPolicy:
    inputDigest: {{}}
  artifacts:
    - image: {name}
manifests:
  rawYaml:
    - k8s/*
"""


def test_a_plan_for_a_cluster_that_changed_is_given_up(
    application: Application, cluster: Sandbox, kubectl: Kubectl, tmp_path: Path
) -> None:
    """What was remembered is used for a run with nothing to do; one that has something to do looks again first."""
    app = application
    app.doit().succeeded()
    app.doit().succeeded()  # remembered in .kfold, which the first run made
    node = tmp_path / "node.json"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "dev-control-plane"}, "spec": {"providerID": KIND}}
    node.write_text(json.dumps(body))
    kubectl("create", "-f", str(node))
    try:
        assert "Nothing to do" in app.doit().succeeded().output
        app.project.write("text", "2")
        held = app.images()
        output = app.doit().failed(1).output
        assert f'context "{app.place.cluster.context}" is not what it was: node dev-control-plane' in output, output
        assert app.images() == held, "something was built"
        assert target(app.project)["kind"] == "kind"
    finally:
        kubectl("delete", "node", "dev-control-plane")
    app.doit("status").succeeded()
    app.doit().succeeded()
    app.doit("delete").succeeded()
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


def test_minikubes_own_engine(application: Application, kubectl: Kubectl) -> None:
    """Built where `minikube docker-env` leads to, and taken back there: the record names the profile, not a port."""
    app = application
    double = minikube(app.project.folder.parent / "bin")
    env = "docker-env --shell none -p p2"
    app.project.environment["PATH"] = double.path(app.project.environment["PATH"])
    kubectl("label", "node", "kfold-sandbox", "minikube.k8s.io/name=p2")
    try:
        double.answers(env, code=89, err="X The p2 host is not running\n")
        output = app.doit().failed(1).output
        assert 'minikube profile "p2" does not answer' in output and "minikube start -p p2" in output, output
        assert app.images() == set(), "nothing is built elsewhere"

        double.answers(env, "DOCKER_HOST=unix:///var/run/docker.sock\nMINIKUBE_ACTIVE_DOCKERD=p2\n")
        app.doit().succeeded()
        assert target(app.project)["images"] == "shared"
        calls = len(double.calls)
        assert set(double.calls) == {env} and "Nothing to do" in app.doit().succeeded().output
        assert len(double.calls) == calls, "a run with nothing to do starts no program of minikube"

        app.doit("delete").succeeded()
        kubectl("label", "node", "kfold-sandbox", "minikube.k8s.io/name-")
        app.doit("status").succeeded()  # the context is another product's now, and the records are still minikube's
        for kept in (app.project.folder / ".kfold" / "cache").glob("minikube-*"):
            kept.unlink()
        double.answers(env, code=89, err="X The p2 host is not running\n")
        assert "minikube start -p p2" in app.doit("prune", "--all").failed(1).output
        assert len(app.images()) == 1
        double.answers(env, "DOCKER_HOST=unix:///var/run/docker.sock\n")
        app.doit("prune", "--all").succeeded()
        app.assert_nothing_left()
    finally:
        kubectl("label", "node", "kfold-sandbox", "minikube.k8s.io/name-")


def test_minikube_with_the_containerd_runtime(application: Application, cluster: Sandbox, kubectl: Kubectl) -> None:
    """Built here, loaded by its program, and taken out again; what is there is not loaded a second time."""
    app = application
    pause = "registry.k8s.io/pause:3.9"
    double = minikube(app.project.folder.parent / "bin").holds(pause)
    app.project.environment["PATH"] = double.path(app.project.environment["PATH"])
    app.project.environment["MINIKUBE_HOME"] = str(app.project.folder.parent)
    profile = app.project.folder.parent / ".minikube" / "profiles" / "p2"
    profile.mkdir(parents=True)
    # two nodes share no engine, whatever they run
    kubectl("label", "node", "kfold-sandbox", "minikube.k8s.io/name=p2")
    node = app.project.write("node.json", json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "p2-m02"}}))
    try:
        kubectl("create", "-f", str(node))
        app.doit().succeeded()
        (image,) = app.images()
        name = f"{app.name}:{image.split(':')[-1]}"
        assert double.images == [pause, f"docker.io/library/{name}"]
        load = f"image load --daemon=true {name} -p p2"
        assert double.calls.count(load) == 1 and not [call for call in double.calls if "docker-env" in call], double.calls
        told = app.status()
        assert told["target"]["images"] == "load" and "several nodes" in " ".join(told["target"]["because"])
        assert [(item["name"], item["world"]) for item in told["node"]] == [(f"docker.io/library/{name}", "there")]

        assert "Nothing to do" in app.doit().succeeded().output
        double.holds(pause)  # somebody took it away
        assert app.status()["node"][0]["world"] == "gone"
        app.doit().succeeded()
        assert double.calls.count(load) == 2

        app.doit("delete").succeeded()
        (double.folder / "in-use").touch()
        output = app.doit("prune", "--all").failed(1).output
        assert "something there uses it" in output and f"docker.io/library/{name}" in double.images, output
        (double.folder / "in-use").unlink()
        app.doit("prune", "--all").succeeded()
        assert double.images == [pause] and double.calls.count(f"image rm docker.io/library/{name} -p p2") == 2
        app.assert_nothing_left()

        # found, not made: it stays; and a profile that is gone took its images along
        double.holds(pause, f"docker.io/library/{name}")
        app.doit("load").succeeded()
        assert double.calls.count(load) == 2
        app.doit("prune", "--all").succeeded()
        assert double.images == [pause, f"docker.io/library/{name}"]
        double.holds(pause)
        app.doit("load").succeeded()
        assert double.calls.count(load) == 3
        profile.rmdir()
        assert 'minikube profile "p2" is gone' in app.doit("prune", "--all").succeeded().output
        app.assert_nothing_left()
    finally:
        kubectl("delete", "node", "p2-m02", "--ignore-not-found")
        kubectl("label", "node", "kfold-sandbox", "minikube.k8s.io/name-")
