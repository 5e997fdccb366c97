"""What a deploy does with its set before it applies, and after: the cluster's own record is always a superset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kfold.errors import ConfigError, KfoldError
from kfold.ledger import Record
from kfold.plan import managed_fields
from kfold.plan.applyset import ID, PART_OF
from kfold.plan.steps import Step
from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterError, ClusterStore, ObjectRef, ObjectState
from kfold.verbs import adoption, applyset, applyset_end, edited, sharing
from kfold.verbs.adoption import Adopted
from kfold.verbs.applyset import Parent
from kfold.verbs.desired import Desired, annotated
from kfold.verbs.hook_copy import renewed
from kfold.verbs.objects import ADOPTED, APPLIED, INTENT, address, ledger_name, noun, reference, reference_of, same
from kfold.verbs.recall import recall
from kfold.verbs.standing import is_ours, stands
from kfold.verbs.world import Run


@dataclass(frozen=True)
class Membership:
    """Whose members the objects become: the set's parent, and the objects that were there before us, by reference. `shared`:
    those that another set of kfold made or took over, and that say what ours are to say."""

    parent: Parent
    adopted: Mapping[ObjectRef, Adopted]
    shared: frozenset[ObjectRef] = frozenset()


def find(run: Run, step: Step) -> Parent:
    """The parent of a config's set, as it is now or as it is to be written. What another checkout deployed into the set
    is in the ledger afterwards."""
    world, cluster, namespace = run.world, run.cluster, run.namespace(step)
    parent = applyset.find(cluster, step.config.name, namespace)
    if parent is None:
        known = applyset.recorded(world, cluster, step.config.name, namespace)
        if known:
            world.ledger.gone(known)  # somebody deleted it, or a first run ended before it was written
        return renewed(world, cluster, applyset.new(world, cluster, step.config.name, namespace))
    if parent.state and parent.state.deletion_timestamp:
        raise KfoldError(
            f"configmap {parent.ref.name} in {parent.ref.namespace}, the record of what is deployed, is being deleted",
            hint="Another run takes the same deployment back. Run this again when it is done.",
        )
    recall(world, cluster, parent, address(cluster, run.facts.target))
    return parent


def enter(
    run: Run,
    step: Step,
    parent: Parent,
    desired: Sequence[Desired],
    known: Mapping[str, Record],
    existing: Mapping[ObjectRef, ObjectState],
) -> Membership:
    """Before the first apply: what was there before is remembered, and the parent names all that is to come.

    Raises ConfigError for an object that another tool says is its own, or that is to say something else than another set
    of kfold has it say.
    """
    world, cluster = run.world, run.cluster
    where = _where(run, step)
    memory = _Memory(cluster, parent, known)
    adopted, shared = memory.of_parent(desired), set()
    for item in desired:
        current, record = existing.get(item.ref), known.get(ledger_name(item.ref))
        if current is None or current.deletion_timestamp:
            continue
        ours = record if record and is_ours(record, current) else None
        as_left = ours is not None and stands(ours, current, item.hash)
        if not as_left:
            _refuse_claimed(item, current, parent)
        if ours.effect.made if ours else current.labels.get(PART_OF) == parent.id:
            continue
        other = "" if memory.tells_of(item.ref, current) else _other_set(current, ours, parent)
        if other:
            shared.add(item.ref)
        fields = memory.fields(item.ref, current, ours)
        if as_left:
            if not other:
                adopted[item.ref] = Adopted(current.uid, fields)
            continue
        if other:
            _refuse_changes(run, item, current, other)
            continue
        adopted[item.ref] = _remember(run, item, parent, current, fields)
    if not desired and parent.state is None:
        return Membership(parent, adopted, frozenset(shared))
    parent = replace(parent, data=_data(parent, adopted))
    used = {ledger_name(ref): existing[ref].uid for ref in shared if INTENT in existing[ref].annotations}
    parent = replace(parent, data=sharing.at_parent(parent, {**sharing.used_by(parent), **used}))
    parent = applyset.widen(world, cluster, parent, where, [item.ref for item in desired])
    if parent.met:
        recall(world, cluster, parent, where)
    adoption.keep_secrets(world, cluster, parent, where, adopted)
    return Membership(parent, adopted, frozenset(shared))


class _Memory:
    """What was overridden so far in objects that were there before: by the set's parent or, where somebody deleted that, by
    the ledger. An object of the same name that somebody made since is another one: of that nothing is known."""

    def __init__(self, cluster: ClusterStore, parent: Parent, known: Mapping[str, Record]) -> None:
        self._parent = adoption.from_parent(parent)
        recorded = [one.effect for one in known.values() if not one.effect.made and adoption.is_secret(reference(one))]
        # also beside another set's parent: the config had another name, or an object moved here from another document
        beside = {reference_of(effect.details["parent"]) for effect in recorded if effect.details.get("parent")}
        asked = recorded or any(adoption.is_secret(ref) for ref in self._parent)
        self._secrets: dict[str, list[adoption.Overridden]] = {}
        for ref in [*sorted(beside - {parent.ref}), parent.ref] if asked else []:
            self._secrets |= adoption.kept_secrets(cluster, ref)

    def of_parent(self, desired: Sequence[Desired]) -> dict[ObjectRef, Adopted]:
        """What the parent tells, but for what is to be there in another version: that was given back."""
        refs = {same(item.ref): item.ref for item in desired}
        told = {ref: one for ref, one in self._parent.items() if refs.get(same(ref), ref) == ref}
        return {ref: Adopted(one.uid, self._whole(ref, one.fields)) for ref, one in told.items()}

    def tells_of(self, ref: ObjectRef, current: ObjectState) -> bool:
        """Whether our set took it over, whatever its annotation says: a run may have been killed before it wrote that."""
        return ref in self._parent and self._parent[ref].uid == current.uid

    def fields(self, ref: ObjectRef, current: ObjectState, ours: Record | None) -> tuple[adoption.Overridden, ...]:
        """`ours`: the record of this very object, if there is one."""
        if self.tells_of(ref, current):
            return self._whole(ref, self._parent[ref].fields)
        return self._whole(ref, ours.effect.details.get("overridden") or ()) if ours else ()

    def _whole(self, ref: ObjectRef, fields: Iterable[adoption.Overridden]) -> tuple[adoption.Overridden, ...]:
        if not adoption.is_secret(ref):
            return tuple(fields)
        return tuple(adoption.with_values(fields, self._secrets.get(ledger_name(ref), ())))


def _refuse_claimed(item: Desired, current: ObjectState, parent: Parent) -> None:
    claim = adoption.claimed_by(current, parent.id)
    if claim.startswith("another set") and not adoption.is_foreign_set(current, parent.id):
        return
    if claim:
        raise ConfigError(
            f"{noun(item.ref)} is there already, and belongs to {claim}",
            where=item.position,
            hint="Two tools that write one object undo each other's work: give one of the two another name or namespace.",
        )


def _other_set(current: ObjectState, ours: Record | None, parent: Parent) -> str:
    """The set of kfold that made or took over an object, where that is another one than ours; else empty. What our ledger
    took over for the set of another namespace is ours."""
    if current.annotations.get(INTENT):
        return current.labels.get(PART_OF) or "unknown"
    taken = current.annotations.get(ADOPTED, "")
    known = (parent.id, ours.effect.details.get("set") if ours else "")
    return taken if current.manager_hash is not None and taken not in known else ""


def _refuse_changes(run: Run, item: Desired, current: ObjectState, other: str) -> None:
    """An object of another set may be used as it is: both sets apply as one field manager, so whatever an apply of ours
    changes or leaves out would be lost to that one, and known to none when ours is taken back."""
    from kfold.verbs.apply import placed

    try:
        would = run.cluster.apply(as_theirs(item, current), uid=current.uid, force=True, dry_run=True)
    except ClusterError as error:
        raise placed(error, item) from error
    said = managed_fields.owned(current.raw, FIELD_MANAGER) | managed_fields.owned(would.raw, FIELD_MANAGER)
    differ = [
        managed_fields.shown(path)
        for path in sorted(said)
        if path[-1] != f"f:{APPLIED}"
        and managed_fields.value_at(current.raw, path) != managed_fields.value_at(would.raw, path)
    ]
    if differ:
        raise ConfigError(
            f"{noun(item.ref)} is another project's or namespace's ({other}), and not what it is to be here:"
            f" {', '.join(differ)}",
            where=item.position,
            hint="Two that write one object undo each other's work: say the same in both, or give one of them another name."
            f" Whose it is tells `kubectl get configmaps -A -l {ID}={other} --show-labels`.",
        )


def as_theirs(item: Desired, current: ObjectState) -> dict[str, Any]:
    """The manifest of an object that is another set's, with that one's marks: an apply without them would take them away."""
    marks = current.annotations
    return annotated(
        item, marks.get(INTENT, ""), part_of=current.labels.get(PART_OF, ""), adopted=marks.get(ADOPTED, "")
    )


def _remember(
    run: Run, item: Desired, parent: Parent, current: ObjectState, fields: tuple[adoption.Overridden, ...]
) -> Adopted:
    """What this apply will override. Fields that left the manifest get their old values back first."""
    from kfold.verbs.apply import placed

    try:
        would = run.cluster.apply(annotated(item, "", adopted=parent.id), uid=current.uid, force=True, dry_run=True)
        wanted = managed_fields.owned(would.raw, FIELD_MANAGER)
        if left := [one for one in fields if not adoption.is_wanted(one, wanted)]:
            adoption.put_back(run.cluster, item.ref, current.uid, left)
    except ClusterError as error:
        raise placed(error, item) from error
    return Adopted(current.uid, adoption.overridden(current, would, fields))


def _data(parent: Parent, adopted: Mapping[ObjectRef, Adopted]) -> dict[str, str]:
    kept = adoption.at_parent(adopted)
    data = {key: text for key, text in parent.data.items() if key != adoption.KEY}
    return {**data, **({adoption.KEY: kept} if kept else {})}


def leave(run: Run, step: Step, membership: Membership) -> None:
    """After everything else went well: the parents name what there is, and those of sets that are empty now go."""
    world, cluster, namespace = run.world, run.cluster, run.namespace(step)
    parent = membership.parent
    here = applyset.members_of_record(world, cluster, parent.id)
    kept = {record.effect.name for record in here if not record.effect.made}
    adopted = {ref: one for ref, one in membership.adopted.items() if ledger_name(ref) in kept}
    if here or applyset.keeps_hooks(parent.data):
        parent = replace(parent, data=_data(parent, adopted))
        parent = replace(parent, data=sharing.at_parent(parent, sharing.of_record(world, cluster, parent.id)))
        applyset.narrow(world, cluster, parent, _where(run, step))
    elif parent.state:
        applyset_end.remove(world, cluster, parent.id)
    place = cluster.identity().uid
    of_config = [r for r in world.ledger.records("cluster", "set") if r.effect.config == step.config.name]
    moved = [r for r in of_config if r.effect.place == place and r.effect.details["namespace"] != namespace]
    for record in [*moved, *edited.left_sets(run, step)]:
        if not applyset.members_of_record(world, cluster, record.effect.details["set"]):
            applyset_end.retire(world, cluster, record)


def _where(run: Run, step: Step) -> dict[str, Any]:
    return {**address(run.cluster, run.facts.target), applyset.FILE: step.config.position.file}


def abandon(run: Run, parent: Parent) -> None:
    """After a failure: the parent of a set that nothing came into goes again."""
    if parent.state and not applyset.members_of_record(run.world, run.cluster, parent.id):
        applyset_end.remove(run.world, run.cluster, parent.id)
