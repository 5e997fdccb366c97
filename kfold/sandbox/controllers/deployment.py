"""Deployments: a ReplicaSet for each template, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import DEPLOYMENTS, PODS, REPLICASETS, Resource
from kfold.sandbox.controllers import objects, rollout
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED, MAXIMUM = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"
NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED, MAXIMUM)


class DeploymentController(Controller):
    """Rules of k8s.io/kubernetes/pkg/controller/deployment; without proportional scaling in the middle of a rollout."""

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == DEPLOYMENTS.key:
            return [objects.place(obj)]
        if resource.key == REPLICASETS.key:
            owners = {objects.owner_key(entry, "Deployment") for entry in (obj, old) if entry}
            if objects.controller_of(obj) is None:
                owners |= set(objects.matching_owners(self._store, DEPLOYMENTS, obj))
            return [owner for owner in owners if owner]
        if resource.key == PODS.key and kind == "DELETED":
            # Recreate waits until the last old Pod is gone
            owner = objects.owner_key(obj, "ReplicaSet")
            replicaset = self._store.peek(REPLICASETS, *owner) if owner else None
            deployment = objects.owner_key(replicaset, "Deployment") if replicaset else None
            return [deployment] if deployment else []
        return []

    def sync(self, key: Key) -> float | None:
        deployment = self._store.peek(DEPLOYMENTS, *key)
        if deployment is None:
            return None
        deployment = copied(deployment)
        sets = objects.claim(self._store, deployment, REPLICASETS, deployment["spec"]["selector"])
        new = _find_new(deployment, sets)
        if not deployment["metadata"].get("deletionTimestamp"):
            paused = bool(deployment["spec"].get("paused"))
            new = self._ensure_new(deployment, sets, new, create=not paused)
            sets = [entry for entry in sets if new is None or entry["metadata"]["name"] != new["metadata"]["name"]]
            old, sets = sets, [*sets, *([new] if new else [])]
            self._progress(deployment, new, old, paused=paused)
            if not paused:
                self._forget_history(deployment, old)
        return self._write_status(key, new["metadata"]["name"] if new else "")

    # --- the new ReplicaSet

    def _ensure_new(self, deployment: Json, sets: list[Json], new: Json | None, *, create: bool) -> Json | None:
        old = [entry for entry in sets if new is None or entry["metadata"]["name"] != new["metadata"]["name"]]
        revision = max((_revision(entry) for entry in old), default=0) + 1
        if new is None:
            waits = deployment["spec"].get("strategy", {}).get("type") == "Recreate" and self._old_pods(deployment, old)
            if not create:
                return None
            new = self._create_new(deployment, old, revision, replicas=0 if waits else None)
        elif _revision(new) < revision or _annotations(deployment, new) - new["metadata"]["annotations"].items():
            new["metadata"]["annotations"] |= dict(_annotations(deployment, new))
            if _revision(new) < revision:
                new["metadata"]["annotations"][REVISION] = str(revision)
            new = self._store.update(REPLICASETS, new)
        actual = new["metadata"]["annotations"][REVISION]
        fresh = self._store.get(DEPLOYMENTS, deployment["metadata"]["namespace"], deployment["metadata"]["name"])
        if (fresh["metadata"].get("annotations") or {}).get(REVISION) != actual:
            fresh["metadata"].setdefault("annotations", {})[REVISION] = actual
            self._store.update_status(DEPLOYMENTS, fresh)  # as the real one: the status endpoint counts no generation
        return new

    def _create_new(self, deployment: Json, old: list[Json], revision: int, *, replicas: int | None) -> Json:
        metadata, spec = deployment["metadata"], deployment["spec"]
        collisions = (deployment.get("status") or {}).get("collisionCount", 0)
        digest = objects.template_hash(spec["template"], collisions)
        template = copied(spec["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = digest
        selector = copied(spec["selector"])
        selector.setdefault("matchLabels", {})[HASH] = digest
        body: Json = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "namespace": metadata["namespace"],
                "labels": template["metadata"]["labels"],
                "ownerReferences": [objects.owner_reference(deployment)],
            },
            "spec": {"selector": selector, "template": template, "replicas": 0},
        }
        if spec.get("minReadySeconds"):
            body["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        body["spec"]["replicas"] = rollout.new_size(deployment, body, old) if replicas is None else replicas
        body["metadata"]["annotations"] = dict(_annotations(deployment, body)) | {REVISION: str(revision)}
        try:
            made = self._store.create(REPLICASETS, body)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                deployment["status"] = {**(deployment.get("status") or {}), "collisionCount": collisions + 1}
                self._store.update_status(DEPLOYMENTS, deployment)
            raise
        self._say_scaled(deployment, made, 0, body["spec"]["replicas"])
        self._condition(deployment, "True", "NewReplicaSetCreated", f'Created new replica set "{body["metadata"]["name"]}"')
        return made

    # --- scaling

    def _progress(self, deployment: Json, new: Json | None, old: list[Json], *, paused: bool) -> None:
        if paused:
            # no step of a rollout, but a change of replicas still reaches the ReplicaSet that runs
            sets = [*old, *([new] if new else [])]
            running = [entry for entry in sets if entry["spec"]["replicas"]] or sets[-1:]
            if len(running) == 1:
                self._resize(deployment, running[0], deployment["spec"].get("replicas", 1))
            return
        if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
            for entry in old:
                self._resize(deployment, entry, 0)
            if new and not self._old_pods(deployment, old):
                self._resize(deployment, new, deployment["spec"].get("replicas", 1))
        elif new:
            size = rollout.new_size(deployment, new, old)
            if size != new["spec"]["replicas"]:
                self._resize(deployment, new, size)
                return
            for entry, replicas in rollout.shrink_old(deployment, new, old):
                self._resize(deployment, entry, replicas)

    def _resize(self, deployment: Json, entry: Json, replicas: int) -> None:
        before = entry["spec"]["replicas"]
        if before == replicas:
            return
        entry["spec"]["replicas"] = replicas
        entry["metadata"]["annotations"] |= dict(_annotations(deployment, entry))
        entry |= self._store.update(REPLICASETS, {**entry, "metadata": {**entry["metadata"], "resourceVersion": None}})
        self._say_scaled(deployment, entry, before, replicas)

    def _say_scaled(self, deployment: Json, entry: Json, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        said = f"Scaled {way} replica set {entry['metadata']['name']} from {before} to {after}"
        self._recorder.normal("deployment-controller", deployment, "ScalingReplicaSet", said)

    def _old_pods(self, deployment: Json, old: list[Json]) -> bool:
        """Whether Pods of earlier templates are still there, ended ones apart."""
        owners = {entry["metadata"]["uid"] for entry in old}
        pods = self._store.peek_all(PODS, deployment["metadata"]["namespace"])
        return any(
            (objects.controller_of(pod) or {}).get("uid") in owners and objects.phase(pod) not in ("Succeeded", "Failed")
            for pod in pods
        )

    def _forget_history(self, deployment: Json, old: list[Json]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        idle = [
            entry
            for entry in old
            if not entry["spec"]["replicas"]
            and not (entry.get("status") or {}).get("replicas")
            and not entry["metadata"].get("deletionTimestamp")
        ]
        for entry in sorted(idle, key=_revision)[: max(0, len(idle) - limit)]:
            metadata = entry["metadata"]
            self._store.delete(REPLICASETS, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    # --- status

    def _condition(self, deployment: Json, status: str, reason: str, message: str) -> None:
        current = self._store.get(DEPLOYMENTS, deployment["metadata"]["namespace"], deployment["metadata"]["name"])
        old = (current.get("status") or {}).get("conditions") or []
        new = rollout.condition("Progressing", status, reason, message)
        current.setdefault("status", {})["conditions"] = objects.set_condition(old, new)
        self._store.update_status(DEPLOYMENTS, current)

    def _write_status(self, key: Key, new: str) -> float | None:
        deployment = self._store.get(DEPLOYMENTS, *key)
        uid = deployment["metadata"]["uid"]
        sets = [
            entry
            for entry in self._store.peek_all(REPLICASETS, key[0])
            if (objects.controller_of(entry) or {}).get("uid") == uid
        ]
        newest = next((entry for entry in sets if entry["metadata"]["name"] == new), None)
        status, again = rollout.status(deployment, newest, sets, now())
        deployment["status"] = status
        self._store.update_status(DEPLOYMENTS, deployment)
        return again


def _find_new(deployment: Json, sets: list[Json]) -> Json | None:
    """The ReplicaSet with the Deployment's template; the oldest, should there be several."""
    wanted = deployment["spec"]["template"]
    same = [entry for entry in sets if _without_hash(entry["spec"]["template"]) == _without_hash(wanted)]
    return min(same, key=lambda entry: entry["metadata"]["creationTimestamp"], default=None)


def _without_hash(template: Json) -> Json:
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    metadata.pop("creationTimestamp", None)
    return {**template, "metadata": {key: value for key, value in metadata.items() if value}}


def _revision(entry: Json) -> int:
    return int((entry["metadata"].get("annotations") or {}).get(REVISION, 0))


def _annotations(deployment: Json, entry: Json) -> set[tuple[str, str]]:
    """The annotations that a ReplicaSet gets from its Deployment."""
    own = deployment["metadata"].get("annotations") or {}
    replicas = deployment["spec"].get("replicas", 1)
    copies = {key: value for key, value in own.items() if key not in NOT_COPIED}
    return set({**copies, DESIRED: str(replicas), MAXIMUM: str(replicas + rollout.surge(deployment))}.items())
