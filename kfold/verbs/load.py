"""`load` and `push`: how a built image reaches the cluster's Pods, and their reverses.

Where the cluster's Pods run on this very engine there is nothing to bring anywhere. Node loading and registries are refused
by name: they are not there yet, and a deployment that waits for an image for ever helps nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfold.errors import ConfigError, KfoldError
from kfold.plan import verbs
from kfold.plan.steps import Step
from kfold.verbs.world import Run, Tagged


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Tagged | None:
    """On a shared engine the tagged image is where it is needed."""
    tagged: Tagged = run.outcome(step.needs[0], Tagged)
    shared = step.verb == verbs.LOAD and run.facts.target.delivery == "shared" and not run.facts.target.refusal
    return tagged if shared and values.get("reference") == tagged.reference else None


def do(run: Run, step: Step) -> tuple[Tagged, dict[str, Any]]:
    """Refuse what is not supported; else nothing has to be moved."""
    target = run.facts.target
    if step.verb == verbs.PUSH:
        refuse_push(step)
    if target.refusal:
        raise KfoldError(target.refusal)
    tagged: Tagged = run.outcome(step.needs[0], Tagged)
    return tagged, {"reference": tagged.reference}


def refuse_push(step: Step) -> None:
    """Raises ConfigError."""
    raise ConfigError(
        f"{step.subject} would have to be pushed, and kfold cannot push to a registry yet",
        where=step.config.position if step.config.push else None,
        hint="Deploy to a cluster that uses this engine (the sandbox, Docker Desktop), with `build.local.push` unset.",
    )


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """There is one reason only: the image is another one."""
    return [] if run.facts.target.refusal else ["the image is another one than the last run's"]
