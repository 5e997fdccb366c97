"""Deletion: preconditions, finalizers, what becomes of dependents, namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import CORE, JSON_PATCH, PATIENCE, Json, Space, condition_of
from tests.scenarios.api.objects import config_map, deployment, idle_pod, owned_by

HOLD = "kfold.dev/hold"


def held(obj: Json) -> Json:
    """With a finalizer that only the case itself takes away."""
    return {**obj, "metadata": {**obj["metadata"], "finalizers": [HOLD]}}


def release(space: Space, kind: str, name: str) -> None:
    """Take our finalizer away; others stay."""
    finalizers = space.get(kind, name)["metadata"].get("finalizers") or []
    space.patch(kind, name, {"metadata": {"finalizers": [entry for entry in finalizers if entry != HOLD] or None}})


def test_delete_answers_with_a_status(space: Space) -> None:
    """DELETE of a ConfigMap answers 200 with a Status that has the uid; the object is gone at once."""
    uid = space.create(config_map())["metadata"]["uid"]
    answer = space.delete("ConfigMap", "conf").ok()
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"] == {"name": "conf", "kind": "configmaps", "uid": uid}
    assert space.find("ConfigMap", "conf") is None


@pytest.mark.parametrize("key", ["uid", "resourceVersion"])
def test_preconditions(space: Space, key: str) -> None:
    """preconditions.uid and .resourceVersion must be the object's: 409 Conflict otherwise, and it stays."""
    metadata = space.create(config_map())["metadata"]
    wrong = space.delete("ConfigMap", "conf", preconditions={key: "00000000-0000-0000-0000-000000000000"})
    wrong.refused(409, "Conflict")
    assert "Precondition failed" in wrong.message
    assert space.find("ConfigMap", "conf")
    space.delete("ConfigMap", "conf", preconditions={key: metadata[key]}).ok()
    assert space.find("ConfigMap", "conf") is None


def test_a_finalizer_holds_an_object(space: Space) -> None:
    """With a finalizer DELETE only marks the object: deletionTimestamp is set, and it goes with the last finalizer."""
    space.create(held(config_map()))
    answer = space.delete("ConfigMap", "conf").ok()
    assert answer["metadata"]["deletionTimestamp"]
    stays = space.get("ConfigMap", "conf")["metadata"]
    assert (stays["finalizers"], stays["deletionGracePeriodSeconds"]) == ([HOLD], 0)
    again = space.delete("ConfigMap", "conf").ok()
    assert again["metadata"]["deletionTimestamp"] == stays["deletionTimestamp"]
    release(space, "ConfigMap", "conf")
    assert space.find("ConfigMap", "conf") is None


def test_no_finalizer_joins_a_deletion(space: Space) -> None:
    """Once deletion has begun no finalizer can be added: 422, Forbidden."""
    space.create(held(config_map()))
    space.delete("ConfigMap", "conf").ok()
    add = [{"op": "add", "path": "/metadata/finalizers/-", "value": "kfold.dev/late"}]
    refused = space.api.patch(space.path("ConfigMap", "conf"), add, JSON_PATCH).refused(422, "Invalid")
    assert "no new finalizers can be added if the object is being deleted" in refused.message
    release(space, "ConfigMap", "conf")


def test_a_marked_object_can_be_changed(space: Space) -> None:
    """An object that is being deleted can still be changed; deletionTimestamp cannot be taken back."""
    space.create(held(config_map(a="1")))
    space.delete("ConfigMap", "conf").ok()
    changed = space.patch("ConfigMap", "conf", {"data": {"a": "2"}, "metadata": {"deletionTimestamp": None}})
    assert changed["data"] == {"a": "2"}
    assert changed["metadata"]["deletionTimestamp"]
    release(space, "ConfigMap", "conf")


def test_background_deletion(space: Space) -> None:
    """Background: the owner goes at once, its dependents are collected after it, and theirs after them."""
    owner = space.create(config_map("owner"))
    child = space.create(owned_by(owner, config_map("child")))
    space.create(owned_by(child, config_map("grandchild")))
    space.delete("ConfigMap", "owner", propagationPolicy="Background").ok()
    assert space.find("ConfigMap", "owner") is None
    space.gone("ConfigMap", "child")
    space.gone("ConfigMap", "grandchild")


