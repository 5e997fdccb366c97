"""Common mistakes: the field, the reason and the words with which a real server refuses each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.api.cluster import Space
from tests.scenarios.api.objects import config_map, deployment, idle_pod, service, workload

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def a_pod(**container: Any) -> Any:
    made = idle_pod("mistake")
    made["spec"]["containers"][0] |= container
    return made


def a_job(pod: Any = None, **spec: Any) -> Any:
    inner = {"containers": [{"name": "app", "image": "none:1"}], "restartPolicy": "Never", **(pod or {})}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "mistake"}}
    return {**body, "spec": {"suspend": True, "template": {"spec": inner}, **spec}}


def a_deployment(**spec: Any) -> Any:
    return deployment("mistake", **spec)


MISTAKES = [
    (a_pod(name="A b"), f'spec.containers[0].name: Invalid value: "A b": {LABEL}'),
    (a_pod(image=""), "spec.containers[0].image: Required value"),
    (a_pod(imagePullPolicy="Sometimes"), 'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes"'),
    (
        a_pod(ports=[{"containerPort": 70000}]),
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        a_pod(ports=[{"containerPort": 80, "name": "a--b"}]),
        'spec.containers[0].ports[0].name: Invalid value: "a--b": must not contain consecutive hyphens',
    ),
    (a_pod(volumeMounts=[{"name": "v", "mountPath": "/v"}]), 'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
    (
        a_pod(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        a_pod(resources={"limits": {"disk": "1"}}),
        'spec.containers[0].resources.limits[disk]: Invalid value: "disk": must be a standard resource for containers',
    ),
    (
        a_pod(livenessProbe={"successThreshold": 2, "exec": {"command": ["x"]}}),
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    (a_pod(livenessProbe={}), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
    (
        a_pod(envFrom=[{}]),
        'spec.containers[0].envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ),
    (idle_pod("mistake", dnsPolicy="Mine"), 'spec.dnsPolicy: Unsupported value: "Mine": supported values: '),
    (idle_pod("mistake", hostname="A"), f'spec.hostname: Invalid value: "A": {LABEL}'),
    (
        idle_pod("mistake", volumes=[{"name": "v", "secret": {}}]),
        "spec.volumes[0].secret.secretName: Required value",
    ),
    (
        idle_pod("mistake", ephemeralContainers=[{"name": "e", "image": "none:1"}]),
        "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ),
    (
        a_deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
    ),
    (
        a_deployment(progressDeadlineSeconds=5, minReadySeconds=5),
        "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
    ),
    (
        a_deployment(selector={"matchLabels": {"app": "other"}}),
        '{"app":"mistake"}: `selector` does not match template `labels`',
    ),
    (a_deployment(selector={}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    (a_deployment(selector=None), "spec.selector: Required value"),
    (
        a_job({"restartPolicy": "Always"}),
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    (a_job(completionMode="Indexed", parallelism=2), "spec.completions: Required value: when completion mode is Indexed"),
    (a_job(backoffLimitPerIndex=1), "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
    (a_job(selector={"matchLabels": {"x": "y"}}), "`selector` not auto-generated"),
    (
        a_job({"restartPolicy": "OnFailure"}, podFailurePolicy={"rules": []}),
        'restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
    ),
    (
        service("mistake", ports=[{"port": 80, "nodePort": 30080}]),
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (service("mistake", ports=[{"port": 80}, {"port": 81}]), "spec.ports[0].name: Required value"),
    (service("mistake", sessionAffinity="Mine"), 'spec.sessionAffinity: Unsupported value: "Mine"'),
    (
        service("mistake", clusterIP="192.0.2.1"),
        'spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: ',
    ),
    (
        {**config_map("mistake"), "metadata": {"name": "mistake", "labels": {"a/b/c": "x"}}},
        'metadata.labels: Invalid value: "a/b/c": a ',
    ),
    (
        {**config_map("mistake"), "metadata": {"generateName": "Ab-"}},
        'metadata.generateName: Invalid value: "Ab-": a lowercase RFC 1123 subdomain must consist of',
    ),
    (
        {**config_map("mistake"), "metadata": {"name": "mistake", "finalizers": ["orphan", "foregroundDeletion"]}},
        "finalizer orphan and foregroundDeletion cannot be both set",
    ),
]


@pytest.mark.parametrize(
    ("body", "said"), MISTAKES, ids=[f"{body['kind']}-{index}" for index, (body, _) in enumerate(MISTAKES)]
)
def test_a_common_mistake(shared: Space, body: Any, said: str) -> None:
    """422 Invalid, with the field's path, its reason and the real server's words."""
    refused = shared.api.post(shared.path(body["kind"]), body).refused(422, "Invalid")
    assert said in refused.message
    assert refused.body["details"]["kind"] == body["kind"]


def test_what_cannot_be_changed_is_said(shared: Space) -> None:
    """The words for immutable fields: a selector, a cluster IP, an immutable ConfigMap, a StatefulSet's service."""
    made = shared.create(deployment("fixed"))
    selector = {"matchLabels": {"app": "other"}}
    change = {"spec": {"selector": selector, "template": {"metadata": {"labels": {"app": "other"}}}}}
    refused = shared.api.patch(shared.path("Deployment", "fixed"), change).refused(422, "Invalid")
    assert refused.message == 'Deployment.apps "fixed" is invalid: spec.selector: Invalid value: ' + (
        '{"matchLabels":{"app":"other"}}: field is immutable'
    )
    assert shared.get("Deployment", "fixed")["spec"] == made["spec"]

    address = shared.create(service("fixed"))["spec"]["clusterIP"]
    other = address.rpartition(".")[0] + (".7" if not address.endswith(".7") else ".8")
    refused = shared.api.patch(shared.path("Service", "fixed"), {"spec": {"clusterIP": other, "clusterIPs": [other]}})
    said = f'spec.clusterIPs[0]: Invalid value: ["{other}"]: may not change once set'
    assert said in refused.refused(422, "Invalid").message

    shared.create({**config_map("fixed", a="1"), "immutable": True})
    refused = shared.api.patch(shared.path("ConfigMap", "fixed"), {"data": {"a": "2"}}).refused(422, "Invalid")
    assert refused.message == 'ConfigMap "fixed" is invalid: data: Forbidden: field is immutable when `immutable` is set'

    shared.create(workload("StatefulSet", "fixed", serviceName="one", replicas=0))
    refused = shared.api.patch(shared.path("StatefulSet", "fixed"), {"spec": {"serviceName": "two"}}).refused(422, "Invalid")
    assert "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'," in refused.message
    assert refused.fields == ["spec"]


