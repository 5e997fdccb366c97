"""What was learned from outside before planning. A plan is a function of config and facts, and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Delivery = Literal["shared", "load", "push"]
"""How a built image reaches the Pods: the cluster uses this engine, its nodes are loaded, or it pulls from a registry."""


@dataclass(frozen=True)
class LocalRegistry:
    """A registry that a local cluster announces (KEP-1755), as hosts with an optional port and path.

    `host`: as this machine reaches it. `in_cluster`: as the nodes' container runtime does; manifests get this name.
    """

    host: str
    in_cluster: str


@dataclass(frozen=True)
class Target:
    """The cluster that a run is for.

    `context` is empty where there is no kube context at all. `kind` is what was detected ("sandbox", "docker-desktop",
    "kind", …, "remote", "none"), `because` the facts that decided it, the strongest first. `kubeconfig`: the files it was
    read from. `cluster`: the name that kind, k3d or minikube (its profile) gave the cluster; empty for other kinds.
    `unpushed`: how an image gets there that is not pushed, because the user said so; never "push". `registry`: what the
    cluster announces, where it counts. `refusal` says why kfold cannot deploy there; empty when it can. `platforms`:
    those of its nodes, as far as they were told.
    """

    context: str
    kind: str
    because: tuple[str, ...]
    namespace: str
    kubeconfig: tuple[str, ...]
    delivery: Delivery
    refusal: str = ""
    cluster: str = ""
    registry: LocalRegistry | None = None
    unpushed: Delivery = "shared"
    platforms: tuple[str, ...] = ()

    @property
    def engine_profile(self) -> str:
        """The minikube profile whose own engine builds, "" where the user's engine does."""
        return self.cluster if self.kind == "minikube" and self.delivery == "shared" else ""


@dataclass(frozen=True)
class Facts:
    """`target`, and `namespace` where the user named one (it goes before the config's and the context's).

    `default_repo`: where images go whose name says another place (Skaffold's rewriting); `multi_level_repo` keeps their
    folders. `insecure_registries`: hosts that are spoken to without TLS, or without checking it. `keep_pull_policy`: the
    manifests' `imagePullPolicy` stays, even where the image is in no registry. `platforms`: what the user wants images for,
    whatever the config says; `host` is this machine's. `one_platform`: no artifact is built for more than one (`dev`).
    """

    target: Target
    namespace: str = ""
    default_repo: str = ""
    multi_level_repo: bool = False
    insecure_registries: tuple[str, ...] = ()
    keep_pull_policy: bool = False
    platforms: tuple[str, ...] = ()
    host: str = "linux/amd64"
    one_platform: bool = False
