"""Taking into the ledger what a set holds and this checkout does not know of: it was deployed from elsewhere, or
`.kfold/` is gone. From then on the ordinary ways are enough, for deploying as for taking back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfold.ledger import Effect, Record
from kfold.stores.cluster_interface import ClusterStore, ObjectRef, ObjectState
from kfold.verbs import adoption, applyset
from kfold.verbs.applyset import Parent
from kfold.verbs.hook_copy import recall_hooks
from kfold.verbs.objects import APPLIED, INTENT, ledger_name, noun, reference, same
from kfold.verbs.world import World


def recall(world: World, cluster: ClusterStore, parent: Parent, address: Mapping[str, Any]) -> list[Record]:
    """Record the parent, its members, the objects that it says were adopted, and the hooks that it keeps. Returns the
    records of objects that are new.

    The label alone is no proof, since a copy of a member carries it: a member also has fields that kfold applied.
    """
    applyset.record_parent(world, cluster, parent, address)
    place = cluster.identity().uid
    recall_hooks(world, place, parent, address)
    known = {same(reference(r)): r for r in world.ledger.records("cluster", "object") if r.effect.place == place}
    found = []
    for state in applyset.members(cluster, parent):
        record = known.get(same(state.ref))
        if state.manager_hash is None:
            world.tell("warning", f"{noun(state.ref)} carries the label of {parent.ref.name}, but kfold did not apply it")
        elif record is None or _is_other(record, state):
            if record:
                world.ledger.gone(record)
            known[same(state.ref)] = _record(world, place, parent, state, address)
            found.append(known[same(state.ref)])
    adopted = adoption.from_parent(parent)
    if any(adoption.is_secret(ref) for ref in adopted):
        adoption.record_beside(world, cluster, parent, address)
    for ref, one in adopted.items():
        record = known.get(same(ref))
        # its owner made it anew since, and another checkout took that one over
        is_past = record is not None and not record.effect.made and record.state == "done" and record.identity != one.uid
        if record and is_past:
            world.ledger.gone(record)
        if record is None or is_past:
            found.append(_record_adopted(world, place, parent, ref, one, address))
    return found


def _is_other(record: Record, state: ObjectState) -> bool:
    """Whether a record is not of this member: of one of that name before it, or of when the object was another set's."""
    handed_on = not record.effect.made and bool(record.effect.details.get("shared"))
    return handed_on or (record.state == "done" and record.identity != state.uid)


def _record(world: World, place: str, parent: Parent, state: ObjectState, address: Mapping[str, Any]) -> Record:
    details = {**address, "set": parent.id, "hash": state.annotations.get(APPLIED, ""), "fields": state.manager_hash}
    mark = state.annotations.get(INTENT, "")
    effect = Effect("cluster", "object", place, ledger_name(state.ref), parent.config, mark, details=details)
    return world.ledger.done(world.ledger.intend(effect), state.uid)


def _record_adopted(
    world: World, place: str, parent: Parent, ref: ObjectRef, one: adoption.Adopted, address: Mapping[str, Any]
) -> Record:
    details = {**address, "set": parent.id, "parent": ledger_name(parent.ref), "overridden": list(one.fields)}
    effect = Effect("cluster", "object", place, ledger_name(ref), parent.config, made=False, details=details)
    return world.ledger.done(world.ledger.intend(effect), one.uid)
