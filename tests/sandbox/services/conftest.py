"""A Namespace of the test's own, Pods that serve their names, and the cluster's DNS asked from this machine."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kfold.sandbox.proxy import dns
from tests.conftest import Cluster
from tests.engine import wait_until
from tests.sandbox.pods.conftest import Space, api_client, closing_client, space

__all__ = ["api_client", "closing_client", "space"]

Json = dict[str, Any]

SERVER = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
GATE = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}


class Shop:
    """A Namespace with Services in front of small web servers, and one Pod `client` that asks them."""

    def __init__(self, space: Space) -> None:
        self.space = space
        space.pod("client")
        space.running("client")

    def service(self, name: str, **spec: Any) -> str:
        """Its cluster IP. By default port 80 leads to port 8080 of the Pods with `app: NAME`."""
        body = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec}
        whole = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}
        return str(self.space.core.create_namespaced_service(self.space.name, whole).spec.cluster_ip)

    def server(self, name: str, app: str, **fields: Any) -> str:
        """A Pod that serves its own name on port 8080; its address."""
        container = self.space.container(SERVER, **fields)
        self.space.pod(name, container, labels={"app": app}, terminationGracePeriodSeconds=0)
        return str(self.space.running(name)["status"]["podIP"])

    def get(self, address: str) -> str:
        """What a GET from the client Pod answers: the serving Pod's name, or wget's complaint."""
        return str(
            self.space.kubectl("exec", "client", "--", "timeout", "5", "wget", "-qO-", f"http://{address}/").output
        ).strip()

    def answers(self, address: str, names: set[str]) -> None:
        """Wait until exactly these Pods answer, as four rounds tell."""
        seen: list[set[str]] = [set()]

        def holds() -> bool:
            seen[0] = {self.get(address) for _ in range(4 * len(names))}
            return seen[0] == names

        wait_until(holds, f"{names} to answer at {address}", tell=lambda: str(seen[0]))

    def refuses(self, address: str) -> None:
        wait_until(lambda: "refused" in self.get(address), f"{address} to refuse", tell=lambda: self.get(address))

    def touch_ready(self, pod: str, ready: bool) -> None:
        command = ["touch", "/tmp/ready"] if ready else ["rm", "/tmp/ready"]
        self.space.kubectl("exec", pod, "--", *command).succeeded()


@pytest.fixture
def shop(space: Space) -> Shop:
    return Shop(space)


@pytest.fixture(scope="session")
def resolver(api_client: Any) -> str:
    """The address of the cluster's DNS server, which a machine with the engine reaches too."""
    from kubernetes import client

    return str(client.CoreV1Api(api_client).read_namespaced_service("kube-dns", "kube-system").spec.cluster_ip)


Ask = Callable[..., tuple[int, list[tuple[int, bytes]]]]


@pytest.fixture
def ask(resolver: str) -> Iterator[Ask]:
    """Asks the DNS server: (response code, [(type, data)])."""

    def question(name: str, kind: int = dns.A) -> tuple[int, list[tuple[int, bytes]]]:
        message = struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, 0) + dns.encoded(name) + struct.pack("!2H", kind, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.settimeout(15)
            out.sendto(message, (resolver, 53))
            found = out.recv(65535)
        assert found[:2] == message[:2]
        return found[3] & 0xF, dns.answers(found)

    yield question


def addresses(answer: tuple[int, list[tuple[int, bytes]]]) -> set[str]:
    """The A records of an answer."""
    return {str(ipaddress.IPv4Address(data)) for kind, data in answer[1] if kind == dns.A}


@pytest.fixture(scope="session")
def cluster(sandbox_cluster: Cluster) -> Cluster:
    return sandbox_cluster
