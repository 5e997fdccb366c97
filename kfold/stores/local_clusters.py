"""Which local clusters have their nodes on this engine: kind's and k3d's node containers, by their labels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kfold.errors import StoreError
from kfold.stores import process
from kfold.stores.engine_socket import EngineSocket, NoAnswer, socket_of

_KIND, _K3D = "io.x-k8s.kind.cluster", "k3d.cluster"
_COLUMNS = f'{{{{.Names}}}}\t{{{{.Label "{_KIND}"}}}}\t{{{{.Label "{_K3D}"}}}}\t{{{{.Ports}}}}'
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
    return [LabelledContainer(name, "kind" if kind else "k3d", kind or k3d, port)
            for name, kind, k3d, port in _containers(environment) if kind or k3d]  # fmt: skip


def _containers(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str, int]]:
    """Name, kind's label, k3d's label, and the API server's port."""
    if (engine := _socket(environment)) is not None:
        for container in _ask(engine, "/containers/json", all="1") or ():
            labels, ports = container["Labels"] or {}, container["Ports"] or ()
            port = next((one["PublicPort"] for one in ports if one["PrivatePort"] == 6443 and one.get("PublicPort")), 0)
            for name in (container["Names"] or ())[:1]:  # one that is being removed has none
                yield name.lstrip("/"), labels.get(_KIND, ""), labels.get(_K3D, ""), port
        return
    for line in _lines(environment, "ps", "--all", "--format", _COLUMNS):
        name, kind, k3d, ports = (line.split("\t") + [""] * 4)[:4]
        published = _API_SERVER.search(ports)
        yield name, kind, k3d, int(published[1]) if published else 0


def engine_host(environment: Mapping[str, str]) -> str:
    """The host name of the engine's machine; "" where it does not say."""
    if (engine := _socket(environment)) is not None:
        return str((_ask(engine, "/info") or {}).get("Name") or "")
    return next(iter(_lines(environment, "info", "--format", "{{.Name}}")), "")


def _socket(environment: Mapping[str, str]) -> EngineSocket | None:
    return socket_of({**os.environ, **environment}, answer_seconds=SECONDS)


def _ask(engine: EngineSocket, path: str, **query: str) -> Any:
    with suppress(NoAnswer):
        status, answer = engine.ask("GET", path, query)
        return answer if status == 200 else None
    return None


def _lines(environment: Mapping[str, str], *arguments: str) -> list[str]:
    try:
        return process.answer(["docker", *arguments], environment=environment, timeout=SECONDS).splitlines()
    except StoreError:
        return []
