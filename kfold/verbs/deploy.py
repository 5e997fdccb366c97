"""`deploy`: manifests to objects, by server-side apply, sending only what differs. Its reverse is in `delete.py`.

What is up to date is asked by one list a kind: an object holds if it is the one that the ledger knows (UID), our fields in
it are the ones that we set (hash of our managedFields entry), and what we applied last is what we would apply now.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kfold.errors import ConfigError, KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.manifests import Manifest, refuse_duplicates
from kfold.plan.object_order import rank
from kfold.plan.steps import Step
from kfold.stores.cluster_interface import ClusterError, ClusterStore, FieldConflict, ObjectRef, ObjectState
from kfold.verbs.delete import delete_records, wait_until_gone
from kfold.verbs.deploy_hooks import before_deploy
from kfold.verbs.desired import CRD, Desired, annotated, desire_all, elsewhere
from kfold.verbs.objects import APPLIED, INTENT, PARALLEL, ledger_name, noun, present, reference
from kfold.verbs.render import Rendered
from kfold.verbs.world import Run

ESTABLISHED = 30.0
"""Seconds that a new kind may take to be served (CustomResourceDefinition, condition Established)."""


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
    if values.get("rendered") != rendered.digest:
        return None
    asked = run.asked_objects() or objects_of_record(run, run.cluster)
    place = run.cluster.identity().uid
    held = []
    for record in (record for record in own_records(run, step) if record.effect.place == place):
        current = asked.get(reference(record))
        if current is None or not stands(record, current, record.effect.details.get("hash", "")):
            return None
        held.append(current)
    return Deployed(tuple(held), 0, values.get("mark", "")) if len(held) == values.get("objects") else None


def do(run: Run, step: Step) -> tuple[Deployed, dict[str, Any]]:
    """Apply what differs, rank by rank; then delete what left the manifests. Nothing is deleted if anything failed."""
    world = run.world
    rendered: Rendered = run.outcome(step.needs[0], Rendered)
    world.ledger.claim()
    desired = desire_all(run, step, rendered)
    others = elsewhere(run, step)
    refuse_duplicates(Manifest(dict(item.manifest), item.position) for item in [*desired, *others])
    place = run.cluster.identity().uid
    # of every config: an object that moved here from another document keeps its record
    records = [record for record in world.ledger.records("cluster", "object") if record.effect.place == place]
    known = {record.effect.name: record for record in records}
    before_deploy(run, step)
    existing = present(run.cluster, [item.ref for item in desired])
    world.tell("heading", "Starting deploy...", step.subject)
    states: list[ObjectState] = []
    changed = 0
    for level in sorted({rank(item.ref.kind) for item in desired}):
        group = [item for item in desired if rank(item.ref.kind) == level]
        for state, sent in _apply_all(run, step, group, known, existing):
            states.append(state)
            changed += sent
        wait_until_served(run, [item.ref for item in group if item.ref.kind == CRD])
    wanted = {ledger_name(item.ref) for item in [*desired, *others]}
    orphans = [r for r in records if r.effect.config == step.config.name and r.effect.name not in wanted]
    if orphans:
        for record in orphans:
            world.tell("line", _left(reference(record), run.namespace(step)), step.subject)
        changed += delete_records(world, run.cluster, orphans)
    if not changed:
        world.tell("line", " - nothing to do: the cluster has it all", step.subject)
    return Deployed(tuple(states), changed, run.id), {"rendered": rendered.digest, "objects": len(states), "mark": run.id}


def _apply_all(
    run: Run, step: Step, group: list[Desired], known: Mapping[str, Record], existing: Mapping[ObjectRef, ObjectState]
) -> list[tuple[ObjectState, bool]]:
    """Apply the objects of one rank side by side. One that fails does not stop its neighbours; all errors are told."""

    def one(item: Desired) -> tuple[ObjectState, bool] | KfoldError:
        try:
            return _apply(run, step, item, known.get(ledger_name(item.ref)), existing.get(item.ref))
        except KfoldError as error:
            return error

    with ThreadPoolExecutor(PARALLEL) as pool:
        results = list(pool.map(one, group))
    done = [result for result in results if not isinstance(result, KfoldError)]
    errors = [result for result in results if isinstance(result, KfoldError)]
    if errors:
        raise errors[0] if len(errors) == 1 else KfoldError("\n".join(str(error) for error in errors))
    return done


def _apply(
    run: Run, step: Step, item: Desired, known: Record | None, current: ObjectState | None
) -> tuple[ObjectState, bool]:
    """Bring one object to what it should be. True if something was sent."""
    ledger = run.world.ledger
    if known and current and stands(known, current, item.hash) and known.effect.config == step.config.name:
        return current, False
    if current and current.deletion_timestamp:
        wait_until_gone(run.world, run.cluster, item.ref, current.uid)
        current = None
    if known and not _is_ours(known, current):
        # it was deleted, or re-created by somebody else: what the record spoke of is gone
        ledger.gone(known)
        known = None
    run.world.go_on()
    made = known.effect.made if known else current is None
    # What another checkout made keeps that one's mark: both apply as one field manager, and an apply without the mark
    # would take it away.
    theirs = current.annotations.get(INTENT, "") if current else ""
    effect = Effect(
        store="cluster",
        kind="object",
        place=run.cluster.identity().uid,
        name=ledger_name(item.ref),
        config=step.config.name,
        mark=known.effect.mark if known else uuid.uuid4().hex if made else theirs,
        made=made,
        details={
            "hash": item.hash,
            "context": run.cluster.identity().context,
            "server": run.cluster.identity().server,
            "kubeconfig": list(run.facts.target.kubeconfig),
            "target": run.facts.target.kind,
        },
    )
    record = ledger.intend(effect)
    try:
        state = _send(run, item, effect, current)
    except ClusterError as error:
        # the parts of a Pod and a Job that may not change make kubectl fail; ours are made anew instead
        if not (error.code == 422 and current and made and item.ref.kind in ("Pod", "Job")):
            if not record.identity and _is_refusal(run.cluster, record, error):
                ledger.gone(record)  # nothing was made, nothing was taken over: nothing is to be remembered
            raise _placed(error, item) from error
        state = _make_anew(run, item, effect, ledger.done(record, current.uid))
    ledger.done(record, state.uid, hash=item.hash, fields=state.manager_hash)
    run.changed()
    verb = "configured" if current and current.uid == state.uid else "created"
    adopted = "" if made else " (it was there before: it will stay)"
    run.world.tell("line", f" - {noun(item.ref)} {verb}{adopted}", step.subject)
    return state, True


def _send(run: Run, item: Desired, effect: Effect, current: ObjectState | None) -> ObjectState:
    """Apply. In an object that kfold made its manifest is the truth: a field that somebody took over is taken back, and it
    is said. In an object that was there before a conflict is an error."""
    manifest, uid = annotated(item, effect.mark), current.uid if current else None
    try:
        return run.cluster.apply(manifest, uid=uid)
    except FieldConflict as error:
        if not (effect.made and uid):
            raise
        taken = ", ".join(f"{conflict.field} (from {conflict.manager})" for conflict in error.conflicts)
        run.world.tell("line", f" - {noun(item.ref)}: taken back {taken}")
        return run.cluster.apply(manifest, uid=uid, force=True)


def _is_refusal(cluster: ClusterStore, record: Record, error: ClusterError) -> bool:
    """Whether an apply that failed has certainly made nothing. A field that the schema does not know is answered with
    500 by a real server ("failed to create typed patch object"): then the cluster is asked."""
    if 400 <= error.code < 500:
        return True
    if error.code != 500:
        return False
    try:
        return cluster.get(reference(record)) is None
    except ClusterError:
        return False


def _make_anew(run: Run, item: Desired, effect: Effect, record: Record) -> ObjectState:
    run.world.tell("line", f" - {noun(item.ref)} cannot be changed in place: made anew")
    delete_records(run.world, run.cluster, [record], keep=True)
    run.world.ledger.intend(effect, anew=True)
    try:
        return run.cluster.apply(annotated(item, effect.mark))
    except ClusterError as error:
        raise _placed(error, item) from error


def _placed(error: ClusterError, item: Desired) -> KfoldError:
    """The cluster's complaint, with the manifest it is about."""
    hint = error.hint
    if error.code == 404 and item.ref.namespace and "namespaces" in error.message:
        hint = f"Make it (`kubectl create namespace {item.ref.namespace}`), or put a Namespace into the manifests."
    return ConfigError(error.message, where=item.position, hint=hint)


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
    wanted = {ledger_name(item.ref) for item in desired}
    return reasons + [
        f"{noun(reference(record))} left the manifests" for name, record in known.items() if name not in wanted
    ]


