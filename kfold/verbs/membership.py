"""What a deploy does with its set before it applies, and after: the cluster's own record is always a superset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kfold.errors import ConfigError, KfoldError
from kfold.ledger import Record
from kfold.plan import managed_fields
from kfold.plan.applyset import PART_OF
from kfold.plan.steps import Step
from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterError, ObjectRef, ObjectState
from kfold.verbs import adoption, applyset, applyset_end
from kfold.verbs.adoption import Adopted
from kfold.verbs.applyset import Parent
from kfold.verbs.desired import Desired, annotated
from kfold.verbs.hook_copy import renewed
from kfold.verbs.objects import INTENT, address, ledger_name, noun
from kfold.verbs.recall import recall
from kfold.verbs.standing import is_ours, stands
from kfold.verbs.world import Run


@dataclass(frozen=True)
class Membership:
    """Whose members the objects become: the set's parent, and the objects that were there before us, by reference."""

    parent: Parent
    adopted: Mapping[ObjectRef, Adopted]


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

    Raises ConfigError for an object that another tool says is its own.
    """
    world, cluster = run.world, run.cluster
    where = address(cluster, run.facts.target)
    before = adoption.from_parent(parent)
    secrets = adoption.kept_secrets(cluster, parent.ref) if any(adoption.is_secret(ref) for ref in before) else {}
    adopted = dict(before)
    for item in desired:
        current, record = existing.get(item.ref), known.get(ledger_name(item.ref))
        if current is None or current.deletion_timestamp:
            continue
        ours = record if record and is_ours(record, current) else None
        if ours.effect.made if ours else current.labels.get(PART_OF) == parent.id:
            continue
        if ours and stands(ours, current, item.hash):
            continue
        if ours is None:
            _refuse_claimed(item, current, parent)
        if current.annotations.get(INTENT):
            continue  # another set of kfold made it: its fields are that one's
        fields = before[item.ref].fields if item.ref in before else ()
        if adoption.is_secret(item.ref):
            fields = tuple(secrets.get(ledger_name(item.ref), ()))
        adopted[item.ref] = _remember(run, item, parent, current, fields)
    if not desired and parent.state is None:
        return Membership(parent, adopted)
    parent = replace(parent, data=_data(parent, adopted))
    parent = applyset.widen(world, cluster, parent, where, [item.ref for item in desired])
    if parent.met:
        recall(world, cluster, parent, where)
    adoption.keep_secrets(world, cluster, parent, where, adopted)
    return Membership(parent, adopted)


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


def _remember(
    run: Run, item: Desired, parent: Parent, current: ObjectState, fields: tuple[adoption.Overridden, ...]
) -> Adopted:
    """What this apply will override. Fields that left the manifest get their old values back first."""
    from kfold.verbs.apply import placed

    try:
        would = run.cluster.apply(annotated(item, "", adopted=parent.id), uid=current.uid, force=True, dry_run=True)
        wanted = managed_fields.owned(would.raw, FIELD_MANAGER)
        if left := [one for one in fields if tuple(one["path"]) not in wanted]:
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
    here = {record.effect.name for record in applyset.members_of_record(world, cluster, parent.id)}
    adopted = {ref: one for ref, one in membership.adopted.items() if ledger_name(ref) in here}
    if here or applyset.keeps_hooks(parent.data):
        parent = replace(parent, data=_data(parent, adopted))
        applyset.narrow(world, cluster, parent, address(cluster, run.facts.target))
    elif parent.state:
        applyset_end.remove(world, cluster, parent.id)
    place = cluster.identity().uid
    for record in world.ledger.records("cluster", "set"):
        details = record.effect.details
        mine = record.effect.place == place and record.effect.config == step.config.name
        if mine and details["namespace"] != namespace and not applyset.members_of_record(world, cluster, details["set"]):
            applyset_end.retire(world, cluster, record)


def abandon(run: Run, parent: Parent) -> None:
    """After a failure: the parent of a set that nothing came into goes again."""
    if parent.state and not applyset.members_of_record(run.world, run.cluster, parent.id):
        applyset_end.remove(run.world, run.cluster, parent.id)
