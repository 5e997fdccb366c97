"""The hooks of a deployment: those before it run before the first object is sent, those after it after the status check.

They run whenever the step `deploy` does. Its outcome carries a mark, and `wait` keeps the mark whose hooks came to their
end: so the hooks after it are run again if a run was killed or failed in between, and not otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan.hook_variables import deploy_variables, repository_variables
from kfold.plan.steps import Step
from kfold.verbs import applyset
from kfold.verbs.applyset import Parent
from kfold.verbs.hook_copy import HookCopy, renewed
from kfold.verbs.hook_effects import Occasion, Phase
from kfold.verbs.hook_undo import Undoing, forget, undo_hooks
from kfold.verbs.hooks import hook_records, run_hooks
from kfold.verbs.objects import address, reference
from kfold.verbs.world import Run, World

PHASES: tuple[Phase, ...] = ("pre-deploy", "post-deploy")


def before_deploy(run: Run, step: Step, parent: Parent) -> Parent:
    """Run the hooks before a deployment. Raises HookFailed: nothing was deployed then. Returns the set's parent, which
    keeps a copy of what they are undone by."""
    return _run(run, step, "pre-deploy", (), lambda: parent) or parent


def after_deploy(run: Run, step: Step, namespaces: Iterable[str]) -> None:
    """Run the hooks after a deployment into these namespaces. Raises HookFailed: what was deployed stays."""

    def parent() -> Parent:
        world, cluster, config, namespace = run.world, run.cluster, step.config.name, run.namespace(step)
        known = applyset.recorded(world, cluster, config, namespace)
        there = applyset.at(cluster, reference(known), known.effect.details["set"]) if known else None
        return there or renewed(world, cluster, applyset.new(world, cluster, config, namespace))

    _run(run, step, "post-deploy", namespaces, parent)


def due(step: Step, deployment: str, values: Mapping[str, Any]) -> bool:
    """Whether the hooks after this deployment did not come to their end yet, by what `wait` kept."""
    return bool(step.config.kubectl.hooks.after) and values.get("hooked", "") != deployment


def _run(
    run: Run, step: Step, phase: Phase, namespaces: Iterable[str], parent: Callable[[], Parent]
) -> Parent | None:
    hooks = step.config.kubectl.hooks
    chosen = hooks.before if phase == "pre-deploy" else hooks.after
    if not chosen:
        return None
    world, facts = run.world, run.facts
    identity = run.cluster.identity()
    watched = sorted({run.namespace(step), *namespaces} - {""})
    world.ledger.claim()
    occasion = Occasion(
        phase=phase,
        config=step.config.name,
        subject=step.subject,
        about=run.namespace(step),
        place=identity.uid,
        variables={
            **repository_variables(facts.default_repo, multi_level=facts.multi_level_repo),
            **deploy_variables(run.id, identity.context, watched),
        },
        details={"cluster": identity.uid, "namespaces": watched, **address(run.cluster, facts.target)},
    )
    copy = None
    if any(hook.undo for hook in chosen):
        copy = HookCopy(world, run.cluster, parent(), address(run.cluster, facts.target))
    run_hooks(world, chosen, occasion, run.cluster, watched, copy)
    return copy.parent if copy else None


# taking them back


def deploy_records(world: World, config: str = "") -> list[Record]:
    """Deploy hooks that are recorded, the last one first."""
    return hook_records(world, PHASES, config)


def undo_before_objects(world: World, records: Iterable[Record], how: Undoing) -> list[str]:
    """The hooks after a deployment, before its objects go; and all hooks in containers, while there is something to run in:
    where a cluster is gone for good, so is all that ever ran in it. Returns problems."""
    problems: list[str] = []
    for record in records:
        if record.effect.store == "host":
            if record.effect.details["phase"] == "post-deploy":
                problems += _undo_on_host(world, record, how)
            continue
        try:
            cluster = how.cluster_of(record)
        except KfoldError as error:
            problems.append(how.failed(record, f"is not taken back: {error.message}"))
            continue
        if cluster is None:
            world.ledger.gone(record)
        else:
            problems += undo_hooks(world, [record], how)
    return problems


def undo_after_objects(world: World, records: Iterable[Record], how: Undoing) -> list[str]:
    """The hooks before a deployment, once its objects are gone. Returns problems."""
    problems: list[str] = []
    for record in records:
        if record.effect.store == "host" and record.effect.details["phase"] == "pre-deploy":
            problems += _undo_on_host(world, record, how)
    return problems


def _undo_on_host(world: World, record: Record, how: Undoing) -> list[str]:
    if how.forget:
        # an undo is told its cluster by a context that may lead elsewhere by now
        forget(world, record, how, "its cluster is gone for good")
        return []
    elsewhere = _leads_elsewhere(world, record)
    if elsewhere:
        return [how.failed(record, f"is not taken back: {elsewhere}")]
    return undo_hooks(world, [record], how)


def _leads_elsewhere(world: World, record: Record) -> str:
    """What is wrong where the recorded context leads to another cluster now; "" also where it leads nowhere: an undo that
    needs the cluster finds that out, and one that does not works."""
    details = record.effect.details
    if details["target"] == "sandbox":
        return ""  # its own kubeconfig leads to it or nowhere
    try:
        now = world.open_cluster(details["context"], tuple(details["kubeconfig"])).identity().uid
    except KfoldError:
        return ""
    if now == details["cluster"]:
        return ""
    return f"context {details['context']} leads to another cluster now; make it lead back, or `doit delete --forget`"
