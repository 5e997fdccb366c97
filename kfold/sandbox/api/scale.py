"""The scale subresource: autoscaling/v1 Scale as a view of spec.replicas."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.causes import negative
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource


def scale_of(resource: Resource, obj: Object) -> Object:
    """The Scale of an object; of a custom one, by the paths that its definition names."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = at(obj, "spec", "selector") or {}
    labels = selector.get("matchLabels") or {}
    shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    paths = resource.structure
    if paths:
        shown = str(at(obj, *paths.selector) or "") if paths.selector else ""
    status: Object = {"replicas": at(obj, *(paths.status_replicas if paths else ("status", "replicas"))) or 0}
    if shown:
        status["selector"] = shown
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": at(obj, *_replicas(resource)) or 0},
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
        kind = Resource("autoscaling", "v1", "scales", "Scale")
        raise errors.invalid(kind, obj["metadata"]["name"], negative("spec.replicas", replicas))
    *parents, last = _replicas(resource)
    below = obj
    for key in parents:
        below = below.setdefault(key, {})
    below[last] = replicas
    return obj


def _replicas(resource: Resource) -> tuple[str, ...]:
    return resource.structure.replicas if resource.structure else ("spec", "replicas")
