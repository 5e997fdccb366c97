"""PersistentVolumeClaims: every claim gets a volume of the engine, at once and of any size.

Of any storage class that exists, whatever its provisioner; one that names none needs none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.admission import CLAIM_PROTECTION
from kfold.sandbox.api.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, Resource, lookup
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.runner import Controller, Key

Json = dict[str, Any]

STORAGECLASSES = lookup("storageclasses")


class ClaimController(Controller):
    """Provisions, protects and ends claims; the kubelet removes the engine's volume when the claim is gone."""

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == PERSISTENTVOLUMECLAIMS.key:
            return [objects.place(obj)]
        if resource.key == STORAGECLASSES.key:
            claims = self._store.peek_all(PERSISTENTVOLUMECLAIMS)
            return [objects.place(claim) for claim in claims if not claim["spec"].get("volumeName")]
        if resource.key == PODS.key and kind == "DELETED":
            namespace = obj["metadata"]["namespace"]
            return [(namespace, name) for name in claims_of(obj)]
        return []

    def sync(self, key: Key) -> float | None:
        claim = self._store.peek(PERSISTENTVOLUMECLAIMS, *key)
        if claim is None:
            return None
        changed = self._store.get(PERSISTENTVOLUMECLAIMS, *key)
        finalizers = changed["metadata"].get("finalizers") or []
        if changed["metadata"].get("deletionTimestamp"):
            used = any(key[1] in claims_of(pod) for pod in self._store.peek_all(PODS, key[0]))
            if CLAIM_PROTECTION in finalizers and not used:
                changed["metadata"]["finalizers"] = [entry for entry in finalizers if entry != CLAIM_PROTECTION]
                self._store.update(PERSISTENTVOLUMECLAIMS, changed)
                if volume := changed["spec"].get("volumeName"):
                    self._store.remove(PERSISTENTVOLUMES, None, volume)
            return None
        missing = self._missing_class(changed)
        if not missing:
            changed["spec"].setdefault("volumeName", f"pvc-{changed['metadata']['uid']}")
            annotations = changed["metadata"].setdefault("annotations", {})
            annotations |= {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        changed = self._store.update(PERSISTENTVOLUMECLAIMS, changed)
        if missing:
            changed["status"] = {"phase": "Pending"}
            changed = self._store.update_status(PERSISTENTVOLUMECLAIMS, changed)
            said = f'storageclass.storage.k8s.io "{missing}" not found'
            self._recorder.warning("persistentvolume-controller", changed, "ProvisioningFailed", said)
            return None
        self._ensure_volume(changed)
        capacity = changed["spec"].get("resources", {}).get("requests", {})
        modes = changed["spec"].get("accessModes") or ["ReadWriteOnce"]
        changed["status"] = {"phase": "Bound", "accessModes": modes, "capacity": capacity}
        self._store.update_status(PERSISTENTVOLUMECLAIMS, changed)
        return None

    def _missing_class(self, claim: Json) -> str:
        """The storage class that an unbound claim asks for and that does not exist; empty where nothing is missing."""
        name = str(claim["spec"].get("storageClassName") or "")
        unbound = name and not claim["spec"].get("volumeName")
        return name if unbound and self._store.peek(STORAGECLASSES, None, name) is None else ""

    def _ensure_volume(self, claim: Json) -> None:
        name = claim["spec"]["volumeName"]
        if self._store.peek(PERSISTENTVOLUMES, None, name) is not None:
            return
        metadata = claim["metadata"]
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": metadata["name"]}
        reference |= {"namespace": metadata["namespace"], "uid": metadata["uid"]}
        spec = {
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "capacity": claim["spec"].get("resources", {}).get("requests", {}),
            "claimRef": reference,
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "volumeMode": "Filesystem",
            "csi": {"driver": "sandbox.kfold.dev", "volumeHandle": name},
        }
        volume = self._store.create(
            PERSISTENTVOLUMES,
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec},
        )
        volume["status"] = {"phase": "Bound"}
        self._store.update_status(PERSISTENTVOLUMES, volume)


def claims_of(pod: Json) -> set[str]:
    """The names of the claims that a Pod uses."""
    volumes = pod["spec"].get("volumes") or []
    return {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}
