"""Taking hooks back: the undos of those that ran, the last one first. By the record alone.

Which verb takes which back: `delete` those of a deployment, `prune --all` those of a build, since what a build made lasts
as long as its images. An undo runs once where its hook is recorded as done. After a crash it may run again, and for a hook
that did not come to its end: KFOLD_HOOK tells it which (`done` or `intended`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kfold.errors import Interrupted, KfoldError
from kfold.ledger import Record, is_moved
from kfold.plan.hook_variables import STATE
from kfold.stores import process
from kfold.stores.cluster_interface import ClusterStore
from kfold.stores.host import this_host
from kfold.verbs import hook_copy
from kfold.verbs.hook_copy import HookCopy
from kfold.verbs.hook_effects import TAKEN_BACK, noun, shown
from kfold.verbs.hooks import Container, exec_all, host_environment, project_of, run_on_host, running_containers
from kfold.verbs.report import CleanupReport, Fate
from kfold.verbs.world import World


class CannotUndo(KfoldError):
    """An undo cannot run, or failed. Its record stays."""


class OnlyElsewhere(CannotUndo):
    """An undo cannot run here, and maybe nowhere any more."""


class CopyStays(KfoldError):
    """An undo ran, but the copy of its hook's record in the cluster could not be taken away. The record stays."""


FORGET = "`doit delete --forget-hooks` drops the record of such hooks"

ClusterOf = Callable[[Record], ClusterStore | None]
"""The cluster that a hook was about; None where there is none, or it is gone for good. Raises KfoldError."""


@dataclass(frozen=True)
class Undoing:
    """How hooks are taken back. `cluster_of`: for those in containers, and for the copies of records. `forget`: the user's
    word that the clusters are gone for good. `forget_hooks`: what can be undone only elsewhere is forgotten, here and in
    the cluster, and named; and what runs on other machines claimed is taken back here: they ended."""

    cluster_of: ClusterOf = lambda record: None
    forget: bool = False
    forget_hooks: bool = False
    report: CleanupReport = field(default_factory=CleanupReport)

    def settled(self, fate: Fate, record: Record, why: str = "") -> None:
        effect = record.effect
        words = {"phase": effect.details["phase"], "undo": list(effect.details["undo"])}
        self.report.add(fate, store=effect.store, kind="hook", name=shown(effect.details["command"]), why=why, **words)

    def failed(self, record: Record, why: str) -> str:
        self.settled("failed", record, why)
        return f"{noun(record.effect)} {why}"


def undo_hooks(world: World, records: Iterable[Record], how: Undoing) -> list[str]:
    """Run undos, in the order of `records`. One that fails keeps its record and does not stop the others. Returns what
    failed, each problem with the hook's place in the config."""
    problems: list[str] = []
    for record in records:
        try:
            world.go_on()
            _undo(world, record, how)
        except Interrupted:
            problems.append(how.failed(record, "is not taken back: asked to stop"))
        except CopyStays as error:
            problems.append(how.failed(record, f"is taken back, but its copy in the cluster stays: {error.message}"))
        except KfoldError as error:
            problems.append(how.failed(record, f"is not taken back: {error.message}"))
    return problems


def _undo(world: World, record: Record, how: Undoing) -> None:
    details = record.effect.details
    undo = list(details["undo"])
    if not undo:
        world.ledger.gone(record)
        return
    what = f"{details['phase']} hook `{shown(details['command'])}`"
    copy, cluster, problem = None, None, None
    try:
        cluster = how.cluster_of(record)
        copy = hook_copy.find(world, cluster, record) if cluster else None
    except KfoldError as error:
        if record.effect.store == "cluster" or not record.effect.made:
            raise
        problem = error  # what was made here can be taken back here, whatever the cluster says
    if details["hook"] != TAKEN_BACK:
        if not record.effect.made and cluster is None:
            how.settled("kept", record, _leave(world, record, what))
            return
        try:
            if is_moved(record) and not details.get("copy"):
                raise _ran_in_another_folder(world, record)
            act = _act(world, record, undo, cluster, copy)
        except OnlyElsewhere as error:
            if not how.forget_hooks:
                raise
            if copy:
                copy.drop(record)
            forget(world, record, how, error.message)
            return
        if act is None or (copy and not copy.claim(record, take_over=how.forget_hooks)):
            world.tell("line", f" - {what} was taken back from elsewhere, or had not begun")
            how.settled("kept", record, "it was taken back from elsewhere, or had not begun")
            # a run that was killed after its undo may not have left word. Where somebody deleted the parent, nobody knows
            # whether it was taken back
            if not (copy and copy.knew(record) and hook_copy.leave_word(world, record)):
                world.ledger.gone(record)
            return
        record = world.ledger.undoing(record)
        try:
            act()
        except KfoldError:
            if copy:
                copy.let_go(record)
            raise
        world.tell("line", f" - {what} taken back")
    try:
        if problem:
            raise problem
        if copy:
            copy.drop(record)
    except KfoldError as error:
        # the undo is not to run again because of that
        world.ledger.done(record, record.identity, hook=TAKEN_BACK)
        raise CopyStays(error.message) from error
    how.settled("removed", record)
    if not hook_copy.leave_word(world, record):
        world.ledger.gone(record)


