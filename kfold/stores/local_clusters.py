"""Which local clusters have their nodes on this engine: kind's and k3d's node containers, by their labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kfold.errors import StoreError
from kfold.stores import process

_COLUMNS = '{{.Names}}\t{{.Label "io.x-k8s.kind.cluster"}}\t{{.Label "k3d.cluster"}}\t{{.Ports}}'
_API_SERVER = re.compile(r":(\d+)->6443/tcp")
"""Inside a node kind and k3d always use 6443; outside it is any port, at k3d that of the load balancer's container."""

SECONDS = 5.0
"""How long an engine gets to list its containers. One that does not answer has nothing to tell here."""


@dataclass(frozen=True)
class LabelledContainer:
    """A container with kind's or k3d's label. `port`: where it publishes the API server on this machine, or 0."""

    name: str
    product: str
    cluster: str
    port: int


def node_containers(environment: Mapping[str, str]) -> list[LabelledContainer]:
    """All of them, by one question; none where no engine answers (what needs one says so)."""
    found = []
    for line in _lines(environment, "ps", "--all", "--format", _COLUMNS):
        name, kind, k3d, ports = (line.split("\t") + [""] * 4)[:4]
        if kind or k3d:
            published = _API_SERVER.search(ports)
            port = int(published[1]) if published else 0
            found.append(LabelledContainer(name, "kind" if kind else "k3d", kind or k3d, port))
    return found


def engine_host(environment: Mapping[str, str]) -> str:
    """The host name of the engine's machine; "" where it does not say."""
    return next(iter(_lines(environment, "info", "--format", "{{.Name}}")), "")


def _lines(environment: Mapping[str, str], *arguments: str) -> list[str]:
    try:
        return process.answer(["docker", *arguments], environment=environment, timeout=SECONDS).splitlines()
    except StoreError:
        return []
