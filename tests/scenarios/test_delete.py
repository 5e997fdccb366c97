"""Taking back: what is stuck, what changed hands, and which cluster is meant."""

from __future__ import annotations

import json

import yaml

from tests.scenarios.application import (
    FOREVER,
    Api,
    ApplicationFactory,
    config_map,
    container,
    own_sandbox,
    pod,
    uid,
    unique,
    workload,
)

HELD = "example.com/held"


def test_everything_goes_and_the_pods_of_workloads_with_it(application: ApplicationFactory, base_image: str) -> None:
    """Pods that take their time to end are waited for: their images must be free when `delete` is done."""
    app = application()
    slow = container("c", app.name)
    slow["command"] = ["sh", "-c", "trap 'sleep 1; exit 0' TERM; while true; do sleep 1 & wait $!; done"]
    app.deploys(
        config_map("settings", {"a": "1"}),
        pod("alone", container("c", app.name, FOREVER)),
        workload("Deployment", "many", slow, replicas=2),
        workload("Job", "once", container("c", app.name, "echo done")),
    )
    app.doit().succeeded()
    held = app.place.held()
    assert len([name for name in held if name.startswith("pods/")]) == 4, held

    preview = app.doit("delete", "--dry-run").succeeded().output
    for noun in ('configmap "settings"', 'pod "alone"', 'deployment.apps "many"', 'job.batch "once"'):
        assert f" - {noun} would be deleted" in preview, preview
    assert app.place.held().keys() == held.keys()

    output = app.doit("delete").succeeded().output
    assert output.startswith("Cleaning up...\n"), output
    assert app.place.held() == {}
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()
    assert app.doit("delete").succeeded().output == "Nothing is deployed.\n"


def test_a_finalizer_that_nobody_takes_away(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("stuck", {"a": "1"}, finalizers=[HELD]), config_map("free", {}))
    app.doit().succeeded()
    output = app.doit("delete", "--timeout", "2").failed(1).output
    assert 'configmap "stuck" still there at the deadline: held by finalizer example.com/held' in output, output
    assert "`doit delete` goes on from here" in output, output
    assert app.place.object("configmaps", "free") is None, "one that is stuck held up the other"
    assert [item["name"] for item in app.status()["cluster"]] == ["stuck"]

    app.place.kubectl("patch", "configmap", "stuck", "--type=merge", "-p", '{"metadata":{"finalizers":null}}').succeeded()
    app.doit("delete").succeeded()
    assert app.place.held() == {} and app.status()["cluster"] == []


def test_a_pod_behind_a_deployment_that_does_not_go_is_named(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False)
    deaf = container("c", base_image, command=["sh", "-c", "trap '' TERM; while true; do sleep 1; done"])
    made = workload("Deployment", "front", deaf)
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 6
    app.deploys(made)
    app.doit().succeeded()
    (behind,) = app.place.list("pods")
    name = behind["metadata"]["name"]

    output = app.doit("delete", "--timeout", "1").failed(1).output
    told = f'deployment.apps "front" still there at the deadline: its pod "{name}" is still there: terminating'
    assert told in output, output
    assert [item["name"] for item in app.status()["cluster"]] == ["front"]
    app.doit("delete").succeeded()
    assert app.place.held() == {} and app.status()["cluster"] == []