def wait_until_served(run: Run, definitions: list[ObjectRef]) -> None:
    """Wait until new kinds can be used (condition Established), so that their objects can follow at once."""
    deadline = time.monotonic() + ESTABLISHED
    for ref in definitions:
        while True:
            status = (run.cluster.get(ref) or {}).get("status") or {}
            conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or ()}
            if conditions.get("Established") == "True":
                break
            run.world.go_on()
            if time.monotonic() > deadline:
                raise KfoldError(f"{noun(ref)} is not established after {ESTABLISHED:.0f} s", hint="`kubectl describe` it.")
            run.world.stop.wait(0.1)


def _left(ref: ObjectRef, namespace: str) -> str:
    """Why an object goes, for the line before it is deleted."""
    if ref.namespace not in ("", namespace):
        return f" - {noun(ref)} in namespace {ref.namespace}: what is deployed is in {namespace} now"
    return f" - {noun(ref)} left the manifests"


def stands(record: Record, current: ObjectState, wanted: str) -> bool:
    """Whether the object is the one that we left, and says what is wanted."""
    return (
        record.state == "done"
        and record.identity == current.uid
        and current.deletion_timestamp is None
        and record.effect.details.get("hash") == wanted
        and record.effect.details.get("fields") == current.manager_hash
        and current.annotations.get(APPLIED) == wanted[:16]
    )


def _is_ours(record: Record, current: ObjectState | None) -> bool:
    """Whether the name still holds what the record speaks of. An intent that never got its answer is known by its mark."""
    if current is None:
        return record.state == "intended" and not record.identity
    if record.identity:
        return current.uid == record.identity
    return bool(record.effect.mark) and current.annotations.get(INTENT) == record.effect.mark


def objects_of_record(run: Run, cluster: ClusterStore) -> dict[ObjectRef, ObjectState]:
    """What the cluster has of all that the ledger says is in it."""
    place = cluster.identity().uid
    records = [record for record in run.world.ledger.records("cluster", "object") if record.effect.place == place]
    return present(cluster, [reference(record) for record in records])


def own_records(run: Run, step: Step) -> list[Record]:
    """What the ledger knows of this config in any cluster."""
    return [record for record in run.world.ledger.records("cluster", "object") if record.effect.config == step.config.name]
