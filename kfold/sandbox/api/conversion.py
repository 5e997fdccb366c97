"""Built-in kinds that are served in two versions: the same stored object, shown and taken in both.

HorizontalPodAutoscaler is stored as autoscaling/v2; what autoscaling/v1 has no field for is an annotation there, as the real
server has it (pkg/apis/autoscaling/v1/conversion.go). Events are stored as v1; events.k8s.io/v1 has other names for the same
(pkg/apis/events/v1/conversion.go).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource

_EVENTS = {
    "message": "note", "involvedObject": "regarding", "reportingComponent": "reportingController",
    "source": "deprecatedSource", "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp", "count": "deprecatedCount",
}  # fmt: skip
_ANNOTATION = "autoscaling.alpha.kubernetes.io/"
_KEPT = {"metrics": "spec", "behavior": "spec", "current-metrics": "status", "conditions": "status"}
"""Annotation -> the half of the object that has it in autoscaling/v2."""


def shown(resource: Resource, obj: Object) -> Object:
    """A stored object in the version of `resource`. The same one where that is the stored version."""
    convert = _SHOWN.get((resource.api_version, resource.kind)) if not resource.custom else None
    return {**convert(obj), "apiVersion": resource.api_version} if convert else obj


def stored(resource: Resource, obj: Object, version: str) -> Object:
    """The opposite: an object in the version of `resource` as it is stored, which is in `version`."""
    convert = _STORED.get((resource.api_version, resource.kind)) if not resource.custom else None
    return {**convert(obj), "apiVersion": version} if convert else obj


def _renamed(names: dict[str, str]) -> Callable[[Object], Object]:
    return lambda obj: {names.get(key, key): value for key, value in obj.items()}


def _is_cpu(metric: Any) -> bool:
    """Whether autoscaling/v1 has a field for it."""
    found = at(metric, "resource", "name") == "cpu" and metric.get("type") == "Resource"
    target = at(metric, "resource", "target") or at(metric, "resource", "current")
    return found and at(target, "averageUtilization") is not None


def _autoscaler_v1(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics, current = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    kept = {"metrics": [one for one in metrics if not _is_cpu(one)], "behavior": spec.pop("behavior", None)}
    kept |= {"current-metrics": [one for one in current if not _is_cpu(one)], "conditions": status.pop("conditions", None)}
    for one in filter(_is_cpu, metrics):
        spec["targetCPUUtilizationPercentage"] = one["resource"]["target"]["averageUtilization"]
    for one in filter(_is_cpu, current):
        status["currentCPUUtilizationPercentage"] = one["resource"]["current"]["averageUtilization"]
    said = {_ANNOTATION + key: json.dumps(value, separators=(",", ":")) for key, value in kept.items() if value}
    metadata = dict(obj["metadata"])
    if said:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **said}
    return {**obj, "metadata": metadata, "spec": spec, "status": {"currentReplicas": 0, "desiredReplicas": 0, **status}}


def _autoscaler_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    halves: dict[str, Object] = {"spec": spec, "status": status}
    for key, half in _KEPT.items():
        text = annotations.pop(_ANNOTATION + key, None)
        value = _parsed(text, dict if key == "behavior" else list) if text else None
        if value is not None:
            halves[half]["currentMetrics" if key == "current-metrics" else key] = value
    if "annotations" in metadata:
        metadata["annotations"] = annotations
    for of, field, key, what in (
        (spec, "targetCPUUtilizationPercentage", "metrics", "target"),
        (status, "currentCPUUtilizationPercentage", "currentMetrics", "current"),
    ):
        if (share := of.pop(field, None)) is not None:
            measure: Object = {"averageUtilization": share, **({"type": "Utilization"} if what == "target" else {})}
            metric = {"type": "Resource", "resource": {"name": "cpu", what: measure}}
            of[key] = [metric, *(of.get(key) or [])]
    return {**obj, "metadata": metadata, "spec": spec, **({"status": status} if status else {})}


def _parsed(text: str, kind: type) -> Any:
    """None for what is no such value: the real server drops it, too."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    fits = isinstance(value, dict | list) and isinstance(value, kind) and all(isinstance(one, str | dict) for one in value)
    return value if fits else None


_SHOWN: dict[tuple[str, str], Callable[[Object], Object]] = {
    ("events.k8s.io/v1", "Event"): _renamed(_EVENTS),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): _autoscaler_v1,
}
_STORED: dict[tuple[str, str], Callable[[Object], Object]] = {
    ("events.k8s.io/v1", "Event"): _renamed({new: old for old, new in _EVENTS.items()}),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): _autoscaler_v2,
}
