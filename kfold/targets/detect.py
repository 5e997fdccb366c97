"""Which kind of cluster a context leads to: by its name, corrected by what is known of the cluster. Asks nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kfold.targets.evidence import Evidence, Node, NodeContainer

NAMES = (
    ("sandbox", r"kfold-sandbox(-.+)?"),
    ("docker-desktop", r"docker-desktop|docker-for-desktop"),
    ("minikube", r"minikube"),
    ("kind", r"kind-(.*)|(.*)@kind"),
    ("k3d", r"k3d-(.*)"),
)
"""Skaffold's table of context names (v2.24, config/util.go), and the sandbox. Anything else is remote."""

LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # compared with, never bound to

_K3D_NODE = re.compile(r"k3d-(.+)-(server|agent)-\d+")
_COLIMA_NODE = re.compile(r"colima(-.+)?")


@dataclass(frozen=True)
class Detected:
    """`because`: the facts, the one that decided first. `cluster`: kind's, k3d's or minikube's name of it, else ""."""

    kind: str
    cluster: str
    because: tuple[str, ...]


def kind_by_name(context: str) -> str:
    """What the name alone says.

    >>> [kind_by_name(name) for name in ("kind-dev", "dev@kind", "k3d-dev", "minikube", "prod")]
    ['kind', 'kind', 'k3d', 'minikube', 'remote']
    """
    return next((kind for kind, pattern in NAMES if re.fullmatch(pattern, context)), "remote")


def detect(evidence: Evidence) -> Detected:
    """The strongest fact decides: the cluster's nodes, then node containers on this engine, then minikube's files, then
    the name of the context."""
    named = kind_by_name(evidence.context)
    said = f'the context is named "{evidence.context}"'
    because = said if named != "remote" else f"{said}, as no local cluster is"
    by_name = Detected(named, _name_in(evidence, named), (because,))
    for look in (_by_nodes, _by_containers, _by_profile):
        found = look(evidence, named)
        if found is not None:
            return Detected(found.kind, found.cluster, (*found.because, *_unlike(found.kind, by_name)))
    return by_name


def _unlike(kind: str, by_name: Detected) -> tuple[str, ...]:
    return by_name.because if kind == by_name.kind else (f"by its name it would be {by_name.kind}",)


def _name_in(evidence: Evidence, kind: str) -> str:
    """What kind, k3d or minikube call the cluster, by the kubeconfig's entry for it (Skaffold's rule)."""
    if kind == "kind":
        entry = evidence.cluster
        return entry.removesuffix("@kind") if entry.endswith("@kind") else entry.removeprefix("kind-")
    if kind == "k3d":
        return evidence.cluster.removeprefix("k3d-")
    if kind == "minikube":
        return evidence.profile.name if evidence.profile else evidence.context
    return ""


# --- what the cluster's nodes say ---------------------------------------------------------------------------------


def _by_nodes(evidence: Evidence, named: str) -> Detected | None:
    nodes = evidence.nodes or ()
    for rule in _NODE_RULES:
        if found := rule(nodes, named):
            return found
    return None


def _kind(nodes: Sequence[Node], named: str) -> Detected | None:
    for node in nodes:
        if node.provider.startswith("kind://"):
            cluster = node.provider.removeprefix("kind://").partition("/")[2].partition("/")[0]
            because = f'node {node.name} says providerID "{node.provider}"'
            # Docker Desktop's own cluster may be made by kind; its nodes use Docker Desktop's images all the same
            if cluster == "desktop" and named == "docker-desktop":
                return Detected("docker-desktop", "", (because,))
            return Detected("kind", cluster, (because,))
    return None


def _k3s(nodes: Sequence[Node], named: str) -> Detected | None:
    for node in nodes:
        k3d = _K3D_NODE.fullmatch(node.name)
        k3s = node.provider.startswith("k3s://") or node.labels.get("node.kubernetes.io/instance-type") == "k3s"
        if not k3s:
            continue
        because = f'node {node.name} says providerID "{node.provider}"' if node.provider else f"node {node.name} is k3s"
        if k3d:
            return Detected("k3d", k3d[1], (because,))
        # these two run k3s in a machine of their own, which is named after them
        if node.name == "lima-rancher-desktop":
            return Detected("rancher-desktop", "", (because,))
        if _COLIMA_NODE.fullmatch(node.name):
            return Detected("colima", "", (because,))
        return Detected("k3s", "", (because,))
    return None


def _minikube(nodes: Sequence[Node], named: str) -> Detected | None:
    for node in nodes:
        if profile := node.labels.get("minikube.k8s.io/name"):
            return Detected("minikube", profile, (f"node {node.name} has the label minikube.k8s.io/name={profile}",))
    return None


def _labelled(nodes: Sequence[Node], named: str) -> Detected | None:
    for node in nodes:
        if "microk8s.io/cluster" in node.labels:
            return Detected("microk8s", "", (f"node {node.name} has the label microk8s.io/cluster",))
        for kind, system in (("docker-desktop", "Docker Desktop"), ("orbstack", "OrbStack")):
            if node.system == system:
                return Detected(kind, "", (f"node {node.name} runs {system}",))
    return None


def _sandbox(nodes: Sequence[Node], named: str) -> Detected | None:
    if nodes and all(node.provider.startswith("kfold-sandbox://") for node in nodes):
        return Detected("sandbox", "", (f'node {nodes[0].name} says providerID "{nodes[0].provider}"',))
    return None


def _cloud(nodes: Sequence[Node], named: str) -> Detected | None:
    for node in nodes:
        if "://" in node.provider and not node.provider.startswith("kfold-sandbox://"):
            return Detected("remote", "", (f'node {node.name} says providerID "{node.provider}"',))
    return None


_NODE_RULES: tuple[Callable[[Sequence[Node], str], Detected | None], ...] = (
    _kind,
    _k3s,
    _minikube,
    _labelled,
    _sandbox,
    _cloud,
)

# --- what this machine knows --------------------------------------------------------------------------------------


def local_port(server: str) -> int:
    """The port of an API server that is reached on this machine, else 0."""
    url = urlsplit(server)
    return (url.port or 443) if url.hostname in LOOPBACK else 0


def _by_containers(evidence: Evidence, named: str) -> Detected | None:
    """A node container of this engine publishes the very port that the context leads to."""
    port = local_port(evidence.server)
    for node in evidence.containers:
        if port and node.port == port:
            because = f"{evidence.server} is {node.product}'s container {node.name} on this engine"
            if node.product == "kind" and node.cluster == "desktop" and named == "docker-desktop":
                return Detected("docker-desktop", "", (because,))
            return Detected(node.product, node.cluster, (because,))
    return None


def _by_profile(evidence: Evidence, named: str) -> Detected | None:
    # a name of the table is a name that another product gave
    if evidence.profile and named in ("minikube", "remote"):
        return Detected("minikube", evidence.profile.name, (evidence.profile.because,))
    return None


def namesake(evidence: Evidence, detected: Detected) -> NodeContainer | None:
    """A node container of this engine that has the cluster's name and belongs to another cluster.

    The context leads to a port of this machine that none of the containers of that name publishes.
    """
    port = local_port(evidence.server)
    same = [one for one in evidence.containers if (one.product, one.cluster) == (detected.kind, detected.cluster)]
    published = [one for one in same if one.port]
    return published[0] if port and published and port not in [one.port for one in published] else None
