"""Which kind of cluster a context leads to, by its name; and how images reach it. Decides only; asks nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kfold.plan.facts import Delivery, Target


@dataclass(frozen=True)
class Product:
    """A kind of cluster: the names of its contexts, how images reach it, and whether kfold can do that yet."""

    kind: str
    pattern: str
    delivery: Delivery
    supported: bool


PRODUCTS = (
    Product("sandbox", r"kfold-sandbox(-.+)?", "shared", True),
    Product("docker-desktop", r"docker-desktop|docker-for-desktop", "shared", True),
    Product("minikube", r"minikube", "shared", False),
    Product("kind", r"kind-.*|.*@kind", "load", False),
    Product("k3d", r"k3d-.*", "load", False),
)
"""Skaffold's table of context names (v2.24, config/util.go), and the sandbox. Anything else is remote."""

REMOTE = Product("remote", "", "push", False)


def detect(context: str, namespace: str, kubeconfig: tuple[str, ...]) -> Target:
    """The target that a context is, with the reason, and with a refusal where kfold cannot bring images there yet."""
    product = next((product for product in PRODUCTS if re.fullmatch(product.pattern, context)), REMOTE)
    because = f'the context is named "{context}"' if product.pattern else f'no local cluster is named like "{context}"'
    refusal = ""
    if not product.supported:
        refusal = (
            f'context "{context}" is a {product.kind} cluster ({because}), and kfold cannot bring images to one yet\n'
            "  Clusters that share this engine work: the sandbox (`kfold sandbox up`) and Docker Desktop. "
            "Choose another context: `doit deploy context=NAME`."
        )
    return Target(context, product.kind, (because,), namespace, kubeconfig, product.delivery, refusal)


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
