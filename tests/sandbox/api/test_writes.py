"""Creating, replacing, patching: defaults, locking, generation, the patch types, and what is refused."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from tests.sandbox.conftest import JSON_PATCH, MERGE, STRATEGIC, RawApi, config_map, deployment

pytestmark = pytest.mark.sandbox


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


@pytest.fixture
def services(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def test_a_created_object_has_what_the_server_gives(api: RawApi, deployments: str) -> None:
    made = api.post(deployments, deployment(), fieldManager="me")
    assert made.code == 201
    metadata, spec = made.body["metadata"], made.body["spec"]
    assert metadata["uid"] and metadata["resourceVersion"] and metadata["creationTimestamp"].endswith("Z")
    assert metadata["generation"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (spec["progressDeadlineSeconds"], spec["revisionHistoryLimit"]) == (600, 10)
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"], pod["dnsPolicy"]) == ("Always", 30, "ClusterFirst")
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    (ours,) = [entry for entry in metadata["managedFields"] if entry["manager"] == "me"]
    assert (ours["operation"], ours["apiVersion"]) == ("Update", "apps/v1")
    # defaults belong to who creates by POST, as on a real server
    assert "f:progressDeadlineSeconds" in ours["fieldsV1"]["f:spec"]


def test_a_latest_image_is_always_pulled(api: RawApi, namespace: str) -> None:
    for image, policy in (("x", "Always"), ("x:latest", "Always"), ("h:5000/x", "Always"), ("x:1", "IfNotPresent")):
        made = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(image=image), dryRun="All").ok()
        assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == policy, image


def test_a_job_selects_its_pods_by_its_uid(api: RawApi, namespace: str) -> None:
    container = {"name": "main", "image": "none:1"}
    spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}
    made = api.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", body).ok()
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": made["metadata"]["uid"]}}
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "j"
    assert (made["spec"]["completions"], made["spec"]["parallelism"], made["spec"]["backoffLimit"]) == (1, 1, 6)


def test_services_get_addresses_of_their_own(api: RawApi, services: str) -> None:
    first = api.post(services, service("a")).ok()["spec"]
    second = api.post(services, service("b")).ok()["spec"]
    assert first["type"] == "ClusterIP"
    assert first["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert first["clusterIP"].startswith("10.")
    assert first["clusterIP"] != second["clusterIP"]
    taken = api.post(services, service("c", clusterIP=first["clusterIP"]))
    assert (taken.code, taken.reason) == (422, "Invalid")
    headless = api.post(services, service("d", clusterIP="None", ports=None)).ok()["spec"]
    assert headless["clusterIP"] == "None"
    kept = api.put(f"{services}/a", service("a", ports=[{"port": 81}])).ok()["spec"]
    assert kept["clusterIP"] == first["clusterIP"]


def test_secret_strings_become_data(api: RawApi, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "ä"}}
    made = api.post(f"/api/v1/namespaces/{namespace}/secrets", body).ok()
    assert base64.b64decode(made["data"]["a"]).decode() == "ä"
    assert "stringData" not in made
    assert made["type"] == "Opaque"


def test_generate_name(api: RawApi, maps: str) -> None:
    body = config_map()
    body["metadata"] = {"generateName": "conf-"}
    names = {api.post(maps, body).ok()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("conf-") and len(name) == 10 for name in names)


def test_the_same_name_twice_is_409(api: RawApi, maps: str) -> None:
    api.post(maps, config_map()).ok()
    again = api.post(maps, config_map())
    assert (again.code, again.reason) == (409, "AlreadyExists")
    assert again.body["message"] == 'configmaps "conf" already exists'


def test_a_namespace_that_is_not_there_is_404(api: RawApi) -> None:
    missing = api.post("/api/v1/namespaces/nowhere/configmaps", config_map())
    assert (missing.code, missing.reason) == (404, "NotFound")
    assert missing.body["message"] == 'namespaces "nowhere" not found'


def test_replacing_with_an_old_resource_version_is_409(api: RawApi, maps: str) -> None:
    first = api.post(maps, config_map(a="1")).ok()
    second = api.put(f"{maps}/conf", first | {"data": {"a": "2"}}).ok()
    stale = api.put(f"{maps}/conf", first | {"data": {"a": "3"}})
    assert (stale.code, stale.reason) == (409, "Conflict")
    assert "the object has been modified" in stale.body["message"]
    assert api.get(f"{maps}/conf").ok() == second
    assert api.put(f"{maps}/conf", config_map(a="4")).ok()["data"] == {"a": "4"}, "without one, it is replaced"


def test_a_write_that_changes_nothing_keeps_the_resource_version(api: RawApi, maps: str) -> None:
    first = api.post(maps, config_map(a="1")).ok()
    assert api.put(f"{maps}/conf", first).ok() == first
    assert api.send("PATCH", f"{maps}/conf", {"data": {"a": "1"}}, kind=MERGE).ok() == first
    assert api.send("PATCH", f"{maps}/conf", [], kind=JSON_PATCH).ok() == first


def test_replacing_what_is_not_there_is_404(api: RawApi, maps: str) -> None:
    assert api.put(f"{maps}/conf", config_map()).code == 404
    assert api.send("PATCH", f"{maps}/conf", {}, kind=MERGE).code == 404


def test_generation_counts_changes_of_the_spec_alone(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment()).ok()

    def patched(patch: dict[str, Any]) -> int:
        return int(api.send("PATCH", f"{deployments}/web", patch, kind=MERGE).ok()["metadata"]["generation"])

    assert patched({"metadata": {"labels": {"x": "y"}}}) == 1
    assert patched({"spec": {"minReadySeconds": 1}}) == 2
    assert patched({"spec": {"minReadySeconds": 1}}) == 2
    assert patched({"status": {"replicas": 7}}) == 2


def test_status_is_written_by_its_own_path_alone(api: RawApi, services: str) -> None:
    api.post(services, service() | {"status": {"conditions": [{"type": "X", "status": "True"}]}}).ok()
    assert api.get(f"{services}/web").ok()["status"] == {"loadBalancer": {}}
    status = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    patch = {"metadata": {"labels": {"no": "no"}}, "spec": {"sessionAffinity": "ClientIP"}, "status": status}
    done = api.send("PATCH", f"{services}/web/status", patch, kind=MERGE).ok()
    assert done["status"] == status
    assert done["spec"]["sessionAffinity"] == "None"
    assert api.send("PATCH", f"{services}/web", {"status": {"loadBalancer": {}}}, kind=MERGE).ok()["status"] == status


def test_scale(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment()).ok()
    scale = api.get(f"{deployments}/web/scale").ok()
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 0})
    assert scale["status"]["selector"] == "app=web"
    scaled = api.send("PATCH", f"{deployments}/web/scale", {"spec": {"replicas": 0}}, kind=MERGE).ok()
    assert scaled["metadata"]["resourceVersion"] == api.get(f"{deployments}/web").ok()["metadata"]["resourceVersion"]
    refused = api.send("PATCH", f"{deployments}/web/scale", {"spec": {"replicas": -1}}, kind=MERGE)
    assert (refused.code, refused.reason) == (422, "Invalid")


def test_strategic_merge_goes_by_the_merge_keys(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])).ok()

    def patched(container: dict[str, Any]) -> dict[str, Any]:
        body = {"spec": {"template": {"spec": {"containers": [{"name": "main", **container}]}}}}
        done = api.send("PATCH", f"{deployments}/web", body, kind=STRATEGIC).ok()
        found: dict[str, Any] = done["spec"]["template"]["spec"]["containers"][0]
        return found

    assert patched({"image": "none:2"})["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert patched({"env": [{"name": "A", "value": "9"}]})["env"][0] == {"name": "A", "value": "9"}
    assert patched({"env": [{"name": "A", "$patch": "delete"}]})["env"] == [{"name": "B", "value": "2"}]
    ordered = [{"name": "C", "value": "3"}]
    body = {"env": ordered, "$setElementOrder/env": [{"name": "C"}, {"name": "B"}]}
    assert [item["name"] for item in patched(body)["env"]] == ["C", "B"]
    assert patched({"env": [{"$patch": "replace"}, {"name": "Z"}]})["env"] == [{"name": "Z"}]
    assert "env" not in patched({"env": None})


def test_strategic_merge_of_the_strategy_retains_keys(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment()).ok()
    body = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    done = api.send("PATCH", f"{deployments}/web", body, kind=STRATEGIC).ok()
    assert done["spec"]["strategy"] == {"type": "Recreate"}


def test_strategic_merge_of_service_ports_goes_by_port_alone(api: RawApi, services: str) -> None:
    api.post(services, service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])).ok()
    body = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    ports = api.send("PATCH", f"{services}/web", body, kind=STRATEGIC).ok()["spec"]["ports"]
    assert [(port["name"], port["targetPort"]) for port in ports] == [("a", 8080), ("b", 81)]


def test_merge_patch_replaces_lists(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment(env=[{"name": "A"}, {"name": "B"}])).ok()
    containers = [{"name": "main", "image": "none:1", "env": [{"name": "C"}]}]
    body = {"spec": {"template": {"spec": {"containers": containers}}}}
    done = api.send("PATCH", f"{deployments}/web", body, kind=MERGE).ok()
    assert done["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "C"}]


def test_json_patch(api: RawApi, maps: str) -> None:
    api.post(maps, config_map(a="1", b="2")).ok()
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "3"},
        {"op": "remove", "path": "/data/b"},
    ]
    assert api.send("PATCH", f"{maps}/conf", operations, kind=JSON_PATCH).ok()["data"] == {"a": "3"}
    refused = api.send("PATCH", f"{maps}/conf", operations, kind=JSON_PATCH)
    assert (refused.code, refused.reason) == (422, "Invalid")


def test_field_validation_strict_warn_ignore(api: RawApi, deployments: str) -> None:
    body = deployment()
    body["spec"]["replcas"] = 2
    body["spec"]["template"]["spec"]["containers"][0]["imagge"] = "x"
    refused = api.post(deployments, body, fieldValidation="Strict")
    assert (refused.code, refused.reason) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.replcas"' in refused.body["message"]
    assert 'unknown field "spec.template.spec.containers[0].imagge"' in refused.body["message"]
    assert api.get(f"{deployments}/web").code == 404
    warned = api.post(deployments, body, fieldValidation="Warn", dryRun="All")
    assert warned.code == 201
    assert 'unknown field \\"spec.replcas\\"' in warned.headers["Warning"]
    ignored = api.post(deployments, body, fieldValidation="Ignore", dryRun="All")
    assert ignored.code == 201
    assert "Warning" not in ignored.headers
    assert "replcas" not in ignored.body["spec"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d["spec"].pop("selector"), "spec.selector"),
        (lambda d: d["spec"].update(replicas=-1), "spec.replicas"),
        (lambda d: d["spec"]["selector"]["matchLabels"].update(app="other"), "spec.template.metadata.labels"),
        (lambda d: d["spec"]["template"]["spec"].update(containers=[]), "spec.template.spec.containers"),
        (lambda d: d["spec"]["template"]["spec"].update(restartPolicy="Never"), "spec.template.spec.restartPolicy"),
        (lambda d: d["metadata"].update(name="Not_A_Name"), "metadata.name"),
        (lambda d: d["metadata"].update(labels={"a b": "c"}), "metadata.labels"),
        (lambda d: d["metadata"].update(labels={"a": "c d"}), "metadata.labels"),
        (
            lambda d: d["spec"]["template"]["spec"]["containers"][0].update(volumeMounts=[{"name": "v", "mountPath": "/"}]),
            "spec.template.spec.containers[0].volumeMounts[0].name",
        ),
        (lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("image"), "spec.template.spec.containers[0].image"),
    ],
)
def test_what_cannot_be_is_422_with_its_field(api: RawApi, deployments: str, change: Any, field: str) -> None:
    body = copy.deepcopy(deployment())
    # the selector and the template share their labels in the helper's result
    body["spec"]["selector"] = {"matchLabels": {"app": "web"}}
    change(body)
    refused = api.post(deployments, body)
    assert (refused.code, refused.reason) == (422, "Invalid"), refused.body
    assert field in [cause["field"] for cause in refused.body["details"]["causes"]]
    assert api.get(deployments).ok()["items"] == []


def test_a_selector_cannot_change(api: RawApi, deployments: str) -> None:
    api.post(deployments, deployment()).ok()
    labels = {"app": "web", "x": "y"}
    body = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    refused = api.send("PATCH", f"{deployments}/web", body, kind=MERGE)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "field is immutable" in refused.body["message"]


def test_an_immutable_config_map_stays(api: RawApi, maps: str) -> None:
    api.post(maps, config_map(a="1") | {"immutable": True}).ok()
    assert api.send("PATCH", f"{maps}/conf", {"data": {"a": "2"}}, kind=MERGE).code == 422
    assert api.send("PATCH", f"{maps}/conf", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE).code == 200