def forget(world: World, record: Record, how: Undoing, why: str) -> None:
    """Drop the record of a hook that is not taken back, and name what would do it."""
    if record.effect.details["hook"] != TAKEN_BACK:
        undo = shown(record.effect.details["undo"])
        world.tell("warning", f"{noun(record.effect)} is forgotten, its undo `{undo}` was not run: {why}")
        how.settled("kept", record, f"it is forgotten: {why}")
    world.ledger.gone(record)


def _leave(world: World, record: Record, what: str) -> str:
    """A hook of another project's, whose cluster is gone, and with it what told whether it was taken back: that project's
    ledger knows. Returns why it stays."""
    details = record.effect.details
    owner = next((copy for copy in world.ledger.others() if copy.identity == details["ledger"]), None)
    if owner and any(one.effect.details.get("copy") == details["copy"] for one in owner.records):
        why = f"it is left to {owner.project}, where it ran: `doit delete` there"
        world.tell("line", f" - {what} stays: {why}")
    else:
        undo = shown(details["undo"])
        why = f"it ran in {details['project']}, where it is not recorded any more; its undo is `{undo}`"
        world.tell("warning", f"{what} stays: {why}")
    world.ledger.gone(record)
    return why


def _ran_in_another_folder(world: World, record: Record) -> OnlyElsewhere:
    """Why a hook without a copy in the cluster is not taken back that ran when another folder stood here, or this one was
    another: nobody knows whether it was taken back there since, and its undo may not run twice."""
    owner = next((one for one in world.ledger.others() if any(_is_owned(r, record) for r in one.records)), None)
    was = record.effect.details["moved"]  # only true in a record of long ago
    place = f" that was {Path(was[0]).parent.parent}" if isinstance(was, list) else ""
    where = f"in {owner.project}" if owner else f"in another folder{place}"
    undo = shown(record.effect.details["undo"])
    what_to_do = (
        f"`doit prune --all` there takes it back, by `{undo}`"
        if owner
        else f"if that is somewhere still, `doit prune --all` there takes it back; else run its undo `{undo}` by hand, once"
    )
    return OnlyElsewhere(f"it ran {where}; {what_to_do}; `doit prune --all --forget-hooks` drops the record here")


def _is_owned(theirs: Record, record: Record) -> bool:
    return theirs.is_of(record) and not is_moved(theirs)


def _act(
    world: World, record: Record, undo: list[str], cluster: ClusterStore | None, copy: HookCopy | None
) -> Callable[[], None] | None:
    """What takes a hook back; None where another checkout did. Raises CannotUndo."""
    state = str(record.effect.details["hook"])
    if copy and not copy.names(record):
        return None
    # one in a container is taken back from any machine, which leaves no word
    told = not record.effect.made or is_moved(record) or record.effect.store == "cluster"
    if told and not copy and cluster and hook_copy.went_with_its_parent(world, cluster, record):
        return None
    if record.effect.store == "host":
        _refuse_elsewhere(world, record)
        return partial(_on_host, world, record, undo, state)
    assert cluster is not None
    containers = _containers(cluster, record)
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
        raise OnlyElsewhere(
            f"it ran on {details['hostName']} in {project}, and its undo `{undo}` can run there only: `doit delete` there,"
            f" by the user who ran it (here it is not signed); where that is not possible any more, {FORGET}"
        )
    if not project.is_dir():
        why = f"the folder {project} is not there on this machine any more"
        raise OnlyElsewhere(f"its undo `{undo}` cannot run: {why}; {FORGET}")


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
        raise OnlyElsewhere(f"no container of Pods `{details['pod']}` runs any more; {FORGET}")
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
