"""What DELETE does to an object before it goes: finalizers of the propagation policy, grace periods, Terminating
namespaces.

Rules are those of the real server's generic registry (`BeforeDelete`, `deletionFinalizersForGarbageCollection`) and
of the Pod strategy (`CheckGracefulDelete`).
"""

from __future__ import annotations

from kfold.sandbox.api.documents import Object, at, timestamp
from kfold.sandbox.api.resources import NAMESPACES, PODS, Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
PROPAGATIONS = ("Foreground", "Background", "Orphan")


def mark(resource: Resource, obj: Object, *, propagation: str | None, grace: int | None) -> bool:
    """Change `obj` in place to what a DELETE leaves of it. True if nothing holds it, so that it goes at once."""
    metadata = obj["metadata"]
    finalizers = list(metadata.get("finalizers") or [])
    if propagation is not None:
        finalizers = [item for item in finalizers if item not in (FOREGROUND, ORPHAN)]
        # a finalizer that the object does not have yet cannot be added once deletion has begun, these two can
        if propagation == "Foreground":
            finalizers.append(FOREGROUND)
        elif propagation == "Orphan":
            finalizers.append(ORPHAN)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    period = _pod_grace(obj, grace) if resource.key == PODS.key else 0
    if resource.key == NAMESPACES.key:
        obj.setdefault("status", {})["phase"] = "Terminating"
    elif period == 0 and not finalizers:
        return True
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = timestamp()
        metadata["deletionGracePeriodSeconds"] = period
        _count_generation(resource, metadata)
    elif resource.key == PODS.key and period < metadata.get("deletionGracePeriodSeconds", 0):
        # a second DELETE may only shorten the period
        metadata["deletionGracePeriodSeconds"] = period
    return False


def _count_generation(resource: Resource, metadata: Object) -> None:
    if resource.generation or resource.custom:
        metadata["generation"] = metadata.get("generation", 0) + 1


def _pod_grace(obj: Object, grace: int | None) -> int:
    """Seconds between the signal and the kill. None that was asked for: the Pod's own. Never started or ended: 0."""
    if grace is None:
        own = at(obj, "spec", "terminationGracePeriodSeconds")
        grace = int(own) if own is not None else 30
    if not at(obj, "spec", "nodeName") or at(obj, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    return max(int(grace), 0)
