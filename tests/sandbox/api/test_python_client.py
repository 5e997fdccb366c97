"""The official Python client: typed and dynamic, watches included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cluster
from tests.sandbox.conftest import config_map, deployment

pytestmark = pytest.mark.sandbox


@pytest.fixture
def client(sandbox_cluster: Cluster) -> Iterator[Any]:
    from kubernetes import config

    made = config.new_client_from_config(str(sandbox_cluster.kubeconfig), sandbox_cluster.context)
    yield made
    made.close()


@pytest.fixture
def dynamic(client: Any, tmp_path: Any) -> Any:
    from kubernetes.dynamic import DynamicClient

    return DynamicClient(client, cache_file=str(tmp_path / "discovery.json"))


def test_every_built_in_kind_is_discovered(dynamic: Any) -> None:
    for version, kind in (("v1", "Pod"), ("apps/v1", "Deployment"), ("batch/v1", "Job"), ("apps/v1", "StatefulSet")):
        found = dynamic.resources.get(api_version=version, kind=kind)
        assert found.kind == kind


def test_dynamic(dynamic: Any, namespace: str) -> None:
    from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    body = config_map(a="1")
    made = maps.server_side_apply(body=body, name="conf", namespace=namespace, field_manager="kfold")
    assert made.data.a == "1"
    maps.server_side_apply(
        body=config_map(a="2"), name="conf", namespace=namespace, field_manager="other", force_conflicts=True
    )
    with pytest.raises(ConflictError) as refused:
        maps.server_side_apply(body=body, name="conf", namespace=namespace, field_manager="kfold")
    assert refused.value.status == 409
    patch = {"data": {"b": "3"}}
    patched = maps.patch(body=patch, name="conf", namespace=namespace, content_type="application/merge-patch+json")
    assert patched.data.to_dict() == {"a": "2", "b": "3"}
    assert "conf" in [item.metadata.name for item in maps.get(namespace=namespace).items]
    events = list(maps.watch(namespace=namespace, name="conf", timeout=1))
    assert [event["type"] for event in events] == ["ADDED"]
    maps.delete(name="conf", namespace=namespace)
    with pytest.raises(NotFoundError):
        maps.get(name="conf", namespace=namespace)


def test_typed(client: Any, namespace: str) -> None:
    from kubernetes import client as kubernetes
    from kubernetes import watch

    apps = kubernetes.AppsV1Api(client)
    made = apps.create_namespaced_deployment(namespace, deployment())
    assert made.spec.replicas == 0
    listed = apps.list_namespaced_deployment(namespace)
    assert [item.metadata.name for item in listed.items] == ["web"]
    stream = watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=1)
    assert [event["object"].metadata.name for event in stream][:1] == ["web"]
    options = kubernetes.V1DeleteOptions(preconditions=kubernetes.V1Preconditions(uid="no"))
    with pytest.raises(kubernetes.ApiException) as refused:
        apps.delete_namespaced_deployment("web", namespace, body=options)
    assert refused.value.status == 409
    apps.delete_namespaced_deployment("web", namespace)
    core = kubernetes.CoreV1Api(client)
    assert "kube-system" in [item.metadata.name for item in core.list_namespace().items]
    assert core.list_node().items[0].spec.provider_id.startswith("kfold-sandbox://")
