"""What a Service is given from a range: its cluster IP and its node ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from kfold.sandbox.api import errors
from kfold.sandbox.api.causes import invalid
from kfold.sandbox.api.documents import Object, at, copied
from kfold.sandbox.api.resources import SERVICES

SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
"""Where cluster IPs come from unless somebody says otherwise; kubeadm's default is the /12 around it."""

NODE_PORTS = range(30000, 32768)


class Allocator:
    """`services` gives the stored Services: none is given what another one has. `network` has the cluster IPs."""

    def __init__(self, services: Callable[[], Iterable[Object]], network: ipaddress.IPv4Network) -> None:
        self.services = services
        self._network = network

    def keep(self, obj: Object, old: Object) -> None:
        """What was given before and is left out now is given again."""
        spec, before = obj["spec"], old.get("spec") or {}
        if spec.get("type") != "ExternalName":
            for key in ("clusterIP", "clusterIPs"):
                if not spec.get(key) and before.get(key):
                    spec[key] = copied(before[key])
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            known = {_key(port): port["nodePort"] for port in before.get("ports") or [] if port.get("nodePort")}
            for port in spec.get("ports") or []:
                if not port.get("nodePort") and _key(port) in known:
                    port["nodePort"] = known[_key(port)]
        else:
            self._drop(spec, before)

    @staticmethod
    def _drop(spec: Object, before: Object) -> None:
        """What only the old type has goes with it, unless the update sets it to something else (then it is invalid)."""
        given = {port.get("nodePort") for port in before.get("ports") or []}
        for port in spec.get("ports") or []:
            if port.get("nodePort") in given:
                port.pop("nodePort", None)
        for key in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts"):
            if key in spec and spec[key] == before.get(key):
                del spec[key]
        if spec.get("type") == "ExternalName":
            for key in ("clusterIP", "clusterIPs"):
                if key in spec and spec[key] == before.get(key):
                    del spec[key]

    def allocate(self, obj: Object) -> None:
        """Give what is missing. Raises ApiError 422 for an address or port that is taken or out of range."""
        spec = obj["spec"]
        if spec["type"] == "ExternalName":
            return
        place = (obj["metadata"].get("namespace"), obj["metadata"].get("name") or "")
        others = [
            service
            for service in self.services()
            if (service["metadata"].get("namespace"), service["metadata"]["name"]) != place
        ]
        self._address(spec, place[1], {at(service, "spec", "clusterIP") for service in others})
        if spec["type"] in ("NodePort", "LoadBalancer"):
            ports = [port.get("nodePort") for service in others for port in at(service, "spec", "ports") or []]
            self._ports(spec, place[1], {port for port in ports if port})

    def _address(self, spec: Object, name: str, taken: set[str]) -> None:
        address = spec.get("clusterIP")
        if not address:
            hosts = (str(host) for host in self._network.hosts())
            # the first address is the API server's own Service
            address = next(host for host in hosts if host not in taken and host != str(self._network[1]))
        elif address != "None":
            try:
                inside = ipaddress.ip_address(address) in self._network
            except ValueError:
                why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                raise errors.invalid(SERVICES, name, [invalid("spec.clusterIPs[0]", address, why)]) from None
            if not inside or address in taken:
                outside = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {self._network}"
                why = f"failed to allocate IP {address}: {'provided IP is already allocated' if inside else outside}"
                raise errors.invalid(SERVICES, name, [invalid("spec.clusterIPs", [address], why)])
        spec["clusterIP"] = address
        if not spec.get("clusterIPs") or spec["clusterIPs"][0] != address:
            spec["clusterIPs"] = [address]

    def _ports(self, spec: Object, name: str, taken: set[int]) -> None:
        own: dict[object, int] = {}  # one for TCP and UDP of the same port
        for index, port in enumerate(spec.get("ports") or []):
            number = port.get("nodePort") or own.get(port.get("port"))
            if not number:
                number = next(free for free in NODE_PORTS if free not in taken)
            elif number not in NODE_PORTS or (number in taken and own.get(port.get("port")) != number):
                outside = "provided port is not in the valid range. The range of valid ports is 30000-32767"
                why = "provided port is already allocated" if number in NODE_PORTS else outside
                raise errors.invalid(SERVICES, name, [invalid(f"spec.ports[{index}].nodePort", number, why)])
            port["nodePort"] = own[port.get("port")] = number
            taken.add(number)


def _key(port: Object) -> tuple[object, str]:
    return port.get("port"), port.get("protocol") or "TCP"
