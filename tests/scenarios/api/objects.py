"""Manifests of the cases, as small as the API allows."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SERVE = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
"""A program that runs until it is told to end, and then ends at once."""


def _object(api_version: str, kind: str, name: str, labels: Json | None = None, **fields: Any) -> Json:
    metadata: Json = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def config_map(name: str = "conf", labels: Json | None = None, **data: str) -> Json:
    return _object("v1", "ConfigMap", name, labels, **({"data": data} if data else {}))


def secret(name: str = "secret", **strings: str) -> Json:
    return _object("v1", "Secret", name, stringData=strings)


def container(image: str, script: str = SERVE, name: str = "app", **fields: Any) -> Json:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script], **fields}


def pod(name: str, *containers: Json, labels: Json | None = None, **spec: Any) -> Json:
    fixed = {"terminationGracePeriodSeconds": 1, "containers": list(containers)}
    return _object("v1", "Pod", name, labels or {"app": name}, spec={**fixed, **spec})


def task(name: str, image: str, script: str, *, labels: Json | None = None, **fields: Any) -> Json:
    """A Pod that runs a script once. `fields` of the spec, or of its container where that is what has them."""
    inner = {key: fields.pop(key) for key in list(fields) if key in CONTAINER_FIELDS}
    return pod(name, container(image, script, **inner), labels=labels, **{"restartPolicy": "Never", **fields})


CONTAINER_FIELDS = (
    "args", "command", "env", "envFrom", "lifecycle", "livenessProbe", "readinessProbe", "resources", "startupProbe",
    "terminationMessagePolicy", "volumeMounts", "workingDir",
)  # fmt: skip


def idle_pod(name: str = "idle", **spec: Any) -> Json:
    """A Pod that no node suits: an object that nothing happens to."""
    spec = {"nodeSelector": {"kfold.dev/nowhere": "true"}, **spec}
    return pod(name, {"name": "app", "image": "none:1"}, **spec)


def _template(name: str, containers: tuple[Json, ...], spec: Json) -> Json:
    fixed = {"terminationGracePeriodSeconds": 1, "containers": list(containers)}
    return {"metadata": {"labels": {"app": name}}, "spec": {**fixed, **spec}}


def workload(kind: str, name: str, *containers: Json, pod_spec: Json | None = None, **spec: Any) -> Json:
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet; without containers, of one that nothing happens to."""
    inner = containers or ({"name": "app", "image": "none:1"},)
    nowhere = {} if containers else {"nodeSelector": {"kfold.dev/nowhere": "true"}}
    template = _template(name, inner, {**nowhere, **(pod_spec or {})})
    body = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return _object("apps/v1", kind, name, {"app": name}, spec=body)


def deployment(name: str = "web", *containers: Json, replicas: int = 0, **spec: Any) -> Json:
    return workload("Deployment", name, *containers, replicas=replicas, **spec)


def job(name: str, *containers: Json, pod_spec: Json | None = None, **spec: Any) -> Json:
    inner = {"restartPolicy": "Never", **(pod_spec or {})}
    template = _template(name, containers or ({"name": "app", "image": "none:1"},), inner)
    return _object("batch/v1", "Job", name, spec={"template": template, **spec})


def service(name: str = "web", **spec: Any) -> Json:
    return _object("v1", "Service", name, spec={"ports": [{"port": 80}], **spec})


def owned_by(owner: Json, obj: Json, **reference: Any) -> Json:
    """`obj` with an owner reference; `owner` as the server gave it."""
    entry = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **reference,
    }
    references = [*obj["metadata"].get("ownerReferences", []), entry]
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": references}}
