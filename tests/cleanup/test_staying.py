"""What a deletion leaves, and says that it leaves: data that is kept, volumes, and what is held up. The report of it."""

from __future__ import annotations

import json

from tests.cleanup.test_applyset import second_checkout
from tests.scenarios.application import (
    FOREVER,
    ApplicationFactory,
    Object,
    config_map,
    container,
    custom_kind,
    unique,
    workload,
)

CLAIM: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}
MOUNT = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}


def stateful(name: str, image: str) -> Object:
    spec = container("c", image, FOREVER, volumeMounts=[{"name": "disk", "mountPath": "/data"}])
    made = workload("StatefulSet", name, spec, serviceName=name, replicas=2)
    made["spec"]["volumeClaimTemplates"] = [{**CLAIM, "metadata": {"name": "disk"}}]
    return made


def claims(app_place: object) -> set[str]:
    found = app_place.kubectl("get", "pvc", "-o", "json").succeeded()  # type: ignore[attr-defined]
    return {item["metadata"]["name"] for item in json.loads(found.output)["items"]}


def test_volumes_of_stateful_sets_are_listed_and_go_when_asked(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(stateful("db", base_image), CLAIM)
    app.doit().succeeded()
    assert claims(app.place) == {"data", "disk-db-0", "disk-db-1"}
    output = app.doit("delete", "--report", "report.json").succeeded().output
    for name in ("disk-db-0", "disk-db-1"):
        line = f'persistentvolumeclaim "{name}" stays: it holds the data of statefulset.apps "db" (`doit delete --volumes`'
        assert line in output, output
    assert claims(app.place) == {"disk-db-0", "disk-db-1"}
    report = json.loads(app.project.read("report.json"))
    assert {item["name"] for item in report["removed"]} >= {"db", "data"} and report["failed"] == []
    assert {item["name"] for item in report["kept"]} == {"disk-db-0", "disk-db-1"}

    app.doit().succeeded()  # what is left is taken up again, not pruned
    assert claims(app.place) == {"data", "disk-db-0", "disk-db-1"}
    app.doit("delete").succeeded()
    assert app.doit("delete").succeeded().output.count("stays: it holds the data of") == 2
    app.doit("delete", "--volumes").succeeded()
    assert claims(app.place) == set() and app.status()["cluster"] == []
    assert app.doit("delete").succeeded().output == "Nothing is deployed.\n"


def test_what_is_kept_stays_on_every_path(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    name = unique("kept")
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    keep = {"annotations": {"kfold.dev/keep": "true"}}
    inside = config_map("inside", {"a": "1"}, namespace=name, **keep)
    app.deploys(CLAIM | {"metadata": {"name": "data", **keep}}, namespace, inside, config_map("goes", {}))
    app.doit().succeeded()
    try:
        # left the manifests
        app.deploys(namespace, config_map("goes", {}))
        output = app.doit().succeeded().output
        assert 'persistentvolumeclaim "data" stays: it is kept' in output, output
        # deleted, from another checkout
        app.deploys(CLAIM | {"metadata": {"name": "data", **keep}}, namespace, inside, config_map("goes", {}))
        app.doit().succeeded()
        output = second_checkout(app).doit("delete").succeeded().output
        assert 'persistentvolumeclaim "data" stays: it is kept' in output, output
        assert f'namespace "{name}" stays: it holds configmap "inside", which stays' in output, output
        assert claims(app.place) == {"data"} and app.place.held() == {}
        assert app.place.api.get(f"/api/v1/namespaces/{name}/configmaps/inside") is not None
    finally:
        app.place.cluster.kubectl("delete", "namespace", name).succeeded()


def test_the_config_keeps_data(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(CLAIM, config_map("goes", {}))
    app.doit().succeeded()
    app.project.write("kfold.yaml", app.project.read("kfold.yaml") + "deploy: {keep: true}\n")
    app.doit().succeeded()
    output = app.doit("delete").succeeded().output
    assert 'persistentvolumeclaim "data" stays: it is kept' in output, output
    assert claims(app.place) == {"data"} and app.place.held() == {}


def test_a_claim_in_use_is_told_and_going_on_works(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(CLAIM)
    app.doit().succeeded()
    theirs = workload("Job", "theirs", container("c", base_image, FOREVER))
    theirs["spec"]["template"]["spec"] |= MOUNT
    app.place.apply(theirs)
    (pod,) = (app.wait_for("jobs", "theirs", lambda job: bool(job["status"].get("active")), "the Job"),)
    assert pod
    output = app.doit("delete", "--timeout", "5", "--report", "out.json").failed(1).output
    told = '"data" still there at the deadline: held by finalizer kubernetes.io/pvc-protection while pod'
    assert told in output and "   waiting for persistentvolumeclaim" in output, output
    report = json.loads(app.project.read("out.json"))
    assert [item["name"] for item in report["failed"]] == ["data"] and "pvc-protection" in report["problem"]
    assert [item["name"] for item in app.status()["cluster"]] == ["data"]
    app.place.kubectl("delete", "job", "theirs").succeeded()
    app.doit("delete").succeeded()
    assert claims(app.place) == set() and app.status()["cluster"] == []


def test_a_report_that_cannot_be_written_stops_before_the_first_deletion(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {}))
    app.doit().succeeded()
    held = app.place.held()
    output = app.doit("delete", "--report", "no/such/folder/report.json").failed(1).output
    assert "cannot be written" in output and "nothing was removed" in output, output
    assert app.place.held() == held
    app.doit("delete").succeeded()


def test_a_definition_stays_while_it_defines_what_is_somebody_elses(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    plural = f"plants{unique('x').replace('-', '')}"
    thing: Object = {"apiVersion": "kfold.test/v1", "kind": plural.capitalize(), "metadata": {"name": "ours"}, "spec": {}}
    app.deploys(custom_kind(plural), thing)
    app.doit().succeeded()
    app.place.apply({**thing, "metadata": {"name": "theirs"}})
    # from another checkout: the kinds are looked up in the cluster's own record
    other = second_checkout(app)
    output = other.doit("delete").failed(1).output
    assert f'stays: it defines {plural}.kfold.test "theirs", which kfold did not make' in output, output
    left = app.place.kubectl("get", f"{plural}.kfold.test", "-o", "name").succeeded().output.split()
    assert [name.rpartition("/")[2] for name in left] == ["theirs"]
    app.place.kubectl("delete", f"{plural}.kfold.test", "theirs").succeeded()
    other.doit("delete").succeeded()
    assert app.place.kubectl("get", "crd", f"{plural}.kfold.test").code != 0
    assert app.place.held() == {} and other.status()["cluster"] == []


def test_a_namespace_of_ours_stays_while_it_holds_what_is_somebody_elses(application: ApplicationFactory) -> None:
    """It is named with what it holds, the rest goes, and once that is gone the next deletion takes it."""
    app = application(artifact=False)
    name = unique("made")
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    app.deploys(namespace, config_map("ours", {"a": "1"}, namespace=name), config_map("here", {"a": "1"}))
    app.doit().succeeded()
    kubectl = app.place.cluster.kubectl
    kubectl("create", "configmap", "theirs", "--namespace", name, "--from-literal=a=1").succeeded()
    path = f"/api/v1/namespaces/{name}/configmaps"
    theirs = app.place.api.get(f"{path}/theirs")
    # from the other checkout's point of view, too; and when the namespace left the manifests
    app.deploys(config_map("here", {"a": "1"}))
    text = f'namespace "{name}" stays: it holds configmap "theirs", which somebody else made'
    assert text in app.doit("deploy").failed(1).output
    report = app.project.folder / "report.json"
    assert text in app.doit("delete", "--report", str(report)).failed(1).output
    assert [one["name"] for one in json.loads(report.read_text())["failed"]] == [name]
    assert text in second_checkout(app).doit("delete").failed(1).output
    assert app.place.api.get(f"{path}/theirs") == theirs and app.place.api.get(f"{path}/ours") is None
    kubectl("delete", "configmap", "theirs", "--namespace", name).succeeded()
    app.doit("delete").succeeded()
    assert app.place.api.get(f"/api/v1/namespaces/{name}") is None and app.place.held() == {}
