"""`deploy`: manifests to objects, by server-side apply, sending only what differs. Its reverse is in `delete.py`.

What is up to date is asked by one list a kind: an object holds if it is the one that the ledger knows (UID), our fields in
it are the ones that we set (hash of our managedFields entry), and what we applied last is what we would apply now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan.manifests import Manifest, refuse_duplicates
from kfold.plan.object_order import rank
from kfold.plan.steps import Step
from kfold.stores.cluster_interface import ClusterStore, ObjectRef, ObjectState, object_state
from kfold.verbs import edited, membership
from kfold.verbs.adoption import let_go
from kfold.verbs.apply import ATTEMPTS, Appeared, apply, wait_until_served
from kfold.verbs.applyset import Parent, recorded
from kfold.verbs.delete import delete_records
from kfold.verbs.deploy_hooks import before_deploy
from kfold.verbs.desired import Desired, desire_all, elsewhere
from kfold.verbs.membership import Membership
from kfold.verbs.objects import PARALLEL, is_definition, ledger_name, noun, present, reference, same
from kfold.verbs.render import Rendered
from kfold.verbs.standing import stands
from kfold.verbs.world import Run


@dataclass(frozen=True)
class Deployed:
    """The outcome of `deploy`: every object of the config as the cluster has it. `changed`: how many were sent. `mark` is of
    the run that deployed them."""

    objects: tuple[ObjectState, ...]
    changed: int
    mark: str = ""


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Deployed | None:
    """Nothing to do, if the same was rendered and the ledger's objects stand in the cluster as we left them."""
    rendered: Rendered = run.outcome(step.needs[0], Rendered)
    if values.get("rendered") != rendered.digest or edited.is_unfinished(run, step):
        return None
    asked = run.asked_objects() or objects_of_record(run, run.cluster)
    place = run.cluster.identity().uid
    of_cluster = [record for record in own_records(run, step) if record.effect.place == place]
    held = []
    for record in of_cluster:
        current = asked.get(reference(record))
        if current is None or not stands(record, current, record.effect.details.get("hash", "")):
            return None
        held.append(current)
    if held:
        # the cluster's own record, too; another checkout's deploy of other objects shows in it
        parent = recorded(run.world, run.cluster, step.config.name, run.namespace(step))
        current = asked.get(reference(parent)) if parent else None
        if not parent or not current or not stands(parent, current, parent.effect.details.get("hash", "")):
            return None
    left = _digest((record.effect.name, record.effect.details["hash"]) for record in of_cluster)
    return Deployed(tuple(held), 0, values.get("mark", "")) if left == values.get("objects") else None


def do(run: Run, step: Step) -> tuple[Deployed, dict[str, Any]]:
    """Apply what differs, rank by rank; then delete what left the manifests. Nothing is deleted if anything failed."""
    world = run.world
    rendered: Rendered = run.outcome(step.needs[0], Rendered)
    world.ledger.claim()
    desired = desire_all(run, step, rendered)
    others = elsewhere(run, step)
    refuse_duplicates(Manifest(dict(item.manifest), item.position) for item in [*desired, *others])
    parent = membership.find(run, step)
    place = run.cluster.identity().uid
    # of every config: an object that moved here from another document keeps its record
    records = [record for record in world.ledger.records("cluster", "object") if record.effect.place == place]
    parent = before_deploy(run, step, parent)
    world.tell("heading", "Starting deploy...", step.subject)
    records = _give_back(run, desired, records)
    known = {record.effect.name: record for record in records}
    states, changed, entered = _apply_all(run, step, desired, parent, known)
    wanted = {same(item.ref) for item in [*desired, *others]}
    names = {ledger_name(item.ref) for item in [*desired, *others]}
    orphans, left_sets = [], edited.left_sets(run, step)
    for record in records:
        if record.effect.config != step.config.name and not edited.is_left(record, left_sets):
            continue
        if same(reference(record)) not in wanted:
            orphans.append(record)
        elif record.effect.name not in names:
            world.ledger.gone(record)  # the same object under another version of its kind, recorded anew just now
    for record in orphans:
        world.tell("line", _left(record, run, step), step.subject)
    changed += delete_records(world, run.cluster, orphans)
    membership.leave(run, step, entered)
    if not changed:
        world.tell("line", " - nothing to do: the cluster has it all", step.subject)
    left = _digest((ledger_name(item.ref), item.hash) for item in desired)
    return Deployed(tuple(states), changed, run.id), {"rendered": rendered.digest, "objects": left, "mark": run.id}


def _digest(objects: Iterable[tuple[str, str]]) -> str:
    """Of objects' names and what they say. The digest of what was rendered does not do: between two runs that render the
    same, one in another cluster or one that was killed may have deployed something else."""
    return hashlib.sha256(json.dumps(sorted(objects)).encode()).hexdigest()


