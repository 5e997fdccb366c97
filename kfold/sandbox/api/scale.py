"""The scale subresource: autoscaling/v1 Scale as a view of spec.replicas."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource


def scale_of(obj: Object) -> Object:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = at(obj, "spec", "selector") or {}
    labels = selector.get("matchLabels") or {}
    shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    status: Object = {"replicas": at(obj, "status", "replicas") or 0}
    if shown:
        status["selector"] = shown
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": at(obj, "spec", "replicas") or 0},
        "status": status,
    }


def with_replicas(resource: Resource, obj: Object, scale: Any) -> Object:
    """The object with the replicas of a Scale. Raises ApiError 400 for what is no Scale, 422 for a negative number."""
    if not isinstance(scale, dict) or scale.get("kind") != "Scale":
        raise errors.bad_request("the body must be a Scale of autoscaling/v1")
    replicas = at(scale, "spec", "replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise errors.bad_request("spec.replicas of a Scale is a number")
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise errors.invalid(resource, obj["metadata"]["name"], [("FieldValueInvalid", "spec.replicas", text)])
    obj.setdefault("spec", {})["replicas"] = replicas
    return obj