def test_foreground_deletion(space: Space) -> None:
    """Foreground: the owner stays with the finalizer foregroundDeletion until the dependents that block it are gone."""
    owner = space.create(config_map("owner"))
    space.create(owned_by(owner, held(config_map("child")), blockOwnerDeletion=True))
    answer = space.delete("ConfigMap", "owner", propagationPolicy="Foreground").ok()
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    space.wait("ConfigMap", "child", lambda obj: obj["metadata"].get("deletionTimestamp"), "to be deleted")
    assert space.find("ConfigMap", "owner")
    release(space, "ConfigMap", "child")
    space.gone("ConfigMap", "owner")
    assert space.find("ConfigMap", "child") is None


def test_orphaning_deletion(space: Space) -> None:
    """Orphan: the dependents lose their reference to the owner and stay."""
    owner = space.create(config_map("owner"))
    space.create(owned_by(owner, config_map("child")))
    space.delete("ConfigMap", "owner", propagationPolicy="Orphan").ok()
    space.gone("ConfigMap", "owner")
    assert not space.get("ConfigMap", "child")["metadata"].get("ownerReferences")


def test_a_dependent_of_two_owners(space: Space) -> None:
    """A dependent goes with its last owner; the reference to an owner that is gone is taken away."""
    first, second = (space.create(config_map(name)) for name in ("first", "second"))
    space.create(owned_by(second, owned_by(first, config_map("child"))))
    space.delete("ConfigMap", "first", propagationPolicy="Background").ok()
    space.wait("ConfigMap", "child", lambda obj: len(obj["metadata"]["ownerReferences"]) == 1, "to lose one owner")
    space.delete("ConfigMap", "second", propagationPolicy="Background").ok()
    space.gone("ConfigMap", "child")


def test_an_owner_that_never_was(space: Space) -> None:
    """A dependent whose owner's uid does not exist is collected, even where an object of that name is there."""
    owner = space.create(config_map("owner"))
    stranger = {**owner, "metadata": {**owner["metadata"], "uid": "11111111-2222-3333-4444-555555555555"}}
    space.create(owned_by(stranger, config_map("child")))
    space.gone("ConfigMap", "child")
    assert space.find("ConfigMap", "owner")


def test_a_collection_is_deleted_by_selector(space: Space) -> None:
    """DELETE of a collection deletes what its selectors select."""
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {"x": "2"})):
        space.create(config_map(name, labels))
    space.api.delete(space.path("ConfigMap"), labelSelector="x=1").ok()
    assert [name for name in space.names("ConfigMap") if len(name) == 1] == ["c"]


def test_a_pod_without_node_goes_at_once(space: Space) -> None:
    """A Pod that was never bound to a node has no grace period: DELETE removes it at once, and answers with it."""
    space.create(idle_pod("idle", terminationGracePeriodSeconds=600))
    answer = space.delete("Pod", "idle").ok()
    assert answer["kind"] == "Pod"
    assert space.find("Pod", "idle") is None


def test_deletion_counts_as_a_generation(space: Space) -> None:
    """Marking an object as deleted counts its generation up: the desired state has changed."""
    space.create(held(deployment("web")))
    answer = space.delete("Deployment", "web").ok()
    assert answer["metadata"]["generation"] == 2
    release(space, "Deployment", "web")


# --- namespaces


def namespace(space: Space) -> Json:
    found: Json = space.api.get(f"{CORE}/namespaces/{space.name}").ok()
    return found


def test_what_a_namespace_gets(space: Space) -> None:
    """A Namespace is Active, labelled with its name, finalized by "kubernetes", and gets ServiceAccount and CA."""
    found = namespace(space)
    assert found["status"]["phase"] == "Active"
    assert found["spec"]["finalizers"] == ["kubernetes"]
    assert found["metadata"]["labels"]["kubernetes.io/metadata.name"] == space.name
    space.wait("ServiceAccount", "default", lambda _: True, "to be there")
    authority = space.wait("ConfigMap", "kube-root-ca.crt", lambda _: True, "to be there")
    assert authority["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")


def test_the_label_of_a_namespace_comes_back(space: Space) -> None:
    """The label kubernetes.io/metadata.name cannot be taken away: it is set again with the same write."""
    path = f"{CORE}/namespaces/{space.name}"
    changed = space.api.patch(path, {"metadata": {"labels": {"kubernetes.io/metadata.name": None}}}).ok()
    assert changed["metadata"]["labels"]["kubernetes.io/metadata.name"] == space.name


