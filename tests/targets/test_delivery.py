"""How images reach a cluster, and who has the last word about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.plan.facts import Facts, LocalRegistry
from kfold.plan.steps import compile_plan
from kfold.stores.settings import Settings
from kfold.targets.delivery import Choice, Decided, decide
from kfold.targets.evidence import Evidence, NodeContainer
from tests.plan.generated import moderate
from tests.plan.test_graphs import artifact
from tests.plan.test_graphs import config as made
from tests.targets import recorded as r
from tests.targets.recorded import evidence

REGISTRY = LocalRegistry("localhost:5001", "registry:5000")
SET = Settings(file="settings.yaml")


def decided(known: Evidence, *, push: bool | None = None, repo: str | None = None, **settings: Any) -> Decided:
    return decide(known, replace(SET, **settings), Choice(push, repo))


@pytest.mark.parametrize(
    ("known", "delivery"),
    [
        (evidence("docker-desktop"), "shared"),
        (evidence("kfold-sandbox"), "shared"),
        (evidence("minikube"), "shared"),
        (evidence("minikube", nodes=(r.MINIKUBE,)), "shared"),
        (evidence("minikube", nodes=(r.MINIKUBE_CONTAINERD,)), "load"),
        (evidence("minikube", nodes=(r.MINIKUBE, replace(r.MINIKUBE, name="minikube-m02"))), "load"),
        (evidence("p2", profile=r.PROFILE), "shared"),
        (evidence("p2", profile=replace(r.PROFILE, runtime="containerd")), "load"),
        (evidence("kind-dev"), "load"),
        (evidence("k3d-dev"), "load"),
        (evidence("prod"), "push"),
        (evidence("prod", nodes=(r.KIND,)), "load"),
        (evidence("orbstack", nodes=(r.ORBSTACK,), engine="orbstack"), "shared"),
        (evidence("orbstack", nodes=(r.ORBSTACK,), engine="other"), "push"),
        (evidence("rancher-desktop", nodes=(r.RANCHER,), engine="lima-rancher-desktop"), "shared"),
        (evidence("rancher-desktop", nodes=(r.RANCHER_CONTAINERD,)), "push"),
        (evidence("colima", nodes=(r.COLIMA,), engine="colima"), "shared"),
        (evidence("colima", nodes=(r.COLIMA,), engine="workstation"), "push"),
        (evidence("default", nodes=(r.K3S,)), "push"),
        (evidence("default", nodes=(r.K3S_DOCKER,), engine="workstation"), "shared"),
        (evidence("default", nodes=(r.BARE_DOCKER,), engine="node1"), "shared"),
        (evidence("default", nodes=(r.BARE_DOCKER, r.BARE), engine="node1"), "push"),
        (evidence("microk8s", nodes=(r.MICROK8S,)), "push"),
        (evidence("kind-dev", nodes=(r.GKE,)), "push"),
    ],
)
def test_what_follows_from_the_facts(known: Evidence, delivery: str) -> None:
    found = decided(known)
    assert (found.target.delivery, found.default_repo) == (delivery, "")
    assert found.target.unpushed == ("shared" if delivery == "push" else delivery)


@pytest.mark.parametrize(
    ("context", "settings", "delivery"),
    [
        ("prod", {"local_cluster": True}, "shared"),
        ("kind-dev", {"local_cluster": True}, "load"),
        ("kind-dev", {"local_cluster": False}, "push"),
        ("docker-desktop", {"local_cluster": False}, "push"),
        ("kind-dev", {"kind_disable_load": True}, "push"),
        ("kind-dev", {"kind_disable_load": False}, "load"),
        ("kind-dev", {"kind_disable_load": True, "local_cluster": True}, "push"),
        ("kind-dev", {"k3d_disable_load": True}, "load"),
        ("k3d-dev", {"k3d_disable_load": True}, "push"),
        ("minikube", {"k3d_disable_load": True, "kind_disable_load": True}, "shared"),
    ],
)
def test_settings_go_before_detection(context: str, settings: dict[str, bool], delivery: str) -> None:
    found = decided(evidence(context), **settings).target
    assert found.delivery == delivery
    if delivery != decided(evidence(context)).target.delivery:
        assert found.because[0].startswith("settings.yaml says ")


def test_a_registry_that_a_local_cluster_announces() -> None:
    found = decided(evidence("kind-dev", registry=REGISTRY))
    assert (found.target.delivery, found.target.registry, found.default_repo) == ("push", REGISTRY, "localhost:5001")
    assert found.target.unpushed == "load", "`--no-push` still loads"
    assert "localhost:5001, called registry:5000 by its nodes" in found.target.because[0]


@pytest.mark.parametrize(
    ("known", "more", "delivery", "repo"),
    [
        # what the user said goes before it, an empty word too
        (evidence("kind-dev"), {"default_repo": "ghcr.io/me"}, "load", "ghcr.io/me"),
        (evidence("kind-dev"), {"repo": "ghcr.io/me"}, "load", "ghcr.io/me"),
        (evidence("kind-dev"), {"repo": ""}, "load", ""),
        (evidence("kind-dev"), {"repo": "", "default_repo": "ghcr.io/me"}, "load", ""),
        (evidence("kind-dev"), {"local_cluster": False}, "push", ""),
        # not of a remote cluster: anybody may write there
        (evidence("prod"), {}, "push", ""),
        (evidence("prod"), {"local_cluster": True}, "push", "localhost:5001"),
        (evidence("default", nodes=(r.K3S,)), {}, "push", ""),
        (evidence("default", nodes=(r.K3S,), server=r.LOCAL), {}, "push", "localhost:5001"),
        (evidence("microk8s", nodes=(r.MICROK8S,)), {}, "push", "localhost:5001"),
        (evidence("docker-desktop"), {}, "push", "localhost:5001"),
    ],
)
def test_when_an_announced_registry_counts(known: Evidence, more: dict[str, Any], delivery: str, repo: str) -> None:
    found = decided(replace(known, registry=REGISTRY), **more)
    assert (found.target.delivery, found.default_repo) == (delivery, repo)
    assert (found.target.registry is None) == (repo != "localhost:5001")


def test_two_clusters_of_one_name_are_told_apart_by_their_port() -> None:
    other = NodeContainer("dev-control-plane", "kind", "dev", 41000)
    found = decided(evidence("kind-dev", server=r.LOCAL, containers=(other,), nodes=(r.KIND,)))
    assert 'two kind clusters are named "dev"' in found.target.refusal and "port 41000" in found.target.refusal
    assert "DOCKER_CONTEXT" in found.target.refusal
    same = decided(evidence("kind-dev", server=r.LOCAL, containers=(r.KIND_CONTAINER, other), nodes=(r.KIND,)))
    assert "two kind clusters" not in same.target.refusal
    pushed = decided(evidence("kind-dev", server=r.LOCAL, containers=(other,), nodes=(r.KIND,)), push=True)
    assert "two kind clusters" not in pushed.target.refusal, "nothing is loaded, so no node is mistaken"


@moderate
@given(
    st.sampled_from(["minikube", "kind-a", "prod", "docker-desktop", "k3d-a"]),
    st.sampled_from([(), (r.KIND,), (r.GKE,), (r.MINIKUBE_CONTAINERD,), (r.SANDBOX,)]),
    st.builds(
        Settings,
        default_repo=st.sampled_from(["", "r.io/a"]),
        local_cluster=st.none() | st.booleans(),
        kind_disable_load=st.none() | st.booleans(),
    ),
    st.builds(Choice, st.none() | st.booleans(), st.none() | st.sampled_from(["", "r.io/b"])),
    st.none() | st.just(REGISTRY),
)
def test_rules_that_always_hold(
    context: str, nodes: tuple[Any, ...], settings: Settings, choice: Choice, registry: LocalRegistry | None
) -> None:
    found = decide(evidence(context, nodes=nodes, registry=registry), settings, choice)
    target = found.target
    assert target.unpushed != "push"
    if target.delivery != "push":
        assert target.unpushed == target.delivery
    if choice.default_repo is not None:
        assert found.default_repo == choice.default_repo and target.registry is None
    if target.registry:
        assert (target.delivery, found.default_repo, settings.default_repo) == ("push", REGISTRY.host, "")
    if settings.local_cluster is False:
        assert target.delivery == "push" and target.registry is None
    assert target.because


@pytest.mark.parametrize(
    ("context", "local", "config", "verb"),
    [
        ("my-profile", None, None, "push"),
        ("my-profile", True, None, "load"),
        ("my-profile", True, True, "push"),
        ("my-profile", None, False, "load"),
        ("kind-dev", None, None, "load"),
        ("kind-dev", None, True, "push"),
        ("kind-dev", False, None, "push"),
        ("kind-dev", False, False, "load"),
    ],
)
def test_the_config_goes_before_the_settings(context: str, local: bool | None, config: bool | None, verb: str) -> None:
    target = decided(evidence(context), local_cluster=local).target
    plan = compile_plan((made("c", artifact("web"), push=config),), Facts(target))
    assert [step.name for step in plan.steps if step.verb.name in ("load", "push")] == [f"{verb}:web"]
    if verb == "load":
        assert target.unpushed == ("load" if context == "kind-dev" and local is None else "shared"), "what `load` does then"
