"""What is refused of a kind's fields, when it is made and when it is changed: 422 with the paths of the fields."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.api.cluster import BATCH, JSON_PATCH, MERGE, STRATEGIC, Json, Space, condition_of
from tests.scenarios.api.objects import config_map, container, deployment, idle_pod, job, pod, service, workload

HANDLER = {"exec": {"command": ["true"]}}
TCP = {"tcpSocket": {"port": 80}}
MOUNT = {"name": "v", "mountPath": "/a"}
APP = "spec.containers[0]"
REFERENCE = {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"livenessProbe": {"periodSeconds": 1}}, f"{APP}.livenessProbe"),
        ({"readinessProbe": {**HANDLER, **TCP}}, f"{APP}.readinessProbe.tcpSocket"),
        ({"lifecycle": {"preStop": {}}}, f"{APP}.lifecycle.preStop"),
        ({"volumeMounts": [MOUNT, MOUNT]}, f"{APP}.volumeMounts[1].mountPath"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, f"{APP}.env[0].valueFrom"),
        ({"env": [{"name": "A", "value": "1", "valueFrom": REFERENCE}]}, f"{APP}.env[0].valueFrom"),
        ({"ports": [{"containerPort": 80, "name": "Web"}]}, f"{APP}.ports[0].name"),
        ({"ports": [{"containerPort": 80, "name": "a-name-too-long-x"}]}, f"{APP}.ports[0].name"),
    ],
)
def test_a_container_that_cannot_be(shared: Space, fields: Json, field: str) -> None:
    """Probes and hooks have one handler, variables one source, mounts a path each, ports a short name: else 422."""
    body = pod("wrong", container(shared.image, **fields), volumes=[{"name": "v", "emptyDir": {}}])
    refused = shared.api.post(shared.path("Pod"), body, dryRun="All").refused(422, "Invalid")
    assert refused.fields == [field]


def test_an_init_container_has_no_probes(shared: Space) -> None:
    """A readinessProbe is refused on an init container, but not on one with restartPolicy Always."""
    for fields, refuses in (({}, True), ({"restartPolicy": "Always"}, False)):
        first = container(shared.image, name="first", readinessProbe=HANDLER, **fields)
        body = pod("init", container(shared.image), initContainers=[first])
        answer = shared.api.post(shared.path("Pod"), body, dryRun="All")
        assert (answer.code, answer.fields if refuses else []) == (
            (422, ["spec.initContainers[0].readinessProbe"]) if refuses else (201, [])
        )


def test_a_volume_of_two_sources(shared: Space) -> None:
    """A volume with two sources is 422."""
    body = pod("two", container(shared.image), volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}])
    refused = shared.api.post(shared.path("Pod"), body, dryRun="All").refused(422, "Invalid")
    assert refused.fields == ["spec.volumes[0].hostPath"]


def test_what_a_pod_keeps(shared: Space) -> None:
    """nodeName of a bound Pod and the grace period are fixed; activeDeadlineSeconds can only become less: else 422."""
    shared.create(idle_pod("fixed", nodeName="kfold-nowhere", activeDeadlineSeconds=1000))
    path = shared.path("Pod", "fixed")
    try:
        for change, field in (
            ({"nodeName": "kfold-elsewhere"}, "spec"),
            ({"nodeName": None}, "spec"),
            ({"terminationGracePeriodSeconds": 7}, "spec"),
            ({"activeDeadlineSeconds": 2000}, "spec.activeDeadlineSeconds"),
            ({"activeDeadlineSeconds": None}, "spec.activeDeadlineSeconds"),
        ):
            assert shared.api.patch(path, {"spec": change}).refused(422, "Invalid").fields == [field], change
        assert shared.patch("Pod", "fixed", {"spec": {"activeDeadlineSeconds": 900}})["spec"]["nodeName"] == "kfold-nowhere"
    finally:
        shared.delete("Pod", "fixed", gracePeriodSeconds=0)


def test_recreate_has_no_rolling_update(shared: Space) -> None:
    """A Deployment whose strategy is Recreate cannot have rollingUpdate: 422, also where a merge leaves it."""
    strategy: Json = {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}
    refused = shared.api.post(shared.path("Deployment"), deployment("both", strategy=strategy)).refused(422, "Invalid")
    assert refused.fields == ["spec.strategy.rollingUpdate"]
    assert "may not be specified when strategy `type` is 'Recreate'" in refused.message
    shared.create(deployment("rolls"))
    path = shared.path("Deployment", "rolls")
    shared.api.patch(path, {"spec": {"strategy": {"type": "Recreate"}}}).refused(422, "Invalid")
    replace = [{"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}]
    assert shared.patch("Deployment", "rolls", replace, JSON_PATCH)["spec"]["strategy"] == {"type": "Recreate"}


def claim(name: str, **spec: Any) -> Json:
    fields = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Mi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": fields}


def test_what_a_claim_needs_and_keeps(shared: Space) -> None:
    """A claim needs accessModes and a size, keeps its modes, and its size cannot become less: else 422."""
    for spec, field in (({"accessModes": []}, "spec.accessModes"), ({"resources": {}}, "spec.resources[storage]")):
        refused = shared.api.post(shared.path("PersistentVolumeClaim"), claim("gaps", **spec)).refused(422, "Invalid")
        assert refused.fields == [field]
    shared.create(claim("kept"))
    path = shared.path("PersistentVolumeClaim", "kept")
    shared.api.patch(path, {"spec": {"accessModes": ["ReadWriteMany"]}}).refused(422, "Invalid")
    shared.api.patch(path, {"spec": {"resources": {"requests": {"storage": "1Mi"}}}}).refused(422, "Invalid")
    assert shared.get("PersistentVolumeClaim", "kept")["spec"]["resources"]["requests"]["storage"] == "2Mi"


def test_completions_of_a_job(shared: Space) -> None:
    """An Indexed Job's completions change only together with its parallelism; those of another Job never: else 422."""
    shared.create(job("indexed", suspend=True, completionMode="Indexed", completions=2, parallelism=2))
    path = shared.path("Job", "indexed")
    assert shared.api.patch(path, {"spec": {"completions": 3}}).refused(422, "Invalid").fields == ["spec.completions"]
    changed = shared.patch("Job", "indexed", {"spec": {"completions": 3, "parallelism": 3}})
    assert changed["spec"]["completions"] == 3
    shared.create(job("plain", suspend=True, completions=2))
    refused = shared.api.patch(shared.path("Job", "plain"), {"spec": {"completions": 3}}).refused(422, "Invalid")
    assert refused.fields == ["spec.completions"]