def test_paths_and_methods_that_are_none(shared: Space) -> None:
    """No such group: a plain 404; no such resource: a Status; no such method: 405; no such media type: 415."""
    nowhere = shared.api.get("/apis/kfold.invalid/v1/things")
    assert (nowhere.code, nowhere.body) == (404, "404 page not found\n")
    refused = shared.api.get("/api/v1/kfoldthings").refused(404, "NotFound")
    assert refused.message == "the server could not find the requested resource"
    refused = shared.api.put(shared.path("ConfigMap"), config_map()).refused(405, "MethodNotAllowed")
    assert refused.message == "the server does not allow this method on the requested resource"
    refused = shared.api.send("POST", shared.path("ConfigMap"), b"x", kind="text/plain").refused(415, "UnsupportedMediaType")
    assert "application/json, application/yaml, application/vnd.kubernetes.protobuf" in refused.message


@pytest.mark.parametrize(
    ("method", "query", "field", "said"),
    [
        ("GET", {"sendInitialEvents": "true"}, "sendInitialEvents", "sendInitialEvents is forbidden for list"),
        (
            "GET",
            {"watch": "1", "sendInitialEvents": "true", "timeoutSeconds": "1"},
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "GET",
            {"watch": "1", "resourceVersionMatch": "NotOlderThan", "timeoutSeconds": "1"},
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        ("POST", {"dryRun": "Some"}, "dryRun", 'Unsupported value: ["Some"]: supported values: "All"'),
        ("POST", {"fieldValidation": "X"}, "fieldValidation", 'supported values: "", "Ignore", "Strict", "Warn"'),
        ("POST", {"fieldManager": "x" * 129}, "fieldManager", "Too long: may not be more than 128 bytes"),
        (
            "DELETE",
            {"propagationPolicy": "X"},
            "propagationPolicy",
            'supported values: "Foreground", "Background", "Orphan", "nil"',
        ),
    ],
)
def test_options_that_do_not_go_together(shared: Space, method: str, query: Any, field: str, said: str) -> None:
    """422 Invalid of the options' own kind, with the option's name as the field."""
    body = config_map("options") if method == "POST" else None
    path = shared.path("ConfigMap", "options" if method == "DELETE" else "")
    refused = shared.api.send(method, path, body, **query).refused(422, "Invalid")
    assert refused.fields == [field] and said in refused.message
    assert refused.body["details"]["kind"] == {"GET": "List", "POST": "Create", "DELETE": "Delete"}[method] + "Options"


def test_a_resource_version_that_is_not_reached(shared: Space) -> None:
    """A GET or list that asks for more than there is gets 504 (ResourceVersionTooLarge); what is no number 400."""
    shared.create(config_map("later"))
    far = int(shared.get("ConfigMap", "later")["metadata"]["resourceVersion"]) + 10**9
    for path in (shared.path("ConfigMap", "later"), shared.path("ConfigMap")):
        refused = shared.api.get(path, resourceVersion=str(far)).refused(504, "Timeout")
        assert "Too large resource version" in refused.message
    shared.api.get(shared.path("ConfigMap"), resourceVersion="x").refused(400, "BadRequest")
    shared.create(config_map("latest"))
    page = shared.api.get(shared.path("ConfigMap"), limit=1).ok()["metadata"]
    both = {"continue": page["continue"], "resourceVersion": page["resourceVersion"]}
    refused = shared.api.get(shared.path("ConfigMap"), **both).refused(400, "BadRequest")
    assert refused.message == "specifying resource version is not allowed when using continue"
