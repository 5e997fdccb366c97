"""The sandbox's own process: killed and started again, ended, or dead when it is to be cleaned up."""

from __future__ import annotations

import json
import os
import signal
import sys
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
def sandbox(engine: str, tmp_path: Path) -> Iterator[Sandbox]:
    found = Sandbox(tmp_path / "home")
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
    inside.deployment("web", 2)
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


def test_down_leaves_nothing_even_when_the_process_is_dead(sandbox: Sandbox, inside: Space) -> None:
    volume, mount = {"name": "v", "emptyDir": {}}, [{"name": "v", "mountPath": "/v"}]
    inside.pod("web", inside.container(volumeMounts=mount), volumes=[volume])
    inside.running("web")
    wait_until(lambda: sandbox.status()["services"], "the Services")
    assert len(sandbox.left().split()) == 6  # the Pod's two containers, the proxy, a network, a volume, an image
    sandbox.kill()
    sandbox("down")
    assert sandbox.left() == ""
