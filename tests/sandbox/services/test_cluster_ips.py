"""A Service's port leads from its cluster IP to the ready Pods' target port, in turn, as kube-proxy has it."""

from __future__ import annotations

import pytest

from tests.engine import wait_until
from tests.sandbox.pods.conftest import Space
from tests.sandbox.services.conftest import GATE, Shop


def test_port_80_leads_to_port_8080_by_every_name_and_by_address(shop: Shop) -> None:
    address = shop.service("web")
    pods = {shop.server("web-1", "web") and "web-1", shop.server("web-2", "web") and "web-2"}
    space = shop.space.name
    names = ("web", f"web.{space}", f"web.{space}.svc", f"web.{space}.svc.cluster.local", f"web.{space}.svc.cluster.local.")
    for name in (address, *names):
        shop.answers(name, pods)
    assert "refused" in shop.get(f"{address}:8080")  # only the Service's own port


def test_connections_go_round(shop: Shop) -> None:
    shop.service("web")
    for number in range(3):
        shop.server(f"web-{number}", "web")
    shop.answers("web", {"web-0", "web-1", "web-2"})
    six = [shop.get("web") for _ in range(6)]
    assert six[:3] == six[3:] and len(set(six)) == 3


def test_the_host_reaches_it_too(shop: Shop) -> None:
    import urllib.request

    address = shop.service("web")
    shop.server("web-1", "web")
    shop.answers("web", {"web-1"})
    with urllib.request.urlopen(f"http://{address}/index.html", timeout=10) as answer:
        assert answer.read() == b"web-1\n"


def test_a_target_port_by_name_is_found_in_the_pod(shop: Shop) -> None:
    shop.service("web", ports=[{"name": "http", "port": 80, "targetPort": "serving"}])
    shop.server("web-1", "web", ports=[{"name": "serving", "containerPort": 8080}])
    shop.answers("web", {"web-1"})
    assert shop.get("web") == "web-1"


def test_only_ready_pods_are_asked_and_nobody_leaves_the_network(shop: Shop) -> None:
    address = shop.service("web")
    shop.server("web-1", "web", readinessProbe=GATE)
    shop.server("web-2", "web", readinessProbe=GATE)
    shop.refuses(address)  # nobody is ready
    shop.touch_ready("web-1", True)
    shop.answers("web", {"web-1"})
    shop.touch_ready("web-2", True)
    shop.answers("web", {"web-1", "web-2"})
    shop.touch_ready("web-1", False)
    shop.answers("web", {"web-2"})
    assert shop.space.read("web-1")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_stream_survives_its_pod_becoming_unready(shop: Shop) -> None:
    """Established connections go on, as on a real cluster; a Pod that left the network for a moment would drop them."""
    space = shop.space
    shop.service("slow", ports=[{"port": 9000}])
    # one connection: it answers when it has been told to go on
    script = "touch /tmp/ready; { until [ -e /tmp/go ]; do sleep 0.1; done; echo done; } | nc -l -p 9000; sleep 1000"
    space.pod("slow", space.container(script, readinessProbe=GATE), labels={"app": "slow"}, terminationGracePeriodSeconds=0)
    ready = '{.status.conditions[?(@.type=="Ready")].status}'
    space.kubectl("wait", "pod/slow", "--for=condition=Ready", "--timeout=20s").succeeded()
    # its stdin never ends, so the connection lives until the server ends it
    ask = "mkfifo /tmp/in; exec 3<>/tmp/in; until nc slow 9000 <&3 2>&1 | grep done; do sleep 0.1; done"
    caller = space.container(ask)
    space.pod("caller", caller, restartPolicy="Never")
    wait_until(lambda: "ESTAB" in space.kubectl("exec", "slow", "--", "netstat", "-tn").output, "a connection")
    shop.touch_ready("slow", False)
    wait_until(
        lambda: space.kubectl("get", "pod", "slow", "-o", f"jsonpath={ready}").output == "False", "the Pod to be unready"
    )
    space.kubectl("exec", "slow", "--", "touch", "/tmp/go").succeeded()
    space.ended("caller")
    assert space.log("caller") == "done\n"


def test_a_service_made_after_its_pods_and_deleted_before_them(shop: Shop) -> None:
    shop.server("late", "late")
    # by its whole name: the engine's own DNS knows the Pod's bare host name
    name = f"late.{shop.space.name}.svc.cluster.local"
    assert "bad address" in shop.get(name)
    address = shop.service("late")
    shop.answers("late", {"late"})
    shop.space.core.delete_namespaced_service("late", shop.space.name)
    wait_until(lambda: "bad address" in shop.get(name), "the name to go")
    shop.refuses(address)


