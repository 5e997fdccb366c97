"""Taking hooks back: the undos of those that ran, the last one first. By the record alone.

Which verb takes which back: `delete` those of a deployment, `prune --all` those of a build, since what a build made lasts
as long as its images. An undo runs once where its hook is recorded as done. After a crash it may run again, and for a hook
that did not come to its end: KFOLD_HOOK tells it which (`done` or `intended`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from kfold.errors import Interrupted, KfoldError
from kfold.ledger import Record
from kfold.plan.hook_variables import STATE
from kfold.stores import process
from kfold.stores.cluster_interface import ClusterStore
from kfold.stores.host import this_host
from kfold.verbs import hook_copy
from kfold.verbs.hook_effects import TAKEN_BACK, noun, shown
from kfold.verbs.hooks import Container, exec_all, host_environment, project_of, run_on_host, running_containers
from kfold.verbs.world import World


class CannotUndo(KfoldError):
    """An undo cannot run, or failed. Its record stays."""


class CopyStays(KfoldError):
    """An undo ran, but the copy of its hook's record in the cluster could not be taken away. The record stays."""


ClusterOf = Callable[[Record], ClusterStore | None]
"""The cluster that a hook was about; None where there is none, or it is gone for good. Raises KfoldError."""


def undo_hooks(world: World, records: Iterable[Record], cluster_of: ClusterOf = lambda record: None) -> list[str]:
    """Run undos, in the order of `records`. One that fails keeps its record and does not stop the others.

    `cluster_of`: for hooks in containers, and for the copies of records. Returns what failed, each problem with the hook's
    place in the config.
    """
    problems: list[str] = []
    for record in records:
        try:
            world.go_on()
            _undo(world, record, cluster_of)
        except Interrupted:
            problems.append(f"{noun(record.effect)} is not taken back: asked to stop")
        except CopyStays as error:
            problems.append(f"{noun(record.effect)}: {error.message}")
        except KfoldError as error:
            problems.append(f"{noun(record.effect)} is not taken back: {error.message}")
    return problems


def _undo(world: World, record: Record, cluster_of: ClusterOf) -> None:
    details = record.effect.details
    undo, state = list(details["undo"]), str(details["hook"])
    if not undo:
        world.ledger.gone(record)
        return
    what = f"{details['phase']} hook `{shown(details['command'])}`"
    if state != TAKEN_BACK:
        act = _act(world, record, undo, state, cluster_of)
        if act is None:
            world.tell("line", f" - {what} was taken back from elsewhere")
            if not hook_copy.leave_word(world, record):  # a run that was killed after its undo may not have come to that
                world.ledger.gone(record)
            return
        record = world.ledger.undoing(record)
        act()
        world.tell("line", f" - {what} taken back")
    try:
        cluster = cluster_of(record)
        copy = hook_copy.find(world, cluster, record) if cluster else None
        if copy:
            copy.drop(record)
    except KfoldError as error:
        # the undo is not to run again because of that
        world.ledger.done(record, record.identity, hook=TAKEN_BACK)
        raise CopyStays(f"it is taken back, but its copy in the cluster stays: {error.message}") from error
    if not hook_copy.leave_word(world, record):
        world.ledger.gone(record)


def _act(
    world: World, record: Record, undo: list[str], state: str, cluster_of: ClusterOf
) -> Callable[[], None] | None:
    """What takes a hook back; None where another checkout did. Raises CannotUndo."""
    cluster = cluster_of(record) if record.effect.store == "cluster" or not record.effect.made else None
    if not record.effect.made and cluster and hook_copy.was_taken_back(world, cluster, record):
        return None
    if record.effect.store == "host":
        _refuse_elsewhere(world, record)
        return partial(_on_host, world, record, undo, state)
    assert cluster is not None
    try:
        containers = _containers(cluster, record)
    except CannotUndo:
        if hook_copy.was_taken_back(world, cluster, record):
            return None
        raise
    # an exec takes no environment, so the container's own `env` hands the word over
    return partial(_in_containers, world, cluster, containers, ["env", f"{STATE}={state}", *undo])


def _refuse_elsewhere(world: World, record: Record) -> None:
    """What ran on another machine, or in a folder that is gone, cannot be undone here; nor what is not signed: a command
    that others could have put into the cluster."""
    details = record.effect.details
    if record.effect.made:
        return
    undo, project = shown(details["undo"]), project_of(world, record.effect)
    if details["host"] != this_host(world.environment).id:
        raise CannotUndo(
            f"it ran on {details['hostName']} in {project}, and its undo `{undo}` can run there only: `doit delete` there,"
            " by the user who ran it (here it is not signed, and goes by taking it out of the set's configmap)"
        )
    if not project.is_dir():
        raise CannotUndo(f"its undo `{undo}` cannot run: the folder {project} is not there on this machine any more")


def _on_host(world: World, record: Record, undo: list[str], state: str) -> None:
    details = record.effect.details
    missing = [name for name in details["environment"] if name not in world.environment]
    if missing:
        raise CannotUndo(f"its undo needs {', '.join(missing)}, which is not set now")
    variables: Mapping[str, str] = {**details["variables"], STATE: state}
    environment = host_environment(world, record.effect, variables)
    try:
        run_on_host(world, undo, project_of(world, record.effect) / details["folder"], environment, details["subject"])
    except process.ChildFailed as error:
        raise CannotUndo(f"its undo `{shown(undo)}` {process.ending(error.code)}") from error
    except process.NotStarted as error:
        raise CannotUndo(f"its undo cannot be started: {error.message}") from error


def _containers(cluster: ClusterStore, record: Record) -> list[Container]:
    """Where the hook ran, as far as that still runs; else what has these names now, for its work may lie elsewhere."""
    details = record.effect.details
    found = running_containers(cluster, details["namespaces"], details["pod"], details["container"])
    ran = {(uid, name) for _, _, uid, name in details.get("containers") or ()}
    containers = [one for one in found if (one.pod_uid, one.name) in ran] or found
    if not containers:
        raise CannotUndo(f"no container of Pods `{details['pod']}` runs any more; `doit delete --forget` drops its record")
    return containers


def _in_containers(world: World, cluster: ClusterStore, containers: list[Container], undo: list[str]) -> None:
    problems = exec_all(world, cluster, containers, undo)
    if problems:
        raise CannotUndo(f"its undo `{shown(undo[2:])}` {'; '.join(problems)}")


def preview_hooks(world: World, records: Iterable[Record]) -> None:
    """What would be taken back."""
    for record in records:
        if undo := record.effect.details["undo"]:
            hook = f"{record.effect.details['phase']} hook `{shown(record.effect.details['command'])}`"
            world.tell("line", f" - {hook} would be undone by `{shown(undo)}`")
