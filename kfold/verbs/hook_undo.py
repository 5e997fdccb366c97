"""Taking hooks back: the undos of those that ran, the last one first. By the record alone.

Which verb takes which back: `delete` those of a deployment, `prune --all` those of a build, since what a build made lasts
as long as its images. An undo runs once where its hook is recorded as done. After a crash it may run again, and for a hook
that did not come to its end: KFOLD_HOOK tells it which (`done` or `intended`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from kfold.errors import Interrupted, KfoldError
from kfold.ledger import Record
from kfold.plan.hook_variables import STATE
from kfold.stores import process
from kfold.stores.cluster_interface import ClusterStore
from kfold.verbs.hook_effects import noun, shown
from kfold.verbs.hooks import Container, exec_all, host_environment, run_on_host, running_containers
from kfold.verbs.world import World


class CannotUndo(KfoldError):
    """An undo cannot run, or failed. Its record stays."""


def undo_hooks(world: World, records: Iterable[Record], cluster: ClusterStore | None = None) -> list[str]:
    """Run undos, in the order of `records`. One that fails keeps its record and does not stop the others.

    `cluster`: for hooks in containers. Returns what failed, each problem with the hook's place in the config.
    """
    problems: list[str] = []
    for record in records:
        try:
            world.go_on()
            _undo(world, record, cluster)
        except Interrupted:
            problems.append(f"{noun(record.effect)} is not taken back: asked to stop")
        except KfoldError as error:
            problems.append(f"{noun(record.effect)} is not taken back: {error.message}")
    return problems


def _undo(world: World, record: Record, cluster: ClusterStore | None) -> None:
    details = record.effect.details
    undo, state = list(details["undo"]), str(details["hook"])
    if not undo:
        world.ledger.gone(record)
        return
    if record.effect.store == "host":
        act = partial(_on_host, world, record, undo, state)
    else:
        assert cluster is not None
        containers = _containers(cluster, record)
        # an exec takes no environment, so the container's own `env` hands the word over
        act = partial(_in_containers, world, cluster, containers, ["env", f"{STATE}={state}", *undo])
    record = world.ledger.undoing(record)
    act()
    world.ledger.gone(record)
    world.tell("line", f" - {details['phase']} hook `{shown(details['command'])}` taken back")


def _on_host(world: World, record: Record, undo: list[str], state: str) -> None:
    details = record.effect.details
    missing = [name for name in details["environment"] if name not in world.environment]
    if missing:
        raise CannotUndo(f"its undo needs {', '.join(missing)}, which is not set now")
    variables: Mapping[str, str] = {**details["variables"], STATE: state}
    environment = host_environment(world, record.effect, variables)
    try:
        run_on_host(world, undo, details["folder"], environment, details["subject"])
    except process.ChildFailed as error:
        raise CannotUndo(f"its undo `{shown(undo)}` {process.ending(error.code)}") from error
    except process.NotStarted as error:
        raise CannotUndo(f"its undo cannot be started: {error.message}") from error


def _containers(cluster: ClusterStore, record: Record) -> list[Container]:
    """Where the hook ran, as far as that still runs; else what has these names now, for its work may lie elsewhere."""
    details = record.effect.details
    found = running_containers(cluster, details["namespaces"], details["pod"], details["container"])
    ran = {(uid, name) for _, _, uid, name in details["containers"]}
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
