"""Deletion as the API has it: preconditions, finalizers, propagation, what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import MERGE, RawApi, config_map, deployment, wait_for

pytestmark = pytest.mark.sandbox
NO_UID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def options(**values: Any) -> dict[str, Any]:
    return {"kind": "DeleteOptions", "apiVersion": "v1", **values}


def test_a_wrong_uid_is_a_conflict_and_nothing_goes(api: RawApi, maps: str) -> None:
    made = api.post(maps, config_map()).ok()
    refused = api.delete(f"{maps}/conf", options(preconditions={"uid": NO_UID}))
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert f"UID in precondition: {NO_UID}, UID in object meta: {made['metadata']['uid']}" in refused.body["message"]
    assert api.get(f"{maps}/conf").ok() == made
    gone = api.delete(f"{maps}/conf", options(preconditions={"uid": made["metadata"]["uid"]})).ok()
    assert gone["status"] == "Success"
    assert gone["details"] == {"name": "conf", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert api.get(f"{maps}/conf").code == 404


def test_a_wrong_resource_version_is_a_conflict(api: RawApi, maps: str) -> None:
    old = api.post(maps, config_map(a="1")).ok()["metadata"]["resourceVersion"]
    api.send("PATCH", f"{maps}/conf", {"data": {"a": "2"}}, kind=MERGE).ok()
    refused = api.delete(f"{maps}/conf", options(preconditions={"resourceVersion": old}))
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert api.get(f"{maps}/conf").code == 200


def test_deleting_what_is_not_there_is_404(api: RawApi, maps: str) -> None:
    missing = api.delete(f"{maps}/nothing")
    assert (missing.code, missing.reason) == (404, "NotFound")
    assert missing.body["details"] == {"name": "nothing", "kind": "configmaps"}


def test_a_finalizer_holds_the_object_until_it_is_taken_away(api: RawApi, maps: str) -> None:
    body = config_map()
    body["metadata"]["finalizers"] = ["kfold.dev/hold"]
    uid = api.post(maps, body).ok()["metadata"]["uid"]
    held = api.delete(f"{maps}/conf").ok()
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["uid"] == uid
    again = api.delete(f"{maps}/conf").ok()
    assert again["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]
    # a new finalizer cannot be added any more
    more = {"metadata": {"finalizers": ["kfold.dev/hold", "kfold.dev/more"]}}
    kept = api.send("PATCH", f"{maps}/conf", more, kind=MERGE)
    assert kept.code == 422 or kept.ok()["metadata"]["finalizers"] == ["kfold.dev/hold"]
    api.send("PATCH", f"{maps}/conf", {"metadata": {"finalizers": None}}, kind=MERGE).ok()
    assert api.get(f"{maps}/conf").code == 404


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_propagation(api: RawApi, namespace: str, policy: str) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    sets = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    api.post(deployments, deployment()).ok()
    owned = wait_for(lambda: api.get(sets).ok()["items"], text="the ReplicaSet")
    api.delete(f"{deployments}/web", options(propagationPolicy=policy)).ok()
    wait_for(lambda: api.get(f"{deployments}/web").code == 404, text="the end of the Deployment")
    if policy == "Orphan":
        left = api.get(f"{sets}/{owned[0]['metadata']['name']}").ok()
        assert not left["metadata"].get("ownerReferences")
    else:
        wait_for(lambda: api.get(sets).ok()["items"] == [], text="the end of the ReplicaSet")


def test_foreground_waits_for_what_is_owned(api: RawApi, maps: str) -> None:
    owner = api.post(maps, config_map("owner")).ok()
    child = config_map("child")
    child["metadata"]["finalizers"] = ["kfold.dev/hold"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    child["metadata"]["ownerReferences"] = [reference | {"blockOwnerDeletion": True}]
    api.post(maps, child).ok()
    held = api.delete(f"{maps}/owner", options(propagationPolicy="Foreground")).ok()
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    wait_for(lambda: api.get(f"{maps}/child").ok()["metadata"].get("deletionTimestamp"), text="the child's deletion")
    assert api.get(f"{maps}/owner").code == 200
    api.send("PATCH", f"{maps}/child", {"metadata": {"finalizers": None}}, kind=MERGE).ok()
    wait_for(lambda: api.get(f"{maps}/owner").code == 404, text="the end of the owner")


def test_dry_run_deletes_nothing(api: RawApi, maps: str) -> None:
    made = api.post(maps, config_map()).ok()
    api.delete(f"{maps}/conf", options(dryRun=["All"])).ok()
    api.delete(f"{maps}/conf", dryRun="All").ok()
    assert api.get(f"{maps}/conf").ok() == made


def test_a_collection_goes_by_selector(api: RawApi, maps: str) -> None:
    for name, tier in (("a", "x"), ("b", "y"), ("c", "x")):
        body = config_map(name)
        body["metadata"]["labels"] = {"tier": tier}
        api.post(maps, body).ok()
    api.delete(maps, labelSelector="tier=x").ok()
    left = {item["metadata"]["name"] for item in api.get(maps).ok()["items"]}
    assert left - {"kube-root-ca.crt"} == {"b"}


def test_a_namespace_takes_everything_in_it(api: RawApi) -> None:
    path = "/api/v1/namespaces/doomed"
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}).ok()
    body = config_map()
    body["metadata"]["finalizers"] = ["kfold.dev/hold"]
    api.post(f"{path}/configmaps", body).ok()
    left = api.delete(path).ok()
    assert left["status"]["phase"] == "Terminating"
    refused = api.post(f"{path}/configmaps", config_map("late"))
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert api.get(path).code == 200
    api.send("PATCH", f"{path}/configmaps/conf", {"metadata": {"finalizers": None}}, kind=MERGE).ok()
    wait_for(lambda: api.get(path).code == 404, text="the end of the namespace")


def test_the_namespaces_of_the_cluster_itself_stay(api: RawApi) -> None:
    for name in ("default", "kube-system"):
        refused = api.delete(f"/api/v1/namespaces/{name}")
        assert (refused.code, refused.reason) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "Pod"}, 400),
        ([1], 400),
        (options(propagationPolicy="Sideways"), 422),
        (options(gracePeriodSeconds="soon"), 400),
        (options(preconditions="x"), 400),
        (options(preconditions={"uid": 5}), 400),
    ],
)
def test_bad_options_are_refused(api: RawApi, maps: str, body: Any, code: int) -> None:
    api.post(maps, config_map()).ok()
    assert api.delete(f"{maps}/conf", body).code == code
    assert api.get(f"{maps}/conf").code == 200


def test_a_namespace_can_be_finalized_by_force(api: RawApi) -> None:
    """PUT namespaces/x/finalize, as people do where a namespace hangs: it goes, whatever is left in it."""
    path = "/api/v1/namespaces/hangs"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hangs"}}
    api.post("/api/v1/namespaces", {**body, "metadata": {"name": "hangs", "finalizers": ["kfold.dev/hold"]}}).ok()
    held = config_map("held")
    held["metadata"]["finalizers"] = ["kfold.dev/hold"]
    api.post(f"{path}/configmaps", held).ok()
    assert api.put(f"{path}/finalize", body).code == 501
    api.delete(path).ok()
    live = api.get(path).ok()
    assert live["status"]["phase"] == "Terminating"
    live["spec"]["finalizers"] = []
    stale = {**live, "metadata": {**live["metadata"], "resourceVersion": "1"}}
    assert api.put(f"{path}/finalize", stale).code == 409
    assert api.put(f"{path}/finalize", live).ok()["status"]["phase"] == "Terminating"
    assert api.get(path).code == 200  # its own finalizer holds it
    api.send("PATCH", path, {"metadata": {"finalizers": None}}, kind=MERGE).ok()
    live = api.get(path).ok()
    live["spec"]["finalizers"] = []
    assert api.put(f"{path}/finalize", live).code == 200
    assert api.get(path).code == 404
    api.send("PATCH", f"{path}/configmaps/held", {"metadata": {"finalizers": None}}, kind=MERGE)
