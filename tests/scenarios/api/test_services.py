"""Services: names that resolve between Pods, and EndpointSlices."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import PATIENCE, Json, Space, condition_of
from tests.scenarios.api.objects import container, deployment, pod, service, task

SITE = "mkdir /tmp/w; echo $HOSTNAME > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"
PROBE = {"periodSeconds": 1, "httpGet": {"path": "/index.html", "port": 8080}}


@pytest.fixture(scope="module")
def space(shared: Space) -> Space:
    image = shared.image
    web = container(image, SITE, readinessProbe=PROBE, ports=[{"name": "http", "containerPort": 8080}])
    shared.create(service("web", selector={"app": "web"}, ports=[{"port": 8080}]))
    shared.create(service("mapped", selector={"app": "web"}, ports=[{"port": 80, "targetPort": "http"}]))
    shared.create(service("headless", selector={"app": "web"}, clusterIP="None", ports=[{"port": 8080}]))
    shared.create(service("unready", selector={"app": "unready"}, ports=[{"port": 8080}]))
    shared.create(service("manual", ports=[{"port": 80}]))
    shared.create(deployment("web", web, replicas=2))
    never = {"periodSeconds": 1, "exec": {"command": ["false"]}}
    shared.create(pod("unready", container(image, readinessProbe=never), labels={"app": "unready"}))
    return shared


@pytest.fixture(scope="module")
def addresses(space: Space) -> set[str]:
    """The addresses of the two ready Pods."""

    def ready() -> set[str]:
        found = [
            item
            for item in space.list("Pod", labelSelector="app=web")
            if condition_of(item, "Ready").get("status") == "True"
        ]
        return {item["status"]["podIP"] for item in found} if len(found) == 2 else set()

    return wait_until(ready, "two ready Pods", seconds=PATIENCE)


def endpoints(space: Space, name: str) -> list[Json]:
    slices = space.list("EndpointSlice", labelSelector=f"kubernetes.io/service-name={name}")
    return [entry for one in slices for entry in one.get("endpoints") or []]


def page(name: str, port: int) -> str:
    """A script that prints the page behind a name. Not by wget: that of a static busybox crashes where it resolves."""
    address = f"$(nslookup {name} | awk '/^Name/ {{n=1}} n && /^Address/ {{print $NF; exit}}')"
    return f"printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} {port} 2>/dev/null | tail -n 1 | grep web-"


def asks(space: Space, name: str, script: str) -> str:
    """What a Pod prints that tries the script until it succeeds, one minute at most."""
    space.create(task(name, space.image, f"for n in $(seq 120); do {script} && exit 0; sleep 0.5; done; exit 1"))
    return space.output(name)


# busybox looks names with dots up as they are: the forms in between need a resolver with search domains
@pytest.mark.parametrize("form", ["web", "web.{}.svc.cluster.local"])
def test_a_services_name(space: Space, addresses: set[str], form: str) -> None:
    """A Service is reached by its name, and by its full name in the cluster domain."""
    name = f"asks-{form.count('.')}"
    answer = asks(space, name, page(form.format(space.name), 8080))
    assert answer.startswith("web-")


def test_a_services_port(space: Space, addresses: set[str]) -> None:
    """A Service's port leads to the target port, which may be a name."""
    assert asks(space, "asks-mapped", page("mapped", 80)).startswith("web-")


def test_another_namespace(space: Space, addresses: set[str], spaces: Callable[[str], Space]) -> None:
    """From another namespace a Service needs its namespace: its short name is not found there."""
    other = spaces("other")
    script = f"nslookup web > /dev/null && exit 1; {page(f'web.{space.name}.svc.cluster.local', 8080)}"
    assert asks(other, "asks", script).rstrip().splitlines()[-1].startswith("web-")


