"""What was learned from outside before planning. A plan is a function of config and facts, and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Delivery = Literal["shared", "load", "push"]
"""How a built image reaches the Pods: the cluster uses this engine, its nodes are loaded, or it pulls from a registry."""


@dataclass(frozen=True)
class Target:
    """The cluster that a run is for.

    `context` is empty where there is no kube context at all. `kind` is what was detected ("sandbox", "docker-desktop",
    "kind", …, "remote", "none"), `because` the fact that says so. `kubeconfig`: the files it was read from.
    `refusal` says why kfold cannot deploy there; empty when it can.
    """

    context: str
    kind: str
    because: str
    namespace: str
    kubeconfig: tuple[str, ...]
    delivery: Delivery
    refusal: str = ""


@dataclass(frozen=True)
class Facts:
    """`target`, and `namespace` where the user named one (it goes before the config's and the context's)."""

    target: Target
    namespace: str = ""
