"""What a deletion leaves where it is: what the user keeps, what changed hands, and what that needs to stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kfold.ledger import Effect, Record
from kfold.plan import managed_fields
from kfold.plan.applyset import PART_OF
from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterStore, ObjectRef, ObjectState
from kfold.verbs.adoption import claimed_by
from kfold.verbs.desired import is_bare
from kfold.verbs.foreign import defined, defines_others, holds_others
from kfold.verbs.objects import INTENT, KEEP, group_kind, is_definition, is_namespace, ledger_name, noun, reference
from kfold.verbs.world import World

_MARKS = ("f:kfold.dev/intent", "f:kfold.dev/applied", "f:kfold.dev/keep", f"f:{PART_OF}")


@dataclass(frozen=True)
class Stays:
    """Why an object stays. `blocked`: it is to go, but cannot yet; its record is kept, and the deletion fails."""

    why: str
    blocked: bool = False


def retained(
    cluster: ClusterStore, records: Iterable[Record], there: Mapping[ObjectRef, ObjectState], claims: Iterable[ObjectRef]
) -> dict[int, Stays]:
    """Number of a record -> why its object is not deleted. `claims`: what stays besides (volume claims, what was handed on).

    A namespace stays for what is kept in it, and a definition for what is kept of its kind; both are blocked by what is
    somebody else's.
    """
    records = [record for record in records if record.effect.made]
    states = {record.id: there.get(reference(record)) for record in records}
    ours = {record.identity for record in records}
    # one whose creation was never confirmed is told by its name, and by the mark that the creation carried
    cut_off = [(record, state) for record in records if not record.identity and (state := states[record.id])]
    going = ours | {state.uid for record, state in cut_off if state.annotations.get(INTENT) == record.effect.mark != ""}
    found: dict[int, Stays] = {}
    for record in records:
        state = states[record.id]
        if state is None or (record.identity and state.uid != record.identity):
            continue  # gone, or under a name that is somebody else's now
        if state.annotations.get(KEEP) == "true":
            found[record.id] = Stays(f"it is kept (annotation {KEEP})")
        elif record.effect.kind == "object" and _stands(record, state) and (owner := _owner(state, record)):
            found[record.id] = Stays(f"it is {owner} now")
    kept = {reference(record): noun(reference(record)) for record in records if record.id in found}
    kept |= {claim: noun(claim) for claim in claims}
    going -= {state.uid for record in records if record.id in found and (state := states[record.id])}
    for record in records:
        ref, state = reference(record), states[record.id]
        if record.id in found or state is None or record.identity not in ("", state.uid):
            continue
        if is_namespace(ref):
            inside = next((text for other, text in kept.items() if other.namespace == ref.name), "")
            if inside:
                found[record.id] = Stays(f"it holds {inside}, which stays")
            elif holds := holds_others(cluster, ref.name, going):
                found[record.id] = Stays(holds, blocked=True)
        elif is_definition(ref):
            inside = next((text for other, text in kept.items() if group_kind(other) == defined(state)), "")
            if inside:
                found[record.id] = Stays(f"it defines {inside}, which stays")
            elif defines := defines_others(cluster, state, going):
                found[record.id] = Stays(defines, blocked=True)
    return found


def _stands(record: Record, state: ObjectState) -> bool:
    """Whether an object is as any other: made, and not being deleted (an earlier deletion may not have come to it)."""
    return record.state == "done" or (record.state == "undoing" and not state.deletion_timestamp)


def _owner(state: ObjectState, record: Record) -> str:
    return changed_hands(state, str(record.effect.details.get("set", "")))


def changed_hands(state: ObjectState, set_id: str) -> str:
    """Whose an object of ours is by now, in words; empty while it is ours.

    It changed hands when another tool claims it, when nothing in it is ours any more, or when another manager applies
    every field that we do: with our values, or by force with its own, which leaves us our marks alone. One that somebody
    edited did not.
    """
    claim = claimed_by(state, set_id) if set_id else ""
    if claim:
        return f"of {claim}"
    ours = {path for path in managed_fields.owned(state.raw, FIELD_MANAGER) if path[-1] not in _MARKS}
    if state.manager_hash is None:
        return "somebody else's: no field of it is kfold's"
    for manager, theirs in managed_fields.managers(state.raw, "Apply", but=FIELD_MANAGER).items():
        if ours <= theirs and (ours or (theirs and not is_bare(state))):
            return f"applied by {manager}"
    return ""


# --- volumes of StatefulSets -------------------------------------------------------------------------------------------


def claims_of(
    world: World, cluster: ClusterStore, records: Iterable[Record], there: Mapping[ObjectRef, ObjectState]
) -> list[Record]:
    """The volume claims that StatefulSets about to be deleted have made, recorded: no one else deletes them.

    The controller names them `<template>-<set>-<ordinal>` and gives them the set's labels; one that is older than the set
    was there before it.
    """
    found = []
    for record in records:
        state = there.get(reference(record))
        if state is None or state.kind != "StatefulSet" or not record.effect.made or state.uid != record.identity:
            continue
        spec = state.raw.get("spec") or {}
        labels = (spec.get("selector") or {}).get("matchLabels") or {}
        templates = spec.get("volumeClaimTemplates") or ()
        prefixes = [f"{(one.get('metadata') or {}).get('name')}-{state.name}-" for one in templates]
        if not prefixes:
            continue
        for claim in cluster.list_kind("v1", "PersistentVolumeClaim", state.namespace):
            made_by = any(claim.name.startswith(p) and claim.name[len(p) :].isdigit() for p in prefixes)
            if made_by and labels.items() <= claim.labels.items() and _created(claim) >= _created(state):
                found.append(_record_claim(world, record, claim, state))
    return found


def _created(state: ObjectState) -> str:
    return str((state.raw.get("metadata") or {}).get("creationTimestamp") or "")


def _record_claim(world: World, owner: Record, claim: ObjectState, maker: ObjectState) -> Record:
    keys = ("context", "server", "kubeconfig", "target")
    details = {**{key: owner.effect.details[key] for key in keys}, "maker": noun(maker.ref)}
    effect = Effect("cluster", "volume", owner.effect.place, ledger_name(claim.ref), owner.effect.config, details=details)
    known = world.ledger.find(effect)
    if known and known.identity == claim.uid:
        return known
    return world.ledger.done(world.ledger.intend(effect), claim.uid)
