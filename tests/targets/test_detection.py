"""What a context leads to: the table of names, row by row, and each fact that corrects it."""

from __future__ import annotations

import json

import pytest

from kfold.targets.detect import detect
from kfold.targets.evidence import Evidence, decode, encode
from tests.targets import recorded as r
from tests.targets.recorded import evidence


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        ("docker-desktop", "docker-desktop"),
        ("docker-for-desktop", "docker-desktop"),
        ("minikube", "minikube"),
        ("kind-kind", "kind"),
        ("kind-", "kind"),
        ("dev@kind", "kind"),
        ("@kind", "kind"),
        ("k3d-dev", "k3d"),
        ("k3d-", "k3d"),
        ("kfold-sandbox", "sandbox"),
        ("kfold-sandbox-ci", "sandbox"),
        # compared exactly, by prefix, by suffix, and with their case
        ("Docker-Desktop", "remote"),
        ("docker-desktop-2", "remote"),
        ("my-minikube", "remote"),
        ("Minikube", "remote"),
        ("kind", "remote"),
        ("mykind-dev", "remote"),
        ("dev@kind-2", "remote"),
        ("k3d", "remote"),
        ("kfold-sandboxes", "remote"),
        ("gke_project_zone_name", "remote"),
        ("orbstack", "remote"),
        ("rancher-desktop", "remote"),
        ("colima", "remote"),
        ("microk8s", "remote"),
        ("default", "remote"),
    ],
)
def test_the_name_alone(context: str, kind: str) -> None:
    found = detect(evidence(context))
    assert found.kind == kind
    assert f'the context is named "{context}"' in found.because[0]


@pytest.mark.parametrize(
    ("context", "cluster", "name"),
    [
        ("kind-dev", "kind-dev", "dev"),
        ("dev@kind", "dev@kind", "dev"),
        ("kind-dev", "other", "other"),
        ("k3d-dev", "k3d-dev", "dev"),
        ("minikube", "minikube", "minikube"),
        ("docker-desktop", "docker-desktop", ""),
        ("prod", "prod", ""),
    ],
)
def test_the_clusters_own_name_is_read_from_the_kubeconfigs_entry(context: str, cluster: str, name: str) -> None:
    assert detect(evidence(context, cluster=cluster)).cluster == name


FACTS: dict[str, tuple[Evidence, str, str, str]] = {
    "kind": (evidence("prod", nodes=(r.KIND, r.KIND_WORKER)), "kind", "dev", "kind://docker/dev/dev-control-plane"),
    "kind beside other nodes": (evidence("prod", nodes=(r.SANDBOX, r.KIND)), "kind", "dev", "kind://docker/dev"),
    "kind by its container": (
        evidence("prod", server=r.LOCAL, containers=(r.KIND_CONTAINER,)), "kind", "dev", "kind's container dev-control-plane"
    ),
    "kind's container, another port": (
        evidence("prod", server="https://127.0.0.1:1", containers=(r.KIND_CONTAINER,)), "remote", "", '"prod"'
    ),
    "kind's container, another machine": (
        evidence("prod", server="https://10.0.0.9:40123", containers=(r.KIND_CONTAINER,)), "remote", "", '"prod"'
    ),
    "k3d": (evidence("prod", nodes=(r.K3D,)), "k3d", "dev", "k3s://k3d-dev-server-0"),
    "k3d by its container": (
        evidence("prod", server=r.LOCAL, containers=(r.K3D_CONTAINER,)), "k3d", "dev", "k3d's container k3d-dev-serverlb"
    ),
    "k3d named like kind": (evidence("kind-dev", nodes=(r.K3D,)), "k3d", "dev", "k3s://k3d-dev-server-0"),
    "minikube": (evidence("prod", nodes=(r.MINIKUBE_OTHER,)), "minikube", "p2", "minikube.k8s.io/name=p2"),
    "minikube by its files": (evidence("p2", profile=r.PROFILE), "minikube", "p2", "certificate authority"),
    "minikube's files, kind's name": (evidence("kind-dev", profile=r.PROFILE), "kind", "kind-dev"[5:], "kind-dev"),
    "Docker Desktop": (evidence("prod", nodes=(r.DOCKER_DESKTOP,)), "docker-desktop", "", "runs Docker Desktop"),
    "Docker Desktop made by kind": (
        evidence("docker-desktop", nodes=(r.DESKTOP_KIND,)), "docker-desktop", "", "kind://docker/desktop"
    ),
    "OrbStack": (evidence("orbstack", nodes=(r.ORBSTACK,)), "orbstack", "", "runs OrbStack"),
    "Rancher Desktop": (evidence("rancher-desktop", nodes=(r.RANCHER,)), "rancher-desktop", "", "k3s://lima-rancher-desktop"),
    "Colima": (evidence("colima", nodes=(r.COLIMA,)), "colima", "", "k3s://colima"),
    "microk8s": (evidence("microk8s", nodes=(r.MICROK8S,)), "microk8s", "", "microk8s.io/cluster"),
    "k3s": (evidence("default", nodes=(r.K3S,)), "k3s", "", "k3s://workstation"),
    "sandbox": (evidence("prod", nodes=(r.SANDBOX,)), "sandbox", "", "kfold-sandbox://"),
    "a sandbox named like kind": (evidence("kind-dev", nodes=(r.SANDBOX,)), "sandbox", "", "kfold-sandbox://"),
    "a cloud's, named like kind": (evidence("kind-dev", nodes=(r.GKE,)), "remote", "", "gce://"),
    "a cloud's, at a kind node's port": (
        evidence("kind-dev", server=r.LOCAL, containers=(r.KIND_CONTAINER,), nodes=(r.EKS,)), "remote", "", "aws:///"
    ),
    "nodes that say nothing": (evidence("kind-dev", nodes=(r.BARE,)), "kind", "dev", '"kind-dev"'),
    "no nodes": (evidence("k3d-dev", nodes=()), "k3d", "dev", '"k3d-dev"'),
}  # fmt: skip


@pytest.mark.parametrize("case", FACTS)
def test_facts_correct_the_name(case: str) -> None:
    known, kind, cluster, because = FACTS[case]
    found = detect(known)
    assert (found.kind, found.cluster) == (kind, cluster)
    assert because in found.because[0]


def test_a_contradicted_name_is_told_beside_the_fact() -> None:
    assert detect(evidence("kind-dev", nodes=(r.GKE,))).because[1] == "by its name it would be kind"


@pytest.mark.parametrize("case", FACTS)
def test_evidence_is_kept_as_it_is(case: str) -> None:
    known = FACTS[case][0]
    assert decode(json.loads(json.dumps(encode(known)))) == known
