"""Objects that were there before: taken over for as long as the deployment is there, and given back as they were."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.cleanup.test_applyset import parent, second_checkout
from tests.scenarios.application import ApplicationFactory, Object, config_map, container, uid, workload


def without_times(item: Object) -> Object:
    """An object without what every write changes: two that are equal so hold the same, and the same managers own it."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in ("resourceVersion", "generation")}
    metadata["managedFields"] = sorted(
        ({key: value for key, value in entry.items() if key != "time"} for entry in metadata["managedFields"]), key=str
    )
    return {key: value for key, value in item.items() if key != "status"} | {"metadata": metadata}


def secret(name: str, **values: str) -> Object:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def service(port: int, **more: str) -> Object:
    spec = {"selector": {"app": "x"}, "ports": [{"name": "http", "port": 80, "targetPort": port}], **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": spec}


def worker(**strategy: Any) -> Object:
    return workload("Deployment", "worker", container("c", "none"), replicas=0, strategy=strategy)


def test_what_was_there_before_is_given_back_as_it_was(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(
        config_map("it", {"a": "ours", "new": "1"}), secret("key", word="ours"), config_map("own", {}),
        service(9090, sessionAffinity="ClientIP"), worker(type="RollingUpdate", rollingUpdate={"maxSurge": 2}),
    )  # fmt: skip
    app.place.apply(config_map("it", {"a": "theirs", "b": "theirs"}), secret("key", word="quiet"), service(8080))
    file = app.project.write("worker.json", json.dumps(worker(type="Recreate")))
    flux = ("apply", "--server-side", "--field-manager=flux", "-f", str(file))
    app.place.kubectl(*flux).succeeded()
    app.wait_for("deployments", "worker", lambda it: "observedGeneration" in it.get("status", {}), "its controller")
    before = {kind: app.place.there(kind, name) for kind, name in NAMES.items()}

    output = app.doit().succeeded().output
    assert "was there before, taken over .data.a (from kubectl-client-side-apply)" in output, output
    taken = app.place.there("configmaps", "it")
    assert taken["data"] == {"a": "ours", "b": "theirs", "new": "1"}
    assert "applyset.kubernetes.io/part-of" not in (taken["metadata"].get("labels") or {}), "it is no member"
    assert taken["metadata"]["annotations"]["kfold.dev/adopted"].startswith("applyset-")
    front = app.place.there("services", "front")["spec"]
    assert front["ports"][0]["targetPort"] == 9090 and front["sessionAffinity"] == "ClientIP"
    strategy = app.place.there("deployments", "worker")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": "25%"}}
    held = app.place.held()
    assert "Nothing to do" in app.doit().succeeded().output
    assert app.place.held() == held
    # the old value of a Secret is in a Secret alone
    word = base64.b64encode(b"quiet").decode()
    (ledger,) = app.project.folder.glob(".kfold/ledger.db")
    assert word.encode() not in b"".join(file.read_bytes() for file in ledger.parent.glob("ledger.db*"))
    assert word not in str(parent(app))

    app.deploys(config_map("it", {"new": "1"}), secret("key", word="ours"), service(9090), worker(type="RollingUpdate"))
    app.doit().succeeded()
    assert app.place.there("configmaps", "it")["data"] == {"a": "theirs", "b": "theirs", "new": "1"}

    app.doit("delete").succeeded()
    assert {kind: without_times(app.place.there(kind, name)) for kind, name in NAMES.items()} == {
        kind: without_times(item) for kind, item in before.items()
    }
    assert {kind for kind in app.place.held() if not kind.startswith("replicasets/")} == {
        f"{kind}/{name}" for kind, name in NAMES.items()
    }
    assert app.status()["cluster"] == []
    app.project.write("worker.json", json.dumps(worker(type="RollingUpdate")))
    app.place.kubectl(*flux).succeeded()  # without a conflict with what was put back


NAMES = {"configmaps": "it", "secrets": "key", "services": "front", "deployments": "worker"}


def test_another_checkout_gives_it_back_too(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "ours"}), secret("key", word="ours"))
    app.place.apply(config_map("it", {"a": "theirs"}), secret("key", word="quiet"))
    before = [without_times(app.place.there(*one)) for one in (("configmaps", "it"), ("secrets", "key"))]
    app.doit().succeeded()
    # a second checkout deploys something else first: what the first one took over it still knows
    other = second_checkout(app)
    other.deploys(config_map("it", {"a": "ours, too"}), secret("key", word="ours, too"))
    other.doit().succeeded()
    assert app.place.there("configmaps", "it")["data"] == {"a": "ours, too"}
    third = second_checkout(other)
    third.doit("delete").succeeded()
    assert [without_times(app.place.there(*one)) for one in (("configmaps", "it"), ("secrets", "key"))] == before
    assert len(app.place.held()) == 2


