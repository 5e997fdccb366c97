"""Objects as the API shows them, written by hand from the API reference: the shortest that still says everything."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
IMAGE = "registry.invalid/shop/web:1@sha256:aaaa"


def pod(name: str = "web-5d4f-abcde", *, owner: Object | None = None, hash_: str = "5d4f", image: str = IMAGE,
        ready: bool = False, phase: str = "Pending", created: str = "2026-01-01T00:00:10Z", **status: Any) -> Object:
    metadata: Object = {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "creationTimestamp": created,
                        "labels": {"app": "web"}}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
        if owner["kind"] == "ReplicaSet":
            metadata["labels"]["pod-template-hash"] = hash_
    conditions = status.pop("conditions", [{"type": "PodScheduled", "status": "True"},
                                           {"type": "Ready", "status": "True" if ready else "False"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"restartPolicy": status.pop("restart_policy", "Always"),
                     "initContainers": [{"name": "setup", "image": "setup:1"}],
                     "containers": [{"name": "web", "image": image}]},
            "status": {"phase": "Running" if ready else phase, "conditions": conditions, **status}}


def container(name: str = "web", *, ready: bool = False, restarts: int = 0, last: Object | None = None,
              **state: Any) -> Object:
    return {"name": name, "image": "sha256:bbbb", "imageID": "sha256:bbbb", "ready": ready, "restartCount": restarts,
            "started": ready, "state": state, "lastState": {"terminated": last} if last else {}}


def owned_by(obj: Object) -> Object:
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": obj["metadata"]["name"],
            "uid": obj["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}


def deployment(*, wanted: int = 1, generation: int = 2, observed: int | None = None, revision: str = "2",
               **status: Any) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "uid-of-deployment", "generation": generation,
                         "annotations": {"deployment.kubernetes.io/revision": revision}},
            "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": "web"}},
                     "template": {"metadata": {"labels": {"app": "web"}},
                                  "spec": {"containers": [{"name": "web", "image": IMAGE}]}}},
            "status": {"observedGeneration": generation if observed is None else observed, **status}}


def stable(replicas: int = 1) -> Object:
    return {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}


def replica_set(name: str = "web-5d4f", *, revision: str = "2", owner: Object | None = None) -> Object:
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-of-{name}",
                         "annotations": {"deployment.kubernetes.io/revision": revision},
                         "ownerReferences": [owned_by(owner or deployment())]}}


def workload(kind: str, *, spec: Object | None = None, generation: int = 1, observed: int | None = None,
             api_version: str = "apps/v1", **status: Any) -> Object:
    observed = generation if observed is None else observed
    return {"apiVersion": api_version, "kind": kind,
            "metadata": {"name": "db", "namespace": "shop", "uid": f"uid-of-{kind}", "generation": generation},
            "spec": spec or {}, "status": {"observedGeneration": observed, **status}}


def event(about: Object, reason: str, message: str, *, kind: str = "Warning",
          when: str = "2026-01-01T00:01:00Z") -> Object:
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"event-{when}", "namespace": "shop"},
            "involvedObject": {"kind": about["kind"], "name": about["metadata"]["name"],
                               "uid": about["metadata"]["uid"]},
            "type": kind, "reason": reason, "message": message, "lastTimestamp": when}