def test_a_finalizer_without_a_domain(shared: Space) -> None:
    """A finalizer of a built-in kind that is neither a standard one nor has a domain is 422."""
    body = config_map("finalizer")
    body["metadata"]["finalizers"] = ["bad"]
    refused = shared.api.post(shared.path("ConfigMap"), body).refused(422, "Invalid")
    assert refused.fields == ["metadata.finalizers"]


def test_a_schedule_that_is_none(shared: Space) -> None:
    """A CronJob's schedule has five fields: else 422."""
    spec = {"schedule": "x y", "suspend": True, "jobTemplate": {"spec": job("inner")["spec"]}}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "never"}, "spec": spec}
    refused = shared.api.post(f"{BATCH}/namespaces/{shared.name}/cronjobs", body, dryRun="All").refused(422, "Invalid")
    assert refused.fields == ["spec.schedule"]


def test_an_answer_that_cannot_be_given(shared: Space) -> None:
    """Who accepts HTML alone gets 406, and nothing is made."""
    headers = {"Accept": "text/html"}
    answer = shared.api.send("POST", shared.path("ConfigMap"), config_map("html"), headers=headers)
    assert answer.code == 406
    assert shared.find("ConfigMap", "html") is None


@pytest.mark.parametrize("field", ["priorityClassName", "runtimeClassName"])
def test_classes_of_a_pod(shared: Space, field: str) -> None:
    """A Pod of a priority or runtime class that is not there is 403."""
    body = idle_pod("classless", **{field: "kfold-nowhere"})
    assert "kfold-nowhere" in shared.api.post(shared.path("Pod"), body).refused(403, "Forbidden").message


