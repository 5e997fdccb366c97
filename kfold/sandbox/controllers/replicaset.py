"""ReplicaSets: as many Pods as are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import PODS, REPLICASETS, Resource
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]


class ReplicaSetController(Controller):
    """Rules of k8s.io/kubernetes/pkg/controller/replicaset."""

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == REPLICASETS.key:
            return [objects.place(obj)]
        if resource.key == PODS.key:
            owners = {objects.owner_key(entry, "ReplicaSet") for entry in (obj, old) if entry}
            if objects.controller_of(obj) is None:
                owners |= set(objects.matching_owners(self._store, REPLICASETS, obj))
            return [owner for owner in owners if owner]
        return []

    def sync(self, key: Key) -> float | None:
        owner = self._store.peek(REPLICASETS, *key)
        if owner is None:
            return None
        pods = objects.claim(self._store, owner, PODS, owner["spec"]["selector"])
        active = [pod for pod in pods if objects.is_active(pod)]
        failure = ""
        if not owner["metadata"].get("deletionTimestamp"):
            failure = self._scale(owner, active)
        return self._write_status(key, failure)

    def _scale(self, owner: Json, active: list[Json]) -> str:
        """Create or delete the difference. Returns why Pods could not be created."""
        missing = int(owner["spec"].get("replicas", 1)) - len(active)
        for _ in range(missing):
            try:
                pod = objects.pod_from_template(owner["spec"]["template"], owner)
                pod = objects.create_pod(self._store, self._recorder, "replicaset-controller", owner, pod)
            except ApiError as error:
                return str(error)
            said = f"Created pod: {pod['metadata']['name']}"
            self._recorder.normal("replicaset-controller", owner, "SuccessfulCreate", said)
        for pod in sorted(active, key=_worth)[: max(0, -missing)]:
            metadata = pod["metadata"]
            self._store.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
            said = f"Deleted pod: {metadata['name']}"
            self._recorder.normal("replicaset-controller", owner, "SuccessfulDelete", said)
        return ""

    def _write_status(self, key: Key, failure: str) -> float | None:
        owner = self._store.get(REPLICASETS, *key)
        pods = [
            pod
            for pod in self._store.peek_all(PODS, key[0])
            if objects.is_active(pod) and objects.is_controlled_by(pod, owner)
        ]
        template = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        waits = [objects.seconds_until_available(pod, owner["spec"].get("minReadySeconds", 0)) for pod in pods]
        status: Json = {
            "replicas": len(pods),
            "fullyLabeledReplicas": sum(template.items() <= pod["metadata"].get("labels", {}).items() for pod in pods),
            "readyReplicas": sum(objects.is_ready(pod) for pod in pods),
            "availableReplicas": sum(wait == 0 for wait in waits),
            "observedGeneration": owner["metadata"].get("generation", 1),
        }
        if failure:
            entry = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}
            old = (owner.get("status") or {}).get("conditions") or []
            status["conditions"] = objects.set_condition(old, {**entry, "lastTransitionTime": now()})
        # the real server leaves zeros out, and clients read a missing number as 0
        owner["status"] = {name: value for name, value in status.items() if value or name in ("replicas", "conditions")}
        self._store.update_status(REPLICASETS, owner)
        pending = [wait for wait in waits if wait]
        if failure:
            pending.append(5.0)
        return min(pending, default=None)


def _worth(pod: Json) -> tuple[bool, int, bool, float]:
    """Pods that go first sort first: unbound, then Pending, then unready, then the youngest."""
    rank = {"Pending": 0, "Unknown": 1, "Running": 2}.get(objects.phase(pod), 0)
    born = objects.seconds(pod["metadata"]["creationTimestamp"])
    return bool(pod["spec"].get("nodeName")), rank, objects.is_ready(pod), -born
