"""The cluster's own record: another machine takes a deployment back, and each tool leaves the other's sets alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from kfold.plan import applyset
from tests.cleanup.restricted import restricted
from tests.engine import Running, wait_until
from tests.scenarios.application import (
    FOREVER,
    Application,
    ApplicationFactory,
    Object,
    config_map,
    container,
    uid,
    unique,
    workload,
)

PART_OF = "applyset.kubernetes.io/part-of"


def second_checkout(app: Application, name: str = "again") -> Application:
    """The same project in another folder, without what the first one remembers."""
    folder = app.project.folder.with_name(f"{app.project.folder.name}-{name}")
    shutil.copytree(app.project.folder, folder, ignore=shutil.ignore_patterns(".kfold", "__pycache__"))
    project = type(app.project)(folder, dict(app.project.environment))
    return Application(project, app.place, app.name)


def parent(app: Application, namespace: str = "") -> Object | None:
    namespace = namespace or app.place.name
    found: Object | None = app.place.api.get(
        f"/api/v1/namespaces/{namespace}/configmaps/{applyset.parent_name(app.name, app.place.name)}"
    )
    return found


def labelled(app: Application, set_id: str) -> set[str]:
    kinds = "configmaps,secrets,deployments,replicasets,pods,namespaces"
    found = app.place.cluster.kubectl("get", kinds, "-A", "-l", f"{PART_OF}={set_id}", "-o", "json").succeeded()
    return {f"{item['kind']}/{item['metadata']['name']}" for item in json.loads(found.output)["items"]}


def test_the_set_is_an_applyset_and_kubectl_leaves_it_alone(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(
        config_map("one", {"a": "1"}), workload("Deployment", "two", container("c", base_image, FOREVER))
    )
    app.doit().succeeded()
    kept = parent(app)
    assert kept is not None
    metadata = kept["metadata"]
    set_id = metadata["labels"]["applyset.kubernetes.io/id"]
    assert metadata["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap,Deployment.apps"
    assert metadata["annotations"]["applyset.kubernetes.io/tooling"].startswith("kfold/v")
    # never in a pod template: its Pods and ReplicaSets are not members, and a second run restarts nothing
    assert labelled(app, set_id) == {"ConfigMap/one", "Deployment/two"}

    file = Path(app.place.cluster.kubeconfig.parent / f"{app.name}-other.json")
    file.write_text(json.dumps(config_map("other", {"a": "1"}, namespace=app.place.name)))
    held = app.place.held()
    command = ("kubectl", "apply", "--prune", f"--applyset=configmap/{metadata['name']}", "-n", app.place.name, "-f", file)
    refused = app.project.start(*command, env={"KUBECTL_APPLYSET": "true"}).wait()
    assert refused.code != 0 and "tooling" in refused.output, refused.output
    assert app.place.held() == held

    again = app.doit().succeeded().output
    assert "Nothing to do" in again, again
    assert app.place.held() == held
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_kubectl_computes_the_same_id(application: ApplicationFactory) -> None:
    """A set that the real kubectl makes, under a parent of the same kind: our formula gives its ID."""
    app = application(artifact=False)
    file = Path(app.place.cluster.kubeconfig.parent / f"{app.name}-theirs.json")
    file.write_text(json.dumps(config_map("member", {"a": "1"}, namespace=app.place.name)))
    command = ("kubectl", "apply", "--prune", "--applyset=configmap/theirs", "-n", app.place.name, "-f", file)
    app.project.start(*command, env={"KUBECTL_APPLYSET": "true"}).wait().succeeded()
    member = app.place.there("configmaps", "member")
    assert member["metadata"]["labels"][PART_OF] == applyset.set_id("theirs", app.place.name)

    app.deploys(config_map("member", {"a": "ours"}))
    output = app.doit().failed(1).output
    assert "belongs to another set" in output and "k8s/configmap-member.json:1:1" in output, output
    assert app.place.there("configmaps", "member")["data"] == {"a": "1"}
    assert parent(app) is None, "a set that nothing came into was left behind"


def test_another_checkout_takes_it_all_back(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False)
    name = unique("own")
    inside = config_map("inside", {"a": "1"}, namespace=name)
    app.deploys(
        config_map("one", {"a": "1"}),
        workload("Deployment", "two", container("c", base_image, FOREVER)),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        inside,
    )
    app.doit().succeeded()
    other = second_checkout(app)
    status = other.doit("status").succeeded().output
    first = status.splitlines()[0]
    assert app.name in first and "not in this folder's record" in first and app.place.name in first, status
    assert [item["config"] for item in other.status()["elsewhere"]] == [app.name]

    preview = other.doit("delete", "--dry-run").succeeded().output
    assert 'deployment.apps "two" would be deleted' in preview, preview
    other.doit("delete").succeeded()
    assert app.place.held() == {}
    assert app.place.api.get(f"/api/v1/namespaces/{name}") is None
    assert other.status()["cluster"] == [] and other.status()["elsewhere"] == []
    assert other.doit("delete").succeeded().output == "Nothing is deployed.\n"
    # and the first checkout finds out by itself
    app.doit("delete").succeeded()
    assert app.status()["cluster"] == []


def test_only_the_name_and_a_kubeconfig(application: ApplicationFactory, tmp_path: Path) -> None:
    app = application(artifact=False).deploys(config_map("one", {"a": "1"}))
    app.doit().succeeded()
    empty = tmp_path / "empty"
    empty.mkdir()
    nobody = type(app.project)(empty, dict(app.project.environment))
    output = nobody.kfold("delete").failed(1).output
    assert f"`doit delete --name {app.name} namespace={app.place.name}`" in output, output
    nobody.kfold("delete", "--name", app.name).succeeded()
    assert app.place.held() == {}


def test_orphans_of_another_checkouts_deploy_go(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("shared", {"a": "1"}), config_map("theirs", {"a": "1"}))
    app.doit().succeeded()
    shared = uid(app.place.there("configmaps", "shared"))
    other = second_checkout(app)
    other.deploys(config_map("shared", {"a": "1"}), config_map("mine", {"a": "1"}))
    other.project.write("k8s/broken.yaml", "apiVersion: v1\nkind: NoSuchKind\nmetadata:\n  name: x\n")
    other.doit().failed(1)
    assert app.place.object("configmaps", "theirs") is not None, "pruned though a manifest was broken"

    (other.project.folder / "k8s" / "broken.yaml").unlink()
    output = other.doit().succeeded().output
    assert ' - configmap "theirs" left the manifests\n - configmap "theirs" deleted' in output, output
    assert app.place.object("configmaps", "theirs") is None
    assert uid(app.place.there("configmaps", "shared")) == shared
    assert "Nothing to do" in other.doit().succeeded().output

    # the first one sees that its set holds something else now
    output = app.doit().succeeded().output
    assert ' - configmap "mine" deleted' in output and ' - configmap "theirs" created' in output, output
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_the_same_config_in_another_namespace_is_another_set(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    second = unique("second")
    app.place.cluster.kubectl("create", "namespace", second).succeeded()
    try:
        theirs = second_checkout(app)
        theirs.doit(env={"KFOLD_NAMESPACE": second}).succeeded()
        path = f"/api/v1/namespaces/{second}/configmaps/it"
        before = app.place.api.get(path)
        app.doit().succeeded()
        app.doit("delete").succeeded()
        assert app.place.held() == {} and app.place.api.get(path) == before
        # this checkout's own change of namespace takes the old set along, parent and all
        theirs.doit().succeeded()
        assert app.place.api.get(path) is None
        left = app.place.api.get(f"/api/v1/namespaces/{second}/configmaps")["items"]
        assert [item["metadata"]["name"] for item in left if item["metadata"]["name"] != "kube-root-ca.crt"] == []
        theirs.doit("delete").succeeded()
        assert app.place.held() == {}
    finally:
        app.place.cluster.kubectl("delete", "namespace", second).succeeded()


def test_a_namespace_that_the_manifests_make_has_its_record_elsewhere(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    name = unique("made")
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    app.deploys(namespace, config_map("it", {"a": "1"}))
    environment = {"KFOLD_NAMESPACE": name}
    path = f"/api/v1/namespaces/default/configmaps/{applyset.parent_name(app.name, name)}"
    app.doit(env=environment).succeeded()
    assert app.place.api.get(path) is not None
    assert "Nothing to do" in app.doit(env=environment).succeeded().output
    other = second_checkout(app)
    other.doit("delete", env=environment).succeeded()
    assert app.place.api.get(path) is None and app.place.api.get(f"/api/v1/namespaces/{name}") is None


def test_two_first_deploys_at_once(application: ApplicationFactory) -> None:
    """Both looked before either wrote: the set's parent is created once, and names what each of them deployed."""
    app = application(artifact=False)
    hook = {"host": {"command": ["sh", "-c", "touch looked; until test -e go; do sleep 0.05; done"]}}
    with (app.project.folder / "kfold.yaml").open("a") as config:
        config.write(json.dumps({"deploy": {"kubectl": {"hooks": {"before": [hook]}}}})[1:-1] + "\n")
    other = second_checkout(app)
    app.deploys(config_map("one", {"a": "1"}))
    other.deploys({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "two"}, "stringData": {"a": "1"}})

    def started(checkout: Application) -> Running:
        for file in ("looked", "go"):
            (checkout.project.folder / file).unlink(missing_ok=True)
        running = checkout.project.start_doit("deploy")
        wait_until((checkout.project.folder / "looked").exists, "its hook", tell=lambda: running.output)
        return running

    for order in ("one after the other", "side by side"):
        both = [(checkout, started(checkout)) for checkout in (app, other)]
        for checkout, running in both:
            checkout.project.write("go", "")
            if order == "one after the other":
                running.wait().succeeded()
        for _, running in both:
            running.wait().succeeded()
        kept = parent(app)
        assert kept is not None
        assert kept["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap,Secret", order
        third = second_checkout(app, "third")
        third.doit("delete").succeeded()
        assert app.place.held() == {}, order
        for checkout in (app, other):
            checkout.doit("delete").succeeded()
        shutil.rmtree(third.project.folder)


def test_a_user_who_may_not_look_over_all_namespaces(application: ApplicationFactory, tmp_path: Path) -> None:
    """Their sets are looked for where they can lie: in the effective namespace and in `default`."""
    app = application(artifact=False).deploys(config_map("one", {"a": "1"}), config_map("two", {"a": "1"}))
    made = unique("made")
    for namespaces in ([app.place.name], [app.place.name, "default"]):
        with restricted(app.place.cluster.kubeconfig, *namespaces) as cluster:
            file = cluster.kubeconfig(tmp_path / "restricted", app.place.name)
            access = {"KUBECONFIG": str(file)}
            app.doit(env=access).succeeded()
            assert parent(app) is not None
            other = second_checkout(app)
            assert [one["config"] for one in json.loads(other.doit("status", "--json", env=access).output)["elsewhere"]]
            other.deploys(config_map("one", {"a": "2"}))
            output = other.doit(env=access).succeeded().output
            assert 'configmap "two" deleted' in output, "it knows what the first one deployed"
            shutil.rmtree(other.project.folder)
            third = second_checkout(app)
            third.doit("delete", env=access).succeeded()
            assert app.place.held() == {}
            app.doit("delete", env=access).succeeded()
            shutil.rmtree(third.project.folder)
            refused = set(cluster.refused)
            assert "GET /api/v1/configmaps" in refused, refused
            name = f"/api/v1/namespaces/default/configmaps/{applyset.parent_name(app.name, app.place.name)}"
            assert (f"GET {name}" in refused) == ("default" not in namespaces), refused

    # its namespace is made by the manifests, by somebody who may: so its parent lies in `default`
    app.deploys({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made}}, config_map("it", {"a": "1"}))
    app.doit(env={"KFOLD_NAMESPACE": made}).succeeded()
    with restricted(app.place.cluster.kubeconfig, made, "default") as cluster:
        file = cluster.kubeconfig(tmp_path / "restricted", made)
        other = second_checkout(app)
        found = json.loads(other.doit("status", "--json", env={"KUBECONFIG": str(file), "KFOLD_NAMESPACE": made}).output)
        assert [one["parent"] for one in found["elsewhere"]] == [
            f"configmap/{applyset.parent_name(app.name, made)} in default"
        ]
    app.doit("delete", env={"KFOLD_NAMESPACE": made}).succeeded()
