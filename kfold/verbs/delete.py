"""`delete`, the reverse of `deploy`: by the record alone. No build, no render, no config is needed.

Each delete carries the UID that the ledger learned; what was there before us is let go (our fields are taken out of it,
nothing else); what changed hands is left alone and named.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan.object_order import rank
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, UnknownKind, object_state
from kfold.verbs.adoption import let_go
from kfold.verbs.foreign import defines_others, holds_others
from kfold.verbs.holders import held, holders
from kfold.verbs.objects import INTENT, as_served, is_definition, is_namespace, noun, present, reference
from kfold.verbs.owned_pods import owned_pods
from kfold.verbs.report import CleanupReport, Fate
from kfold.verbs.retained import Stays, claims_of, retained
from kfold.verbs.sharing import hand_on
from kfold.verbs.world import World

SIDE_BY_SIDE = 16
"""Deletes under way at once (measured: 100 Deployments in 1.1 s; kubectl takes 18.5 s one after the other)."""
GONE_ALREADY = "it was gone already"
POLL = 0.1
"""Seconds between two looks at what is still there."""
TIMEOUT = 300.0
"""Seconds that deleted objects may take to go."""
PATIENCE = 3.0
"""Seconds of waiting before it is told what holds the rest up."""


def delete_records(
    world: World,
    cluster: ClusterStore,
    records: Iterable[Record],
    *,
    timeout: float = TIMEOUT,
    keep: bool = False,
    pods_too: bool = False,
    volumes: bool = False,
    report: CleanupReport | None = None,
) -> int:
    """Take objects back, later ranks first, side by side within a rank, waiting until each is seen to be gone.

    `keep` leaves the records in the ledger (the objects are about to be made anew). `pods_too` also waits for the Pods
    that they made, `volumes` also takes the volume claims that StatefulSets made. Returns how many were deleted. Raises
    KfoldError naming all that stayed though it was to go, and why; their records stay too. One that fails never stops
    the others.
    """
    work = _Work(world, cluster, time.monotonic() + timeout, keep, report or CleanupReport())
    going = list(records) if keep else work.without_what_stays(list(records), volumes)
    work.ours = frozenset(record.identity for record in going if record.effect.made)
    count = 0
    for level in sorted({_rank(record) for record in going}, reverse=True):
        group = [record for record in going if _rank(record) == level]
        waited_for = _with_pods(cluster, group) if pods_too else frozenset()
        with world.ledger.together():
            group = [work.announced(record) for record in group]

        def request(record: Record, waited_for: frozenset[str] = waited_for) -> Record | None:
            return work.request(record, record.identity in waited_for)

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            requested = list(pool.map(request, group))
        waiting = [record for record in requested if record is not None]
        count += len(waiting)
        work.wait_until_gone(waiting)
    if work.problems:
        raise KfoldError(
            "\n".join(work.problems), hint="The record is kept. When the cause is gone, `doit delete` goes on from here."
        )
    return count


@dataclass
class _Work:
    """One deletion under way: what every part of it needs, and what it came to so far."""

    world: World
    cluster: ClusterStore
    deadline: float
    keep: bool
    report: CleanupReport
    problems: list[str] = field(default_factory=list)
    ours: frozenset[str] = frozenset()
    """UIDs of all that is to go."""

    def without_what_stays(self, records: list[Record], volumes: bool) -> list[Record]:
        """The records of what is to go. What stays is told, and let go of where that is for good."""
        try:
            there = present(self.cluster, [reference(record) for record in records])
            claims = claims_of(self.world, self.cluster, records, there)
            if volumes:
                records = list({record.id: record for record in [*records, *claims]}.values())
                there |= present(self.cluster, [reference(record) for record in claims])
                claims = []
            told = hand_on(self.cluster, records, there)
            handed = {number: Stays(why, blocked) for number, (why, blocked) in told.items()}
            left = [record for record in records if record.id not in handed]
            # what was handed on is another deployment's: what holds it stays with its record, until that one takes it
            staying = {**retained(self.cluster, left, there, [reference(record) for record in claims]), **handed}
        except KfoldError as error:
            for record in records:
                self.failed(record, f"{noun(reference(record))} stays: {error.message}")
            return []
        for claim in claims:
            maker = claim.effect.details["maker"]
            self.stays(claim, f"it holds the data of {maker} (`doit delete --volumes` takes it)")
        for record in records:
            stays = staying.get(record.id)
            if stays and stays.blocked:
                self.failed(record, f"{noun(reference(record))} stays: {stays.why}")
            elif stays:
                self.stays(record, stays.why)
                self.world.ledger.gone(record)
        return [record for record in records if record.id not in staying]

    def announced(self, record: Record) -> Record:
        """The record as it is before its deletion is asked for, where it is known what to delete."""
        known = record.effect.made and record.identity
        return self.world.ledger.undoing(record) if known else record

    def request(self, record: Record, has_pods: bool) -> Record | None:
        """Ask for one deletion. Returns the record with its UID if there is something to wait for."""
        world, cluster, ref = self.world, self.cluster, reference(record)
        try:
            world.go_on()
            if not record.effect.made:
                told = let_go(world, cluster, record)
                self.settled("kept" if told else "removed", record, told or GONE_ALREADY)
                return None
            if not record.identity:
                uid = _identity_by_mark(cluster, record)
                if not uid:
                    world.ledger.gone(record)
                    return None
                record = world.ledger.undoing(record, identity=uid)
            if why := self._holds_others(ref):
                self.failed(record, f"{noun(ref)} stays: {why}")
                return None
            answer = cluster.delete(ref, uid=record.identity, propagation="Foreground" if has_pods else "Background")
            if answer == "requested":
                return record
            if answer == "replaced":
                self.stays(record, "it is somebody else's now")
            else:
                self.settled("removed", record, GONE_ALREADY)
            self.drop(record)
        except UnknownKind:
            # its definition is gone, and every object of it with the definition
            self.settled("removed", record, GONE_ALREADY)
            self.drop(record)
        except KfoldError as error:
            self.failed(record, f"{noun(ref)} stays: {error.message}")
        return None

    def _holds_others(self, ref: ObjectRef) -> str:
        """Asked once more, right before what would go along: minutes may have gone by since the look at the start."""
        if self.keep:
            return ""
        if is_namespace(ref):
            return holds_others(self.cluster, ref.name, self.ours)
        found = self.cluster.get(ref) if is_definition(ref) else None
        return defines_others(self.cluster, object_state(found), self.ours) if found else ""

    def wait_until_gone(self, waiting: Sequence[Record]) -> None:
        """Look, by one list a kind, until every UID is gone; then drop its record. Names what holds the rest up."""
        world = self.world
        left = {(reference(record), record.identity): record for record in waiting}
        told: set[str] = set()
        since = time.monotonic()
        while left:
            try:
                there = present(self.cluster, [ref for ref, _ in left])
            except ClusterError as error:
                for (ref, _), record in left.items():
                    self.failed(record, f"{noun(ref)}: not seen to be gone: {error.message}")
                return
            gone = {key: record for key, record in left.items() if key[0] not in there or there[key[0]].uid != key[1]}
            with world.ledger.together():
                for record in gone.values():
                    self.drop(record)
            for key, record in gone.items():
                self.settled("removed", record)
                world.tell("line", f" - {noun(key[0])} deleted")
                del left[key]
            if not left:
                return
            if time.monotonic() > self.deadline or world.stop.is_set():
                why = "asked to stop" if world.stop.is_set() else "still there at the deadline"
                for ref, why_held in holders(self.cluster, left, there):
                    record = next(record for (other, _), record in left.items() if other == ref)
                    self.failed(record, f"{noun(ref)} {why}{why_held}")
                return
            if time.monotonic() - since > PATIENCE:
                for ref, why_held in holders(self.cluster, left, there):
                    line = f"   waiting for {noun(ref)}{why_held}"
                    if line not in told:
                        told.add(line)
                        world.tell("line", line)
            world.stop.wait(POLL)

    def drop(self, record: Record) -> None:
        if not self.keep:
            self.world.ledger.gone(record)

    def stays(self, record: Record, why: str) -> None:
        self.world.tell("line", f" - {noun(reference(record))} stays: {why}")
        self.settled("kept", record, why)

    def failed(self, record: Record, problem: str) -> None:
        self.problems.append(problem)
        self.settled("failed", record, problem)

    def settled(self, fate: Fate, record: Record, why: str = "") -> None:
        settle(self.report, fate, record, why)


def settle(report: CleanupReport, fate: Fate, record: Record, why: str = "") -> None:
    """What became of an object, for the report."""
    ref = reference(record)
    more = {"apiVersion": ref.api_version, "namespace": ref.namespace, "uid": record.identity}
    more["context"] = str(record.effect.details.get("context", ""))
    report.add(fate, store="cluster", kind=ref.kind, name=ref.name, why=why, **more)


def _rank(record: Record) -> int:
    ref = reference(record)
    return rank(ref.api_version, ref.kind)


def _with_pods(cluster: ClusterStore, records: Sequence[Record]) -> frozenset[str]:
    """UIDs of those that have Pods. They are deleted in the foreground: the server keeps the object, and so we its record,
    until the last Pod is gone. For those without, that would only cost time (the garbage collector's 20 calls a second).
    """
    try:
        return frozenset(owned_pods(cluster, ((reference(record), record.identity) for record in records)))
    except ClusterError:
        # whoever may not list Pods may still delete what makes them
        return frozenset()


def _identity_by_mark(cluster: ClusterStore, record: Record) -> str:
    """The UID of an object whose creation was never confirmed: by name, and by the mark that the creation carried."""
    found = as_served(cluster, reference(record), cluster.get)
    if found is None:
        return ""
    metadata = found.get("metadata") or {}
    ours = bool(record.effect.mark) and (metadata.get("annotations") or {}).get(INTENT) == record.effect.mark
    return str(metadata.get("uid") or "") if ours else ""


def wait_until_gone(world: World, cluster: ClusterStore, ref: ObjectRef, uid: str, timeout: float = TIMEOUT) -> None:
    """Wait for an object that is being deleted already, so that its name is free. Raises KfoldError at the deadline."""
    deadline = time.monotonic() + timeout
    world.tell("line", f" - {noun(ref)} is marked for deletion, waiting for completion")
    while (state := present(cluster, [ref]).get(ref)) is not None and state.uid == uid:
        world.go_on()
        if time.monotonic() > deadline:
            raise KfoldError(
                f"{noun(ref)} is still being deleted{held(state)}", hint="Run this again when it is gone."
            )
        world.stop.wait(POLL)