def test_a_headless_service(space: Space, addresses: set[str]) -> None:
    """The name of a headless Service resolves to the addresses of all its ready Pods."""
    full = f"headless.{space.name}.svc.cluster.local"
    answer = asks(space, "asks-headless", f"nslookup {full} | grep -c '^Address' | grep -q 3 && nslookup {full}")
    assert all(address in answer for address in addresses)


def test_endpoint_slices(space: Space, addresses: set[str]) -> None:
    """An EndpointSlice of the Service, owned by it and labelled with its name, has its ready Pods with their port."""
    wait_until(
        lambda: {entry["addresses"][0] for entry in endpoints(space, "web") if entry["conditions"]["ready"]} == addresses,
        "the endpoints",
        seconds=PATIENCE,
    )
    (one,) = space.list("EndpointSlice", labelSelector="kubernetes.io/service-name=web")
    assert one["addressType"] == "IPv4"
    assert [(port["port"], port["protocol"]) for port in one["ports"]] == [(8080, "TCP")]
    assert one["metadata"]["ownerReferences"][0]["name"] == "web"
    for entry in one["endpoints"]:
        assert entry["targetRef"]["kind"] == "Pod" and entry["nodeName"]
    (mapped,) = space.list("EndpointSlice", labelSelector="kubernetes.io/service-name=mapped")
    assert mapped["ports"][0]["port"] == 8080


def test_an_unready_pod_is_no_endpoint(space: Space) -> None:
    """An unready Pod is listed with ready false, and gets no traffic."""
    wait_until(lambda: endpoints(space, "unready"), "the endpoint", seconds=PATIENCE)
    (entry,) = endpoints(space, "unready")
    assert entry["conditions"]["ready"] is False
    assert not entry["conditions"].get("serving")


def test_a_service_without_selector(space: Space) -> None:
    """A Service without a selector gets no EndpointSlice: somebody else makes it."""
    wait_until(lambda: endpoints(space, "web"), "other endpoints", seconds=PATIENCE)
    assert space.list("EndpointSlice", labelSelector="kubernetes.io/service-name=manual") == []


def test_endpoints_written_by_hand(space: Space, addresses: set[str]) -> None:
    """Endpoints that somebody writes for a Service without a selector are mirrored in a slice, and serve."""
    space.create(service("by-hand", ports=[{"port": 80}]))
    subset = {"addresses": [{"ip": min(addresses)}], "ports": [{"port": 8080}]}
    made = space.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "by-hand"}, "subsets": [subset]})
    wait_until(lambda: endpoints(space, "by-hand"), "the slice", seconds=PATIENCE)
    (one,) = space.list("EndpointSlice", labelSelector="kubernetes.io/service-name=by-hand")
    assert one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].startswith(
        "endpointslicemirroring-controller"
    )
    assert [entry["addresses"] for entry in one["endpoints"]] == [[min(addresses)]]
    assert one["ports"][0]["port"] == 8080
    assert asks(space, "asks-by-hand", page("by-hand", 80)).startswith("web-")
    space.delete("Endpoints", made["metadata"]["name"]).ok()
    wait_until(lambda: not endpoints(space, "by-hand"), "the end of the slice", seconds=PATIENCE)


def test_endpoints_follow_their_pods(space: Space, addresses: set[str]) -> None:
    """A Pod that goes leaves the endpoints, one that comes joins them."""
    space.create(service("moving", selector={"app": "moving"}, ports=[{"port": 8080}]))
    space.create(pod("moving", container(space.image)))
    wait_until(lambda: [entry for entry in endpoints(space, "moving") if entry["conditions"]["ready"]], "the endpoint")
    space.delete("Pod", "moving").ok()
    wait_until(lambda: not endpoints(space, "moving"), "its end", seconds=PATIENCE)


def test_the_servers_own_service(space: Space) -> None:
    """default/kubernetes is the API server."""
    found = space.api.get("/api/v1/namespaces/default/services/kubernetes").ok()
    assert found["spec"]["ports"][0]["port"] == 443
