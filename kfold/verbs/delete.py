"""`delete`, the reverse of `deploy`: by the record alone. No build, no render, no config is needed.

Each delete carries the UID that the ledger learned; what was there before us is let go (our fields are taken out of it,
nothing else); what changed hands is left alone and named.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan.object_order import rank
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, ObjectState, UnknownKind
from kfold.verbs.objects import INTENT, noun, present, reference
from kfold.verbs.owned_pods import owned_pods
from kfold.verbs.world import World

SIDE_BY_SIDE = 16
"""Deletes under way at once (measured: 100 Deployments in 1.1 s; kubectl takes 18.5 s one after the other)."""
POLL = 0.1
"""Seconds between two looks at what is still there."""
TIMEOUT = 300.0
"""Seconds that deleted objects may take to go."""


def delete_records(
    world: World,
    cluster: ClusterStore,
    records: Iterable[Record],
    *,
    timeout: float = TIMEOUT,
    keep: bool = False,
    pods_too: bool = False,
) -> int:
    """Take objects back, later ranks first, side by side within a rank, waiting until each is seen to be gone.

    `keep` leaves the records in the ledger (the objects are about to be made anew). `pods_too` also waits for the Pods
    that they made. Returns how many were deleted. Raises KfoldError naming all that stayed, and why; their records stay
    too. One that fails never stops the others.
    """
    records = list(records)
    deadline = time.monotonic() + timeout
    problems: list[str] = []
    count = 0
    for level in sorted({rank(reference(record).kind) for record in records}, reverse=True):
        group = [record for record in records if rank(reference(record).kind) == level]
        waited_for = _with_pods(cluster, group) if pods_too else frozenset()

        def request(record: Record, waited_for: frozenset[str] = waited_for) -> Record | None:
            return _request(world, cluster, record, problems, keep, record.identity in waited_for)

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            requested = list(pool.map(request, group))
        waiting = [record for record in requested if record is not None]
        count += len(waiting)
        _wait_until_gone(world, cluster, waiting, deadline, problems, keep)
    if problems:
        raise KfoldError(
            "\n".join(problems), hint="The record is kept. When the cause is gone, `doit delete` goes on from here."
        )
    return count


def _with_pods(cluster: ClusterStore, records: Sequence[Record]) -> frozenset[str]:
    """UIDs of those that have Pods. They are deleted in the foreground: the server keeps the object, and so we its record,
    until the last Pod is gone. For those without, that would only cost time (the garbage collector's 20 calls a second).
    """
    try:
        return frozenset(owned_pods(cluster, ((reference(record), record.identity) for record in records)))
    except ClusterError:
        # whoever may not list Pods may still delete what makes them
        return frozenset()


def _request(
    world: World, cluster: ClusterStore, record: Record, problems: list[str], keep: bool, has_pods: bool
) -> Record | None:
    """Ask for one deletion. Returns the record with its UID if there is something to wait for."""
    ref = reference(record)
    try:
        world.go_on()
        if not record.effect.made:
            _let_go(world, cluster, record)
            return None
        uid = record.identity or _identity_by_mark(cluster, record)
        if not uid:
            world.ledger.gone(record)
            return None
        record = world.ledger.undoing(record, identity=uid)
        answer = cluster.delete(ref, uid=uid, propagation="Foreground" if has_pods else "Background")
        if answer == "requested":
            return record
        if answer == "replaced":
            world.tell("line", f" - {noun(ref)} stays: it is somebody else's now")
        _drop(world, record, keep)
    except UnknownKind:
        # its definition is gone, and every object of it with the definition
        _drop(world, record, keep)
    except KfoldError as error:
        problems.append(f"{noun(ref)} stays: {error.message}")
    return None


def _drop(world: World, record: Record, keep: bool) -> None:
    if not keep:
        world.ledger.gone(record)


def _identity_by_mark(cluster: ClusterStore, record: Record) -> str:
    """The UID of an object whose creation was never confirmed: by name, and by the mark that the creation carried."""
    found = cluster.get(reference(record))
    if found is None:
        return ""
    metadata = found.get("metadata") or {}
    ours = bool(record.effect.mark) and (metadata.get("annotations") or {}).get(INTENT) == record.effect.mark
    return str(metadata.get("uid") or "") if ours else ""


def _let_go(world: World, cluster: ClusterStore, record: Record) -> None:
    """An object that was there before us stays; an empty apply takes out the fields that are ours alone.

    Where another checkout of kfold made it (its mark is on it), "ours" are also that one's: then nothing is taken out.
    """
    ref = reference(record)
    found = cluster.get(ref)
    uid = str(((found or {}).get("metadata") or {}).get("uid") or "")
    record = world.ledger.undoing(record)
    if found is not None and uid == record.identity:
        if not record.effect.mark:
            metadata = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
            cluster.apply({"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}, uid=uid)
        world.tell("line", f" - {noun(ref)} stays: it was there before")
    world.ledger.gone(record)


def _wait_until_gone(
    world: World, cluster: ClusterStore, waiting: Sequence[Record], deadline: float, problems: list[str], keep: bool
) -> None:
    """Look, by one list a kind, until every UID is gone; then drop its record. Names what holds the rest up."""
    left = {(reference(record), record.identity): record for record in waiting}
    told: set[str] = set()
    since = time.monotonic()
    while left:
        try:
            there = present(cluster, [ref for ref, _ in left])
        except ClusterError as error:
            problems += [f"{noun(ref)}: not seen to be gone: {error.message}" for ref, _ in left]
            return
        for (ref, uid), record in list(left.items()):
            state = there.get(ref)
            if state is None or state.uid != uid:
                _drop(world, record, keep)
                world.tell("line", f" - {noun(ref)} deleted")
                del left[ref, uid]
        if not left:
            return
        if time.monotonic() > deadline or world.stop.is_set():
            why = "asked to stop" if world.stop.is_set() else "still there at the deadline"
            problems += [f"{noun(ref)} {why}{_held(there.get(ref), held)}" for ref, held in _holders(cluster, left)]
            return
        if time.monotonic() - since > 3:
            for ref, held in _holders(cluster, left):
                line = f"   waiting for {noun(ref)}{_held(there.get(ref), held)}"
                if line not in told:
                    told.add(line)
                    world.tell("line", line)
        world.stop.wait(POLL)


def wait_until_gone(world: World, cluster: ClusterStore, ref: ObjectRef, uid: str, timeout: float = TIMEOUT) -> None:
    """Wait for an object that is being deleted already, so that its name is free. Raises KfoldError at the deadline."""
    deadline = time.monotonic() + timeout
    world.tell("line", f" - {noun(ref)} is marked for deletion, waiting for completion")
    while (state := present(cluster, [ref]).get(ref)) is not None and state.uid == uid:
        world.go_on()
        if time.monotonic() > deadline:
            raise KfoldError(
                f"{noun(ref)} is still being deleted{_held(state)}", hint="Run this again when it is gone."
            )
        world.stop.wait(POLL)


def _holders(cluster: ClusterStore, left: Iterable[tuple[ObjectRef, str]]) -> list[tuple[ObjectRef, list[ObjectState]]]:
    """What is left, each with those of its Pods that still are there."""
    left = list(left)
    try:
        pods = owned_pods(cluster, left)
    except ClusterError:
        pods = {}
    return [(ref, pods.get(uid, [])) for ref, uid in left]


def _held(state: ObjectState | None, pods: Sequence[ObjectState] = ()) -> str:
    """What holds a deletion up, as far as the object and its Pods tell."""
    if state is None:
        return ""
    if pods:
        # one with a finalizer says most
        worst = max(pods, key=lambda pod: bool(pod.finalizers))
        return f": its {noun(worst.ref)} is still there{_held(worst)}"
    if state.finalizers:
        return f": held by finalizer {', '.join(state.finalizers)}"
    return ": terminating" if state.deletion_timestamp else ""
