"""kubectl, as people use it, on the embedded cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cluster
from tests.sandbox.conftest import RawApi, config_map, deployment

pytestmark = pytest.mark.sandbox


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "app.json"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    items = [config_map(a="1"), deployment(), service]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


def test_apply_get_and_delete(sandbox_cluster: Cluster, namespace: str, manifest: Path) -> None:
    def kubectl(*arguments: str) -> str:
        return sandbox_cluster.kubectl("-n", namespace, *arguments).succeeded().output

    created = kubectl("apply", "-f", str(manifest))
    assert [line.split()[-1] for line in created.strip().splitlines()] == ["created"] * 3
    assert [line.split()[-1] for line in kubectl("apply", "-f", str(manifest)).strip().splitlines()] == ["unchanged"] * 3
    assert kubectl("diff", "-f", str(manifest)) == ""
    lines = kubectl("get", "deployments,configmaps,services").splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1].split()[:4] == ["deployment.apps/web", "0/0", "0", "0"]
    assert "deployment.apps/web" in kubectl("get", "all", "-o", "name").split()
    assert "1 replicas" not in kubectl("describe", "deployment", "web")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.selector.matchLabels.app}") == "web"
    assert kubectl("scale", "deployment", "web", "--replicas=0").strip() == "deployment.apps/web scaled"
    assert "image updated" in kubectl("set", "image", "deployment/web", "main=none:2")
    assert kubectl("label", "configmap", "conf", "x=y").strip() == "configmap/conf labeled"
    assert kubectl("get", "configmaps", "-l", "x=y", "-o", "name").strip() == "configmap/conf"
    assert kubectl("annotate", "configmap", "conf", "x=y").strip() == "configmap/conf annotated"
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    deleted = kubectl("delete", "-f", str(manifest), "--wait=true")
    # newer clients add "from NAME namespace"
    assert [line.split()[2] for line in deleted.strip().splitlines()] == ["deleted"] * 3, deleted
    assert kubectl("get", "deployments,configmaps,services", "-o", "name").strip() == "configmap/kube-root-ca.crt"


def test_server_side_apply_and_its_conflict(sandbox_cluster: Cluster, api: RawApi, namespace: str, manifest: Path) -> None:
    def apply(*arguments: str) -> Any:
        return sandbox_cluster.kubectl("-n", namespace, "apply", "--server-side", "-f", str(manifest), *arguments)

    assert apply().succeeded().output.count("serverside-applied") == 3
    path = f"/api/v1/namespaces/{namespace}/configmaps/conf"
    before = api.get(path).ok()
    assert apply().succeeded().output.count("serverside-applied") == 3
    assert api.get(path).ok() == before
    api.apply(path, config_map(a="2"), "other", force="true").ok()
    refused = apply()
    assert refused.code == 1
    assert 'conflict with "other": .data.a' in refused.output
    assert apply("--force-conflicts").succeeded()
    assert api.get(path).ok()["data"] == {"a": "1"}


def test_mistakes_are_named(sandbox_cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    wrong = deployment()
    wrong["spec"]["replcas"] = 1
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(wrong))
    refused = sandbox_cluster.kubectl("-n", namespace, "apply", "-f", str(path))
    assert refused.code == 1
    assert 'unknown field "spec.replcas"' in refused.output
    missing = sandbox_cluster.kubectl("-n", namespace, "get", "deployment", "nothing")
    assert 'Error from server (NotFound): deployments.apps "nothing" not found' in missing.output
    unknown = sandbox_cluster.kubectl("get", "gadgets")
    assert "the server doesn't have a resource type" in unknown.output


def test_discovery(sandbox_cluster: Cluster) -> None:
    lines = sandbox_cluster.kubectl("api-resources", "--no-headers").succeeded().output.splitlines()
    kinds = {line.split()[-1] for line in lines}
    assert {"Pod", "Deployment", "Job", "Service", "ConfigMap", "Secret", "Namespace", "Event", "Node"} <= kinds
    versions = sandbox_cluster.kubectl("api-versions").succeeded().output.split()
    assert {"v1", "apps/v1", "batch/v1"} <= set(versions)
    assert sandbox_cluster.kubectl("auth", "can-i", "create", "pods").output.strip() == "yes"


def test_wait_and_watch(sandbox_cluster: Cluster, api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment()).ok()
    waited = sandbox_cluster.kubectl("-n", namespace, "wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    assert "condition met" in waited.succeeded().output
    gone = sandbox_cluster.kubectl("-n", namespace, "delete", "deployment", "web", "--cascade=foreground")
    assert 'deployment.apps "web" deleted' in gone.succeeded().output
    assert api.get(f"{path}/web").code == 404
