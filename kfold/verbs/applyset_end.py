"""The end of a set: its parent goes when nothing of it is left, and stays where another checkout or a hook needs it."""

from __future__ import annotations

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan import applyset
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, ObjectState, object_state
from kfold.verbs.applyset import ATTEMPTS, keeps_hooks, members, read
from kfold.verbs.delete import wait_until_gone
from kfold.verbs.objects import APPLIED, KEEP, reference
from kfold.verbs.sharing import HANDED
from kfold.verbs.world import World


def retire(world: World, cluster: ClusterStore, record: Record) -> None:
    """Let go of a set that this checkout has nothing in any more: its parent goes, unless another checkout has."""
    found = cluster.get(reference(record))
    state = object_state(found) if found else None
    if state and state.labels.get(applyset.CONFIG) and _holds(cluster, state):
        world.ledger.gone(record)
    else:
        remove(world, cluster, record.effect.details["set"])


def remove(world: World, cluster: ClusterStore, set_id: str) -> None:
    """Delete what tells of a set, the parent last. One that is somebody else's by now, or that another checkout wrote after
    us and has something in, is left alone; one that keeps hooks stays until they are taken back."""
    place = cluster.identity().uid
    for _ in range(ATTEMPTS):
        records = [record for record in world.ledger.records("cluster", "set") if record.effect.place == place]
        mine = [record for record in records if record.effect.details["set"] == set_id]
        mine.sort(key=lambda record: reference(record).kind, reverse=True)  # Secret, then ConfigMap
        there = [(record, object_state(found) if (found := cluster.get(reference(record))) else None) for record in mine]
        if any(state and keeps_hooks(read(state).data) for _, state in there):
            return
        if any(state and _was_handed(cluster, state) for _, state in there):
            raise KfoldError(
                "another project let go of an object that this one uses too, a moment ago, and it is this one's now",
                hint="Run this again: it goes with the rest.",
            )
        used = any(state and _is_used(cluster, record, state) for record, state in there)
        try:
            for record, state in there:
                if state and not used and _tells_of(state, set_id):
                    world.ledger.undoing(record, identity=state.uid)
                    ref = reference(record)
                    # as it was looked at: what another checkout writes now is not lost with it
                    cluster.delete(ref, uid=state.uid, resource_version=state.resource_version)
                    _wait(world, cluster, ref, state.uid)
                world.ledger.gone(record)
            return
        except ClusterError as error:
            if error.code != 409:
                raise
    raise KfoldError("the record of what is deployed is written by others all the time", hint="Run this again later.")


def _is_used(cluster: ClusterStore, record: Record, state: ObjectState) -> bool:
    """Whether another checkout wrote the parent after us, and has something in its set."""
    ours = str(record.effect.details.get("hash", ""))[:16]
    if state.kind != "ConfigMap" or state.annotations.get(APPLIED, ours) == ours:
        return False
    return _holds(cluster, state)


def _was_handed(cluster: ClusterStore, parent: ObjectState) -> bool:
    """Whether the set has what another one handed on to it, after this run had looked for its members."""
    handed = parent.annotations.get(HANDED)
    return bool(handed) and any(
        one.uid == handed and one.annotations.get(KEEP) != "true" for one in members(cluster, read(parent))
    )


def _holds(cluster: ClusterStore, parent: ObjectState) -> bool:
    """Whether a set has members. What is kept stays without it, and is nobody's to take back."""
    return any(one.annotations.get(KEEP) != "true" for one in members(cluster, read(parent)))


def _tells_of(state: ObjectState, set_id: str) -> bool:
    told = set_id in (state.labels.get(applyset.ID), state.annotations.get(applyset.ID))
    # a run that was killed right after it created the parent has applied nothing yet
    return told and (state.manager_hash is not None or applyset.is_ours(state.annotations))


def _wait(world: World, cluster: ClusterStore, ref: ObjectRef, uid: str) -> None:
    found = cluster.get(ref)
    if found and found["metadata"]["uid"] == uid:
        wait_until_gone(world, cluster, ref, uid)
