"""Services: their names resolve in Pods, in the right Namespace, to ready Pods; and EndpointSlices say the same."""

from __future__ import annotations

import re
from typing import Any

from tests.engine import wait_until
from tests.sandbox.pods.conftest import Space

SERVER = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


def service(space: Space, name: str, **spec: Any) -> None:
    body = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
    whole = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}
    space.core.create_namespaced_service(space.name, whole)


def server(space: Space, name: str, app: str, **fields: Any) -> str:
    """A Pod that serves its own name on port 8080; its address."""
    space.pod(name, space.container(SERVER, **fields), labels={"app": app}, terminationGracePeriodSeconds=0)
    return str(space.running(name)["status"]["podIP"])


def resolved(space: Space, client: str, name: str) -> set[str]:
    """The addresses that a Pod's resolver has for a name."""
    output = space.kubectl("exec", client, "--", "nslookup", name).output
    return set(re.findall(r"^Address: ([0-9.]+)$", output, re.MULTILINE))


def endpoints(space: Space, name: str) -> dict[str, bool]:
    """Address -> ready, of the Service's EndpointSlices."""
    found = space.discovery.list_namespaced_endpoint_slice(
        space.name, label_selector=f"kubernetes.io/service-name={name}"
    ).items
    return {entry.addresses[0]: entry.conditions.ready for part in found for entry in part.endpoints or []}


def test_a_headless_service_resolves_to_its_pods_under_all_its_names(space: Space) -> None:
    service(space, "web", clusterIP="None")
    addresses = {server(space, "web-1", "web"), server(space, "web-2", "web")}
    assert len(addresses) == 2
    space.pod("client")
    space.running("client")
    for name in ("web", f"web.{space.name}", f"web.{space.name}.svc", f"web.{space.name}.svc.cluster.local"):
        wait_until(lambda name=name: resolved(space, "client", name) == addresses, f"{name} to resolve")
    wait_until(lambda: endpoints(space, "web") == dict.fromkeys(addresses, True), "the endpoints")
    said = space.kubectl("exec", "client", "--", "wget", "-qO-", f"http://{next(iter(addresses))}:8080/index.html")
    assert said.succeeded().output.startswith("web-")


def test_a_service_made_after_its_pods_is_found(space: Space) -> None:
    address = server(space, "late", "late")
    space.pod("client")
    space.running("client")
    assert resolved(space, "client", "late") == set()
    service(space, "late", clusterIP="None")
    wait_until(lambda: resolved(space, "client", "late") == {address}, "the name")
    assert space.read("late")["status"]["podIP"] == address
    space.core.delete_namespaced_service("late", space.name)
    wait_until(lambda: resolved(space, "client", "late") == set(), "the name to go")


def test_short_names_stay_in_their_namespace(space: Space) -> None:
    other_name = f"{space.name}-other"
    space.core.create_namespace({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other_name}})
    other = Space(space.api, space.cluster, other_name, space.image)
    service(space, "web", clusterIP="None")
    service(other, "web", clusterIP="None")
    mine, theirs = server(space, "web-1", "web"), server(other, "web-1", "web")
    for where in (space, other):
        where.pod("client")
        where.running("client")
    wait_until(lambda: resolved(space, "client", "web") == {mine}, "the own one")
    wait_until(lambda: resolved(other, "client", "web") == {theirs}, "the other one")
    assert resolved(space, "client", f"web.{other_name}") == {theirs}
    space.core.delete_namespace(other_name)


def test_unready_pods_are_left_out(space: Space) -> None:
    gate = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    service(space, "web", clusterIP="None")
    address = server(space, "web-1", "web", readinessProbe=gate)
    space.pod("client")
    space.running("client")
    wait_until(lambda: endpoints(space, "web") == {address: False}, "the endpoint")
    assert resolved(space, "client", "web") == set()
    space.kubectl("exec", "web-1", "--", "touch", "/tmp/ready").succeeded()
    wait_until(lambda: resolved(space, "client", "web") == {address}, "the name")
    assert endpoints(space, "web") == {address: True}
