"""What a namespace of ours holds that is somebody else's, or a definition defines: deleting that would delete it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kfold.errors import KfoldError
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, ObjectState, UnknownKind, object_state
from kfold.verbs.objects import PARALLEL, noun
from kfold.verbs.sandbox import OWN_KINDS, OWN_NAMES

_OF_CONTROLLERS = OWN_KINDS | {"Lease", "Endpoints", "EndpointSlice"}
"""Kinds of which nobody misses an object: controllers write them, and write them again."""

_IN_EVERY_NAMESPACE = "kube-public"
"""What a cluster puts into each namespace (certificates, service accounts) is in this one, too; nothing else is."""


def foreign_in(cluster: ClusterStore, namespace: str, ours: Collection[str]) -> str:
    """One object in a namespace that nobody deletes but with the namespace, in words; empty where there is none.

    `ours`: UIDs of what goes anyway. What has an owner goes with that one, if that one goes. Raises KfoldError where it
    cannot be told.
    """
    kinds = [one for one in cluster.served_kinds() if one[1] not in _OF_CONTROLLERS and cluster.is_namespaced(*one)]

    def ask(kind: tuple[str, str]) -> list[ObjectState]:
        try:
            return cluster.list_kind(*kind, namespace)
        except UnknownKind:
            return []

    with ThreadPoolExecutor(PARALLEL) as pool:
        found = {state.uid: state for states in pool.map(ask, kinds) for state in states}
    rest = Rest(cluster, ours, found)
    for state in sorted(found.values(), key=lambda state: state.ref):
        if (state.kind, state.name) in OWN_NAMES or not rest.has(state):
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


class Rest:
    """What is left when what is `going` is gone, and what the garbage collector deletes after it. `listed`: what is asked
    about for itself, so that nothing is left for its sake alone. Both are UIDs."""

    def __init__(self, cluster: ClusterStore, going: Collection[str], listed: Collection[str]) -> None:
        self._cluster = cluster
        self._going = going
        self._owners = dict.fromkeys((*going, *listed), False)

    def has(self, state: ObjectState) -> bool:
        """Whether an object stays: nobody deletes it, and it has no owner or one that stays. Raises ClusterError."""
        if state.uid in self._going or state.deletion_timestamp:
            return False
        owners = (state.raw.get("metadata") or {}).get("ownerReferences")
        return not owners or any(self._has_owner(state, owner) for owner in owners)

    def _has_owner(self, state: ObjectState, owner: Mapping[str, Any]) -> bool:
        uid = str(owner.get("uid"))
        if uid not in self._owners:
            self._owners[uid] = False  # it may own itself, in a circle
            self._owners[uid] = self._look_for(state, owner)
        return self._owners[uid]

    def _look_for(self, state: ObjectState, owner: Mapping[str, Any]) -> bool:
        """Whether an owner is there and stays. One that cannot be looked up (its kind is not served, it is another's to see)
        holds what it owns: the collector deletes nothing either as long as it cannot tell."""
        kind = str(owner.get("apiVersion")), str(owner.get("kind"))
        try:
            namespace = state.namespace if self._cluster.is_namespaced(*kind) else ""
            found = self._cluster.get(ObjectRef(*kind, namespace, str(owner.get("name"))))
        except ClusterError as error:
            if error.code in (403, 404):
                return True
            raise
        now = object_state(found) if found else None
        return now is not None and now.uid == owner.get("uid") and self.has(now)


def defined(definition: ObjectState) -> tuple[str, str]:
    """(group, kind) of what it defines."""
    spec = definition.raw.get("spec") or {}
    return str(spec.get("group")), str((spec.get("names") or {}).get("kind"))


def defines_others(cluster: ClusterStore, definition: ObjectState, going: Collection[str]) -> str:
    """Why a definition of ours cannot go, in words: an object of its kind that stays when ours are gone. Empty where it
    can. `going`: UIDs."""
    versions = (definition.raw.get("spec") or {}).get("versions") or ()
    version = next((one["name"] for one in versions if one.get("served")), "")
    group, kind = defined(definition)
    try:
        found = cluster.list_kind(f"{group}/{version}", kind)
        rest = Rest(cluster, going, [state.uid for state in found])
        other = next((state for state in found if rest.has(state)), None)
    except UnknownKind:
        return ""
    except KfoldError as error:
        return f"whether it defines anything of somebody else's cannot be told: {error.message}"
    return f"it defines {noun(other.ref)}, which kfold did not make" if other else ""


def holds_others(cluster: ClusterStore, namespace: str, ours: Collection[str]) -> str:
    """Why a namespace of ours cannot go, in words; empty where it can."""
    try:
        found = foreign_in(cluster, namespace, ours)
    except KfoldError as error:
        return f"whether it holds anything of somebody else's cannot be told: {error.message}"
    return f"it holds {found}" if found else ""
