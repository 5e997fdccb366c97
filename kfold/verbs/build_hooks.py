"""The hooks of a build: around each artifact that is really built, and around all of them of one config.

Those before may write sources: what is built is looked at again after them. Those after are owed from the moment that the
image is made, by a record in the ledger: so they run again if a run was killed or failed in between, and not otherwise.
The image has its names when they run.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

from kfold.config.model import HostHook
from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan import verbs
from kfold.plan.hook_variables import build_variables, module_variables, repository_variables
from kfold.plan.steps import Step, pushes
from kfold.verbs import tag
from kfold.verbs.build_inputs import Prepared, artifact_of
from kfold.verbs.hook_effects import HOST, Occasion, Phase
from kfold.verbs.hook_undo import Undoing, undo_hooks
from kfold.verbs.hooks import hook_records, run_hooks
from kfold.verbs.world import Built, Run, World

PHASES: tuple[Phase, ...] = ("post-build", "pre-build")
"""In the order in which they are taken back."""


@dataclass
class _Module:
    """One config's builds in one run. `begun`: something of it was built; `settled`: steps that are done or up to date."""

    mutex: threading.Lock = field(default_factory=threading.Lock)
    begun: bool = False
    ended: bool = False
    problem: KfoldError | None = None
    artifacts: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)


def _module(run: Run, step: Step) -> _Module:
    found = run.scratch.setdefault(f"build hooks of {step.config.name}", _Module())
    assert isinstance(found, _Module)
    return found


def begin(run: Run, step: Step, prepared: Prepared) -> bool:
    """Called when an artifact is about to be built: run the hooks before it, once in a run. True if any ran just now.

    The first artifact runs those of its config, while the others wait. Raises HookFailed.
    """
    module = _module(run, step)
    with module.mutex:
        if module.problem:
            raise module.problem
        if not module.begun:
            try:
                _run_module(run, step, "pre-build", step.config.build_hooks.before)
            except KfoldError as error:
                module.problem = error
                raise
            module.begun = True
            ran = bool(step.config.build_hooks.before)
        else:
            ran = False
        first = step.name not in module.artifacts
        module.artifacts.add(step.name)
    hooks = artifact_of(step).hooks.before
    if not first or not hooks:
        return ran
    # its ID is not known yet, and no tag policy asks for it
    built = Built(artifact_of(step).image, prepared.inputs.key, "sha256:", time.time(), prepared.inputs.values)
    _run_artifact(run, step, "pre-build", hooks, built)
    return True


def may_begin(step: Step) -> bool:
    """Whether there are hooks before this build."""
    return bool(artifact_of(step).hooks.before or step.config.build_hooks.before)


def owe(run: Run, step: Step, key: str) -> None:
    """The image with this content key was just made: the hooks after it are to run."""
    if artifact_of(step).hooks.after or step.config.build_hooks.after:
        run.world.ledger.intend(_debt(step, key))


def closes(run: Run, step: Step) -> bool:
    """Called for an artifact that is up to date: whether it was the last that the hooks after all of them wait for."""
    module = _module(run, step)
    with module.mutex:
        module.settled.add(step.name)
        return _is_last(run, step, module)


def end(run: Run, step: Step, built: Built) -> None:
    """Called when an artifact is built or was found: run the hooks after it that are owed, and after the last artifact
    those of the config. Raises HookFailed; the image stays, and they are owed still."""
    world, module = run.world, _module(run, step)
    keys = (built.key, *(part.key for part in built.parts.values()))
    debts = [debt for key in keys if (debt := world.ledger.find(_debt(step, key)))]
    if debts:
        with module.mutex:
            module.begun = True
        if hooks := artifact_of(step).hooks.after:
            run.outcomes[step.name] = built
            tag.do(run, _tag_step(step))
            _run_artifact(run, step, "post-build", hooks, built)
    with module.mutex:
        module.settled.add(step.name)
        last = _is_last(run, step, module)
        module.ended = module.ended or last
    if last:
        debts = debts or [world.ledger.intend(_debt(step, built.key))]
        _run_module(run, step, "post-build", step.config.build_hooks.after)
    for debt in debts:
        world.ledger.gone(debt)


def _is_last(run: Run, step: Step, module: _Module) -> bool:
    if not step.config.build_hooks.after or not module.begun or module.ended:
        return False
    walked = run.builds_of(step.config)
    return module.settled >= walked


def _run_artifact(run: Run, step: Step, phase: Phase, hooks: tuple[HostHook, ...], built: Built) -> None:
    artifact = artifact_of(step)
    reference = tag.wanted(run, _tag_step(step), built)[0].names[0]
    context = str((run.world.folder / artifact.context).resolve())
    variables = build_variables(reference, context, push=pushes(step.config, run.facts))
    _run(run, step, hooks, Occasion(
        phase, step.config.name, step.subject, reference, HOST, variables, {"artifact": artifact.image}
    ))  # fmt: skip


def _run_module(run: Run, step: Step, phase: Phase, hooks: tuple[HostHook, ...]) -> None:
    name = step.config.name
    _run(run, step, hooks, Occasion(phase, name, name, "", HOST, module_variables(), {"artifact": ""}))


def _run(run: Run, step: Step, hooks: tuple[HostHook, ...], occasion: Occasion) -> None:
    shared = repository_variables(run.facts.default_repo, multi_level=run.facts.multi_level_repo)
    run_hooks(run.world, hooks, replace(occasion, variables={**shared, **occasion.variables}))


def _tag_step(step: Step) -> Step:
    return Step(verbs.TAG, step.subject, step.config, step.artifact, (step.name,))


def _debt(step: Step, key: str) -> Effect:
    """The record that hooks are owed. Nothing is in the world for it, and so it has no undo."""
    artifact = artifact_of(step)
    details = {
        "artifact": artifact.image,
        "phase": "post-build",
        "subject": step.subject,
        "where": str(artifact.position),
        "command": ["(hooks after the build that are still to run)"],
        "undo": [],
        "hook": "intended",
    }
    name = f"owed|{step.config.name}|{artifact.image}@{key}"
    return Effect(store="host", kind="hook", place=HOST, name=name, config=step.config.name, details=details)


# taking them back


def build_records(world: World, phase: Phase, artifact: str = "") -> list[Record]:
    """Build hooks of a phase that are recorded, the last one first."""
    return hook_records(world, [phase], artifact=artifact)


def undo_build_hooks(world: World, phase: Phase, artifact: str, how: Undoing) -> list[str]:
    """Those after a build go before its image does, those before it after it. `artifact`: of that one only. Returns
    problems."""
    return undo_hooks(world, build_records(world, phase, artifact), how)
