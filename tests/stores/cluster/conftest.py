"""One contract, several clusters: the fake one, and the real store on the embedded cluster.

`KFOLD_TEST_KUBECONFIG` names a kubeconfig whose current context is then used as well (a real cluster).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfold.stores import kubeconfig
from kfold.stores.cluster import Cluster, ClusterStore, ObjectRef
from kfold.stores.fake_cluster import FakeCluster
from tests.conftest import Cluster as RunningCluster
from tests.stores.cluster.server import Running, running

Edit = Callable[[ObjectRef, dict[str, Any]], None]


@dataclass
class Subject:
    """A cluster under test: a store, another client of the same cluster, a namespace of its own, somebody else's edits."""

    store: ClusterStore
    again: ClusterStore
    namespace: str
    edit: Edit


REAL = [pytest.param("sandbox", marks=pytest.mark.sandbox), *(["real"] if os.environ.get("KFOLD_TEST_KUBECONFIG") else [])]


@pytest.fixture(params=["fake", *REAL])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        fake = FakeCluster(tmp_path / "cluster.json")
        yield from _with_namespace(fake, FakeCluster(tmp_path / "cluster.json"), fake.edit)
        return
    file = (request.getfixturevalue("sandbox_cluster").kubeconfig if request.param == "sandbox"
            else Path(os.environ["KFOLD_TEST_KUBECONFIG"]))
    yield from _real(file, tmp_path)


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """What only the real store can show."""
    file = (request.getfixturevalue("sandbox_cluster").kubeconfig if request.param == "sandbox"
            else Path(os.environ["KFOLD_TEST_KUBECONFIG"]))
    yield from _real(file, tmp_path)


@pytest.fixture
def sandbox_entry(sandbox_cluster: RunningCluster) -> kubeconfig.ContextEntry:
    return kubeconfig.load({}, paths=[sandbox_cluster.kubeconfig]).context()


def _real(file: Path, tmp_path: Path) -> Iterator[Subject]:
    entry = kubeconfig.load({}, paths=[file]).context()
    store, again = Cluster(entry, cache=tmp_path / "cache"), Cluster(entry)

    def edit(ref: ObjectRef, change: dict[str, Any]) -> None:
        # another manager's merge patch, as `kubectl edit` sends it
        kind = store._kinds.find(ref.api_version, ref.kind)
        from kubernetes.dynamic import DynamicClient
        from kubernetes.dynamic.resource import Resource

        client = again._official._client(again._official._credentials.current())
        group, _, version = ref.api_version.rpartition("/")
        resource = Resource(prefix="apis" if group else "api", group=group, api_version=version, kind=ref.kind,
                            name=kind.plural, namespaced=kind.namespaced)
        DynamicClient(client, discoverer=lambda _client, _cache: None).patch(
            resource, body=change, name=ref.name, namespace=ref.namespace or None,
            content_type="application/merge-patch+json", field_manager="kubectl-edit",
            header_params=again._official._headers(again._official._credentials.current()), serialize=False)

    yield from _with_namespace(store, again, edit)
    store.close()
    again.close()


def _with_namespace(store: ClusterStore, again: ClusterStore, edit: Edit) -> Iterator[Subject]:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    made = store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert made.uid
    yield Subject(store, again, name, edit)
    assert store.delete(ObjectRef("v1", "Namespace", "", name), uid=made.uid) in ("requested", "gone")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Running]:
    """A TLS server that answers what a test scripts."""
    with running(tmp_path) as one:
        yield one
