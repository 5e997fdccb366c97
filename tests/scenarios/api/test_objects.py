"""What every object has and keeps: identity, versions, names, labels, immutable fields, defaults, strictness."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.scenarios.api.cluster import APPLY, JSON_PATCH, MERGE, Space
from tests.scenarios.api.objects import (
    config_map,
    container,
    deployment,
    idle_pod,
    job,
    pod,
    secret,
    service,
)


def test_create_fills_in_identity(shared: Space) -> None:
    """A create answers 201 with uid, resourceVersion, creationTimestamp in UTC seconds and managedFields."""
    metadata = shared.create(config_map("identity", a="1"))["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert int(metadata["resourceVersion"]) > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["namespace"] == shared.name
    assert [entry["operation"] for entry in metadata["managedFields"]] == ["Update"]
    assert "generation" not in metadata, "only kinds with a desired state are counted"


def test_a_clients_own_identity_is_ignored(shared: Space) -> None:
    """metadata.uid, creationTimestamp and generation of a create are the server's, whatever the client sent."""
    body = deployment("own-identity")
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    made = shared.create(body)["metadata"]
    assert made["uid"] != "mine"
    assert not made["creationTimestamp"].startswith("2001")
    assert made["generation"] == 1


def test_a_create_with_a_resource_version_is_refused(shared: Space) -> None:
    """resourceVersion may not be set on objects to be created."""
    body = config_map("with-version")
    body["metadata"]["resourceVersion"] = "1"
    answer = shared.api.post(shared.path("ConfigMap"), body)
    assert answer.code >= 400
    assert "resourceVersion should not be set on objects to be created" in answer.message
    assert shared.find("ConfigMap", "with-version") is None


def test_a_name_used_again_is_another_object(shared: Space) -> None:
    """An object that is deleted and created again under its name has another uid and a higher resourceVersion."""
    first = shared.create(config_map("again"))["metadata"]
    shared.delete("ConfigMap", "again").ok()
    second = shared.create(config_map("again"))["metadata"]
    assert first["uid"] != second["uid"]
    assert int(second["resourceVersion"]) > int(first["resourceVersion"])


