"""Hooks: commands of the user's before and after a step, on this host or in containers. Their undos are in `hook_undo.py`.

A hook with an undo is recorded before it runs and confirmed after it. One that fails fails its step, and stays recorded as
`intended`: it may have done half of its work.
"""

from __future__ import annotations

import fnmatch
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfold.config.model import ContainerHook, Hook, HostHook
from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.hook_variables import WORK_FOLDER
from kfold.stores import process
from kfold.stores.cluster_interface import ClusterStore
from kfold.verbs.hook_copy import HookCopy
from kfold.verbs.hook_effects import Occasion, effect_of, shown
from kfold.verbs.objects import PARALLEL
from kfold.verbs.world import World

SYSTEM = "linux" if sys.platform.startswith("linux") else sys.platform
"""This operating system by the name that Go has for it."""


class HookFailed(KfoldError):
    """A hook did not come to a good end. Its step fails with it."""


@dataclass(frozen=True)
class Container:
    """A running container. `pod_uid` tells it from one of the same name that comes later."""

    namespace: str
    pod: str
    pod_uid: str
    name: str


def run_hooks(
    world: World,
    hooks: Sequence[Hook],
    occasion: Occasion,
    cluster: ClusterStore | None = None,
    namespaces: Iterable[str] = (),
    copy: HookCopy | None = None,
) -> None:
    """Run hooks one after the other; the first that fails ends it. `cluster` and `namespaces`: for those in containers.
    `copy`: where what the ledger says of them is written, too."""
    chosen = [(hook, hooks[:number]) for number, hook in enumerate(hooks) if _is_for_here(hook)]
    if not chosen:
        return
    world.tell("heading", f"Starting {occasion.phase} hooks...", occasion.subject)
    try:
        for hook, earlier in chosen:
            world.go_on()
            effect = effect_of(hook, occasion, earlier, world.environment)
            if isinstance(hook, HostHook):
                _on_host(world, hook, effect, occasion, copy)
            else:
                assert cluster is not None
                _in_containers(world, hook, effect, cluster, namespaces, copy)
    except KfoldError:
        if copy:
            with suppress(KfoldError):  # the ledger knows which came to their end; this failure is what is to be told
                copy.write()
        raise
    if copy:
        copy.write()
    world.tell("success", f"Completed {occasion.phase} hooks", occasion.subject)


def _is_for_here(hook: Hook) -> bool:
    return isinstance(hook, ContainerHook) or not hook.os or SYSTEM in hook.os


def _on_host(world: World, hook: HostHook, effect: Effect, occasion: Occasion, copy: HookCopy | None) -> None:
    environment = host_environment(world, effect, occasion.variables)
    folder = world.folder / hook.folder
    try:
        # before it is recorded: what cannot start leaves nothing to take back
        process.check_program(hook.command[0], folder=folder, path=environment.get("PATH"))
        with_record(
            world, effect, hook, lambda: run_on_host(world, hook.command, folder, environment, occasion.subject), copy
        )
    except process.ChildFailed as error:
        raise failure(occasion.phase, hook, process.ending(error.code)) from error
    except process.NotStarted as error:
        raise failure(occasion.phase, hook, f"cannot be started: {error.message}") from error


def with_record(
    world: World, effect: Effect, hook: Hook, act: Callable[[], None], copy: HookCopy | None = None
) -> None:
    """Run a hook between its two marks in the ledger; one without an undo leaves nothing there.

    The copy is told of the intent before the hook runs, and of its end with the next hook's intent or after the last.
    """
    if not hook.undo:
        act()
        return
    known = world.ledger.find(effect)
    if copy:
        copy.refuse_claimed(effect)
    record = world.ledger.intend(copy.named(effect) if copy else effect)
    if copy:
        try:
            copy.begin(record)
        except KfoldError:
            if known is None:
                world.ledger.gone(record)  # it does not begin
            elif known.state == "done":
                world.ledger.done(record, known.identity, hook=known.effect.details["hook"])
            raise
    act()
    if not copy:
        world.ledger.done(record, "ran", hook="done")
        return
    copy.keep(world.ledger.done(record, "ran", hook="done", **copy.place))