@pytest.mark.parametrize("spec", [{"priorityClassName": "kfold-nowhere"}, {"serviceAccountName": "kfold-nowhere"}])
def test_classes_of_a_controllers_pods(shared: Space, spec: Json) -> None:
    """A ReplicaSet whose Pods are refused is made all the same: it says ReplicaFailure, and FailedCreate in an Event."""
    name = f"refused-{len(next(iter(spec)))}"
    shared.create(workload("ReplicaSet", name, replicas=1, pod_spec=spec))
    found = shared.wait("ReplicaSet", name, lambda one: condition_of(one, "ReplicaFailure"), "to say so")
    failure = condition_of(found, "ReplicaFailure")
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    assert "forbidden" in failure["message"] and "kfold-nowhere" in failure["message"]
    assert not shared.names("Pod", labelSelector=f"app={name}")
    told = shared.list("Event", fieldSelector=f"involvedObject.name={name},reason=FailedCreate")
    assert told and told[0]["type"] == "Warning" and "kfold-nowhere" in told[0]["message"]


@pytest.mark.parametrize("how", [MERGE, STRATEGIC, JSON_PATCH])
def test_unknown_fields_in_a_patch(shared: Space, how: str) -> None:
    """fieldValidation=Strict: a patch that leaves a field that the kind does not have is 422; Warn warns and drops it."""
    name = f"patched-{how.partition('+')[0].rpartition('/')[2]}"
    shared.create(deployment(name))
    body: Any = {"spec": {"replcas": 1}}
    if how == JSON_PATCH:
        body = [{"op": "add", "path": "/spec/replcas", "value": 1}]
    path = shared.path("Deployment", name)
    refused = shared.api.patch(path, body, how, fieldValidation="Strict").refused(422, "Invalid")
    assert 'strict decoding error: unknown field "spec.replcas"' in refused.message
    assert refused.fields == ["patch"]
    warned = shared.api.patch(path, body, how, fieldValidation="Warn")
    assert "unknown field" in warned.warnings and "replcas" not in warned.ok()["spec"]


def test_the_priorities_of_every_cluster(shared: Space) -> None:
    """The two PriorityClasses of the system are there."""
    found = shared.api.get("/apis/scheduling.k8s.io/v1/priorityclasses").ok()["items"]
    assert {"system-cluster-critical", "system-node-critical"} <= {item["metadata"]["name"] for item in found}


def test_a_service_that_changes_its_type(shared: Space) -> None:
    """From NodePort to ClusterIP, node ports and traffic policy go; ExternalName needs a name: else 422."""
    made = shared.create(service("typed", type="NodePort"))
    assert made["spec"]["ports"][0]["nodePort"] and made["spec"]["externalTrafficPolicy"] == "Cluster"
    spec = shared.patch("Service", "typed", {"spec": {"type": "ClusterIP"}})["spec"]
    assert "nodePort" not in spec["ports"][0] and "externalTrafficPolicy" not in spec
    assert spec["clusterIP"] == made["spec"]["clusterIP"]
    refused = shared.api.post(shared.path("Service"), service("nameless", type="ExternalName")).refused(422, "Invalid")
    assert refused.fields == ["spec.externalName"]


def test_a_put_makes_a_service(shared: Space) -> None:
    """PUT of a Service that is not there makes it: 201."""
    assert shared.api.put(shared.path("Service", "put"), service("put")).code == 201
    assert shared.get("Service", "put")["spec"]["clusterIP"]


def test_a_sidecar_in_a_table(shared: Space) -> None:
    """A running sidecar counts among the containers that are ready, and its Pod is Running."""
    side = container(shared.image, name="side", restartPolicy="Always")
    shared.create(pod("beside", container(shared.image), initContainers=[side]))
    shared.ready("beside")
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    found = shared.api.send("GET", shared.path("Pod", "beside"), headers=headers).ok()
    assert found["rows"][0]["cells"][:3] == ["beside", "2/2", "Running"]
