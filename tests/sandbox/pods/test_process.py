"""The sandbox's own process: killed and started again, ended, or dead when it is to be cleaned up."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kfold.sandbox.files import engine_name
from tests.conftest import Cluster
from tests.engine import REPOSITORY, Running, docker, run, start, wait_until
from tests.sandbox.pods.conftest import Space, closing_client


class Sandbox:
    """A sandbox of the test's own."""

    def __init__(self, home: Path) -> None:
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.environment = os.environ | {"KFOLD_SANDBOX_HOME": str(home)}
        self.engine_name = engine_name(self.name, home)

    def __call__(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "kfold.sandbox", *arguments, "--name", self.name]
        return str(run(command, folder=REPOSITORY, environment=self.environment).succeeded().output)

    def start(self, *arguments: str) -> Running:
        command = [sys.executable, "-m", "kfold.sandbox", *arguments, "--name", self.name]
        return start(command, folder=REPOSITORY, environment=self.environment)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("status", "--json"))
        return found

    def kill(self) -> None:
        """kill -9 of the server's process."""
        pid = self.status()["pid"]
        assert pid > 1
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.status()["running"], "the process to end")

    def left(self) -> str:
        """What the engine still has of it."""
        label = f"label=dev.kfold.sandbox={self.engine_name}"
        asked = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"), ("images", "-aq"))
        return "".join(docker(*command, "--filter", label) for command in asked).strip()


@pytest.fixture
def sandbox(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    found = Sandbox(tmp_path / "home")
    found.environment |= getattr(request, "param", {})
    found("up")
    yield found
    found("down")
    assert found.left() == ""


@pytest.fixture
def inside(sandbox: Sandbox, base_image: str) -> Iterator[Space]:
    kubeconfig = Path(sandbox("kubeconfig", "--path").strip())
    for client in closing_client(kubeconfig):
        yield Space(client, Cluster(kubeconfig, "", {"KUBECONFIG": str(kubeconfig)}), "default", base_image)


def identities(space: Space) -> dict[str, tuple[str, str, str]]:
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            pod["status"]["podIP"],
            pod["status"]["containerStatuses"][0]["containerID"],
        )
        for pod in space.pods()
    }


def test_killed_and_started_again_everything_is_as_before(sandbox: Sandbox, inside: Space) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo hooked >> /tmp/hooks"]}}}
    inside.deployment("web", 2, inside.container(lifecycle=hook))
    inside.available("web", 2)
    before = identities(inside)
    assert len(before) == 2
    sandbox.kill()
    running = docker("ps", "-q", "--filter", f"label=dev.kfold.sandbox={sandbox.engine_name}").split()
    assert len(running) == 5  # Pods and the Services' proxy do not notice
    sandbox("up")
    inside.available("web", 2)
    assert identities(inside) == before
    # and it still looks after them: a run that ends is noticed and followed by the next
    victim = next(iter(before))
    assert inside.kubectl("exec", victim, "--", "cat", "/tmp/hooks").succeeded().output == "hooked\n"
    inside.kubectl("exec", victim, "--", "kill", "1")
    inside.wait(victim, lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1, "to restart")


