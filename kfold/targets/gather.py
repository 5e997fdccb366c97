"""Finds out what can be known of the cluster that a context leads to: the kubeconfig, this machine, the cluster itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from kfold.config.platforms import NoPlatform, parse
from kfold.errors import KfoldError
from kfold.plan.facts import LocalRegistry
from kfold.plan.reference import is_repository
from kfold.stores import local_clusters, minikube
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef
from kfold.targets.detect import detect, kind_by_name
from kfold.targets.evidence import LABELS, Evidence, Node, NodeContainer, Profile

if TYPE_CHECKING:
    from kfold.stores.kubeconfig import ContextEntry, Kubeconfig  # imports YAML

Answer = TypeVar("Answer")

OpenCluster = Callable[[str, tuple[str, ...]], ClusterStore]

SECONDS = 3.0
"""How long a cluster gets to say what it is. Nothing waits longer for it than that."""

HOSTING = ObjectRef("v1", "ConfigMap", "kube-public", "local-registry-hosting")
HOSTING_KEY = "localRegistryHosting.v1"
"""KEP-1755, "Communicating a local registry"."""


def local_evidence(config: Kubeconfig, context: str, environment: Mapping[str, str]) -> Evidence:
    """What is known without the cluster. `context`: the user's choice, empty for the current one. Raises KfoldError."""
    entry = config.context(context or None)
    containers = [] if kind_by_name(entry.name) == "sandbox" else local_clusters.node_containers(environment)
    return Evidence(
        context=entry.name,
        cluster=entry.cluster,
        server=entry.server,
        namespace=entry.namespace,
        kubeconfig=tuple(str(file) for file in config.files),
        ambiguous=config.contradiction(entry.name),
        profile=_profile_by_files(entry, environment),
        containers=tuple(NodeContainer(one.name, one.product, one.cluster, one.port) for one in containers),
    )


def _profile_by_files(entry: ContextEntry, environment: Mapping[str, str]) -> Profile | None:
    """A minikube profile, where the certificate authority lies in minikube's folder; or for the name `minikube`."""
    authority = str(entry.raw_cluster.get("certificate-authority") or "")
    home = minikube.home_of(authority, environment)
    if home is None and kind_by_name(entry.name) != "minikube":
        return None
    # all profiles share an authority; it is the client's certificate that is a profile's own
    name = minikube.profile_in(str(entry.raw_user.get("client-certificate") or "")) or entry.name
    because = f"its certificate authority lies in {home}" if home else f'the context is named "{entry.name}"'
    return Profile(name, because, *minikube.configured(name, environment))


def complete(
    evidence: Evidence, environment: Mapping[str, str], open_cluster: OpenCluster, *, seconds: float = SECONDS
) -> Evidence:
    """With what the cluster says of itself, and what else that makes worth asking. Never raises for a silent cluster."""
    found = _ask(evidence, open_cluster, seconds)
    nodes = found.nodes or ()
    if detect(found).kind == "remote" and not any("://" in node.provider for node in nodes):
        found = replace(found, profile=found.profile or _profile_by_list(found, environment))
    if nodes and all(node.runtime.startswith("docker://") for node in nodes):
        found = replace(found, engine=local_clusters.engine_host(environment))
    return found


def _profile_by_list(evidence: Evidence, environment: Mapping[str, str]) -> Profile | None:
    address = urlsplit(evidence.server)
    for one in minikube.profiles(environment):
        if one.name == evidence.context:
            because = f'`minikube profile list` names "{one.name}"'
        elif address.netloc in one.servers:
            because = f'`minikube profile list` says that {address.netloc} is profile "{one.name}"'
        else:
            continue
        return Profile(one.name, because, *minikube.configured(one.name, environment))
    return None


def _ask(evidence: Evidence, open_cluster: OpenCluster, seconds: float) -> Evidence:
    answers: dict[str, Any] = {}

    def ask() -> None:
        try:
            cluster = open_cluster(evidence.context, evidence.kubeconfig)
            answers["hosting"] = _allowed(lambda: cluster.get(HOSTING))
            found = _allowed(lambda: cluster.list_kind("v1", "Node"))
            answers["nodes"] = [] if found is None else found
            if found is None:
                answers["silence"] = "its nodes may not be listed by this user"
        except KfoldError as error:
            answers["silence"] = error.message
        except Exception as error:  # a thread that dies says nothing, and this is a question that nobody must wait for
            answers["silence"] = f"{type(error).__name__}: {error}"

    # a daemon: a plug-in for credentials or a server that stays silent must not hold up the end of the process
    thread = threading.Thread(target=ask, daemon=True, name="kfold-ask-target")
    thread.start()
    thread.join(seconds)
    silence = answers.get("silence") or ("" if "nodes" in answers else f"no answer within {seconds:g} s")
    nodes = tuple(_node(one.raw) for one in answers["nodes"]) if "nodes" in answers else None
    registry, problem = hosting(answers.get("hosting"))
    return replace(
        evidence, nodes=nodes, silence=silence, registry=registry, registry_problem=problem, asked=time.time()
    )


def _allowed(ask: Callable[[], Answer]) -> Answer | None:
    """The answer, or None where this user may not ask: that is final, and no silence."""
    try:
        return ask()
    except ClusterError as error:
        if error.code != 403:
            raise
        return None


def _node(raw: Mapping[str, Any]) -> Node:
    metadata = raw.get("metadata") or {}
    info = (raw.get("status") or {}).get("nodeInfo") or {}
    labels = metadata.get("labels") or {}
    return Node(
        name=str(metadata.get("name") or ""),
        provider=str((raw.get("spec") or {}).get("providerID") or ""),
        runtime=str(info.get("containerRuntimeVersion") or ""),
        system=str(info.get("osImage") or ""),
        labels={name: str(labels[name]) for name in LABELS if name in labels},
        platform=_platform(str(info.get("operatingSystem") or ""), str(info.get("architecture") or "")),
    )


def _platform(system: str, architecture: str) -> str:
    try:
        return parse(f"{system}/{architecture}")
    except NoPlatform:
        return ""  # one that is new to us counts as not told


def hosting(config_map: Mapping[str, Any] | None) -> tuple[LocalRegistry | None, str]:
    """The registry that the ConfigMap of KEP-1755 announces, and what is wrong with it ("" for nothing)."""
    text = ((config_map or {}).get("data") or {}).get(HOSTING_KEY)
    if not text:
        return None, ""
    import yaml  # 0.02 s, for the few that announce one

    broken = f"the registry that it announces cannot be used (ConfigMap {HOSTING.namespace}/{HOSTING.name})"
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None, f"{broken}: it is no YAML"
    host = content.get("host") if isinstance(content, dict) else None
    if not isinstance(host, str) or not host:
        return None, f"{broken}: it names no `host`" if not isinstance(content, dict) or "host" in content else ""
    inside = content.get("hostFromContainerRuntime") or host
    for one in (host, inside):
        if not is_repository(str(one)):
            return None, f"{broken}: {one!r} is no registry host"
    return LocalRegistry(host, str(inside)), ""
