"""What is known of the cluster that a context leads to: recorded facts, as they were found. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kfold.plan.facts import LocalRegistry

LABELS = ("minikube.k8s.io/name", "microk8s.io/cluster", "node.kubernetes.io/instance-type")
"""The labels of nodes that tell a product."""


@dataclass(frozen=True)
class Node:
    """A Node object. `provider`: spec.providerID. `runtime`: `docker://28.0.1`. `system`: nodeInfo.osImage. `platform`:
    `linux/amd64`, "" where it is not told."""

    name: str
    provider: str = ""
    runtime: str = ""
    system: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""


@dataclass(frozen=True)
class NodeContainer:
    """A container of this engine that kind or k3d made as a node. `port`: where the API server is published, or 0."""

    name: str
    product: str
    cluster: str
    port: int = 0


@dataclass(frozen=True)
class Profile:
    """A minikube profile that the context seems to be, and the fact that says so. `runtime` and `driver` as configured."""

    name: str
    because: str
    runtime: str = ""
    driver: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything that was found out about one context.

    `cluster`: the kubeconfig's name of the cluster; `server`: its URL. `ambiguous`: how the kubeconfig contradicts itself.
    `nodes` is None where the cluster did not say; `silence` is why: "" where it answered or was not asked.
    `registry_problem`: an announced registry that cannot be understood. `engine`: the host name of the engine's machine.
    `asked`: when the cluster was asked, in seconds since the epoch; 0 where it was not.
    """

    context: str
    cluster: str
    server: str
    namespace: str
    kubeconfig: tuple[str, ...]
    ambiguous: str = ""
    profile: Profile | None = None
    containers: tuple[NodeContainer, ...] = ()
    nodes: tuple[Node, ...] | None = None
    silence: str = ""
    registry: LocalRegistry | None = None
    registry_problem: str = ""
    engine: str = ""
    asked: float = 0.0


def encode(evidence: Evidence) -> dict[str, Any]:
    return asdict(evidence)


def decode(value: Mapping[str, Any]) -> Evidence:
    """Raises KeyError, TypeError for what is no evidence of this version."""
    nodes = value["nodes"]
    registry, profile = value["registry"], value["profile"]
    return Evidence(
        **{
            **value,
            "kubeconfig": tuple(value["kubeconfig"]),
            "profile": Profile(**profile) if profile else None,
            "containers": tuple(NodeContainer(**one) for one in value["containers"]),
            "nodes": None if nodes is None else tuple(Node(**one) for one in nodes),
            "registry": LocalRegistry(**registry) if registry else None,
        }
    )
