"""What holds a deletion up, as far as the cluster tells: a finalizer, a Pod that still ends, a Pod that uses a volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, ObjectState
from kfold.verbs.objects import noun
from kfold.verbs.owned_pods import owned_pods

PROTECTED = "kubernetes.io/pvc-protection"
"""The finalizer of a volume claim that Pods use."""


def holders(
    cluster: ClusterStore, left: Iterable[tuple[ObjectRef, str]], there: Mapping[ObjectRef, ObjectState]
) -> list[tuple[ObjectRef, str]]:
    """Each object that is left, with what holds it up as the end of a sentence (empty where nothing tells)."""
    left = list(left)
    try:
        pods = owned_pods(cluster, left)
        return [(ref, held(there.get(ref), pods.get(uid, [])) + _used(cluster, there.get(ref))) for ref, uid in left]
    except ClusterError:
        return [(ref, held(there.get(ref))) for ref, _ in left]


def held(state: ObjectState | None, pods: Sequence[ObjectState] = ()) -> str:
    """What holds a deletion up, as far as the object and its Pods tell."""
    if state is None:
        return ""
    if pods:
        # one with a finalizer says most
        worst = max(pods, key=lambda pod: bool(pod.finalizers))
        return f": its {noun(worst.ref)} is still there{held(worst)}"
    if state.finalizers:
        return f": held by finalizer {', '.join(state.finalizers)}"
    return ": terminating" if state.deletion_timestamp else ""


def _used(cluster: ClusterStore, state: ObjectState | None) -> str:
    """Which Pods use a volume claim that is protected."""
    if state is None or state.kind != "PersistentVolumeClaim" or PROTECTED not in state.finalizers:
        return ""
    users = [
        noun(pod.ref)
        for pod in cluster.list_kind("v1", "Pod", state.namespace)
        for volume in (pod.raw.get("spec") or {}).get("volumes") or ()
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == state.name
    ]
    return f" while {', '.join(users)} uses it" if users else ""
