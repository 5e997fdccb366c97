"""A Namespace of its own for each test of Pods, and the official Python client (whose models are strict) to look at it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cluster
from tests.engine import docker, wait_until

Json = dict[str, Any]


class Space:
    """One Namespace: makes objects and waits for what becomes of them."""

    def __init__(self, api: Any, cluster: Cluster, name: str, image: str) -> None:
        from kubernetes import client

        self.cluster, self.name, self.image = cluster, name, image
        self.api = api
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self.batch = client.BatchV1Api(api)
        self.discovery = client.DiscoveryV1Api(api)

    def kubectl(self, *arguments: str, seconds: float = 60.0) -> Any:
        return self.cluster.kubectl("--namespace", self.name, *arguments, seconds=seconds)

    def container(self, script: str = "", **fields: Any) -> Json:
        """A container that runs a shell script; `sleep 1000` by default, which ends at once when it is told to."""
        # exec: the program is process 1 itself, and busybox' sleep is killed by nothing but a signal it cannot ignore
        command = ["sh", "-c", script or "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"]
        return {"name": "app", "image": self.image, "command": command, **fields}

    def pod(self, name: str, *containers: Json, labels: Json | None = None, **spec: Any) -> Json:
        """Create a Pod and return it as a plain mapping."""
        spec = {"terminationGracePeriodSeconds": 1, "containers": list(containers) or [self.container()], **spec}
        metadata = {"name": name, "labels": labels or {"app": name}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return self.plain(self.core.create_namespaced_pod(self.name, body))

    def deployment(self, name: str, replicas: int = 2, *containers: Json, pod: Json | None = None, **spec: Any) -> None:
        inner = {"terminationGracePeriodSeconds": 1, "containers": list(containers) or [self.container()], **(pod or {})}
        template = {"metadata": {"labels": {"app": name}}, "spec": inner}
        body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
        whole = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}
        self.apps.create_namespaced_deployment(self.name, whole)

    def plain(self, obj: Any) -> Json:
        found: Json = self.api.sanitize_for_serialization(obj)
        return found

    def read(self, name: str) -> Json:
        return self.plain(self.core.read_namespaced_pod(name, self.name))

    def pods(self, selector: str = "") -> list[Json]:
        return [self.plain(pod) for pod in self.core.list_namespaced_pod(self.name, label_selector=selector).items]

    def wait(self, name: str, condition: Callable[[Json], Any], what: str, *, seconds: float = 20.0) -> Json:
        """The Pod as soon as `condition` holds."""
        seen: list[Json] = [{}]

        def holds() -> bool:
            seen[0] = self.read(name)
            return bool(condition(seen[0]))

        wait_until(holds, f"pod {name} {what}", seconds=seconds, tell=lambda: str(seen[0].get("status")))
        return seen[0]

    def running(self, name: str) -> Json:
        return self.wait(name, lambda pod: pod["status"]["phase"] == "Running", "to run")

    def ended(self, name: str, seconds: float = 20.0) -> Json:
        return self.wait(name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), "to end", seconds=seconds)

    def waiting(self, name: str, reason: str) -> Json:
        """The Pod when its (first) container waits for that reason."""
        return self.wait(name, lambda pod: waiting_reason(pod) == reason, f"to wait for {reason}")

    def log(self, name: str, **query: Any) -> str:
        text: str = self.core.read_namespaced_pod_log(name, self.name, **query)
        return text

    def output(self, script: str, **spec: Any) -> str:
        """What a Pod that runs the script prints."""
        name = f"once-{uuid.uuid4().hex[:8]}"
        container = self.container(script, **spec.pop("container", {}))
        self.pod(name, container, restartPolicy="Never", **spec)
        self.ended(name)
        return self.log(name)

    def available(self, name: str, replicas: int, seconds: float = 30.0) -> Json:
        """The Deployment when exactly so many updated Pods, and no others, are available."""

        def holds() -> bool:
            found = self.plain(self.apps.read_namespaced_deployment(name, self.name))
            status = found.get("status", {})
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
            return counts == [replicas] * 3 and status["observedGeneration"] == found["metadata"]["generation"]

        wait_until(holds, f"{replicas} available of deployment {name}", seconds=seconds)
        return self.plain(self.apps.read_namespaced_deployment(name, self.name))

    def events(self, reason: str) -> list[str]:
        found = self.core.list_namespaced_event(self.name, field_selector=f"reason={reason}").items
        return [event.message for event in found]


def waiting_reason(pod: Json) -> str:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))


def closing_client(kubeconfig: Path) -> Iterator[Any]:
    """The official client; its connections are closed at the end, which leaving its context does not do."""
    from kubernetes import config

    with config.new_client_from_config(str(kubeconfig)) as client:
        yield client
        client.rest_client.pool_manager.clear()


@pytest.fixture(scope="session")
def api_client(sandbox_cluster: Cluster) -> Iterator[Any]:
    yield from closing_client(sandbox_cluster.kubeconfig)


@pytest.fixture
def space(api_client: Any, sandbox_cluster: Cluster, base_image: str) -> Iterator[Space]:
    name = f"pods-{uuid.uuid4().hex[:8]}"
    found = Space(api_client, sandbox_cluster, name, base_image)
    found.core.create_namespace({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield found
    found.core.delete_namespace(name)
    wait_until(
        lambda: name not in {entry.metadata.name for entry in found.core.list_namespace().items},
        f"the end of namespace {name}",
        seconds=40,
    )
    # Pods that have ended go from the API at once; their containers a moment later.
    label = f"label=io.kubernetes.pod.namespace={name}"
    wait_until(lambda: not docker("ps", "-aq", "--filter", label).strip(), "the engine to be as before")
    assert not docker("volume", "ls", "-q", "--filter", label).strip()


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], str]:
    """Writes a manifest and gives its path, for kubectl."""

    def write(text: str) -> str:
        path = tmp_path / "manifest.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write
