"""Service names where there is no proxy: aliases of the Pods' sandbox containers in the engine's own DNS.

A Service's name then leads straight to its Pods (as a headless Service's does), so a client uses the port that the container
listens on. The engine answers with every container that has the alias, in turn. See `proxy` for when this is so.
"""

from __future__ import annotations

from typing import Any

from kfold.sandbox.kubelet.configuration import CLUSTER_DOMAIN

Json = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"
"""The label by which an EndpointSlice belongs to a Service, whoever made it."""


def selects(service: Json, pod: Json) -> bool:
    """Whether the Pod is one of the Service's (a Service without a selector has none)."""
    selector = service["spec"].get("selector")
    if not selector or service["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def aliases(pod: Json, services: list[Json], *, ready: bool) -> list[str]:
    """The names under which other Pods find this one. An unready Pod has only those that Services ask for regardless."""
    namespace = pod["metadata"]["namespace"]
    found: set[str] = set()
    for service in services:
        if not selects(service, pod) or not (ready or service["spec"].get("publishNotReadyAddresses")):
            continue
        name = service["metadata"]["name"]
        found |= _forms(name, namespace)
        if pod["spec"].get("subdomain") == name and pod["spec"].get("hostname"):
            found |= _forms(f"{pod['spec']['hostname']}.{name}", namespace)
    return sorted(found)


def _forms(name: str, namespace: str) -> set[str]:
    # No bare `web`: it would answer in every namespace. The Pods' search domains lead there.
    full = f"{name}.{namespace}"
    return {full, f"{full}.svc", f"{full}.svc.{CLUSTER_DOMAIN}"}