def test_what_somebody_changed_since_is_named_and_stays(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "ours", "b": "ours"}))
    app.place.apply(config_map("it", {"a": "old", "b": "old"}))
    app.doit().succeeded()
    app.place.kubectl("patch", "configmap", "it", "--type=merge", "-p", '{"data":{"a":"newer"}}').succeeded()
    output = app.doit("delete").succeeded().output
    assert 'configmap "it" stays: it was there before, and has its old .data.b back; .data.a was changed since' in output
    assert app.place.there("configmaps", "it")["data"] == {"a": "newer", "b": "old"}


def test_what_changed_hands_is_skipped_and_named(application: ApplicationFactory) -> None:
    names = ("helm", "applied", "forced", "edited")
    bare: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bare"}}
    app = application(artifact=False).deploys(*(config_map(name, {"a": "1"}) for name in names), bare)
    app.doit().succeeded()
    release = "meta.helm.sh/release-name=shop"
    app.place.kubectl("annotate", "configmap", "helm", release).succeeded()
    namespace = {"namespace": app.place.name}
    theirs: list[dict[str, Any]] = [config_map("applied", {"a": "1"}, **namespace)]
    theirs.append(config_map("forced", {"a": "7"}, **namespace))  # of our fields that leaves our marks alone
    # every field of ours in this one is a mark to begin with
    theirs.append({**bare, "metadata": {"name": "bare", "labels": {"by": "flux"}, **namespace}})
    file = app.project.write("theirs.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": theirs}))
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=flux", "-f", str(file))
    app.place.kubectl(*apply).succeeded()
    app.place.kubectl("label", "configmap", "edited", "by=hand").succeeded()
    before = {name: app.place.there("configmaps", name) for name in ("helm", "applied", "forced")}

    output = app.doit("delete").succeeded().output
    assert 'configmap "helm" stays: it is of Helm release shop now' in output, output
    assert 'configmap "applied" stays: it is applied by flux now' in output, output
    assert 'configmap "forced" stays: it is applied by flux now' in output, output
    assert {name: app.place.there("configmaps", name) for name in before} == before
    for name in ("edited", "bare"):
        assert app.place.object("configmaps", name) is None, "an edit does not make it somebody else's"
    assert parent(app) is None and app.status()["cluster"] == []


def test_an_object_of_a_helm_release_is_not_taken_over(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "ours"}))
    app.place.apply(config_map("it", {"a": "1"}, annotations={"meta.helm.sh/release-name": "shop"}))
    before = app.place.held()
    output = app.doit().failed(1).output
    assert "k8s/configmap-it.json:1:1" in output and "belongs to Helm release shop" in output, output
    assert app.place.held() == before
    assert uid(app.place.there("configmaps", "it"))


def test_an_object_that_nobody_owns_fields_of_keeps_them(application: ApplicationFactory) -> None:
    """As one that was restored from a backup without managedFields."""
    app = application(artifact=False).deploys(config_map("it", {"same": "1", "other": "ours", "new": "1"}))
    app.place.apply(config_map("it", {"same": "1", "other": "old", "theirs": "1"}))
    patch = '[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]'
    app.place.kubectl("patch", "configmap", "it", "--type=json", "-p", patch).succeeded()
    before = app.place.there("configmaps", "it")
    assert not before["metadata"].get("managedFields")
    app.doit().succeeded()
    assert app.place.there("configmaps", "it")["data"] == {"same": "1", "other": "ours", "new": "1", "theirs": "1"}
    app.doit("delete").succeeded()
    after = app.place.there("configmaps", "it")
    assert after["data"] == before["data"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
