"""The cluster's DNS: the schema of Kubernetes' DNS-based service discovery, asked of the server itself."""

from __future__ import annotations

import socket
import struct

from kfold.sandbox.proxy import dns
from tests.engine import wait_until
from tests.sandbox.services.conftest import GATE, Ask, Shop, addresses


def test_a_service_has_its_address_and_nothing_else(shop: Shop, ask: Ask) -> None:
    address = shop.service("web")
    name = f"web.{shop.space.name}.svc.cluster.local"
    wait_until(lambda: addresses(ask(name)) == {address}, "the name")
    assert ask(name.upper())[1] == ask(name)[1]
    assert ask(name, dns.AAAA) == (0, [])  # the name exists, an IPv6 address does not
    reverse = ".".join([*reversed(address.split(".")), "in-addr.arpa"])
    assert ask(reverse, dns.PTR) == (0, [(dns.PTR, dns.encoded(name))])
    assert ask(f"none.{shop.space.name}.svc.cluster.local") == (3, [])
    assert ask(f"_http._tcp.{name}", dns.SRV) == (0, [(dns.SRV, struct.pack("!3H", 0, 100, 80) + dns.encoded(name))])


def test_a_headless_service_has_its_ready_pods(shop: Shop, ask: Ask) -> None:
    shop.service("web", clusterIP="None")
    first, second = shop.server("web-1", "web"), shop.server("web-2", "web", readinessProbe=GATE)
    name = f"web.{shop.space.name}.svc.cluster.local"
    wait_until(lambda: addresses(ask(name)) == {first}, "the ready one")
    wait_until(lambda: endpoints(shop, "web") == {first: True, second: False}, "the EndpointSlice to say the same")
    shop.touch_ready("web-2", True)
    wait_until(lambda: addresses(ask(name)) == {first, second}, "both")
    assert len({ask(name)[1][0] for _ in range(4)}) == 2  # each is named first in turn
    assert addresses(ask(f"{first.replace('.', '-')}.{name}")) == {first}
    for short in ("web", f"web.{shop.space.name}", f"web.{shop.space.name}.svc"):
        shop.answers(f"{short}:8080", {"web-1", "web-2"})  # a headless Service leads to the Pods' own ports
    found = ask(f"_http._tcp.{name}", dns.SRV)[1]
    assert {struct.unpack("!3H", data[:6])[2] for _, data in found} == {8080}
    shop.space.kubectl("delete", "pod", "web-1", "web-2", "--wait").succeeded()
    wait_until(lambda: ask(name) == (0, []), "nobody to be left")


def endpoints(shop: Shop, name: str) -> dict[str, bool]:
    """Address -> ready, of the Service's EndpointSlices."""
    found = shop.space.discovery.list_namespaced_endpoint_slice(
        shop.space.name, label_selector=f"kubernetes.io/service-name={name}"
    ).items
    return {entry.addresses[0]: entry.conditions.ready for part in found for entry in part.endpoints or []}


def test_the_pods_of_a_stateful_set_have_names(shop: Shop, ask: Ask) -> None:
    shop.service("db", clusterIP="None")
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [shop.space.container()]}}
    template["spec"]["terminationGracePeriodSeconds"] = 0
    spec = {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}
    shop.space.apps.create_namespaced_stateful_set(shop.space.name, body)
    shop.space.kubectl("rollout", "status", "statefulset/db", "--timeout=30s").succeeded()
    wanted = {pod: {shop.space.read(pod)["status"]["podIP"]} for pod in ("db-0", "db-1")}

    def found() -> dict[str, set[str]]:
        return {pod: addresses(ask(f"{pod}.db.{shop.space.name}.svc.cluster.local")) for pod in wanted}

    wait_until(lambda: found() == wanted, "their names", tell=lambda: str(found()))
    assert found() == wanted


def test_many_pods_do_not_fit_a_datagram_and_are_told_by_tcp(shop: Shop, ask: Ask, resolver: str) -> None:
    many = [f"192.0.2.{number}" for number in range(1, 61)]
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "many-1", "labels": {"kubernetes.io/service-name": "many"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in many],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    shop.service("many", clusterIP="None", selector=None)
    shop.space.discovery.create_namespaced_endpoint_slice(shop.space.name, body)
    name = f"many.{shop.space.name}.svc.cluster.local"
    wait_until(lambda: len(by_tcp(resolver, name)) == 60, "all of them by TCP")
    assert ask(name) == (0, [])  # cut off, and said to be


def by_tcp(resolver: str, name: str) -> set[str]:
    message = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + dns.encoded(name) + struct.pack("!2H", dns.A, 1)
    with socket.create_connection((resolver, 53), timeout=15) as connection, connection.makefile("rwb") as stream:
        stream.write(len(message).to_bytes(2, "big") + message)
        stream.flush()
        return addresses((0, dns.answers(stream.read(int.from_bytes(stream.read(2), "big")))))


def test_an_external_name_is_an_alias(shop: Shop, ask: Ask) -> None:
    space = shop.space.name
    address = shop.service("real")
    shop.service("other", type="ExternalName", externalName=f"real.{space}.svc.cluster.local", selector=None, ports=None)
    name = f"other.{space}.svc.cluster.local"
    wait_until(lambda: addresses(ask(name)) == {address}, "the alias's address")
    assert ask(name)[1][0] == (dns.CNAME, dns.encoded(f"real.{space}.svc.cluster.local"))
    shop.server("real-1", "real")
    shop.answers("other", {"real-1"})


def test_other_names_are_asked_of_the_engine(shop: Shop, ask: Ask) -> None:
    """They go to the engine's resolver, which knows its containers (and the world, if there is one)."""
    assert addresses(ask("client")) == {shop.space.read("client")["status"]["podIP"]}
    said = shop.space.kubectl("exec", "client", "--", "cat", "/etc/resolv.conf").output
    assert f"search {shop.space.name}.svc.cluster.local svc.cluster.local cluster.local" in said
    assert "ndots:5" in said
