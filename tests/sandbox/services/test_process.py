"""The Services' container through the life of its sandbox; and what is there where it cannot run."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet import Engine, clean, prepare, socket_path
from kfold.sandbox.kubelet.proxy import PROGRAM, ServiceProxy
from tests.conftest import Cluster
from tests.engine import docker, wait_until
from tests.sandbox.pods.conftest import Space, closing_client
from tests.sandbox.pods.test_process import Sandbox
from tests.sandbox.services.conftest import GATE, Shop


@pytest.fixture
def sandbox(engine: str, tmp_path: Path) -> Iterator[Sandbox]:
    found = Sandbox(tmp_path / "home")
    yield found
    found("down")
    assert found.left() == ""


@contextmanager
def shop_of(sandbox: Sandbox, image: str) -> Iterator[Shop]:
    kubeconfig = Path(sandbox("kubeconfig", "--path").strip())
    for client in closing_client(kubeconfig):
        yield Shop(Space(client, Cluster(kubeconfig, "", {"KUBECONFIG": str(kubeconfig)}), "default", image))


def proxy_of(sandbox: Sandbox) -> str:
    label = f"label=dev.kfold.sandbox={sandbox.engine_name}"
    return docker("ps", "-aq", "--filter", label, "--filter", f"label={PROGRAM}").strip()


def test_services_work_while_the_server_is_dead_and_after_it_is_back(sandbox: Sandbox, base_image: str) -> None:
    sandbox("up")
    assert wait_until(lambda: sandbox.status()["services"], "the Services") == "proxy"
    assert "cluster IPs and names work" in sandbox("status")
    proxy = proxy_of(sandbox)
    assert proxy
    with shop_of(sandbox, base_image) as shop:
        address = shop.service("web")
        shop.server("web-1", "web")
        shop.answers("web", {"web-1"})
        pod = docker(
            "ps", "-q", "--filter", "label=io.kubernetes.pod.name=client", "--filter", f"ancestor={base_image}"
        ).split()
        sandbox.kill()
        for where in ("web", address):
            assert docker("exec", pod[0], "timeout", "5", "wget", "-qO-", f"http://{where}/") == "web-1\n"
        sandbox("up")
        wait_until(lambda: sandbox.status()["services"], "the Services")
        assert proxy_of(sandbox) == proxy  # the same container: connections through it go on
        shop.service("more", selector={"app": "web"})
        shop.answers("more", {"web-1"})


def test_a_proxy_that_is_killed_comes_back(sandbox: Sandbox, base_image: str) -> None:
    sandbox("up")
    with shop_of(sandbox, base_image) as shop:
        shop.service("web")
        shop.server("web-1", "web")
        shop.answers("web", {"web-1"})
        before = proxy_of(sandbox)
        docker("kill", before)
        wait_until(lambda: proxy_of(sandbox) not in ("", before), "a new one")
        shop.answers("web", {"web-1"})
        assert shop.get("web") == "web-1"


def test_two_sandboxes_have_addresses_of_their_own(sandbox: Sandbox, base_image: str, tmp_path: Path) -> None:
    other = Sandbox(tmp_path / "other")
    try:
        for one, name in ((sandbox, "mine"), (other, "theirs")):
            one("up")
            with shop_of(one, base_image) as shop:
                shop.service("web")
                shop.server(name, "web")
                shop.answers("web", {name})
        for one, name in ((sandbox, "mine"), (other, "theirs")):
            kubeconfig = Path(one("kubeconfig", "--path").strip())
            cluster = Cluster(kubeconfig, "", {"KUBECONFIG": str(kubeconfig)})
            assert cluster.kubectl("exec", "client", "--", "wget", "-qO-", "http://web/").output == f"{name}\n"
    finally:
        other("down")
    assert other.left() == ""


def test_by_choice_names_lead_straight_to_pods_and_status_says_so(sandbox: Sandbox, base_image: str) -> None:
    sandbox.environment["KFOLD_SANDBOX_SERVICES"] = "aliases"
    sandbox("up")
    assert wait_until(lambda: sandbox.status()["services"], "the Services") == "aliases"
    assert sandbox.status()["services_problem"] == "KFOLD_SANDBOX_SERVICES=aliases is set"
    assert "cluster IPs lead nowhere, because KFOLD_SANDBOX_SERVICES=aliases is set" in sandbox("status")
    assert proxy_of(sandbox) == ""
    with shop_of(sandbox, base_image) as shop:
        shop.service("web", ports=[{"port": 8080}])
        shop.server("web-1", "web")
        shop.server("web-2", "web", readinessProbe=GATE)
        shop.answers("web:8080", {"web-1"})
        shop.answers("web.default.svc.cluster.local:8080", {"web-1"})
        shop.touch_ready("web-2", True)
        shop.answers("web:8080", {"web-1", "web-2"})
        shop.space.core.delete_namespaced_service("web", "default")
        wait_until(lambda: "bad address" in shop.get("web:8080"), "the name to go")


@pytest.mark.parametrize(
    ("python", "why"),
    [
        pytest.param("/no/such/folder/python3", "no such file", id="not there"),
        pytest.param("/bin/sh", "proxy ended|sh: ", id="no Python at all"),
    ],
)
def test_where_the_machines_python_cannot_run_it_is_said_and_nothing_is_left(engine: str, python: str, why: str) -> None:
    """As on an engine elsewhere: what is mounted is not what this machine has."""
    name = f"test-{uuid.uuid4().hex[:8]}"

    async def problem() -> tuple[str, str, list[object]]:
        client = Engine(socket_path())
        await client.open()
        try:
            network = await prepare(client, name)
            proxy = ServiceProxy(
                Store(),
                client,
                label=f"dev.kfold.sandbox={name}",
                network=network.name,
                image=f"kfold-sandbox-pause:{name}",
                cluster_ips=network.cluster_ips,
                resolver=str(network.cluster_ips[10]),
                python=Path(python),
            )
            proxy.start()
            await proxy.settled()
            await proxy.stop()
            left = await client.containers(f"dev.kfold.sandbox={name}")
            assert ipaddress.IPv4Address(network.gateway) not in network.cluster_ips
            return proxy.problem, proxy.resolver, list(left)
        finally:
            await clean(client, name)
            await client.close()

    said, resolver, left = asyncio.run(problem())
    assert re.search(why, said), said
    assert (resolver, left) == ("", [])


def test_a_server_killed_while_it_starts_leaves_nothing_after_down(sandbox: Sandbox) -> None:
    """The proxy is being made just then: created, not started yet, or starting."""
    for _ in range(4):
        sandbox("up")
        sandbox.kill()
        assert sandbox.left() != ""
        sandbox("down")
        assert sandbox.left() == ""