def test_same_names_in_two_namespaces_are_two_services(shop: Shop) -> None:
    space = shop.space
    name = f"{space.name}-other"
    space.core.create_namespace({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    other = Shop(Space(space.api, space.cluster, name, space.image))
    for where, pod in ((shop, "mine"), (other, "theirs")):
        where.service("web")
        where.server(pod, "web")
    shop.answers("web", {"mine"})
    other.answers("web", {"theirs"})
    shop.answers(f"web.{name}", {"theirs"})
    assert (shop.get("web"), other.get("web"), shop.get(f"web.{name}")) == ("mine", "theirs", "theirs")
    space.core.delete_namespace(name)


def test_endpoints_of_ones_own_stand_behind_a_service_without_selector(shop: Shop) -> None:
    """A Service without a selector, and an EndpointSlice that somebody writes by hand."""
    shop.service("db", selector=None)
    shop.refuses("db")
    pod = shop.server("elsewhere", "not-selected")
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [pod]}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    shop.space.discovery.create_namespaced_endpoint_slice(shop.space.name, body)
    shop.answers("db", {"elsewhere"})
    assert shop.get("db") == "elsewhere"


def test_a_client_with_affinity_keeps_its_pod(shop: Shop) -> None:
    shop.service("web", sessionAffinity="ClientIP")
    for number in range(3):
        shop.server(f"web-{number}", "web")
    wait_until(lambda: shop.get("web").startswith("web-"), "the Service")
    wait_until(lambda: ready_endpoints(shop, "web") == 3, "all endpoints")
    first = shop.get("web")
    assert {shop.get("web") for _ in range(6)} == {first}
    shop.space.core.delete_namespaced_pod(first, shop.space.name)
    wait_until(lambda: ready_endpoints(shop, "web") == 2, "the endpoint to go")
    second = shop.get("web")
    assert second.startswith("web-") and second != first


def ready_endpoints(shop: Shop, name: str) -> int:
    found = shop.space.discovery.list_namespaced_endpoint_slice(
        shop.space.name, label_selector=f"kubernetes.io/service-name={name}"
    ).items
    return sum(endpoint.conditions.ready for part in found for endpoint in part.endpoints or [])


def test_a_pod_reaches_its_own_service(shop: Shop) -> None:
    shop.service("web")
    shop.server("web-1", "web")
    said = wait_until(
        lambda: shop.space.kubectl("exec", "web-1", "--", "timeout", "5", "wget", "-qO-", "http://web/").output.strip(),
        "itself",
    )
    assert said == "web-1"


@pytest.mark.parametrize("size", [20_000_000])
def test_much_data_arrives_whole_in_both_directions(shop: Shop, size: int) -> None:
    space = shop.space
    shop.service("echo", ports=[{"port": 7}])
    space.pod(
        "echo",
        space.container("touch /tmp/x; nc -lk -p 7 -e cat || while :; do nc -l -p 7 -e cat; done"),
        labels={"app": "echo"},
        terminationGracePeriodSeconds=0,
    )
    space.running("echo")
    wait_until(lambda: ready_endpoints(shop, "echo") == 1, "the endpoint")
    make = (
        f"head -c {size} /dev/urandom > /tmp/data; sha256sum < /tmp/data; nc echo 7 < /tmp/data | head -c {size} | sha256sum"
    )
    before, after = wait_until(
        lambda: space.kubectl("exec", "client", "--", "sh", "-c", make).output.splitlines()[:2], "data"
    )
    assert before == after


def test_a_deployment_rolls_behind_its_service_without_its_clients_noticing(shop: Shop) -> None:
    space = shop.space
    gate = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    # as one writes it for a real cluster: the old Pod serves on for a moment, until everybody knows
    hook = {"preStop": {"exec": {"command": ["sleep", "1"]}}}
    shop.service("web")
    grace = {"terminationGracePeriodSeconds": 5}
    old = space.container("echo old > /tmp/index.html; exec httpd -f -p 8080 -h /tmp", readinessProbe=gate, lifecycle=hook)
    space.deployment("web", 2, old, pod=grace)
    space.available("web", 2)
    shop.answers("web", {"old"})
    loop = "touch /tmp/on; while [ -e /tmp/on ]; do timeout 5 wget -qO- http://web/ || echo FAILED; done 2>&1"
    space.pod("asker", space.container(loop), restartPolicy="Never")
    space.running("asker")
    new = {"name": "app", "command": ["sh", "-c", "echo new > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]}
    space.apps.patch_namespaced_deployment("web", space.name, {"spec": {"template": {"spec": {"containers": [new]}}}})
    space.available("web", 2)
    shop.answers("web", {"new"})
    space.kubectl("exec", "asker", "--", "rm", "/tmp/on").succeeded()
    space.ended("asker")
    said = space.log("asker").split()
    assert {"old", "new"} <= set(said), set(said)
    assert set(said) == {"old", "new"}, [line for line in said if line not in ("old", "new")]
