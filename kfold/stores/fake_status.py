"""The status that a stable object has, for the fake cluster: what the controllers would have written by then."""

from __future__ import annotations

from typing import Any


def stable_status(obj: dict[str, Any]) -> None:
    """Sets `obj`'s status as its controller leaves it when all is well. Other kinds stay without one."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    generation = metadata.get("generation", 1)
    replicas = spec.get("replicas", 1)
    match obj["kind"]:
        case "Deployment":
            obj["status"] = {
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas, "availableReplicas": replicas,
                "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]}
        case "StatefulSet":
            obj["status"] = {
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "currentReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
                "currentRevision": f"{metadata['name']}-{generation}",
                "updateRevision": f"{metadata['name']}-{generation}"}
        case "DaemonSet":
            obj["status"] = {
                "observedGeneration": generation, "desiredNumberScheduled": 1, "currentNumberScheduled": 1,
                "updatedNumberScheduled": 1, "numberReady": 1, "numberAvailable": 1, "numberMisscheduled": 0}
        case "Job":
            obj["status"] = {"succeeded": spec.get("completions", 1), "active": 0,
                             "conditions": [{"type": "Complete", "status": "True"}]}
        case "Pod":
            obj["status"] = {
                "phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"},
                                                   {"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": container.get("name", ""), "image": container.get("image", ""), "ready": True,
                     "restartCount": 0, "state": {"running": {}}} for container in spec.get("containers") or ()]}
        case "CustomResourceDefinition":
            obj["status"] = {"conditions": [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]}
        case "Namespace":
            obj["status"] = {"phase": "Active"}
