"""StatefulSets: numbered Pods that come and go in order, each with claims of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.admission import admit
from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.resources import PERSISTENTVOLUMECLAIMS, PODS, STATEFULSETS, Resource
from kfold.sandbox.controllers import objects, revisions
from kfold.sandbox.controllers.runner import Controller, Key

Json = dict[str, Any]

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


class StatefulSetController(Controller):
    """Rules of k8s.io/kubernetes/pkg/controller/statefulset; of the update strategies without maxUnavailable."""

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == STATEFULSETS.key:
            return [objects.place(obj)]
        if resource.key == PODS.key and (owner := objects.owner_key(obj, "StatefulSet")):
            return [owner]
        return []

    def sync(self, key: Key) -> float | None:
        owner = self._store.peek(STATEFULSETS, *key)
        if owner is None:
            return None
        owner = copied(owner)
        pods = objects.claim(self._store, owner, PODS, owner["spec"]["selector"])
        pods = [pod for pod in pods if _ordinal(owner, pod) is not None]
        if owner["metadata"].get("deletionTimestamp"):
            return self._write_status(key, "")
        revision = revisions.current(self._store, owner)
        self._step(owner, {int(_ordinal(owner, pod) or 0): pod for pod in pods}, revision)
        return self._write_status(key, revision)

    def _step(self, owner: Json, pods: dict[int, Json], revision: str) -> None:
        """Create, replace or delete; in order, unless podManagementPolicy is Parallel: then one step at a time."""
        spec = owner["spec"]
        first = (spec.get("ordinals") or {}).get("start", 0)
        wanted = range(first, first + spec.get("replicas", 1))
        parallel = spec.get("podManagementPolicy") == "Parallel"
        least = spec.get("minReadySeconds", 0)
        for number in wanted:
            pod = pods.get(number)
            if pod is not None and objects.phase(pod) in ("Succeeded", "Failed"):
                if not pod["metadata"].get("deletionTimestamp"):
                    self._delete(owner, pod)
                return  # the next sync makes it anew
            if pod is None:
                self._create(owner, number, revision)
                if not parallel:
                    return
            elif not parallel and objects.seconds_until_available(pod, least) != 0:
                return  # its successors wait for it
        extra = sorted((number for number in pods if number not in wanted), reverse=True)
        for number in extra:
            if not pods[number]["metadata"].get("deletionTimestamp"):
                self._delete(owner, pods[number])
            if not parallel:
                return
        self._roll(owner, [(number, pods[number]) for number in wanted if number in pods], revision)

    def _roll(self, owner: Json, pods: list[tuple[int, Json]], revision: str) -> None:
        """Replace Pods of earlier revisions, from the last down to the partition, each after the one before is ready."""
        strategy = owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
        for number, pod in reversed(pods):
            if number < partition:
                return
            if revisions.revision_of(pod) != revision:
                if not pod["metadata"].get("deletionTimestamp"):
                    self._delete(owner, pod)
                return
            if not objects.is_ready(pod):
                return

    def _create(self, owner: Json, number: int, revision: str) -> None:
        name = f"{owner['metadata']['name']}-{number}"
        labels = {NAME_LABEL: name, INDEX_LABEL: str(number), revisions.HASH: revision}
        pod = objects.pod_from_template(owner["spec"]["template"], owner, name=name, labels=labels)
        pod["spec"]["hostname"] = name
        if owner["spec"].get("serviceName"):
            pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
        for template in owner["spec"].get("volumeClaimTemplates") or []:
            claim = self._ensure_claim(owner, template, name)
            volumes = [entry for entry in pod["spec"].get("volumes") or [] if entry["name"] != template["metadata"]["name"]]
            source = {"claimName": claim}
            pod["spec"]["volumes"] = [*volumes, {"name": template["metadata"]["name"], "persistentVolumeClaim": source}]
        objects.create_pod(self._store, self._recorder, "statefulset-controller", owner, pod)
        said = f"create Pod {name} in StatefulSet {owner['metadata']['name']} successful"
        self._recorder.normal("statefulset-controller", owner, "SuccessfulCreate", said)

    def _ensure_claim(self, owner: Json, template: Json, pod: str) -> str:
        name = f"{template['metadata']['name']}-{pod}"
        namespace = owner["metadata"]["namespace"]
        if self._store.peek(PERSISTENTVOLUMECLAIMS, namespace, name) is None:
            # No owner reference: claims outlive their set, so that its data is found again (the default retention).
            labels = (owner["spec"]["selector"].get("matchLabels") or {}) | (template["metadata"].get("labels") or {})
            metadata = {**copied(template["metadata"]), "name": name, "namespace": namespace, "labels": labels}
            body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}
            admit(self._store, PERSISTENTVOLUMECLAIMS, namespace, body)
            self._store.create(PERSISTENTVOLUMECLAIMS, body)
        return name

    def _delete(self, owner: Json, pod: Json) -> None:
        metadata = pod["metadata"]
        self._store.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        said = f"delete Pod {metadata['name']} in StatefulSet {owner['metadata']['name']} successful"
        self._recorder.normal("statefulset-controller", owner, "SuccessfulDelete", said)

    def _write_status(self, key: Key, revision: str) -> float | None:
        owner = self._store.get(STATEFULSETS, *key)
        pods = [pod for pod in self._store.peek_all(PODS, key[0]) if objects.is_controlled_by(pod, owner)]
        old: Json = owner.get("status") or {}
        revision = revision or old.get("updateRevision", "")
        staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        updated = sum(revisions.revision_of(pod) == revision for pod in staying)
        waits = [objects.seconds_until_available(pod, owner["spec"].get("minReadySeconds", 0)) for pod in pods]
        ready = sum(objects.is_ready(pod) for pod in pods)
        wanted = owner["spec"].get("replicas", 1)
        # The update becomes the current revision once every Pod follows it.
        complete = updated == len(pods) == ready == wanted
        now_current = revision if complete or not old.get("currentRevision") else old["currentRevision"]
        status: Json = {
            "observedGeneration": owner["metadata"].get("generation", 1),
            "replicas": len(pods),
            "readyReplicas": ready,
            "currentReplicas": sum(revisions.revision_of(pod) == now_current for pod in staying),
            "updatedReplicas": updated,
            "availableReplicas": sum(wait == 0 for wait in waits),
            "currentRevision": now_current,
            "updateRevision": revision,
            "collisionCount": 0,
        }
        kept = ("replicas", "availableReplicas", "collisionCount")
        owner["status"] = {name: value for name, value in status.items() if value or name in kept}
        self._store.update_status(STATEFULSETS, owner)
        return min((wait for wait in waits if wait), default=None)


def _ordinal(owner: Json, pod: Json) -> int | None:
    found = re.fullmatch(re.escape(owner["metadata"]["name"]) + r"-(\d+)", pod["metadata"]["name"])
    return int(found[1]) if found else None
