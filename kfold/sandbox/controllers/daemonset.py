"""DaemonSets: one Pod on every node that suits, which here is one node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.resources import DAEMONSETS, NODES, PODS, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers import objects, revisions
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.controllers.scheduler import suits
from kfold.sandbox.kubelet.recorder import Recorder

Json = dict[str, Any]

TOLERATED = ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
"""The node's own conditions, which never keep a daemon away."""


class DaemonSetController(Controller):
    """Rules of k8s.io/kubernetes/pkg/controller/daemon, for one node."""

    def __init__(self, store: Store, recorder: Recorder, node: str) -> None:
        super().__init__(store, recorder)
        self._node = node

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == DAEMONSETS.key:
            return [objects.place(obj)]
        if resource.key == PODS.key and (owner := objects.owner_key(obj, "DaemonSet")):
            return [owner]
        if resource.key == NODES.key and (old is None or old["metadata"].get("labels") != obj["metadata"].get("labels")):
            return [objects.place(entry) for entry in self._store.peek_all(DAEMONSETS)]
        return []

    def sync(self, key: Key) -> float | None:
        owner = self._store.peek(DAEMONSETS, *key)
        if owner is None:
            return None
        owner = copied(owner)
        revision = ""
        if not owner["metadata"].get("deletionTimestamp"):
            pods = objects.claim(self._store, owner, PODS, owner["spec"]["selector"])
            revision = revisions.current(self._store, owner)
            self._step(owner, pods, revision)
        return self._write_status(key, revision)

    def _step(self, owner: Json, pods: list[Json], revision: str) -> None:
        wanted = self._wanted(owner)
        ended = [pod for pod in pods if objects.phase(pod) in ("Succeeded", "Failed")]
        active = [pod for pod in pods if pod not in ended]
        stale = [pod for pod in active if revisions.revision_of(pod) != revision]
        rolling = (owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
        # One node: the old Pod goes before the new one comes (maxUnavailable 1), and one is enough.
        surplus = active if not wanted else [*(stale if rolling else []), *active[1:]]
        for pod in {pod["metadata"]["uid"]: pod for pod in [*ended, *surplus]}.values():
            metadata = pod["metadata"]
            if not metadata.get("deletionTimestamp"):
                self._store.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
                said = f"Deleted pod: {metadata['name']}"
                self._recorder.normal("daemonset-controller", owner, "SuccessfulDelete", said)
        if wanted and not active:
            pod = self._pod(owner, revision)
            pod = objects.create_pod(self._store, self._recorder, "daemonset-controller", owner, pod)
            said = f"Created pod: {pod['metadata']['name']}"
            self._recorder.normal("daemonset-controller", owner, "SuccessfulCreate", said)

    def _wanted(self, owner: Json) -> bool:
        node = self._store.peek(NODES, None, self._node)
        return node is not None and not suits(self._pod(owner, ""), node)

    def _pod(self, owner: Json, revision: str) -> Json:
        pod = objects.pod_from_template(owner["spec"]["template"], owner, labels={revisions.HASH: revision})
        tolerations = pod["spec"].setdefault("tolerations", [])
        for name in TOLERATED:
            effect = "NoExecute" if name in ("not-ready", "unreachable") else "NoSchedule"
            tolerations.append({"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect})
        return pod

    def _write_status(self, key: Key, revision: str) -> float | None:
        owner = self._store.get(DAEMONSETS, *key)
        mine = [pod for pod in self._store.peek_all(PODS, key[0]) if objects.is_controlled_by(pod, owner)]
        pods = [pod for pod in mine if objects.is_active(pod)]
        wanted = int(self._wanted(owner))
        waits = [objects.seconds_until_available(pod, owner["spec"].get("minReadySeconds", 0)) for pod in pods]
        available = sum(wait == 0 for wait in waits)
        counts = {
            "currentNumberScheduled": min(len(pods), wanted),
            "desiredNumberScheduled": wanted,
            "numberAvailable": available,
            "numberMisscheduled": 0 if wanted else len(pods),
            "numberReady": sum(objects.is_ready(pod) for pod in pods),
            "numberUnavailable": max(0, wanted - available),
            "updatedNumberScheduled": sum(revisions.revision_of(pod) == revision for pod in pods),
        }
        always = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
        status: Json = {name: value for name, value in counts.items() if value or name in always}
        owner["status"] = status | {"observedGeneration": owner["metadata"].get("generation", 1)}
        self._store.update_status(DAEMONSETS, owner)
        return min((wait for wait in waits if wait), default=None)
