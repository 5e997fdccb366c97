"""Objects of a deployment: what is sent, what is put right, what goes, and what was there before."""

from __future__ import annotations

from tests.scenarios.application import (
    FOREVER,
    ApplicationFactory,
    config_map,
    container,
    pod,
    uid,
    workload,
)


def test_an_object_that_left_the_manifests_is_deleted(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("stays", {"a": "1"}), config_map("goes", {"a": "1"}))
    app.doit().succeeded()
    stays = app.place.there("configmaps", "stays")
    app.place.there("configmaps", "goes")

    app.deploys(config_map("stays", {"a": "1"}))
    output = app.doit().succeeded().output
    assert ' - configmap "goes" deleted' in output, output
    assert app.place.object("configmaps", "goes") is None
    assert app.place.there("configmaps", "stays")["metadata"] == stays["metadata"], "it was written without need"


def test_a_renamed_deployment_replaces_the_old_one(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(workload("Deployment", "old", container("c", base_image, FOREVER)))
    app.doit().succeeded()
    assert app.place.there("deployments", "old")["status"]["availableReplicas"] == 1
    app.deploys(workload("Deployment", "new", container("c", base_image, FOREVER)))
    app.doit().succeeded()
    assert [item["metadata"]["name"] for item in app.place.list("deployments")] == ["new"]
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_nothing_is_deleted_where_a_manifest_is_broken(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("one", {"a": "1"}), config_map("two", {"a": "1"}))
    app.doit().succeeded()
    before = app.place.held()
    assert {"configmaps/one", "configmaps/two"} <= set(before)

    app.deploys(config_map("one", {"a": "2"}))
    app.project.write("k8s/broken.yaml", "apiVersion: v1\nkind: [\n")
    output = app.doit().failed(1).output
    assert "k8s/broken.yaml:" in output, output
    assert app.place.held() == before

    app.project.write("k8s/broken.yaml", "apiVersion: v1\nkind: NoSuchKind\nmetadata:\n  name: x\n")
    output = app.doit().failed(1).output
    assert "k8s/broken.yaml:1:1" in output, output
    assert app.place.there("configmaps", "two"), "an object was deleted though another could not be applied"


def test_a_field_that_left_the_manifest_is_removed(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1", "b": "2"}, labels={"x": "y"}))
    app.doit().succeeded()
    first = app.place.there("configmaps", "it")
    assert first["data"] == {"a": "1", "b": "2"}
    app.deploys(config_map("it", {"a": "1"}))
    app.doit().succeeded()
    then = app.place.there("configmaps", "it")
    assert then["data"] == {"a": "1"}
    assert "x" in first["metadata"]["labels"] and "x" not in then["metadata"]["labels"]
    assert uid(then) == uid(first)


def test_an_edit_by_somebody_else_is_put_right(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    app.doit().succeeded()
    app.place.kubectl("patch", "configmap", "it", "--type=merge", "-p", '{"data":{"a":null,"theirs":"1"}}').succeeded()
    assert app.place.there("configmaps", "it")["data"] == {"theirs": "1"}

    app.doit().succeeded()
    assert app.place.there("configmaps", "it")["data"] == {"a": "1", "theirs": "1"}
    assert "Nothing to do" in app.doit().succeeded().output


def test_an_object_deleted_by_somebody_else_is_made_again(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}), config_map("other", {"a": "1"}))
    app.doit().succeeded()
    first, other = app.place.there("configmaps", "it"), app.place.there("configmaps", "other")
    app.place.kubectl("delete", "configmap", "it").succeeded()
    assert app.place.object("configmaps", "it") is None

    app.doit().succeeded()
    again = app.place.there("configmaps", "it")
    assert uid(again) != uid(first) and again["data"] == {"a": "1"}
    assert app.place.there("configmaps", "other") == other
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_an_object_that_was_there_before_is_adopted_and_stays(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"ours": "1"}))
    app.place.apply(config_map("it", {"theirs": "1"}))
    before = app.place.there("configmaps", "it")

    output = app.doit().succeeded().output
    assert "it was there before" in output, output
    assert app.place.there("configmaps", "it")["data"] == {"theirs": "1", "ours": "1"}

    output = app.doit("delete").succeeded().output
    assert ' - configmap "it" stays' in output, output
    after = app.place.there("configmaps", "it")
    assert after["data"] == {"theirs": "1"}
    assert uid(after) == uid(before)
    assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
    assert {entry["manager"] for entry in after["metadata"]["managedFields"]} == {
        entry["manager"] for entry in before["metadata"]["managedFields"]
    }
    assert app.status()["cluster"] == []


def test_what_cannot_be_changed_in_place_is_made_anew(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(
        pod("it", container("c", base_image, FOREVER)), workload("Job", "once", container("c", base_image, "echo one"))
    )
    app.doit().succeeded()
    old_pod, old_job = app.place.there("pods", "it"), app.place.there("jobs", "once")

    app.deploys(
        pod("it", container("c", base_image, FOREVER, env=[{"name": "A", "value": "1"}])),
        workload("Job", "once", container("c", base_image, "echo two")),
    )
    output = app.doit().succeeded().output
    assert ' - pod "it" cannot be changed in place: made anew' in output, output
    new_pod, new_job = app.place.there("pods", "it"), app.place.there("jobs", "once")
    assert uid(new_pod) != uid(old_pod) and uid(new_job) != uid(old_job)
    assert new_pod["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert app.logs("job/once").strip() == "two"
    assert "Nothing to do" in app.doit().succeeded().output
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_somebody_elses_pod_is_not_made_anew(application: ApplicationFactory, base_image: str) -> None:
    ours = container("c", base_image, FOREVER, env=[{"name": "A", "value": "1"}])
    app = application(artifact=False).deploys(pod("it", ours))
    app.place.apply(pod("it", container("c", base_image, FOREVER)))
    before = uid(app.place.there("pods", "it"))
    app.doit().failed(1)
    assert uid(app.place.there("pods", "it")) == before
    app.doit("delete").succeeded()
    assert uid(app.place.there("pods", "it")) == before


def test_names_and_kinds_that_look_like_others(application: ApplicationFactory) -> None:
    """A kind of another group may be called as one of Kubernetes' own, and a role's name may hold what separates names."""
    app = application(artifact=False)
    group = f"{app.name}.example.com"
    names = {"plural": "namespaces", "singular": "namespace", "kind": "Namespace", "listKind": "NamespaceList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"namespaces.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": names,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
    rbac = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": f"{app.name}|a|b"}, "rules": []}
    resource = {"apiVersion": f"{group}/v1", "kind": "Namespace", "metadata": {"name": "it"}, "spec": {}}
    app.deploys(resource, definition, role)
    app.doit().succeeded()
    there = app.place.kubectl("get", f"clusterroles,namespaces.{group}", "-o", "name").succeeded().output.split()
    assert {f"namespace.{group}/it", f"clusterrole.rbac.authorization.k8s.io/{app.name}|a|b"} <= set(there), there
    assert "Nothing to do" in app.doit().succeeded().output
    app.doit("status").succeeded()
    app.doit("delete").succeeded()
    left = app.place.kubectl("get", "crds,clusterroles", "-o", "name").succeeded().output
    assert app.name not in left and not app.place.held(), left
