"""Taking a whole deployment back, by the record: cluster by cluster, then the sandbox that was started for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan.facts import Target
from kfold.stores.cluster_interface import ClusterStore, object_state
from kfold.verbs import applyset, applyset_end, deploy_hooks, sandbox
from kfold.verbs.delete import GONE_ALREADY, TIMEOUT, delete_records, settle
from kfold.verbs.elsewhere import refuse_unnamed, unknown_sets
from kfold.verbs.hook_copy import copied_hooks
from kfold.verbs.hook_effects import noun as noun_of_hook
from kfold.verbs.hook_effects import shown
from kfold.verbs.hook_undo import Undoing, preview_hooks
from kfold.verbs.objects import address, noun, reference
from kfold.verbs.recall import recall
from kfold.verbs.report import CleanupReport
from kfold.verbs.undo import Kept
from kfold.verbs.world import World


def delete_deployment(
    world: World,
    *,
    config: str = "",
    dry_run: bool = False,
    timeout: float = TIMEOUT,
    forget: bool = False,
    forget_hooks: bool = False,
    volumes: bool = False,
    target: Target | None = None,
    sets: Sequence[tuple[str, str]] = (),
    report: CleanupReport | None = None,
    unread: KfoldError | None = None,
) -> None:
    """Delete what the ledger says is deployed, cluster by cluster; then stop the sandbox that kfold had started.

    `sets`: (config name, effective namespace) of what may be in the cluster of `target` without this ledger knowing it;
    that is recorded first. `volumes`: the volume claims that StatefulSets made go, too. `forget_hooks`: those that can be
    undone only elsewhere are forgotten. `unread`: why nobody can tell which sets those are, if nobody can. Raises KfoldError
    naming everything that stayed; the rest is gone.
    """
    deadline = time.monotonic() + timeout
    report = report or CleanupReport()
    unknown = _unknown_sets(world, target, sets) if target and not forget else []
    hooks = deploy_hooks.deploy_records(world, config)
    started = world.ledger.records("host", "sandbox") if not config else []
    nothing = not _records(world, config) and not started and not unknown and not hooks
    if nothing and unread and target and not forget:
        refuse_unnamed(world, target, unread)
    if dry_run:
        _preview(world, _records(world, config), hooks, unknown, volumes)
        return
    if nothing:
        world.tell("line", "Nothing is deployed.")
        return
    world.ledger.claim()
    world.tell("heading", "Cleaning up...")
    for here, parent in unknown:
        assert target is not None
        recall(world, here, parent, address(here, target))

    @cache
    def opened(place: str) -> ClusterStore | KfoldError | None:
        known = [*_records(world, config), *deploy_hooks.deploy_records(world, config)]
        one = next((record for record in known if _place(record) == place), None)
        try:
            return recorded_cluster(world, one, forget=forget) if one else None
        except KfoldError as error:
            return error

    def cluster_of(record: Record) -> ClusterStore | None:
        found = opened(_place(record))
        if isinstance(found, KfoldError):
            raise found
        return found

    problems: list[str] = []
    clusters: dict[str, ClusterStore | None] = {}
    for place in dict.fromkeys(record.effect.place for record in _records(world, config)):
        found = opened(place)
        try:
            if isinstance(found, KfoldError):
                raise found
            if found:
                known = next(record for record in _records(world, config) if record.effect.place == place)
                world.deleted_from[place] = known.effect.details
                _recall_known(world, found, config)
            clusters[place] = found
        except KfoldError as error:
            problems.append(str(error))
            for record in _going(world, config, place, volumes):
                settle(report, "failed", record, f"{noun(reference(record))} stays: {error.message}")
    silent = {place for place in (r.effect.place for r in _records(world, config)) if place not in clusters}
    how = Undoing(cluster_of, forget, forget_hooks, report)
    every = deploy_hooks.deploy_records(world, config)
    hooks = [hook for hook in every if _place(hook) not in silent]
    problems += [how.failed(hook, "is not taken back: its cluster was not reached") for hook in every if hook not in hooks]
    problems += deploy_hooks.undo_before_objects(world, hooks, how)
    for cluster in clusters.values():
        try:
            if cluster:
                _delete_all(world, cluster, config, deadline, volumes, report)
        except KfoldError as error:
            problems.append(str(error))
    # what a hook before a deployment made is needed as long as anything of the deployment is there
    objects = [record for record in _records(world, config) if record.effect.kind == "object"]
    there = {(r.effect.place, r.effect.config) for r in objects if clusters.get(r.effect.place)}
    hooks = [hook for hook in hooks if (_place(hook), hook.effect.config) not in there]
    problems += deploy_hooks.undo_after_objects(world, hooks, how)
    rest = [record for record in _records(world, config) if record.effect.place not in silent]
    for place in dict.fromkeys(record.effect.place for record in rest):
        try:
            of_place = [record for record in rest if record.effect.place == place]
            _end_sets(world, cluster_of(of_place[0]), of_place, forget, report)
        except KfoldError as error:
            problems.append(str(error))
    left_hooks = deploy_hooks.deploy_records(world, config)
    if not problems:
        for record in started:
            result = sandbox.undo(world, record)
            if isinstance(result, Kept):
                world.tell("line", f" - {result.why}")
    if problems:
        hint = "What is not taken back stays recorded: when the cause is gone, `doit delete` goes on from here."
        raise KfoldError("\n".join(problems), hint=hint if left_hooks else "")


def _place(record: Record) -> str:
    """The cluster that a record is about, by its identity."""
    return str(record.effect.details["cluster"] if record.effect.kind == "hook" else record.effect.place)


def _records(world: World, config: str) -> list[Record]:
    """What is recorded of clusters, but for the hooks."""
    records = world.ledger.records("cluster")
    return [r for r in records if r.effect.kind in ("object", "set", "volume") and config in ("", r.effect.config)]


def _recall_known(world: World, cluster: ClusterStore, config: str) -> None:
    """Take into the ledger what another checkout put into our sets."""
    place = cluster.identity().uid
    for record in _records(world, config):
        if (record.effect.kind, record.effect.place, reference(record).kind) != ("set", place, "ConfigMap"):
            continue
        found = cluster.get(reference(record))
        if found and applyset.is_of(record, found):
            details = {key: record.effect.details[key] for key in ("context", "server", "kubeconfig", "target")}
            recall(world, cluster, applyset.read(object_state(found)), details)


def _delete_all(
    world: World, cluster: ClusterStore, config: str, deadline: float, volumes: bool, report: CleanupReport
) -> None:
    """All objects of one cluster."""
    place = cluster.identity().uid
    going = _going(world, config, place, volumes)
    if not volumes:
        claims = [r for r in _records(world, config) if (r.effect.place, r.effect.kind) == (place, "volume")]
        _tell_volumes(world, cluster, claims, report)
    seconds = max(1.0, deadline - time.monotonic())
    delete_records(world, cluster, going, timeout=seconds, pods_too=True, volumes=volumes, report=report)


def _going(world: World, config: str, place: str, volumes: bool) -> list[Record]:
    """What is to be deleted in one cluster."""
    wanted = ("object", "volume") if volumes else ("object",)
    return [r for r in _records(world, config) if r.effect.place == place and r.effect.kind in wanted]


def _end_sets(
    world: World, cluster: ClusterStore | None, records: Sequence[Record], forget: bool, report: CleanupReport
) -> None:
    """The parents of sets that nothing is left of. All records, where the cluster is gone for good."""
    if cluster is None:
        for record in records:
            world.ledger.gone(record)
            if record.effect.kind != "set" and forget:
                settle(report, "kept", record, "its record was dropped (`--forget`)")
            elif record.effect.kind != "set":
                settle(report, "removed", record, GONE_ALREADY)
        return
    for set_id in dict.fromkeys(str(record.effect.details["set"]) for record in records if record.effect.kind == "set"):
        if not applyset.members_of_record(world, cluster, set_id):
            applyset_end.remove(world, cluster, set_id)
            _name_hooks_that_stay(world, cluster, set_id)


def _name_hooks_that_stay(world: World, cluster: ClusterStore, set_id: str) -> None:
    """Raises KfoldError where a parent stays because of hooks that this ledger does not know: those it knows are named."""
    known = {record.effect.details.get("copy") for record in world.ledger.records(kind="hook")}
    for record in world.ledger.records("cluster", "set"):
        if record.effect.place != cluster.identity().uid or record.effect.details["set"] != set_id:
            continue
        parent = applyset.at(cluster, reference(record), set_id)
        if parent and applyset.keeps_hooks(parent.data) and not known & {*parent.data}:
            raise KfoldError(
                f"{noun(parent.ref)} stays: it keeps hooks that are not taken back and not known here",
                hint="Another checkout ran them meanwhile: `doit delete` again takes them back.",
            )


def _tell_volumes(world: World, cluster: ClusterStore, claims: Sequence[Record], report: CleanupReport) -> None:
    """Claims that an earlier deletion left: those that are gone are forgotten, the others are named again."""
    for record in claims:
        ref = reference(record)
        found = cluster.get(ref)
        if found is None or found["metadata"]["uid"] != record.identity:
            world.ledger.gone(record)
            settle(report, "removed", record, GONE_ALREADY)
        else:
            why = f"it holds the data of {record.effect.details['maker']} (`doit delete --volumes` takes it)"
            world.tell("line", f" - {noun(ref)} stays: {why}")
            settle(report, "kept", record, why)


def _unknown_sets(
    world: World, target: Target, sets: Sequence[tuple[str, str]]
) -> list[tuple[ClusterStore, applyset.Parent]]:
    """Parents in the current cluster that this ledger does not know of.

    Raises KfoldError where that cannot be told and the ledger is empty: an error is never "nothing is deployed".
    """
    try:
        return unknown_sets(world, target, sets)
    except KfoldError as error:
        if not world.ledger.records():
            raise KfoldError(
                f"whether anything is deployed cannot be told: {error.message}",
                hint=error.hint or "This folder has no record of its own, and the cluster is the only one to ask.",
            ) from error
        world.tell("warning", f"what was deployed from elsewhere cannot be told: {error.message}")
        return []


def _preview(
    world: World,
    records: Sequence[Record],
    hooks: list[Record],
    unknown: Sequence[tuple[ClusterStore, applyset.Parent]],
    volumes: bool,
) -> None:
    preview_hooks(world, hooks)
    told = [record for record in records if record.effect.kind != "set"]
    for record in told:
        what = "would be deleted" if record.effect.made else "stays: it was there before"
        if record.effect.kind == "volume" and not volumes:
            what = "stays: `--volumes` takes it"
        context = record.effect.details.get("context", "")
        world.tell("line", f" - {noun(reference(record))} {what} (context {context})")
    for cluster, parent in unknown:
        context = cluster.identity().context
        for hook in copied_hooks(world, parent, {}):
            undo = f"`{shown(hook.effect.details['undo'])}` (it ran on {hook.host_name} in {hook.project})"
            world.tell("line", f" - {noun_of_hook(hook.effect)} would be undone by {undo}")
        for state in applyset.members(cluster, parent):
            world.tell("line", f" - {noun(state.ref)} would be deleted (context {context}, deployed from elsewhere)")
    for _ in world.ledger.records("host", "sandbox"):
        world.tell("line", " - the embedded cluster would be stopped")
    if not told and not hooks and not unknown:
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
    is_sandbox = sandbox.is_recorded(details)
    if is_sandbox and not sandbox.is_up(files):
        world.tell("line", " - the sandbox that held the deployment is gone, and all its objects with it")
        return None
    cluster = world.open_cluster(context, files)
    identity = cluster.identity().uid
    place = _place(record)
    if identity == place:
        return cluster
    if is_sandbox:
        world.tell("line", " - the sandbox is a new one: the one that held the deployment is gone")
        return None
    raise KfoldError(
        f"context {context} leads to another cluster now than the one deployed to ({place}, "
        f"{details['server']}); nothing was deleted there",
        hint="Make the context lead there again; or, if that cluster is gone for good, `doit delete --forget`.",
    )