def host_environment(world: World, effect: Effect, variables: Mapping[str, str]) -> dict[str, str]:
    """What a command of this host gets: the user's environment, and over it what kfold knows."""
    kubeconfig = effect.details.get("kubeconfig")
    # the cluster is the one that kfold deploys to, whatever file it was found in (the embedded cluster has its own)
    access = {"KUBECONFIG": ":".join(kubeconfig)} if kubeconfig else {}
    return {**world.environment, **access, **variables, WORK_FOLDER: str(project_of(world, effect))}


def project_of(world: World, effect: Effect) -> Path:
    """The folder of the project whose hook it is: of another checkout, where its record came from there."""
    return Path(effect.details.get("project") or world.folder)


def run_on_host(world: World, command: Sequence[str], folder: Path, environment: Mapping[str, str], subject: str) -> None:
    """Run a command, its output live and prefixed. Raises ChildFailed, NotStarted, Interrupted."""
    process.run(
        command,
        on_line=lambda line: world.tell("output", line, subject),
        stop=world.stop,
        environment=environment,
        folder=folder,
        end_with=signal.SIGTERM,
    )


def failure(phase: str, hook: Hook, why: str) -> HookFailed:
    hint = "What it did until then is taken back by its undo." if hook.undo else ""
    return HookFailed(f"the {phase} hook `{shown(hook.command)}` {why}", where=hook.position, hint=hint)


# in containers


def _in_containers(
    world: World,
    hook: ContainerHook,
    effect: Effect,
    cluster: ClusterStore,
    namespaces: Iterable[str],
    copy: HookCopy | None,
) -> None:
    found = running_containers(cluster, namespaces, hook.pod_name, hook.container_name)
    new = [one for one in found if (effect.name, one) not in world.hooked]
    if not new:
        world.tell("line", f" - `{shown(hook.command)}`: no new container of Pods `{hook.pod_name}` is running")
        return
    known = world.ledger.find(effect)
    before = list(known.effect.details.get("containers") or ()) if known else []
    where = [*before, *([one.namespace, one.pod, one.pod_uid, one.name] for one in new)]

    def act() -> None:
        problems = exec_all(world, cluster, new, hook.command)
        if problems:
            raise failure(str(effect.details["phase"]), hook, "; ".join(problems))

    with_record(world, replace(effect, details={**effect.details, "containers": where}), hook, act, copy)
    world.hooked.update((effect.name, one) for one in new)


def running_containers(cluster: ClusterStore, namespaces: Iterable[str], pod: str, container: str) -> list[Container]:
    """Running containers whose names match the globs (an empty one matches all), in Pods that are not being deleted."""
    found = []
    for namespace in dict.fromkeys(namespaces):
        for item in cluster.pods(namespace):
            metadata: Mapping[str, Any] = item["metadata"]
            if metadata.get("deletionTimestamp") or not fnmatch.fnmatchcase(metadata["name"], pod or "*"):
                continue
            for status in (item.get("status") or {}).get("containerStatuses") or ():
                if "running" in (status.get("state") or {}) and fnmatch.fnmatchcase(status["name"], container or "*"):
                    found.append(Container(namespace, metadata["name"], metadata["uid"], status["name"]))
    return found


def exec_all(world: World, cluster: ClusterStore, containers: Sequence[Container], command: Sequence[str]) -> list[str]:
    """Run a command in all of them, side by side. Returns what went wrong; being stopped is raised."""

    def one(container: Container) -> str:
        prefix = f"{container.pod} {container.name}"
        try:
            code = cluster.execute(
                container.namespace,
                container.pod,
                container.name,
                command,
                on_line=lambda line: world.tell("output", line, prefix),
                stop=world.stop,
            )
        except KfoldError as error:
            world.go_on()
            return f"cannot run in {container.pod}, container {container.name}: {error.message}"
        return f"failed with exit code {code} in {container.pod}, container {container.name}" if code else ""

    with ThreadPoolExecutor(PARALLEL) as pool:
        return [problem for problem in pool.map(one, containers) if problem]


def hook_records(world: World, phases: Iterable[str], config: str = "", artifact: str = "") -> list[Record]:
    """Hooks of these phases that are recorded, the last one first. `config`, `artifact`: of that one only, where named."""
    wanted = set(phases)
    records = [
        record
        for record in world.ledger.records(kind="hook")
        if record.effect.details["phase"] in wanted
        and config in ("", record.effect.config)
        and artifact in ("", record.effect.details.get("artifact", ""))
    ]
    return sorted(records, key=lambda record: record.id, reverse=True)