def test_a_namespace_takes_its_content_along(space: Space) -> None:
    """A deleted Namespace is Terminating until everything in it is gone, then it goes itself."""
    space.create(config_map())
    space.create(deployment("web"))
    answer = space.api.delete(f"{CORE}/namespaces/{space.name}").ok()
    assert answer["status"]["phase"] == "Terminating"
    path = f"{CORE}/namespaces/{space.name}"
    wait_until(lambda: space.api.get(path).code == 404, "the end of the namespace", seconds=PATIENCE)
    assert space.api.get(space.path("ConfigMap")).ok()["items"] == []


def test_a_terminating_namespace(space: Space) -> None:
    """It says what holds it up, refuses new content (403, NamespaceTerminating), and goes when the hold is gone."""
    space.create(held(config_map()))
    path = f"{CORE}/namespaces/{space.name}"
    space.api.delete(path).ok()
    wait_until(
        lambda: condition_of(namespace(space), "NamespaceFinalizersRemaining").get("status") == "True",
        "the condition",
        seconds=PATIENCE,
    )
    assert HOLD in condition_of(namespace(space), "NamespaceFinalizersRemaining")["message"]
    assert "configmaps." in condition_of(namespace(space), "NamespaceContentRemaining")["message"]
    refused = space.api.post(space.path("Secret"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}})
    refused.refused(403, "Forbidden")
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    release(space, "ConfigMap", "conf")
    wait_until(lambda: space.api.get(path).code == 404, "the end of the namespace", seconds=PATIENCE)


def test_a_finalizer_holds_a_namespace(space: Space) -> None:
    """A Namespace with a finalizer of its own is emptied, stays Terminating with all conditions, and goes when released."""
    path = f"{CORE}/namespaces/{space.name}"
    space.api.patch(path, {"metadata": {"finalizers": [HOLD]}}).ok()
    space.create(config_map())
    space.api.delete(path).ok()
    space.gone("ConfigMap", "conf")
    wait_until(
        lambda: condition_of(namespace(space), "NamespaceContentRemaining").get("status") == "False",
        "the condition",
        seconds=PATIENCE,
    )
    found = namespace(space)
    assert (found["status"]["phase"], found["metadata"]["finalizers"]) == ("Terminating", [HOLD])
    assert {entry["type"]: entry["status"] for entry in found["status"]["conditions"]} == {
        "NamespaceDeletionDiscoveryFailure": "False",
        "NamespaceDeletionGroupVersionParsingFailure": "False",
        "NamespaceDeletionContentFailure": "False",
        "NamespaceContentRemaining": "False",
        "NamespaceFinalizersRemaining": "False",
    }
    space.api.patch(path, {"metadata": {"finalizers": None}}).ok()
    wait_until(lambda: space.api.get(path).code == 404, "the end of the namespace", seconds=PATIENCE)


def test_a_released_namespace_is_emptied_first(space: Space) -> None:
    """A Namespace whose own finalizer is taken away while content is held stays until that is gone too."""
    path = f"{CORE}/namespaces/{space.name}"
    space.api.patch(path, {"metadata": {"finalizers": [HOLD]}}).ok()
    space.create(held(config_map()))
    space.api.delete(path).ok()
    space.wait("ConfigMap", "conf", lambda one: one["metadata"].get("deletionTimestamp"), "to be deleted")
    space.api.patch(path, {"metadata": {"finalizers": None}}).ok()
    assert namespace(space)["status"]["phase"] == "Terminating"
    release(space, "ConfigMap", "conf")
    wait_until(lambda: space.api.get(path).code == 404, "the end of the namespace", seconds=PATIENCE)


@pytest.mark.parametrize("policy", ["Foreground", "Orphan"])
def test_a_namespace_goes_whatever_the_propagation(space: Space, policy: str) -> None:
    """Whatever propagationPolicy is asked for, a Namespace goes with all that is in it."""
    space.create(config_map())
    path = f"{CORE}/namespaces/{space.name}"
    space.api.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}).ok()
    wait_until(lambda: space.api.get(path).code == 404, "the end of the namespace", seconds=PATIENCE)


def test_the_clusters_own_namespaces_stay(space: Space) -> None:
    """default, kube-system and kube-public cannot be deleted: 403."""
    for name in ("default", "kube-system", "kube-public"):
        answer: Any = space.api.delete(f"{CORE}/namespaces/{name}", dryRun="All")
        answer.refused(403, "Forbidden")
        assert "this namespace may not be deleted" in answer.message
