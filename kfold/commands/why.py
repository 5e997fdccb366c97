"""`doit why NAME`: why a step will run, or an image would be pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfold.commands.command import Command
from kfold.errors import KfoldError
from kfold.plan.steps import Plan, Step
from kfold.session import Session
from kfold.verbs import module

if TYPE_CHECKING:
    from kfold.verbs.world import Run


def command(session: Session, plan: Plan | KfoldError) -> Command:
    def why(names: list[str]) -> None:
        if isinstance(plan, KfoldError):
            raise plan
        if not names:
            raise KfoldError(
                "why what?", hint=f"A step, such as `doit why {plan.steps[0].name}`; `doit list --all` names them."
            )
        for name in names:
            for line in explain(session, plan, name):
                session.console.line(line)

    return Command("why", "why a step will run, or an image would be pruned", why, positional="names")


def explain(session: Session, plan: Plan, name: str) -> list[str]:
    """Lines that say what a step would do now, and why. `name`: a step, a verb (all its steps), or an artifact."""
    chosen = [step for step in plan.steps if name in (step.name, step.verb.name, step.subject)]
    if not chosen:
        raise KfoldError(f"there is no step {name}", hint=f"There are: {', '.join(step.name for step in plan.steps)}")
    from kfold.doit_backend import read_results
    from kfold.verbs.versions import candidates
    from kfold.verbs.world import Run

    run = Run(session.world, plan.facts, plan.configs)
    results = read_results(str(session.state.results))
    lines: list[str] = []
    for step in plan.steps:
        reasons = _reasons(run, plan, step, results)
        if step in chosen:
            lines.append(f"{step.name}: " + (f"will run: {'; '.join(reasons)}" if reasons else "up to date"))
    artifacts = {step.artifact.image for step in chosen if step.artifact}
    policies = {config.name: config.prune for config in plan.configs}
    for artifact in sorted(artifacts):
        for image in candidates(session.world, "superseded", artifact, policies):
            fate = "would be pruned" if image.goes else "stays"
            lines.append(f"image {image.image[7:19]} of {artifact} {fate}: {image.why}")
    return lines


def _reasons(run: Run, plan: Plan, step: Step, results: dict[str, dict[str, Any]]) -> list[str]:
    """Why a step is not up to date; nothing if it is. What must run before it is a reason, and nothing more is known."""
    behind = [need for need in step.needs if need not in run.outcomes]
    if behind:
        return [f"{need} will run" for need in behind]
    values = results.get(step.name, {}).get("_values_:") or {}
    verb = module(step.verb)
    try:
        outcome = verb.holds(run, step, values)
    except KfoldError as error:
        return [f"it cannot be told: {error.message}"]
    if outcome is not None:
        run.outcomes[step.name] = outcome
        return []
    return verb.why(run, step, values) or ["what it made is not there any more"]