def test_what_ended_while_nobody_looked_is_noticed(sandbox: Sandbox, inside: Space) -> None:
    inside.pod("once", inside.container("until [ -e /tmp/go ]; do sleep 0.1; done; exit 5"), restartPolicy="Never")
    inside.pod("lost")
    container = inside.running("once")["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    lost = inside.running("lost")["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    sandbox.kill()
    docker("exec", container, "touch", "/tmp/go")
    wait_until(lambda: docker("inspect", "-f", "{{.State.Running}}", container).strip() == "false", "the end")
    docker("stop", "-t", "0", lost)
    docker("rm", lost)
    sandbox("up")
    ended = inside.ended("once")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 5
    pod = inside.wait("lost", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1, "to restart")
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137


def test_a_sandbox_container_that_dies_is_made_anew(sandbox: Sandbox, inside: Space) -> None:
    inside.pod("web")
    inside.running("web")
    label = f"label=dev.kfold.sandbox={sandbox.engine_name}"
    (pause,) = docker("ps", "-q", "--filter", label, "--filter", "label=io.kubernetes.container.name=POD").split()
    docker("kill", pause)
    inside.wait(
        "web",
        lambda pod: (
            pod["status"]["containerStatuses"][0]["restartCount"] == 1
            and "running" in pod["status"]["containerStatuses"][0]["state"]
        ),
        "to run again",
    )
    assert inside.events("SandboxChanged")


def test_ups_and_downs_at_the_same_time_come_one_after_the_other(sandbox: Sandbox, inside: Space) -> None:
    inside.deployment("many", 6)
    wait_until(inside.pods, "Pods that start")
    at_once = [sandbox.start(command) for command in ("down", "up", "down", "up")]
    said = [one.wait(seconds=120).succeeded().output for one in at_once]
    # the first one that was faster than the others ended a sandbox, with its Pods; what came last decides
    assert any("nothing of it is left" in text for text in said), said
    sandbox("up")
    assert sandbox.status()["running"]


DESKTOP = {"KFOLD_SANDBOX_PODS": "published", "KFOLD_SANDBOX_SERVICES": "aliases"}
"""As on Docker Desktop, whose containers run in a virtual machine of their own."""


@pytest.mark.parametrize("sandbox", [DESKTOP], indirect=True, ids=["desktop"])
def test_pods_without_a_way_in_are_reached_by_published_ports(sandbox: Sandbox, inside: Space) -> None:
    site = "mkdir /tmp/w; echo hello > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"
    probe = {"periodSeconds": 1, "httpGet": {"path": "/index.html", "port": "http"}}
    web = inside.container(site, ports=[{"name": "http", "containerPort": 8080}], readinessProbe=probe)
    inside.pod("web", web, inside.container(name="other", livenessProbe={"tcpSocket": {"port": 8080}}))

    def ready() -> Any:
        return all(entry["ready"] for entry in inside.read("web")["status"].get("containerStatuses", [{"ready": False}]))

    def page(port: int) -> str:
        """By port-forward; what kubectl says where that fails."""
        command = ["kubectl", "--kubeconfig", str(inside.cluster.kubeconfig), "port-forward", "web", f":{port}"]
        running = start(command, folder=REPOSITORY)
        try:
            running.wait_for(f" -> {port}")
            (local,) = re.findall(r"127\.0\.0\.1:(\d+)", running.output)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{local}/index.html", timeout=10) as answer:
                    return str(answer.read().decode())
            except OSError:
                running.wait_for("error forwarding port")
                return running.output
        finally:
            running.end()

    label = f"label=dev.kfold.sandbox={sandbox.engine_name}"
    wait_until(ready, "readiness", tell=lambda: str(inside.read("web")["status"]))
    (pause,) = docker("ps", "-q", "--filter", label, "--filter", "label=io.kubernetes.container.name=POD").split()
    before = docker("port", pause, "8080")
    assert before.startswith("127.0.0.1:")
    assert page(8080) == "hello\n"
    assert "port 9 is not declared in the Pod" in page(9)
    # a Service gives the Pod a name, for which it leaves the network for a moment: the engine publishes anew
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 8080}]}}
    inside.core.create_namespaced_service(inside.name, {"apiVersion": "v1", "kind": "Service", **service})
    wait_until(lambda: "web.default" in docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", pause), "the name")
    wait_until(lambda: "8080" in docker("inspect", "-f", "{{json .NetworkSettings.Ports}}", pause), "the port")
    wait_until(ready, "readiness again")
    assert page(8080) == "hello\n"
    sandbox.kill()
    sandbox("up")
    wait_until(ready, "readiness after a restart")
    assert page(8080) == "hello\n"


def test_down_leaves_nothing_even_when_the_process_is_dead(sandbox: Sandbox, inside: Space) -> None:
    volume, mount = {"name": "v", "emptyDir": {}}, [{"name": "v", "mountPath": "/v"}]
    inside.pod("web", inside.container(volumeMounts=mount), volumes=[volume])
    inside.running("web")
    wait_until(lambda: sandbox.status()["services"], "the Services")
    assert (
        len(sandbox.left().split()) == 7
    )  # the Pod's two containers, the proxy, a network, an image, volumes of the Pod and of messages
    sandbox.kill()
    sandbox("down")
    assert sandbox.left() == ""