def test_generate_name(shared: Space) -> None:
    """generateName is completed with five random letters and digits."""
    body = config_map()
    body["metadata"] = {"generateName": "made-"}
    names = {shared.create(body)["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(re.fullmatch(r"made-[a-z0-9]{5}", name) for name in names)


def test_resource_version_rises_with_every_change(shared: Space) -> None:
    """Every change has a higher resourceVersion."""
    versions = [int(shared.create(config_map("rising"))["metadata"]["resourceVersion"])]
    for number in range(3):
        changed = shared.patch("ConfigMap", "rising", {"data": {"n": str(number)}})
        versions.append(int(changed["metadata"]["resourceVersion"]))
    assert versions == sorted(set(versions))


def test_a_write_without_change_keeps_the_resource_version(shared: Space) -> None:
    """PUT and PATCH that change nothing keep the resourceVersion: no write takes place."""
    made = shared.create(config_map("same", a="1"))
    assert shared.api.put(shared.path("ConfigMap", "same"), made).ok() == made
    assert shared.patch("ConfigMap", "same", {"data": {"a": "1"}}, MERGE) == made
    assert shared.patch("ConfigMap", "same", [], JSON_PATCH) == made


def test_generation_counts_the_desired_state(shared: Space) -> None:
    """metadata.generation counts changes of a Deployment's spec: labels and status do not, annotations do."""
    assert shared.create(deployment("counted"))["metadata"]["generation"] == 1

    def generation(patch: Any, subresource: str = "") -> int:
        path = shared.path("Deployment", "counted", subresource)
        return int(shared.api.patch(path, patch).ok()["metadata"]["generation"])

    assert generation({"metadata": {"labels": {"x": "y"}}}) == 1
    assert generation({"status": {"readyReplicas": 3}}) == 1
    assert generation({"spec": {"minReadySeconds": 1}}) == 2
    assert generation({"spec": {"minReadySeconds": 1}}) == 2
    assert generation({"metadata": {"annotations": {"x": "y"}}}) == 3


@pytest.mark.parametrize(
    "kind, name",
    [
        ("ConfigMap", "Upper"),
        ("ConfigMap", "under_score"),
        ("ConfigMap", "-dash"),
        ("ConfigMap", "dot..dot"),
        ("ConfigMap", "a" * 254),
        ("Service", "a.b"),
        ("Service", "a" * 64),
    ],
)
def test_names_that_are_none(shared: Space, kind: str, name: str) -> None:
    """Names are DNS subdomains up to 253 characters, those of Services DNS labels up to 63: others are 422."""
    body = config_map(name) if kind == "ConfigMap" else service(name)
    refused = shared.api.post(shared.path(kind), body).refused(422, "Invalid")
    assert refused.fields == ["metadata.name"]


def test_the_longest_name(shared: Space) -> None:
    """A ConfigMap's name may have 253 characters, dots among them."""
    name = "a." * 126 + "a"
    assert shared.create(config_map(name))["metadata"]["name"] == name


@pytest.mark.parametrize(
    "metadata, field",
    [
        ({"labels": {"k": "v" * 64}}, "metadata.labels"),
        ({"labels": {"k": "-v"}}, "metadata.labels"),
        ({"labels": {"a/b/c": "v"}}, "metadata.labels"),
        ({"labels": {"/k": "v"}}, "metadata.labels"),
        ({"annotations": {"k k": "v"}}, "metadata.annotations"),
        ({"annotations": {"k": "v" * 262145}}, "metadata.annotations"),
        ({"finalizers": ["not qualified"]}, "metadata.finalizers"),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": ""}]}, "metadata.ownerReferences"),
    ],
)
def test_metadata_that_is_refused(shared: Space, metadata: dict[str, Any], field: str) -> None:
    """Labels are qualified names with values up to 63 characters; annotations take 256 KiB; references need a uid."""
    body = config_map("metadata")
    body["metadata"] |= metadata
    refused = shared.api.post(shared.path("ConfigMap"), body).refused(422, "Invalid")
    assert refused.fields[0].startswith(field)


def test_keys_of_a_config_map(shared: Space) -> None:
    """Keys of a ConfigMap are file names: letters, digits, '-', '_' and '.'."""
    refused = shared.api.post(shared.path("ConfigMap"), config_map("keys", **{"a/b": "1"})).refused(422, "Invalid")
    assert refused.fields == ["data[a/b]"]
    assert shared.create(config_map("keys", **{"A_b-c.d": "1"}))["data"] == {"A_b-c.d": "1"}


def test_a_config_map_holds_a_mebibyte(shared: Space) -> None:
    """The data of a ConfigMap may have 1 MiB in all; more is 422."""
    answer = shared.api.post(shared.path("ConfigMap"), config_map("big", a="x" * (1024 * 1024 + 1)))
    assert "Too long" in answer.refused(422, "Invalid").message


def test_an_immutable_config_map(shared: Space) -> None:
    """`immutable: true` freezes data and itself (422); metadata may change, and the object may be deleted."""
    shared.create(config_map("frozen", a="1") | {"immutable": True})
    for patch in ({"data": {"a": "2"}}, {"data": {"b": "2"}}, {"immutable": False}):
        shared.api.patch(shared.path("ConfigMap", "frozen"), patch).refused(422, "Invalid")
    assert shared.patch("ConfigMap", "frozen", {"metadata": {"labels": {"a": "b"}}})["data"] == {"a": "1"}
    shared.delete("ConfigMap", "frozen").ok()


def test_strings_of_a_secret_become_data(shared: Space) -> None:
    """stringData is written into data as base64 and never read back; the type is Opaque unless said."""
    made = shared.create(secret("strings", a="ä") | {"data": {"b": "Yg=="}})
    assert made["data"] == {"a": "w6Q=", "b": "Yg=="}
    assert "stringData" not in made
    assert made["type"] == "Opaque"
    changed = shared.patch("Secret", "strings", {"stringData": {"b": "c"}})
    assert changed["data"] == {"a": "w6Q=", "b": "Yw=="}


def test_data_of_a_secret_is_base64(shared: Space) -> None:
    """A Secret's data that is no base64 is 400."""
    body = {**secret("base64"), "data": {"a": "?"}}
    refused = shared.api.post(shared.path("Secret"), body).refused(400, "BadRequest")
    assert "illegal base64 data" in refused.message


def test_typed_secrets_need_their_keys(shared: Space) -> None:
    """A Secret of type kubernetes.io/dockerconfigjson without `.dockerconfigjson` is 422, a TLS one without its keys too."""
    for kind, key in (("kubernetes.io/dockerconfigjson", ".dockerconfigjson"), ("kubernetes.io/tls", "tls.crt")):
        refused = shared.api.post(shared.path("Secret"), {**secret("typed", x="y"), "type": kind}).refused(422, "Invalid")
        assert f"data[{key}]" in refused.fields


@pytest.mark.parametrize(
    "body, patch, field",
    [
        (secret("fixed"), {"type": "other/type"}, "type"),
        (deployment("fixed"), {"spec": {"selector": {"matchLabels": {"b": "c"}}}}, "spec.selector"),
        (
            job("fixed", suspend=True),
            {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b"}]}}}},
            "spec.template",
        ),
        (service("fixed", clusterIP="None"), {"spec": {"clusterIP": "10.96.200.7"}}, "spec.clusterIP"),
        (idle_pod("fixed"), {"spec": {"restartPolicy": "Never"}}, "spec"),
        (idle_pod("fixed"), {"spec": {"containers": [{"name": "app", "image": "b", "args": ["c"]}]}}, "spec"),
    ],
    ids=["secret type", "deployment selector", "job template", "cluster IP", "pod spec", "pod container"],
)
def test_immutable_fields(space: Space, body: Any, patch: Any, field: str) -> None:
    """A Secret's type, selectors, a Job's template, a cluster IP and nearly all of a Pod's spec are immutable: 422."""
    space.create(body)
    refused = space.api.patch(space.path(body["kind"], "fixed"), patch).refused(422, "Invalid")
    assert any(named.startswith(field) for named in refused.fields), refused.message


def test_the_image_of_a_pod_may_change(shared: Space) -> None:
    """Of a Pod's spec, images can be changed in place (and tolerations be added)."""
    shared.create(idle_pod("changing"))
    patch = [{"op": "replace", "path": "/spec/containers/0/image", "value": "other:2"}]
    assert shared.patch("Pod", "changing", patch, JSON_PATCH)["spec"]["containers"][0]["image"] == "other:2"


def test_defaults_of_a_deployment(shared: Space) -> None:
    """A Deployment gets one replica, a rolling update of 25 %, a deadline of 600 s, and a Pod template with defaults."""
    body = deployment("defaults")
    del body["spec"]["replicas"]
    spec = shared.create(body, dryRun="All")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (spec["progressDeadlineSeconds"], spec["revisionHistoryLimit"]) == (600, 10)
    inner = spec["template"]["spec"]
    assert (inner["restartPolicy"], inner["dnsPolicy"], inner["schedulerName"]) == (
        "Always",
        "ClusterFirst",
        "default-scheduler",
    )


@pytest.mark.parametrize(
    "reference, policy",
    [
        ("x", "Always"),
        ("x:latest", "Always"),
        ("h:5000/x", "Always"),
        ("x:1", "IfNotPresent"),
        ("x@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_the_default_pull_policy(shared: Space, reference: str, policy: str) -> None:
    """Images without a tag or with :latest are always pulled, others if they are not present."""
    made = shared.create(pod("policy", {"name": "app", "image": reference}), dryRun="All")
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_quantities_are_canonical(shared: Space) -> None:
    """Quantities are read back in canonical form: 0.5 is 500m, 1000m is 1, 1024Mi is 1Gi."""
    resources = {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": "1000m", "memory": "2048Mi"}}
    made = shared.create(
        idle_pod("quantities")
        | {
            "spec": {
                "containers": [{"name": "app", "image": "none:1", "resources": resources}],
            }
        },
        dryRun="All",
    )
    found = made["spec"]["containers"][0]["resources"]
    assert found == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


def test_limits_are_the_default_of_requests(shared: Space) -> None:
    """A container with limits and without requests requests its limits; its Pod is of the class Guaranteed."""
    limits = {"cpu": "100m", "memory": "64Mi"}
    made = shared.create(pod("limits", {"name": "app", "image": "x:1", "resources": {"limits": limits}}), dryRun="All")
    assert made["spec"]["containers"][0]["resources"]["requests"] == limits
    assert made["status"]["qosClass"] == "Guaranteed"


def test_unknown_fields_warn_or_are_refused(shared: Space) -> None:
    """fieldValidation=Warn (the default) drops unknown fields with a warning, Strict is 400, Ignore says nothing."""
    body = config_map("unknown") | {"dta": {"a": "1"}}
    path = shared.path("ConfigMap")
    warned = shared.api.post(path, body, dryRun="All")
    assert 'unknown field "dta"' in warned.warnings.replace("\\", "")
    assert "dta" not in warned.ok()
    refused = shared.api.post(path, body, dryRun="All", fieldValidation="Strict").refused(400, "BadRequest")
    assert 'strict decoding error: unknown field "dta"' in refused.message
    ignored = shared.api.post(path, body, dryRun="All", fieldValidation="Ignore")
    assert not ignored.warnings
    assert "dta" not in ignored.ok()


def test_duplicate_fields_are_refused_strictly(shared: Space) -> None:
    """fieldValidation=Strict refuses a key that is said twice (400; 422 in a patch), Warn takes the last one."""
    text = json.dumps(config_map("twice", a="1")).replace('"a": "1"', '"a": "1", "a": "2"').encode()
    path = shared.path("ConfigMap")
    refused = shared.api.post(path, text, dryRun="All", fieldValidation="Strict").refused(400, "BadRequest")
    assert 'duplicate field "data.a"' in refused.message
    warned = shared.api.post(path, text, dryRun="All")
    assert 'duplicate field "data.a"' in warned.warnings.replace("\\", "")
    assert warned.ok()["data"] == {"a": "2"}
    shared.create(config_map("patched-twice"))
    path, patch = shared.path("ConfigMap", "patched-twice"), b'{"data": {"a": "1", "a": "2"}}'
    refused = shared.api.patch(path, patch, fieldValidation="Strict").refused(422, "Invalid")
    assert 'duplicate field "data.a"' in refused.message
    assert shared.api.patch(path, patch, fieldValidation="Ignore").ok()["data"] == {"a": "2"}
    config = b"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: '1'\n  a: '2'\n"
    strict = {"fieldManager": "yaml", "force": "true", "fieldValidation": "Strict"}
    refused = shared.api.send("PATCH", path, config, kind=APPLY, **strict).refused(400, "BadRequest")
    assert '"a" already set in map' in refused.message.replace("data.a", "a")


def test_values_of_a_wrong_type(shared: Space) -> None:
    """A value of another type than the field's is 400 and names the kind."""
    body = deployment("wrong")
    body["spec"]["replicas"] = "three"
    refused = shared.api.post(shared.path("Deployment"), body).refused(400, "BadRequest")
    assert 'Deployment in version "v1" cannot be handled as a Deployment' in refused.message


@pytest.mark.parametrize(
    "body, field",
    [
        (pod("bad"), "spec.containers"),
        (pod("bad", {"name": "app"}), "spec.containers[0].image"),
        (pod("bad", {"name": "A", "image": "x"}), "spec.containers[0].name"),
        (pod("bad", {"name": "a", "image": "x"}, {"name": "a", "image": "x"}), "spec.containers[1].name"),
        (
            pod("bad", container("x", volumeMounts=[{"name": "v", "mountPath": "/v"}])),
            "spec.containers[0].volumeMounts[0].name",
        ),
        (pod("bad", container("x", env=[{"name": "a=b", "value": "c"}])), "spec.containers[0].env[0].name"),
        (
            pod("bad", container("x", resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
            "spec.containers[0].resources.requests",
        ),
        (pod("bad", container("x"), restartPolicy="Sometimes"), "spec.restartPolicy"),
        (deployment("bad", replicas=-1), "spec.replicas"),
        (service("bad", ports=[]), "spec.ports"),
        (service("bad", ports=[{"port": 70000}]), "spec.ports[0].port"),
        (service("bad", ports=[{"port": 1}, {"port": 2}]), "spec.ports[0].name"),
        (service("bad", type="Magic"), "spec.type"),
        (job("bad", pod_spec={"restartPolicy": "Always"}), "spec.template.spec.restartPolicy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_validation_refuses(shared: Space, body: Any, field: str) -> None:
    """What has the right type and makes no sense is 422 with the field's path in its causes."""
    refused = shared.api.post(shared.path(body["kind"]), body, dryRun="All").refused(422, "Invalid")
    assert field in refused.fields, refused.fields


def test_a_selector_has_to_match_its_template(shared: Space) -> None:
    """A Deployment whose selector does not match its template's labels is 422."""
    body = deployment("mismatch")
    body["spec"]["selector"] = {"matchLabels": {"other": "label"}}
    refused = shared.api.post(shared.path("Deployment"), body).refused(422, "Invalid")
    assert refused.fields == ["spec.template.metadata.labels"]


def test_dry_run_stores_nothing(shared: Space) -> None:
    """dryRun=All answers with what would be stored, uid included, and stores nothing."""
    assert shared.create(config_map("dry"), dryRun="All")["metadata"]["uid"]
    assert shared.find("ConfigMap", "dry") is None
    made = shared.create(config_map("dry", a="1"))
    assert shared.patch("ConfigMap", "dry", {"data": {"a": "2"}}, dryRun="All")["data"] == {"a": "2"}
    shared.api.delete(shared.path("ConfigMap", "dry"), dryRun="All").ok()
    assert shared.get("ConfigMap", "dry") == made


def test_defaults_of_other_kinds(shared: Space) -> None:
    """Claims get the default class and a finalizer, network policies their types, ports a protocol."""
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "default-class"}, "spec": size}
    made = shared.create(claim)
    assert made["spec"]["storageClassName"] and made["spec"]["volumeMode"] == "Filesystem"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    path = f"/apis/networking.k8s.io/v1/namespaces/{shared.name}/networkpolicies"
    spec: Any = {"podSelector": {}, "egress": [{"ports": [{"port": 80}]}]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": spec}
    made = shared.api.post(path, policy).ok()["spec"]
    assert made["policyTypes"] == ["Ingress", "Egress"] and made["egress"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    made = shared.create(service("sticky", sessionAffinity="ClientIP"))
    assert made["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    answer = shared.api.get(shared.path("Endpoints"))
    if shared.api.version() >= (1, 33):
        assert "v1 Endpoints is deprecated in v1.33+" in answer.warnings


def test_roles_without_a_rule(shared: Space) -> None:
    """A rule names API groups and resources."""
    prefix = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{shared.name}"
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "x"}}
    refused = shared.api.post(f"{prefix}/roles", {**body, "rules": [{"verbs": ["get"]}]}).refused(422, "Invalid")
    assert refused.fields == ["rules[0].apiGroups", "rules[0].resources"]


def test_services_get_addresses(shared: Space) -> None:
    """Services get cluster IPs of their own; headless ones "None", ExternalName none, NodePort a port of 30000-32767."""
    first, second = (shared.create(service(f"address-{n}"))["spec"] for n in (1, 2))
    assert first["clusterIP"] != second["clusterIP"]
    assert first["clusterIPs"] == [first["clusterIP"]]
    assert first["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (first["type"], first["sessionAffinity"], first["ipFamilyPolicy"]) == ("ClusterIP", "None", "SingleStack")
    assert shared.create(service("address-3", clusterIP="None"))["spec"]["clusterIP"] == "None"
    external = shared.create(service("address-4", type="ExternalName", externalName="example.com", ports=[]))["spec"]
    assert "clusterIP" not in external
    node_port = shared.create(service("address-5", type="NodePort"))["spec"]["ports"][0]["nodePort"]
    assert 30000 <= node_port <= 32767


def test_lists_carry_the_kind_once(shared: Space) -> None:
    """A list of a built-in kind is a KindList whose items have no kind and apiVersion of their own."""
    shared.create(config_map("listed"))
    found = shared.api.get(shared.path("ConfigMap")).ok()
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert found["items"]
    assert not any("kind" in item or "apiVersion" in item for item in found["items"])
    assert int(found["metadata"]["resourceVersion"]) > 0


def test_tables_and_metadata_alone(shared: Space) -> None:
    """A client may accept a Table (what kubectl prints) or PartialObjectMetadata (metadata without the rest)."""
    shared.create(config_map("shown", a="1", b="2"))
    path = shared.path("ConfigMap", "shown")
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = shared.api.send("GET", path, headers={"Accept": accept}).ok()
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["shown", 2]
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    partial = shared.api.send("GET", path, headers={"Accept": accept}).ok()
    assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "shown")
    assert "data" not in partial
