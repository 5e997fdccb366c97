"""Bringing one object to what its manifest says: by server-side apply, recorded first, sent only where it differs."""

from __future__ import annotations

import time
import uuid
from typing import Any

from kfold.errors import ConfigError, KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.applyset import PART_OF
from kfold.plan.steps import Step
from kfold.stores.cluster_interface import (
    ClusterError,
    ClusterStore,
    FieldConflict,
    ObjectRef,
    ObjectState,
    object_state,
)
from kfold.verbs.adoption import Adopted, outside
from kfold.verbs.delete import delete_records, wait_until_gone
from kfold.verbs.desired import Desired, annotated
from kfold.verbs.membership import Membership, as_theirs
from kfold.verbs.objects import INTENT, address, ledger_name, noun, reference
from kfold.verbs.standing import is_ours, stands
from kfold.verbs.world import Run

ATTEMPTS = 5
"""Tries at what somebody else does at the same time."""
PAUSE = 0.2
"""Seconds between two tries to create an object."""
ESTABLISHED = 30.0
"""Seconds that a new kind may take to be served (CustomResourceDefinition, condition Established)."""


class Appeared(KfoldError):
    """Somebody made an object of that name after this run had looked: it is theirs, and nothing of it was changed."""


def apply(
    run: Run, step: Step, item: Desired, membership: Membership, known: Record | None, current: ObjectState | None
) -> tuple[ObjectState, bool]:
    """Bring one object to what it should be. True if something was sent. Raises Appeared."""
    ledger = run.world.ledger
    set_id = membership.parent.id
    if known and current and is_done(step, item, set_id, known, current):
        return current, False
    if current and current.deletion_timestamp:
        wait_until_gone(run.world, run.cluster, item.ref, current.uid)
        current = None
    if known and not is_ours(known, current):
        # it was deleted, or re-created by somebody else: what the record spoke of is gone
        ledger.gone(known)
        known = None
    run.world.go_on()
    made = known.effect.made if known else current is None or current.labels.get(PART_OF) == set_id
    theirs = current if current and not made else None
    shared = theirs is not None and item.ref in membership.shared
    mark = theirs.annotations.get(INTENT, "") if theirs else ""
    if made:
        mark = known.effect.mark if known else current.annotations.get(INTENT, "") if current else uuid.uuid4().hex
    adopted = membership.adopted.get(item.ref) if theirs and not shared else None
    details: dict[str, Any] = {**address(run.cluster, run.facts.target), "hash": item.hash, "set": set_id, "shared": shared}
    if adopted:
        details["parent"] = ledger_name(membership.parent.ref)
        details["overridden"] = outside(item.ref, adopted.fields)
    place = run.cluster.identity().uid
    effect = Effect("cluster", "object", place, ledger_name(item.ref), step.config.name, mark, None, made, details)
    manifest = annotated(item, mark, part_of=set_id if made else "", adopted="" if made else set_id)
    if theirs and shared:
        manifest = as_theirs(item, theirs)
    record = ledger.intend(effect)
    if adopted and not known:
        # the object is known already: a crash before the answer must not hide what was taken over
        record = ledger.done(record, adopted.uid)
        record = ledger.intend(effect)
    try:
        state = _send(run, item, manifest, effect, current, adopted)
    except Appeared:
        ledger.gone(record)
        raise
    except ClusterError as error:
        # the parts of a Pod and a Job that may not change make kubectl fail; ours are made anew instead
        if not (error.code == 422 and current and made and item.ref.kind in ("Pod", "Job")):
            if not known and _is_refusal(run.cluster, record, error):
                ledger.gone(record)  # nothing was made, nothing was taken over: nothing is to be remembered
            raise placed(error, item) from error
        state = _make_anew(run, item, manifest, effect, ledger.done(record, current.uid))
    ledger.done(record, state.uid, hash=item.hash, fields=state.manager_hash)
    run.changed()
    verb = "configured" if current and current.uid == state.uid else "created"
    kept = "" if made else " (it was there before: it will stay)"
    run.world.tell("line", f" - {noun(item.ref)} {verb}{kept}", step.subject)
    return state, True


def is_done(step: Step, item: Desired, set_id: str, known: Record, current: ObjectState) -> bool:
    """Whether an object is what it should be, as this config's and this set's."""
    return (
        stands(known, current, item.hash)
        and known.effect.config == step.config.name
        and known.effect.details.get("set") == set_id
    )


def _send(
    run: Run, item: Desired, manifest: dict[str, Any], effect: Effect, current: ObjectState | None, adopted: Adopted | None
) -> ObjectState:
    """Apply. The manifest is the truth: a field that somebody set is taken, and it is said; in an object that was there
    before it comes back at the end, since its value was kept."""
    if current is None:
        return _create(run, item, manifest, effect)
    uid = current.uid
    try:
        return run.cluster.apply(manifest, uid=uid)
    except FieldConflict as error:
        if not (effect.made or adopted):
            raise
        taken = ", ".join(f"{conflict.field} (from {conflict.manager})" for conflict in error.conflicts)
        told = f"taken back {taken}" if effect.made else f"was there before, taken over {taken}; delete puts it back"
        run.world.tell("line", f" - {noun(item.ref)}: {told}")
        return run.cluster.apply(manifest, uid=uid, force=True)


def _create(run: Run, item: Desired, manifest: dict[str, Any], effect: Effect) -> ObjectState:
    """Apply what is not there, and only that: an object that is somebody else's by now must not get the mark of ours."""
    for _ in range(ATTEMPTS):
        try:
            return run.cluster.apply(manifest, new=True)
        except ClusterError as error:
            if error.code != 409:
                raise
            refused = error
        found = run.cluster.get(item.ref)
        there = object_state(found) if found else None
        if there and there.annotations.get(INTENT) == effect.mark:
            return run.cluster.apply(manifest, uid=there.uid)  # a try of ours that got no answer
        if there:
            raise Appeared(
                f"{noun(item.ref)} was not there, and somebody made it just now",
                where=item.position,
                hint="Run this again: it is taken over then, and given back by `doit delete`.",
            )
        run.world.stop.wait(PAUSE)  # it went again, or others wrote what admission counts by (a ResourceQuota)
        run.world.go_on()
    raise refused


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


def _make_anew(
    run: Run, item: Desired, manifest: dict[str, Any], effect: Effect, record: Record
) -> ObjectState:
    run.world.tell("line", f" - {noun(item.ref)} cannot be changed in place: made anew")
    delete_records(run.world, run.cluster, [record], keep=True)
    run.world.ledger.intend(effect, anew=True)
    try:
        return _create(run, item, manifest, effect)
    except ClusterError as error:
        raise placed(error, item) from error


def placed(error: ClusterError, item: Desired) -> KfoldError:
    """The cluster's complaint, with the manifest it is about."""
    hint = error.hint
    if error.code == 404 and item.ref.namespace and "namespaces" in error.message:
        hint = f"Make it (`kubectl create namespace {item.ref.namespace}`), or put a Namespace into the manifests."
    return ConfigError(error.message, where=item.position, hint=hint)


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