def test_an_object_made_anew_by_somebody_else_is_not_touched(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    app.doit().succeeded()
    ours = uid(app.place.there("configmaps", "it"))
    app.place.kubectl("delete", "configmap", "it").succeeded()
    app.place.apply(config_map("it", {"a": "theirs"}))
    before = app.place.there("configmaps", "it")
    assert uid(before) != ours

    output = app.doit("delete").succeeded().output
    assert 'configmap "it" stays: it is somebody else\'s now' in output, output
    assert app.place.there("configmaps", "it") == before
    assert app.status()["cluster"] == []


def test_a_namespace_of_the_manifests_comes_first_and_goes_last(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False)
    name = unique("own")
    inside = pod("inside", container("c", base_image, FOREVER))
    inside["metadata"]["namespace"] = name
    app.deploys(inside, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    app.doit().succeeded()
    assert app.place.api.get(f"/api/v1/namespaces/{name}")["status"]["phase"] == "Active"
    assert app.place.api.get(f"/api/v1/namespaces/{name}/pods/inside")["status"]["phase"] == "Running"
    app.doit("delete").succeeded()
    assert app.place.api.get(f"/api/v1/namespaces/{name}") is None
    assert app.status()["cluster"] == []


def test_a_namespace_that_is_not_there_is_said_with_what_to_do(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    output = app.doit(env={"KFOLD_NAMESPACE": "no-such-namespace"}).failed(1).output
    assert "k8s/configmap-it.json:1:1" in output and "kubectl create namespace no-such-namespace" in output, output
    assert app.place.held() == {}
    app.doit("delete").succeeded()
    assert app.status()["cluster"] == []


def test_the_record_decides_where(application: ApplicationFactory) -> None:
    """Another context is current when `delete` runs, and the config is gone."""
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    kubeconfig = app.project.folder / "kubeconfig"
    content = yaml.safe_load(app.place.cluster.kubeconfig.read_text())
    dead = {"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}}
    content["clusters"].append(dead)
    content["contexts"].append({"name": "dead", "context": {"cluster": "dead", "user": content["users"][0]["name"]}})
    kubeconfig.write_text(json.dumps(content))
    app.project.environment["KUBECONFIG"] = str(kubeconfig)
    app.doit().succeeded()
    assert app.place.there("configmaps", "it")

    content["current-context"] = "dead"
    kubeconfig.write_text(json.dumps(content))
    (app.project.folder / "kfold.yaml").rename(app.project.folder / "elsewhere.yaml")
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_a_context_that_leads_to_another_cluster_now_is_refused(application: ApplicationFactory) -> None:
    """The context of the record has come to mean a cluster that happens to hold objects of the same names."""
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    kubeconfig = app.project.folder / "kubeconfig"
    content = yaml.safe_load(app.place.cluster.kubeconfig.read_text())
    for part in ("clusters", "contexts"):
        content[part][0]["name"] = "docker-desktop"
    content["contexts"][0]["context"]["cluster"] = content["current-context"] = "docker-desktop"
    kubeconfig.write_text(json.dumps(content))
    app.project.environment["KUBECONFIG"] = str(kubeconfig)
    app.doit().succeeded()
    before = app.place.held()
    assert "configmaps/it" in before

    with own_sandbox(app.project.folder / "second", app.project.environment) as other:
        theirs = yaml.safe_load(other.kubeconfig.read_text())
        content["clusters"][0]["cluster"] = theirs["clusters"][0]["cluster"]
        content["users"][0]["user"] = theirs["users"][0]["user"]
        kubeconfig.write_text(json.dumps(content))
        output = app.doit("delete").failed(1).output
        assert "context docker-desktop leads to another cluster now" in output and "doit delete --forget" in output, output
        assert app.place.held() == before
        assert [item["name"] for item in app.status()["cluster"]] == ["it"]
        output = app.doit("delete", "--forget").succeeded().output
        assert "stays" in output, output
        assert app.status()["cluster"] == []
        assert app.place.held() == before


def test_a_sandbox_that_was_replaced_is_left_alone(application: ApplicationFactory) -> None:
    """The record's sandbox went down; later another one stands in its place, with an object of the same name."""
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}, namespace="default"))
    with own_sandbox(app.project.folder / "sandbox", app.project.environment) as sandbox:
        kubeconfig = sandbox.kubeconfig
        app.project.environment["KUBECONFIG"] = str(kubeconfig)
        app.doit().succeeded()
        sandbox.run("down")
        output = app.doit("delete").succeeded().output
        assert "the sandbox that held the deployment is gone, and all its objects with it" in output, output
        assert app.status()["cluster"] == []

        sandbox.run("up")
        app.doit().succeeded()
        sandbox.run("down")
        sandbox.run("up")
        app.project.start("kubectl", "create", "configmap", "it", "--from-literal=a=theirs").wait().succeeded()
        output = app.doit("delete").succeeded().output
        assert "the sandbox is a new one: the one that held the deployment is gone" in output, output
        api = Api(kubeconfig)
        assert api.get("/api/v1/namespaces/default/configmaps/it")["data"] == {"a": "theirs"}
        api.close()
        assert app.status()["cluster"] == []
