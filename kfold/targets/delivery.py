"""How images reach a cluster: what was detected, and what the user says instead. Decides only; asks nothing."""

from __future__ import annotations

from dataclasses import dataclass

from kfold.plan.facts import Delivery, LocalRegistry, Target
from kfold.stores.settings import Settings
from kfold.targets.detect import Detected, detect, local_port, namesake
from kfold.targets.evidence import Evidence

LOADED = ("kind", "k3d")
"""Kinds whose nodes are containers of the engine that builds."""


@dataclass(frozen=True)
class Choice:
    """What this run's command line and environment say. None: nothing; an empty `default_repo` switches it off."""

    push: bool | None = None
    default_repo: str | None = None


@dataclass(frozen=True)
class Decided:
    """The target, and the repository that images are named after ("" for none)."""

    target: Target
    default_repo: str = ""


def decide(evidence: Evidence, settings: Settings, choice: Choice) -> Decided:
    """Skaffold's precedence: the command line, then the settings, then what was detected. (`build.local.push` stands
    between the first two and is the plan's.) A setting of the user goes before a registry that the cluster announces."""
    detected = detect(evidence)
    delivery, unpushed, because = _delivery(evidence, detected)
    facts = [*detected.because, *because]
    for rule in (_local_cluster, _disabled_load):
        if told := rule(detected.kind, delivery, settings):
            delivery, why = told
            unpushed = "shared" if delivery == "push" else delivery
            facts.insert(0, why)
    repo, registry = settings.default_repo, None
    if choice.default_repo is not None:
        repo = choice.default_repo
    elif not repo and evidence.registry and _announces(evidence, detected, settings):
        repo, registry, delivery = evidence.registry.host, evidence.registry, "push"
        facts.insert(0, f"the cluster announces the registry {_told(evidence.registry)}")
    if evidence.registry_problem:
        facts.append(evidence.registry_problem)
    if evidence.silence:
        facts.append(f"the cluster does not say: {evidence.silence}")
    wanted: Delivery = delivery if choice.push is None else "push" if choice.push else unpushed
    target = Target(
        context=evidence.context,
        kind=detected.kind,
        because=tuple(facts),
        namespace=evidence.namespace,
        kubeconfig=evidence.kubeconfig,
        delivery=delivery,
        unpushed=unpushed,
        refusal=evidence.ambiguous or _two_of_one_name(evidence, detected, wanted),
        cluster=detected.cluster,
        registry=registry,
        platforms=tuple(dict.fromkeys(node.platform for node in evidence.nodes or () if node.platform)),
    )
    return Decided(target, repo)


def _delivery(evidence: Evidence, detected: Detected) -> tuple[Delivery, Delivery, tuple[str, ...]]:
    """How images get there, how they do where nothing is pushed, and the facts beyond the kind that say so."""
    kind = detected.kind
    if kind in ("sandbox", "docker-desktop"):
        return "shared", "shared", ()
    if kind in LOADED:
        return "load", "load", ()
    runtime = next((node.runtime for node in evidence.nodes or () if node.runtime), "")
    if kind == "minikube":
        if len(evidence.nodes or ()) > 1:
            return "load", "load", ("it has several nodes, which share no engine",)
        runtime = runtime or (evidence.profile.runtime if evidence.profile else "")
        if runtime and not runtime.startswith("docker"):
            return "load", "load", (f"its nodes run {runtime}",)
        return "shared", "shared", ()
    if not evidence.nodes:
        return "push", "shared", ()
    names = {node.name for node in evidence.nodes}
    if all(node.runtime.startswith("docker://") for node in evidence.nodes) and names == {evidence.engine}:
        return "shared", "shared", (f"its node runs {runtime} on {evidence.engine}, and so does this engine",)
    return "push", "shared", (f"its nodes run {runtime}",) if runtime and kind != "remote" else ()


def _disabled_load(kind: str, delivery: Delivery, settings: Settings) -> tuple[Delivery, str] | None:
    disabled = {"kind": settings.kind_disable_load, "k3d": settings.k3d_disable_load}.get(kind)
    return ("push", f"{settings.file} says {kind}-disable-load: true") if disabled else None


def _local_cluster(kind: str, delivery: Delivery, settings: Settings) -> tuple[Delivery, str] | None:
    if settings.local_cluster is None:
        return None
    # what is loaded stays so: "local" says that nothing is pushed
    local: Delivery = delivery if settings.local_cluster and delivery == "load" else "shared"
    said = str(settings.local_cluster).lower()
    return local if settings.local_cluster else "push", f"{settings.file} says local-cluster: {said}"


def _announces(evidence: Evidence, detected: Detected, settings: Settings) -> bool:
    """Whether an announced registry counts: that of a local cluster. A plain k3s is one where this machine reaches it."""
    if settings.local_cluster is not None:
        return settings.local_cluster
    return bool(local_port(evidence.server)) if detected.kind == "k3s" else detected.kind != "remote"


def _told(registry: LocalRegistry) -> str:
    return registry.host + (f", called {registry.in_cluster} by its nodes" if registry.in_cluster != registry.host else "")


def _two_of_one_name(evidence: Evidence, detected: Detected, delivery: Delivery) -> str:
    """Why nothing may be loaded: the nodes of that name here are another cluster's. "" where all is well."""
    other = namesake(evidence, detected) if delivery == "load" and detected.kind in LOADED else None
    if other is None:
        return ""
    return (
        f'two {detected.kind} clusters are named "{detected.cluster}": context "{evidence.context}" leads to '
        f"{evidence.server}, and {other.name} on this engine is reached at port {other.port}\n"
        "  Choose the engine that the cluster runs on (DOCKER_CONTEXT, DOCKER_HOST), or "
        f"`kind export kubeconfig --name {detected.cluster}` to reach this one."
    )


def no_context() -> Target:
    """No kubeconfig names a cluster, and no sandbox runs."""
    return Target(
        context="",
        kind="none",
        because=("no kubeconfig names a context",),
        namespace="default",
        kubeconfig=(),
        delivery="shared",
        refusal="no kube context: there is no cluster to deploy to\n"
        "  `doit dev` starts the embedded cluster by itself; `kfold sandbox up` does it for all other commands.",
    )