def _apply_all(
    run: Run, step: Step, desired: Sequence[Desired], parent: Parent, known: Mapping[str, Record]
) -> tuple[list[ObjectState], int, Membership]:
    """Look, enter the set, apply; again where somebody made one of the objects meanwhile: it was there before us then."""
    place = run.cluster.identity().uid
    for tries in range(ATTEMPTS, 0, -1):
        existing = present(run.cluster, [item.ref for item in desired])
        try:
            entered = membership.enter(run, step, parent, desired, known, existing)
            parent = entered.parent
            states, changed = _apply_ranks(run, step, desired, entered, known, existing)
            return states, changed, entered
        except KfoldError as error:
            if not isinstance(error, Appeared) or tries == 1:
                membership.abandon(run, parent)
                raise
        records = run.world.ledger.records("cluster", "object")
        known = {record.effect.name: record for record in records if record.effect.place == place}
    raise AssertionError("the last try returns or raises")


def _give_back(run: Run, desired: Sequence[Desired], records: Iterable[Record]) -> list[Record]:
    """Let go of objects that were there before and are to be there in another version of their kind now: what we overrode is
    remembered by the fields of the old one. So it comes back in that, and is taken over anew. Returns the other records."""
    refs = {same(item.ref): item.ref for item in desired}
    left = []
    for record in records:
        ref = reference(record)
        if record.effect.made or refs.get(same(ref), ref) == ref:
            left.append(record)
        else:
            let_go(run.world, run.cluster, record)
    return left


def _apply_ranks(
    run: Run,
    step: Step,
    desired: Sequence[Desired],
    entered: Membership,
    known: Mapping[str, Record],
    existing: Mapping[ObjectRef, ObjectState],
) -> tuple[list[ObjectState], int]:
    """Apply rank by rank; the objects of one side by side. Returns them, and how many were sent. One that fails does not
    stop its neighbours; all errors are told."""

    def one(item: Desired) -> tuple[ObjectState, bool] | KfoldError:
        try:
            return apply(run, step, item, entered, known.get(ledger_name(item.ref)), existing.get(item.ref))
        except KfoldError as error:
            return error

    states: list[ObjectState] = []
    changed = 0
    ranks = [rank(item.ref.api_version, item.ref.kind) for item in desired]
    for level in sorted(set(ranks)):
        group = [item for item, its in zip(desired, ranks, strict=True) if its == level]
        with ThreadPoolExecutor(PARALLEL) as pool:
            results = list(pool.map(one, group))
        errors = [result for result in results if isinstance(result, KfoldError)]
        if errors:
            alike = len(errors) == 1 or all(isinstance(error, Appeared) for error in errors)
            raise errors[0] if alike else KfoldError("\n".join(str(error) for error in errors))
        for state, sent in (result for result in results if not isinstance(result, KfoldError)):
            states.append(state)
            changed += sent
        wait_until_served(run, [item.ref for item in group if is_definition(item.ref)])
    return states, changed


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Which objects are not what they should be, one by one."""
    rendered: Rendered = run.outcome(step.needs[0], Rendered)
    desired = desire_all(run, step, rendered)
    existing = present(run.cluster, [item.ref for item in desired])
    known = {record.effect.name: record for record in own_records(run, step)}
    reasons = []
    for item in desired:
        record, current = known.get(ledger_name(item.ref)), existing.get(item.ref)
        if current is None:
            reasons.append(f"{noun(item.ref)} is not there")
        elif record is None:
            reasons.append(f"{noun(item.ref)} is there, but not by this project")
        elif not stands(record, current, item.hash):
            same = record.effect.details.get("hash") == item.hash
            reasons.append(f"{noun(item.ref)} " + ("was changed by somebody else" if same else "is to be changed"))
    wanted, sets = {ledger_name(item.ref) for item in desired}, edited.left_sets(run, step)
    every = [*known.values(), *(one for one in run.world.ledger.records("cluster", "object") if edited.is_left(one, sets))]
    return reasons + [_left(one, run, step)[3:] for one in every if one.effect.name not in wanted]


def _left(record: Record, run: Run, step: Step) -> str:
    """Why an object goes, for the line before it is deleted."""
    ref, namespace = reference(record), run.namespace(step)
    if record.effect.config != step.config.name:
        return f" - {noun(ref)} is of {record.effect.config}, and {step.config.position.file} has no config of this name now"
    if ref.namespace not in ("", namespace):
        return f" - {noun(ref)} in namespace {ref.namespace}: what is deployed is in {namespace} now"
    return f" - {noun(ref)} left the manifests"


def objects_of_record(run: Run, cluster: ClusterStore) -> dict[ObjectRef, ObjectState]:
    """What the cluster has of all that the ledger says is in it: one list a kind, and each set's parent by its name."""
    place = cluster.identity().uid
    records = [record for record in run.world.ledger.records("cluster") if record.effect.place == place]
    refs = [reference(record) for record in records if record.effect.kind == "object"]
    parents = [reference(record) for record in records if record.effect.kind == "set"]
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = [pool.submit(cluster.get, ref) for ref in parents]
        found = present(cluster, refs)
        got = [answer.result() for answer in answers]
    return found | {ref: object_state(one) for ref, one in zip(parents, got, strict=True) if one is not None}


def own_records(run: Run, step: Step) -> list[Record]:
    """What the ledger knows of this config in any cluster."""
    return [record for record in run.world.ledger.records("cluster", "object") if record.effect.config == step.config.name]
