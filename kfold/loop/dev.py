"""`doit dev`: deploy, watch, redeploy what changed, show logs; in the end take everything back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from kfold.errors import KfoldError
from kfold.loop.logs import Followed, LogTail
from kfold.loop.watch import Inputs, Watcher, settled_inputs
from kfold.planning import facts, plan
from kfold.session import Session
from kfold.verbs import sandbox
from kfold.verbs.objects import reference

Prune = Literal["none", "superseded", "all"]
Run = Callable[[list[str]], int]


def prepare(session: Session) -> None:
    """Become the one run of the project. Raises KfoldError where another one is, where there is no usable config, and
    where the target is none that kfold can deploy to: no edit of the project could mend that."""
    session.world.ledger.claim()
    plan(session)
    target = facts(session).target
    if target.refusal and target.kind != "none":
        raise KfoldError(target.refusal)


def dev(session: Session, run: Run, *, tail: bool = True) -> None:
    """Deploy and go on deploying until the session is asked to end. What it deployed stays; cleaning up is another step.

    An iteration that fails is reported; what runs is left running, and the next edit is waited for. `prepare` comes
    first.
    """
    world = session.world
    if facts(session).target.kind == "none":
        sandbox.start(world)
    tails: LogTail | None = None
    seen: Inputs | None = None
    watcher: Watcher | None = None
    try:
        while not session.stop.is_set():
            now = settled_inputs(session, seen)
            moved = seen is None or (now.folders, now.files) != (seen.folders, seen.files)
            if watcher is None or moved or watcher.stale():
                if watcher:
                    watcher.close()
                watcher = Watcher(now.folders, now.files, session.stop)
                now = settled_inputs(session, now)
            if seen is None or now.fingerprint != seen.fingerprint:
                seen = now
                _iterate(session, run)
                if tail and tails is None:
                    tails = _tail(session)
                continue
            seen = now
            if not watcher.wait():
                break
    finally:
        if watcher:
            watcher.close()
        if tails:
            tails.close()


def _iterate(session: Session, run: Run) -> None:
    """One walk over the graph. Its failure was told by the run itself."""
    world = session.world
    code = run(["deploy"])
    if session.stop.is_set():
        return
    if code:
        world.tell("warning", "What ran before goes on running; save a change to try again.")
    world.tell("warning", "Press Ctrl+C to exit")
    world.tell("heading", "Watching for changes...")


def _tail(session: Session) -> LogTail | None:
    """Logs of what the ledger says is deployed. None while there is nothing to follow."""
    world = session.world
    target = facts(session).target
    if target.refusal:
        return None
    try:
        cluster = world.open_cluster(target.context, target.kubeconfig)
        place = cluster.identity().uid
    except KfoldError:
        return None

    def followed() -> Followed:
        objects = [record for record in world.ledger.records("cluster", "object") if record.effect.place == place]
        names = [record.effect.name for record in world.ledger.records("engine", "name")]
        return Followed(
            namespaces=frozenset(reference(record).namespace for record in objects if reference(record).namespace),
            images=frozenset(names),
            uids=frozenset(record.identity for record in objects),
        )

    tail = LogTail(cluster, followed, world.report)
    tail.start()
    return tail
