"""The embedded cluster that tests share must be a real one, reached by the real kubectl and by a project's environment."""

from __future__ import annotations

import json

from tests.conftest import Cluster, ProjectFactory
from tests.engine import docker, wait_until


def test_a_pod_runs_as_a_container_of_the_engine(sandbox_cluster: Cluster, project: ProjectFactory, base_image: str) -> None:
    here = project()
    here.environment |= sandbox_cluster.environment
    container = {"name": "hello", "image": base_image, "command": ["sh", "-c", "echo hello from the Pod; sleep 60 & wait"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "seen"}, "spec": {"containers": [container]}}
    here.write("pod.json", json.dumps(pod))
    here.start("kubectl", "apply", "-f", "pod.json").wait().succeeded()
    wait_until(
        lambda: "hello from the Pod" in sandbox_cluster.kubectl("logs", "seen").output,
        "the Pod's line",
        tell=lambda: sandbox_cluster.kubectl("describe", "pod", "seen").output,
    )
    label = "label=io.kubernetes.pod.name=seen"
    assert docker("ps", "--quiet", "--filter", label).strip()
    sandbox_cluster.kubectl("delete", "pod", "seen", "--grace-period=1").succeeded()
    assert not docker("ps", "--all", "--quiet", "--filter", label).strip()
