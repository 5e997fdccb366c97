"""Whether what the ledger remembers is out there: each store is asked at once, and none can hold the answer up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.stores import sandbox_process
from kfold.stores.cluster_interface import ObjectState
from kfold.verbs import minikube_load, sandbox
from kfold.verbs.objects import INTENT, present, reference
from kfold.verbs.repository import SIDE_BY_SIDE, recorded
from kfold.verbs.standing import stands
from kfold.verbs.world import World

ANSWER = 5.0
"""Seconds that all stores together have to answer."""


@dataclass(frozen=True)
class Presence:
    """`changed`: something of that name is there, and it is not what the record says. `why` a store is `unknown`, or what
    was changed."""

    found: Literal["there", "gone", "changed", "unknown"]
    why: str = ""


THERE, GONE = Presence("there"), Presence("gone")
HOOK = Presence("unknown", "only its undo knows what to look for")


def look(world: World, records: Sequence[Record], *, seconds: float = ANSWER) -> list[Presence]:
    """The presence of each record, in their order. One `image ls` an engine and one list a kind and namespace.

    Never raises for a store that fails or is silent: its records are `unknown`, with the reason.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    answers: dict[int, Presence] = {}
    for number, record in enumerate(records):
        if record.effect.kind == "hook":
            answers[number] = HOOK
            continue
        groups.setdefault((record.effect.store, record.effect.place), []).append(number)

    def ask(store: str, numbers: list[int]) -> None:
        group = [records[number] for number in numbers]
        try:
            found = _ASK[store](world, group)
        except KfoldError as error:
            found = [Presence("unknown", error.message)] * len(group)
        answers.update(zip(numbers, found, strict=True))

    # threads that are daemons, and no pool: a store that stays silent must not hold up the end of the process
    threads = [threading.Thread(target=ask, args=(key[0], numbers), daemon=True) for key, numbers in groups.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silent = Presence("unknown", f"no answer within {seconds:g} s")
    answered = dict(answers)
    return [answered.get(number, silent) for number in range(len(records))]


def _engine(world: World, records: Sequence[Record]) -> list[Presence]:
    engine = world.open_engine(records[0].effect.details.get("address", {}))
    if engine.identity() != records[0].effect.place:
        return [Presence("unknown", "the Docker Engine there is another one now")] * len(records)
    names = engine.names()

    def one(record: Record) -> Presence:
        wanted = record.identity
        if record.effect.kind == "name":
            now = names.ids.get(record.effect.name, "")
            wanted = wanted or next(iter(record.effect.details.get("ours", ())), "")
            if not now:
                return GONE
            return THERE if now == wanted else Presence("changed", f"it names {now[7:19]} now")
        if not wanted:
            return Presence("unknown", "a build that was cut off")
        # one that is only a parent of others is not listed
        return THERE if names.has(wanted) or engine.image(wanted) else GONE

    return [one(record) for record in records]


def _node(world: World, records: Sequence[Record]) -> list[Presence]:
    details = records[0].effect.details
    if details["kind"] == minikube_load.KIND:
        names = minikube_load.names(world, details["cluster"])
        return [THERE if record.effect.name in names else GONE for record in records]
    nodes = world.open_nodes(details["address"])
    node = nodes.node(details["container"])
    if node is None:
        return [GONE] * len(records)
    if node.state != "running":
        return [Presence("unknown", f"node {node.name} is {node.state}")] * len(records)
    contents = nodes.look(node.id)

    def one(record: Record) -> Presence:
        entry = contents.names.get(record.effect.name)
        if entry is None:
            return GONE
        if record.identity and entry.digest != record.identity:
            return Presence("changed", f"it points at {entry.digest[7:19]} now")
        chain = record.effect.details["chain"]
        return THERE if not chain or chain in contents.snapshots else Presence("changed", "it is not unpacked")

    return [one(record) for record in records]


def _cluster(world: World, records: Sequence[Record]) -> list[Presence]:
    details = records[0].effect.details
    files = tuple(details["kubeconfig"])
    is_sandbox = sandbox.is_recorded(details)
    if is_sandbox and not sandbox.is_up(files):
        return [GONE] * len(records)
    cluster = world.open_cluster(details["context"], files)
    if cluster.identity().uid != records[0].effect.place:
        elsewhere = Presence("unknown", f"context {details['context']} leads to another cluster now")
        return [GONE if is_sandbox else elsewhere] * len(records)
    refs = [reference(record) for record in records]
    states = present(cluster, refs)
    return [_object(record, states.get(ref)) for record, ref in zip(records, refs, strict=True)]


def _object(record: Record, state: ObjectState | None) -> Presence:
    if state is None:
        return GONE
    if record.identity and state.uid != record.identity:
        return Presence("changed", "it was deleted and made anew by somebody else")
    if not record.identity and state.annotations.get(INTENT) != record.effect.mark:
        return Presence("changed", "it is somebody else's")
    if state.deletion_timestamp:
        held = f", held by {', '.join(state.finalizers)}" if state.finalizers else ""
        return Presence("changed", f"it is being deleted{held}")
    applied = record.effect.kind == "object" and record.state == "done"
    if applied and not stands(record, state, record.effect.details.get("hash", "")):
        return Presence("changed", "somebody else changed fields that kfold set")
    return THERE


def _host(world: World, records: Sequence[Record]) -> list[Presence]:
    def one(record: Record) -> Presence:
        environment = {**world.environment, **record.effect.details.get("environment", {})}
        if not sandbox_process.runs(environment):
            return GONE
        return Presence("changed", "somebody else started it") if sandbox.is_theirs(record, environment) else THERE

    return [one(record) for record in records]


def _registry(world: World, records: Sequence[Record]) -> list[Presence]:
    def one(record: Record) -> Presence:
        where = recorded(world, record)
        digest = where.registry.digest(where.path, record.effect.name)
        ours = [record.identity] if record.identity else record.effect.details["ours"]
        if not digest:
            return GONE
        return THERE if digest in ours else Presence("changed", f"it names {digest[7:19]} now")

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(one, records))


_ASK: Mapping[str, Callable[[World, Sequence[Record]], list[Presence]]] = {
    "engine": _engine,
    "node": _node,
    "registry": _registry,
    "cluster": _cluster,
    "host": _host,
}
