"""`doit status` on recorded Node objects of each product (`kubectl get nodes -o json`, cut to what tells them apart), while
the cluster answers and when it does not any more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfold.commands.status import _print, _target
from kfold.console import Console
from kfold.planning import facts
from kfold.session import Options, Session
from kfold.stores.cluster_interface import ClusterError
from kfold.stores.fake_cluster import FakeCluster
from tests.targets.test_told import kubeconfig

K3S = {"node.kubernetes.io/instance-type": "k3s", "egress.k3s.io/cluster": "true", "kubernetes.io/os": "linux"}


@dataclass(frozen=True)
class Product:
    """A node as it tells of itself, and what is to come of it. `engine`: the host name of the engine that builds."""

    context: str
    node: str
    kind: str
    fact: str
    images: str
    provider: str = ""
    runtime: str = "containerd://1.7.21"
    system: str = "Ubuntu 24.04.1 LTS"
    labels: tuple[tuple[str, str], ...] = ()
    engine: str = "workstation"
    cluster: str = ""

    def object(self) -> dict[str, Any]:
        info = {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": self.system,
            "containerRuntimeVersion": self.runtime, "kubeletVersion": "v1.31.4",
        }  # fmt: skip
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.node, "labels": {"kubernetes.io/hostname": self.node, **dict(self.labels)}},
            "spec": {"providerID": self.provider} if self.provider else {},
            "status": {"nodeInfo": info},
        }


PRODUCTS = [
    Product("docker-desktop", "docker-desktop", "docker-desktop", "runs Docker Desktop", "shared",
            runtime="docker://27.4.0", system="Docker Desktop", engine="docker-desktop"),
    Product("renamed", "docker-desktop", "docker-desktop", "runs Docker Desktop", "shared",
            runtime="docker://27.4.0", system="Docker Desktop", engine="docker-desktop"),
    Product("work", "p2", "minikube", "minikube.k8s.io/name=p2", "shared", runtime="docker://27.4.1", cluster="p2",
            labels=(("minikube.k8s.io/name", "p2"), ("minikube.k8s.io/primary", "true"))),
    Product("work", "dev-control-plane", "kind", "kind://docker/dev/dev-control-plane", "load", cluster="dev",
            provider="kind://docker/dev/dev-control-plane", system="Debian GNU/Linux 12 (bookworm)"),
    Product("work", "k3d-dev-server-0", "k3d", "k3s://k3d-dev-server-0", "load", cluster="dev",
            provider="k3s://k3d-dev-server-0", system="K3s v1.31.4+k3s1", labels=tuple(K3S.items())),
    Product("orbstack", "orbstack", "orbstack", "runs OrbStack", "shared", runtime="docker://27.4.1", system="OrbStack",
            engine="orbstack"),
    Product("orbstack", "orbstack", "orbstack", "runs OrbStack", "push", runtime="docker://27.4.1", system="OrbStack"),
    Product("rancher-desktop", "lima-rancher-desktop", "rancher-desktop", "k3s://lima-rancher-desktop", "shared",
            provider="k3s://lima-rancher-desktop", runtime="docker://27.3.1", system="Alpine Linux v3.20",
            labels=tuple(K3S.items()), engine="lima-rancher-desktop"),
    Product("rancher-desktop", "lima-rancher-desktop", "rancher-desktop", "k3s://lima-rancher-desktop", "push",
            provider="k3s://lima-rancher-desktop", system="Alpine Linux v3.20", labels=tuple(K3S.items())),
    Product("colima", "colima", "colima", "k3s://colima", "shared", provider="k3s://colima", runtime="docker://27.4.0",
            labels=tuple(K3S.items()), engine="colima"),
    Product("colima-work", "colima-work", "colima", "k3s://colima-work", "push", provider="k3s://colima-work",
            runtime="containerd://1.7.23-k3s2", labels=tuple(K3S.items())),
    Product("microk8s", "laptop", "microk8s", "the label microk8s.io/cluster", "push", runtime="containerd://1.6.28",
            labels=(("microk8s.io/cluster", "true"), ("node.kubernetes.io/microk8s-controlplane", "microk8s-controlplane"))),
    Product("default", "box", "k3s", "k3s://box", "push", provider="k3s://box", labels=tuple(K3S.items())),
    Product("kind-dev", "gke-a", "remote", "gce://p/z/gke-a", "push", provider="gce://p/z/gke-a"),
]  # fmt: skip


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda one: f"{one.kind}, {one.images}, {one.context}")
def test_what_status_tells_of_a_product(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = FakeCluster(tmp_path / "cluster.json")
    cluster.put(product.object())
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$1" = info ] && echo {product.engine}\nexit 0\n')
    docker.chmod(0o755)
    (tmp_path / "kubeconfig").write_text(kubeconfig((product.context, "https://127.0.0.1:1")))
    environment = {
        "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "PATH": f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin", "DOCKER_HOST": "tcp://127.0.0.1:1",
    }  # fmt: skip
    monkeypatch.setenv("PATH", environment["PATH"])

    def told() -> dict[str, Any]:
        """As a process of its own."""
        session = Session(Options(), folder=tmp_path, environment=environment)
        session.__dict__["_cluster"] = lambda context, files: cluster
        try:
            return _target(facts(session, fresh=True))
        finally:
            session.close()

    (tmp_path / ".kfold" / "cache").mkdir(parents=True)
    found = told()
    assert (found["kind"], found["cluster"], found["images"]) == (product.kind, product.cluster, product.images), found
    assert product.fact in found["because"][0], found["because"]
    by_name = f"by its name it would be {'kind' if product.context == 'kind-dev' else 'remote'}"
    assert (by_name in found["because"]) == (f'the context is named "{product.context}"' not in " ".join(found["because"]))

    for method in ("get", "list_kind"):
        cluster.fail(method, ClusterError("it does not answer", code=0))
    silent = told()
    assert {**silent, "because": silent["because"][:-1]} == found, "what it said once is not forgotten"
    assert "does not answer" in silent["because"][-1]

    session = Session(Options(), folder=tmp_path, environment=environment)
    session.__dict__["console"] = Console(environment=environment)
    nothing: dict[str, Any] = {"elsewhere": [], "config": "", "problem": "", "engine": [], "node": [], "registry": []}
    _print(session, {**nothing, "cluster": [], "host": [], "hooks": [], "target": silent})
    line, *rest = capsys.readouterr().out.splitlines()
    assert line.startswith(f'target: context "{product.context}", {product.kind}') and product.fact in line, line
    assert any("does not answer" in one for one in rest)
