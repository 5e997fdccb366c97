"""What Services come to: the proxy's table, and the variables that containers get. Pure functions of stored objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kfold.sandbox.kubelet.configuration import CLUSTER_DOMAIN
from kfold.sandbox.kubelet.names import SERVICE_NAME

Json = dict[str, Any]


def table(services: list[Json], slices: list[Json]) -> Json:
    """The proxy's table (see kfold.sandbox.proxy), without its serial."""
    by_service: dict[tuple[str, str], list[Json]] = {}
    for entry in slices:
        name = (entry["metadata"].get("labels") or {}).get(SERVICE_NAME)
        if name and entry.get("addressType", "IPv4") == "IPv4":
            by_service.setdefault((entry["metadata"]["namespace"], name), []).append(entry)
    found: Json = {"forward": [], "names": {}, "aliases": {}, "services": {}}
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        full = f"{metadata['name']}.{metadata['namespace']}.svc.{CLUSTER_DOMAIN}"
        mine = by_service.get((metadata["namespace"], metadata["name"]), [])
        if spec.get("type") == "ExternalName":
            found["aliases"][full] = (spec.get("externalName") or "").rstrip(".").lower()
        elif spec.get("clusterIP") == "None":
            _add_headless(found, full, service, mine)
        elif spec.get("clusterIP"):
            found["names"][full] = [spec["clusterIP"]]
            found["forward"] += _forwards(service, mine)
            for port in spec.get("ports") or []:
                _add_port(found, full, port, port["port"], full)
    return found


def _forwards(service: Json, slices: list[Json]) -> Iterator[Json]:
    spec = service["spec"]
    for port in spec.get("ports") or []:
        targets = [
            [address, number]
            for entry in slices
            for number in _numbers(entry, port)
            for endpoint in _serving(slices, entry)
            for address in endpoint["addresses"]
        ]
        yield {
            "protocol": port.get("protocol", "TCP"),
            "address": spec["clusterIP"],
            "port": port["port"],
            "targets": targets,
            "sticky": spec.get("sessionAffinity") == "ClientIP",
        }


def _serving(slices: list[Json], of: Json) -> list[Json]:
    """The ready endpoints of one slice; where the whole Service has none, those that serve to their end (KEP-1669)."""
    if any(_is_ready(endpoint) for entry in slices for endpoint in entry.get("endpoints") or []):
        return [endpoint for endpoint in of.get("endpoints") or [] if _is_ready(endpoint)]
    return [
        endpoint
        for endpoint in of.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("serving") and (endpoint.get("conditions") or {}).get("terminating")
    ]


def _is_ready(endpoint: Json) -> bool:
    # nil means unknown, which is to be taken for ready
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _numbers(entry: Json, port: Json) -> list[int]:
    """The ports of a slice that a Service's port leads to: those of the same name."""
    ports = entry.get("ports") or []
    return [found["port"] for found in ports if found.get("name", "") == port.get("name", "") and found.get("port")]


def _add_headless(found: Json, full: str, service: Json, slices: list[Json]) -> None:
    """A headless Service's name leads to its ready Pods, each of which has a name of its own below it."""
    addresses = found["names"].setdefault(full, [])
    for entry in slices:
        for endpoint in filter(_is_ready, entry.get("endpoints") or []):
            for address in endpoint["addresses"]:
                own = f"{endpoint.get('hostname') or address.replace('.', '-')}.{full}"
                addresses.append(address)
                found["names"].setdefault(own, []).append(address)
                for port in service["spec"].get("ports") or []:
                    for number in _numbers(entry, port):
                        _add_port(found, full, port, number, own)


def _add_port(found: Json, full: str, port: Json, number: int, target: str) -> None:
    if port.get("name"):
        name = f"_{port['name']}._{port.get('protocol', 'TCP').lower()}.{full}"
        found["services"].setdefault(name, []).append([number, target])


def variables(services: list[Json], pod: Json) -> dict[str, str]:
    """The variables that tell a container of the Services that exist when it is made.

    Those of the Pod's own namespace, unless its enableServiceLinks is false, and always the API server's (kubelet:
    getServiceEnvVarMap, envvars.FromServices). Headless Services have none.
    """
    namespace, links = pod["metadata"]["namespace"], pod["spec"].get("enableServiceLinks", True)
    result: dict[str, str] = {}
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        place = (metadata["namespace"], metadata["name"])
        address, ports = spec.get("clusterIP"), spec.get("ports") or []
        if not address or address == "None" or not ports:
            continue
        if place != ("default", "kubernetes") and not (links and place[0] == namespace):
            continue
        result |= _variables(_constant(metadata["name"]), address, ports)
    return result


def _variables(name: str, address: str, ports: list[Json]) -> dict[str, str]:
    result = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            result[f"{name}_SERVICE_PORT_{_constant(port['name'])}"] = str(port["port"])
    for index, port in enumerate(ports):
        # the form of Docker's old links
        protocol, number = port.get("protocol", "TCP"), str(port["port"])
        url = f"{protocol.lower()}://{address}:{number}"
        prefix = f"{name}_PORT_{number}_{protocol.upper()}"
        if index == 0:
            result[f"{name}_PORT"] = url
        result |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": number, f"{prefix}_ADDR": address}
    return result


def _constant(name: str) -> str:
    return name.upper().replace("-", "_")
