"""Taking a whole deployment back, by the record: cluster by cluster, then the sandbox that was started for it."""

from __future__ import annotations

import time
from functools import cache

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.stores.cluster_interface import ClusterStore
from kfold.verbs import deploy_hooks, sandbox
from kfold.verbs.delete import TIMEOUT, delete_records
from kfold.verbs.hook_undo import preview_hooks
from kfold.verbs.objects import noun, reference
from kfold.verbs.undo import Kept
from kfold.verbs.world import World


def delete_deployment(
    world: World, *, config: str = "", dry_run: bool = False, timeout: float = TIMEOUT, forget: bool = False
) -> None:
    """Delete what the ledger says is deployed, cluster by cluster; then stop the sandbox that kfold had started.

    Raises KfoldError naming everything that stayed; the rest is gone.
    """
    deadline = time.monotonic() + timeout
    records = [record for record in world.ledger.records("cluster", "object") if config in ("", record.effect.config)]
    hooks = deploy_hooks.deploy_records(world, config)
    if dry_run:
        _preview(world, records, hooks)
        return
    started = world.ledger.records("host", "sandbox") if not config else []
    if not records and not started and not hooks:
        world.tell("line", "Nothing is deployed.")
        return
    world.ledger.claim()
    world.tell("heading", "Cleaning up...")

    @cache
    def cluster_at(place: str) -> ClusterStore | None:
        one = next(record for record in [*records, *hooks] if record.effect.place == place)
        return recorded_cluster(world, one, forget=forget)

    problems = deploy_hooks.undo_before_objects(
        world, hooks, lambda record: cluster_at(record.effect.place), forget=forget
    )
    for place in dict.fromkeys(record.effect.place for record in records):
        group = [record for record in records if record.effect.place == place]
        try:
            cluster = cluster_at(place)
            if cluster is None:
                for record in group:
                    world.ledger.gone(record)
            else:
                delete_records(world, cluster, group, timeout=max(1.0, deadline - time.monotonic()), pods_too=True)
        except KfoldError as error:
            problems.append(str(error))
    problems += deploy_hooks.undo_after_objects(world, hooks, forget=forget)
    left_hooks = deploy_hooks.deploy_records(world, config)
    if not problems:
        for record in started:
            result = sandbox.undo(world, record)
            if isinstance(result, Kept):
                world.tell("line", f" - {result.why}")
    if problems:
        hint = "What is not taken back stays recorded: when the cause is gone, `doit delete` goes on from here."
        raise KfoldError("\n".join(problems), hint=hint if left_hooks else "")


def _preview(world: World, records: list[Record], hooks: list[Record]) -> None:
    preview_hooks(world, hooks)
    for record in records:
        what = "would be deleted" if record.effect.made else "stays: it was there before"
        context = record.effect.details.get("context", "")
        world.tell("line", f" - {noun(reference(record))} {what} (context {context})")
    for _ in world.ledger.records("host", "sandbox"):
        world.tell("line", " - the embedded cluster would be stopped")
    if not records and not hooks:
        world.tell("line", "Nothing is deployed.")


def recorded_cluster(world: World, record: Record, *, forget: bool = False) -> ClusterStore | None:
    """The cluster of a record, whatever context is current. None where that cluster is gone for good.

    Raises KfoldError where the context now leads to another cluster, or does not answer.
    """
    details = record.effect.details
    context, files = details["context"], tuple(details["kubeconfig"])
    if forget:
        world.tell("warning", f"context {context}: its records are dropped; what it holds, if it is there, stays")
        return None
    is_sandbox = details.get("target") == "sandbox"
    if is_sandbox and not sandbox.is_up(files):
        world.tell("line", " - the sandbox that held the deployment is gone, and all its objects with it")
        return None
    cluster = world.open_cluster(context, files)
    identity = cluster.identity().uid
    if identity == record.effect.place:
        return cluster
    if is_sandbox:
        world.tell("line", " - the sandbox is a new one: the one that held the deployment is gone")
        return None
    raise KfoldError(
        f"context {context} leads to another cluster now than the one deployed to ({record.effect.place}, "
        f"{details['server']}); nothing was deleted there",
        hint="Make the context lead there again; or, if that cluster is gone for good, `doit delete --forget`.",
    )
