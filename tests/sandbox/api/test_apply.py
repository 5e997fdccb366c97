"""Server-side apply behaves as a real API server's does: facts found on Kubernetes 1.36."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.sandbox.conftest import MERGE, RawApi, config_map, deployment, wait_for

pytestmark = pytest.mark.sandbox


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def entry(obj: dict[str, Any], manager: str, operation: str = "Apply") -> dict[str, Any] | None:
    found = [e for e in obj["metadata"].get("managedFields", []) if (e["manager"], e["operation"]) == (manager, operation)]
    assert len(found) <= 1
    return found[0] if found else None


def fields(obj: dict[str, Any], manager: str = "kfold") -> Any:
    found = entry(obj, manager)
    return found["fieldsV1"] if found else None


def test_creates_and_says_so_with_201(api: RawApi, maps: str) -> None:
    made = api.apply(f"{maps}/conf", config_map(a="1"))
    assert made.code == 201
    assert made.body["data"] == {"a": "1"}
    assert fields(made.body) == {"f:data": {"f:a": {}}}
    assert api.apply(f"{maps}/conf", config_map(a="1")).code == 200


def test_the_same_apply_again_changes_nothing(api: RawApi, deployments: str) -> None:
    config = deployment(ports=[{"containerPort": 80}], env=[{"name": "A", "value": "1"}])
    first = api.apply(f"{deployments}/web", config).ok()
    again = api.apply(f"{deployments}/web", config).ok()
    assert again["metadata"]["generation"] == 1
    assert entry(again, "kfold") == entry(first, "kfold")
    # once its controller has written its status, nobody writes any more
    wait_for(lambda: api.get(f"{deployments}/web").ok().get("status", {}).get("observedGeneration") == 1)
    settled = api.get(f"{deployments}/web").ok()
    assert api.apply(f"{deployments}/web", config).ok() == settled


def test_the_same_apply_again_leaves_the_resource_version(api: RawApi, maps: str) -> None:
    first = api.apply(f"{maps}/conf", config_map(a="1")).ok()
    again = api.apply(f"{maps}/conf", config_map(a="1")).ok()
    assert again == first


def test_fields_v1_has_the_real_form(api: RawApi, deployments: str) -> None:
    config = deployment(ports=[{"containerPort": 80}], env=[{"name": "A", "value": "1"}], command=["x"])
    config["metadata"]["finalizers"] = ["kfold.dev/x"]
    made = api.apply(f"{deployments}/web", config).ok()
    assert fields(made) == {
        "f:metadata": {"f:finalizers": {'v:"kfold.dev/x"': {}}, "f:labels": {"f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:template": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"main"}': {
                            ".": {},
                            "f:command": {},
                            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                        }
                    }
                },
            },
        },
    }
    api.send("PATCH", f"{deployments}/web", {"metadata": {"finalizers": None}}, kind=MERGE).ok()


@pytest.mark.parametrize(
    ("patch", "changes"),
    [
        ({"data": {"a": "2"}}, True),  # a foreign edit of our field
        ({"data": {"a": None}}, True),  # our field is removed
        ({"data": {"a": "1"}}, False),  # the same value
        ({"data": {"b": "2"}}, False),  # a foreign field
        ({"metadata": {"labels": {"x": "y"}}}, False),
    ],
)
def test_our_fields_change_with_an_edit_of_ours_and_not_otherwise(
    api: RawApi, maps: str, patch: dict[str, Any], changes: bool
) -> None:
    ours = fields(api.apply(f"{maps}/conf", config_map(a="1", c="3")).ok())
    edited = api.send("PATCH", f"{maps}/conf", patch, kind=MERGE, fieldManager="human").ok()
    assert (fields(edited) != ours) is changes


def test_a_forced_apply_of_another_manager_takes_our_field(api: RawApi, maps: str) -> None:
    api.apply(f"{maps}/conf", config_map(a="1", b="1")).ok()
    taken = api.apply(f"{maps}/conf", config_map(a="2"), "other", force="true").ok()
    assert fields(taken) == {"f:data": {"f:b": {}}}
    assert fields(taken, "other") == {"f:data": {"f:a": {}}}
    assert taken["data"] == {"a": "2", "b": "1"}


def test_two_managers_who_say_the_same_share_a_field(api: RawApi, maps: str) -> None:
    api.apply(f"{maps}/conf", config_map(a="1")).ok()
    shared = api.apply(f"{maps}/conf", config_map(a="1"), "other").ok()
    assert fields(shared) == fields(shared, "other") == {"f:data": {"f:a": {}}}
    left = api.apply(f"{maps}/conf", config_map(), "other").ok()
    assert left["data"] == {"a": "1"}, "a field that the other still owns stays"
    assert fields(left, "other") is None


def test_what_a_manager_no_longer_says_is_removed(api: RawApi, deployments: str) -> None:
    config = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    config["metadata"]["labels"]["extra"] = "x"
    spec = config["spec"]["template"]["spec"]
    spec["containers"].append({"name": "side", "image": "none:2"})
    api.apply(f"{deployments}/web", config).ok()
    less = copy.deepcopy(config)
    del less["metadata"]["labels"]["extra"]
    less["spec"]["template"]["spec"]["containers"].pop()
    less["spec"]["template"]["spec"]["containers"][0]["env"].pop(0)
    left = api.apply(f"{deployments}/web", less).ok()
    containers = left["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["main"]
    assert containers[0]["env"] == [{"name": "B", "value": "2"}]
    assert left["metadata"]["labels"] == {"app": "web"}
    assert containers[0]["imagePullPolicy"] == "IfNotPresent", "defaults stay"


def test_a_removed_field_gets_its_default_again(api: RawApi, deployments: str) -> None:
    api.apply(f"{deployments}/web", deployment(replicas=0)).ok()
    config = deployment()
    config["spec"]["progressDeadlineSeconds"] = 7
    assert api.apply(f"{deployments}/web", config).ok()["spec"]["progressDeadlineSeconds"] == 7
    assert api.apply(f"{deployments}/web", deployment()).ok()["spec"]["progressDeadlineSeconds"] == 600


def test_a_field_created_by_post_and_left_out_of_an_apply_stays(api: RawApi, maps: str) -> None:
    api.post(maps, config_map(a="1", b="2"), fieldManager="kfold").ok()
    applied = api.apply(f"{maps}/conf", config_map(a="1")).ok()
    assert applied["data"] == {"a": "1", "b": "2"}
    assert entry(applied, "kfold", "Update") is not None
    assert fields(applied) == {"f:data": {"f:a": {}}}


def test_an_empty_apply_drops_exactly_our_fields(api: RawApi, maps: str) -> None:
    config = config_map(a="1", b="2")
    config["metadata"]["labels"] = {"ours": "1"}
    config["metadata"]["annotations"] = {"ours": "1"}
    api.apply(f"{maps}/conf", config).ok()
    foreign = {"data": {"c": "3"}, "metadata": {"labels": {"theirs": "1"}}}
    api.send("PATCH", f"{maps}/conf", foreign, kind=MERGE, fieldManager="human").ok()
    left = api.apply(f"{maps}/conf", config_map()).ok()
    assert left["data"] == {"c": "3"}
    assert left["metadata"]["labels"] == {"theirs": "1"}
    assert "annotations" not in left["metadata"]
    assert fields(left) is None


def test_a_value_taken_by_force_is_lost_by_an_empty_apply(api: RawApi, maps: str) -> None:
    api.post(maps, config_map(a="theirs"), fieldManager="human").ok()
    refused = api.apply(f"{maps}/conf", config_map(a="ours"))
    assert (refused.code, refused.reason) == (409, "Conflict")
    api.apply(f"{maps}/conf", config_map(a="ours"), force="true").ok()
    assert "data" not in api.apply(f"{maps}/conf", config_map()).ok()


def test_a_conflict_names_every_field_and_who_owns_it(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment(), fieldManager="human").ok()
    config = deployment(image="none:2")
    config["spec"]["replicas"] = 3
    refused = api.apply(f"{deployments}/web", config)
    assert (refused.code, refused.reason) == (409, "Conflict")
    causes = refused.body["details"]["causes"]
    assert {cause["field"] for cause in causes} == {
        ".spec.replicas",
        '.spec.template.spec.containers[name="main"].image',
    }
    assert {cause["reason"] for cause in causes} == {"FieldManagerConflict"}
    assert all(cause["message"].startswith('conflict with "human" using apps/v1') for cause in causes)
    assert refused.body["message"].startswith("Apply failed with 2 conflicts: conflicts with ")
    assert api.get(f"{deployments}/web").ok()["spec"]["replicas"] == 0, "nothing was changed"


def test_one_conflict_with_an_applier_is_said_in_one_line(api: RawApi, maps: str) -> None:
    api.apply(f"{maps}/conf", config_map(a="1"), "other").ok()
    refused = api.apply(f"{maps}/conf", config_map(a="2"))
    assert refused.body["message"] == 'Apply failed with 1 conflict: conflict with "other": .data.a'


def test_after_an_update_of_ours_by_ourselves_apply_meets_a_conflict_with_our_update(api: RawApi, maps: str) -> None:
    api.apply(f"{maps}/conf", config_map(a="1")).ok()
    api.send("PATCH", f"{maps}/conf", {"data": {"a": "2"}}, kind=MERGE, fieldManager="kfold").ok()
    assert api.apply(f"{maps}/conf", config_map(a="1")).code == 409


def test_apply_with_the_uid_of_an_object_that_was_made_anew_is_refused(api: RawApi, maps: str) -> None:
    old = api.apply(f"{maps}/conf", config_map(a="1")).ok()["metadata"]["uid"]
    api.delete(f"{maps}/conf").ok()
    config = config_map(a="2")
    config["metadata"]["uid"] = old
    gone = api.apply(f"{maps}/conf", config)
    assert (gone.code, gone.reason) == (409, "Conflict")
    api.post(maps, config_map(a="theirs")).ok()
    refused = api.apply(f"{maps}/conf", config, force="true")
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert api.get(f"{maps}/conf").ok()["data"] == {"a": "theirs"}


def test_apply_with_an_old_resource_version_is_refused(api: RawApi, maps: str) -> None:
    old = api.apply(f"{maps}/conf", config_map(a="1")).ok()["metadata"]["resourceVersion"]
    api.apply(f"{maps}/conf", config_map(a="2")).ok()
    config = config_map(a="3")
    config["metadata"]["resourceVersion"] = old
    assert api.apply(f"{maps}/conf", config).code == 409


def test_a_dry_run_answers_and_changes_nothing(api: RawApi, maps: str) -> None:
    assert api.apply(f"{maps}/conf", config_map(a="1"), dryRun="All").ok()["data"] == {"a": "1"}
    assert api.get(f"{maps}/conf").code == 404
    before = api.apply(f"{maps}/conf", config_map(a="1")).ok()
    assert api.apply(f"{maps}/conf", config_map(a="2"), dryRun="All").ok()["data"] == {"a": "2"}
    assert api.get(f"{maps}/conf").ok() == before


def test_the_order_of_applied_items_wins_and_foreign_items_keep_their_place(api: RawApi, deployments: str) -> None:
    def names(obj: dict[str, Any]) -> list[str]:
        return [item["name"] for item in obj["spec"]["template"]["spec"]["containers"][0]["env"]]

    def config(*items: str) -> dict[str, Any]:
        return deployment(env=[{"name": item, "value": item} for item in items])

    api.apply(f"{deployments}/web", config("A", "B", "C")).ok()
    api.apply(f"{deployments}/web", config("X", "C"), "other", force="true").ok()
    mixed = api.get(f"{deployments}/web").ok()
    assert sorted(names(mixed)) == ["A", "B", "C", "X"]
    assert names(mixed).index("X") < names(mixed).index("C")
    turned = api.apply(f"{deployments}/web", config("C", "B", "A")).ok()
    assert [name for name in names(turned) if name != "X"] == ["C", "B", "A"]


def test_managed_fields_in_a_configuration_are_refused(api: RawApi, maps: str) -> None:
    made = api.apply(f"{maps}/conf", config_map(a="1")).ok()
    refused = api.apply(f"{maps}/conf", made)
    assert (refused.code, refused.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"spec": {"wrong": 1}}, ".spec.wrong: field not declared in schema"),
        ({"spec": {"replicas": "x"}}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"spec": {"template": {"spec": {"containers": {}}}}}, ".spec.template.spec.containers: expected list, got map"),
        ({"spec": {"template": []}}, ".spec.template: expected map, got list"),
        ({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}, 'omits key field "name"'),
        (
            {"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}},
            'duplicate entries for key [name="a"]',
        ),
    ],
)
def test_a_configuration_that_does_not_fit_its_kind_is_refused_by_path(
    api: RawApi, deployments: str, config: dict[str, Any], said: str
) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, **config}
    refused = api.apply(f"{deployments}/web", body)
    assert refused.code == 500  # the code of a real server, which calls it no bad request
    assert said in refused.body["message"]
    assert api.get(f"{deployments}/web").code == 404


def test_apply_needs_a_manager(api: RawApi, maps: str) -> None:
    refused = api.send("PATCH", f"{maps}/conf", config_map(), kind="application/apply-patch+yaml")
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "fieldManager: Required value" in refused.body["message"]


def test_status_is_not_ours_to_apply(api: RawApi, deployments: str) -> None:
    config = deployment()
    config["status"] = {"replicas": 99}
    applied = api.apply(f"{deployments}/web", config).ok()
    assert applied["status"].get("replicas", 0) == 0
    assert "f:status" not in fields(applied)


def test_yaml_is_read_as_kubernetes_reads_it(api: RawApi, maps: str) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {day: '2026-01-02', plain: a}\n"
    assert api.apply(f"{maps}/conf", text).ok()["data"] == {"day": "2026-01-02", "plain": "a"}


def test_taking_all_ownership_away_is_kept(api: RawApi, maps: str) -> None:
    api.apply(f"{maps}/conf", config_map(a="1")).ok()
    left = api.send("PATCH", f"{maps}/conf", {"metadata": {"managedFields": [{}]}}, kind=MERGE).ok()
    assert "managedFields" not in left["metadata"]
    assert api.apply(f"{maps}/conf", config_map(a="2")).ok()["data"] == {"a": "2"}
