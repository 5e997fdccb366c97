"""The sandbox's network on the engine: one bridge for all Pods, which have an address each."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from kfold.errors import StoreError
from kfold.sandbox.kubelet.engine import Engine, EngineError

Json = dict[str, Any]

FIRST = ipaddress.IPv4Network("10.96.0.0/15")
"""Its lower half has the Services' addresses (the API server gives them out), its upper half the Pods'."""

CHOICES = 64
"""How many networks of that size are tried: each sandbox on one engine needs its own."""


@dataclass(frozen=True)
class Network:
    """The network of one sandbox: its name on the engine, and its addresses."""

    name: str
    gateway: str
    """The engine's host, as Pods see it."""
    cluster_ips: ipaddress.IPv4Network
    """What Services' addresses come from: the lower half of the range."""


async def ensure(engine: Engine, name: str, label: str) -> Network:
    """The network of that name, made where it is missing. Raises EngineError, StoreError."""
    found = await engine.network(name) or await _create(engine, name, label)
    config = found["IPAM"]["Config"][0]
    lower = next(ipaddress.IPv4Network(config["Subnet"]).subnets(prefixlen_diff=1))
    return Network(name, str(config.get("Gateway", "")).split("/")[0], lower)


async def _create(engine: Engine, name: str, label: str) -> Json:
    """Make the network in the first free range, and return what the engine knows of it.

    The range is our own choice because the engine lets a container keep its address (when its names change it leaves the
    network for a moment) only in a network with a given range. Raises StoreError when all are taken.
    """
    key, _, value = label.partition("=")
    start = int(FIRST.network_address)
    for index in range(CHOICES):
        subnet = ipaddress.IPv4Network((start + index * FIRST.num_addresses, FIRST.prefixlen))
        pods = list(subnet.subnets(prefixlen_diff=1))[1]
        config: Json = {"Subnet": str(subnet), "IPRange": str(pods), "Gateway": str(pods[1])}
        config["AuxiliaryAddresses"] = {"first": str(pods[0])}  # valid inside the /15, but it looks like a network's
        try:
            await engine.create_network({"Name": name, "Labels": {key: value}, "IPAM": {"Config": [config]}})
        except EngineError as error:
            if "overlaps" not in str(error):
                raise
            continue
        found = await engine.network(name)
        if found:
            return found
    raise StoreError(
        f"no free range for the network {name} between {FIRST} and the {CHOICES} after it",
        hint="remove networks that are no longer used: docker network prune",
    )
