"""The Pods that objects of a deployment made: what `delete` waits for, and names when it waits in vain."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kfold.stores.cluster_interface import ClusterStore, ObjectRef, ObjectState, UnknownKind

MAKERS = frozenset({"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "CronJob"})
"""Kinds whose controllers make Pods."""

_BETWEEN = (("apps/v1", "ReplicaSet"), ("batch/v1", "Job"))
"""What stands between a Deployment or a CronJob and its Pods."""


def owned_pods(cluster: ClusterStore, owners: Iterable[tuple[ObjectRef, str]]) -> dict[str, list[ObjectState]]:
    """UID of an owner -> the Pods that it made, itself or by what it made. `owners`: (object, UID).

    Asks by one list a kind and namespace, and nothing where no owner is of a kind that makes Pods.
    """
    makers = [(ref, uid) for ref, uid in owners if ref.kind in MAKERS and uid]
    root = {uid: uid for _, uid in makers}
    found: dict[str, list[ObjectState]] = {}
    for namespace in sorted({ref.namespace for ref, _ in makers}):
        with ThreadPoolExecutor(len(_BETWEEN) + 1) as pool:
            *between, pods = pool.map(partial(_list, cluster, namespace), [*_BETWEEN, ("v1", "Pod")])
        for state in (state for states in between for state in states):
            for owner in _owners(state):
                if owner in root:
                    root[state.uid] = root[owner]
        for pod in pods:
            for owner in _owners(pod):
                if owner in root:
                    found.setdefault(root[owner], []).append(pod)
    return found


def _list(cluster: ClusterStore, namespace: str, of: tuple[str, str]) -> list[ObjectState]:
    api_version, kind = of
    try:
        return cluster.list_kind(api_version, kind, namespace)
    except UnknownKind:
        return []


def _owners(state: ObjectState) -> list[str]:
    metadata = state.raw.get("metadata") or {}
    return [str(reference.get("uid")) for reference in metadata.get("ownerReferences") or ()]
