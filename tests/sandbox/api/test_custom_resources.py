"""CustomResourceDefinitions and their resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cluster
from tests.sandbox.conftest import MERGE, STRATEGIC, RawApi, wait_for

pytestmark = pytest.mark.sandbox

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "widgets.kfold.dev"


@pytest.fixture
def definition(api: RawApi) -> Iterator[dict[str, Any]]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]}
    spec = {"group": "kfold.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": spec,
    }
    yield api.post(DEFINITIONS, body).ok()
    if api.get(f"{DEFINITIONS}/{NAME}").code == 200:
        api.delete(f"{DEFINITIONS}/{NAME}").ok()
        wait_for(lambda: api.get(f"{DEFINITIONS}/{NAME}").code == 404, text="the end of the definition")


def widget(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "kfold.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def test_a_defined_kind_is_served(api: RawApi, sandbox_cluster: Cluster, namespace: str, definition: dict[str, Any]) -> None:
    path = f"/apis/kfold.dev/v1/namespaces/{namespace}/widgets"

    def established() -> bool:
        conditions = api.get(f"{DEFINITIONS}/{NAME}").ok().get("status", {}).get("conditions", [])
        return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)

    wait_for(established, text="Established")
    made = api.post(path, widget(size=1, parts=[{"name": "a"}])).ok()
    assert made["spec"] == {"size": 1, "parts": [{"name": "a"}]}
    assert made["metadata"]["generation"] == 1
    assert api.get(path).ok()["items"][0]["kind"] == "Widget"
    shown = sandbox_cluster.kubectl("-n", namespace, "get", "wd").succeeded().output.splitlines()
    assert (shown[0].split(), shown[1].split()[0]) == (["NAME", "AGE"], "w")
    assert api.send("PATCH", f"{path}/w", {"spec": {}}, kind=STRATEGIC).code == 415
    assert api.put(f"{path}/w", widget()).code == 422, "a resourceVersion must be given"
    changed = api.send("PATCH", f"{path}/w", {"spec": {"size": 2}, "status": {"no": 1}}, kind=MERGE).ok()
    assert (changed["metadata"]["generation"], changed.get("status")) == (2, None)
    status = api.send("PATCH", f"{path}/w/status", {"status": {"ready": True}}, kind=MERGE).ok()
    assert (status["status"], status["metadata"]["generation"]) == ({"ready": True}, 2)


def test_apply_of_a_custom_resource_owns_lists_as_a_whole(api: RawApi, namespace: str, definition: dict[str, Any]) -> None:
    path = f"/apis/kfold.dev/v1/namespaces/{namespace}/widgets/w"
    made = api.apply(path, widget(size=1, parts=[{"name": "a"}])).ok()
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {".": {}, "f:parts": {}, "f:size": {}}}
    assert api.apply(path, widget(size=1, parts=[{"name": "a"}])).ok() == made
    assert api.apply(path, widget(parts=[])).ok()["spec"] == {"parts": []}


def test_a_definition_takes_its_resources_along(api: RawApi, namespace: str, definition: dict[str, Any]) -> None:
    path = f"/apis/kfold.dev/v1/namespaces/{namespace}/widgets"
    api.post(path, widget()).ok()
    api.delete(f"{DEFINITIONS}/{NAME}").ok()
    wait_for(lambda: api.get(f"{DEFINITIONS}/{NAME}").code == 404, text="the end of the definition")
    assert api.get(path).code == 404
    assert "kfold.dev" not in [group["name"] for group in api.get("/apis").ok()["groups"]]
