"""What a namespace of ours holds that is somebody else's: deleting the namespace would delete it."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from kfold.errors import KfoldError
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, ObjectState, UnknownKind
from kfold.verbs.objects import PARALLEL, noun
from kfold.verbs.sandbox import OWN_KINDS, OWN_NAMES

_OF_CONTROLLERS = OWN_KINDS | {"Lease", "Endpoints", "EndpointSlice"}
"""Kinds of which nobody misses an object: controllers write them, and write them again."""

_IN_EVERY_NAMESPACE = "kube-public"
"""What a cluster puts into each namespace (certificates, service accounts) is in this one, too; nothing else is."""


def foreign_in(cluster: ClusterStore, namespace: str, ours: Collection[str]) -> str:
    """One object in a namespace that nobody deletes but with the namespace, in words; empty where there is none.

    `ours`: UIDs of what goes anyway. What has an owner goes with that one. Raises KfoldError where it cannot be told.
    """
    kinds = [one for one in cluster.served_kinds() if one[1] not in _OF_CONTROLLERS and cluster.is_namespaced(*one)]

    def ask(kind: tuple[str, str]) -> list[ObjectState]:
        try:
            return cluster.list_kind(*kind, namespace)
        except UnknownKind:
            return []

    with ThreadPoolExecutor(PARALLEL) as pool:
        found = {state.uid: state for states in pool.map(ask, kinds) for state in states}
    for state in sorted(found.values(), key=lambda state: state.ref):
        owned = (state.raw.get("metadata") or {}).get("ownerReferences")
        if state.uid in ours or owned or state.deletion_timestamp or (state.kind, state.name) in OWN_NAMES:
            continue
        if state.raw.get("type") == "kubernetes.io/service-account-token" or _is_everywhere(cluster, state):
            continue
        return f"{noun(state.ref)}, which {'another deployment' if state.manager_hash else 'somebody else'} made"
    return ""


def _is_everywhere(cluster: ClusterStore, state: ObjectState) -> bool:
    try:
        return cluster.get(ObjectRef(state.api_version, state.kind, _IN_EVERY_NAMESPACE, state.name)) is not None
    except ClusterError as error:
        if error.code in (403, 404):
            return False
        raise


def holds_others(cluster: ClusterStore, namespace: str, ours: Collection[str]) -> str:
    """Why a namespace of ours cannot go, in words; empty where it can."""
    try:
        found = foreign_in(cluster, namespace, ours)
    except KfoldError as error:
        return f"whether it holds anything of somebody else's cannot be told: {error.message}"
    return f"it holds {found}" if found else ""
