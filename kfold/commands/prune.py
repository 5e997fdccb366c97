"""`doit prune`: images that are superseded; with `--all`, all that kfold made."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands.command import Command, flag
from kfold.errors import KfoldError
from kfold.plan.steps import Plan
from kfold.planning import config_names
from kfold.session import Session

PARAMETERS = (
    flag("all", "every image and name that kfold made, not only superseded ones"),
    flag("dry_run", "only say what would go, with sizes, ages and the reason"),
)


def commands(session: Session, plan: Plan | KfoldError) -> list[Command]:
    """`prune`, and `prune:<image>` for each artifact."""
    doc = "remove superseded images (--all: every one that kfold made)"
    found = [Command("prune", doc, action(session, plan), PARAMETERS)]
    if isinstance(plan, Plan):
        for step in plan.steps:
            if step.verb.name == "build" and step.artifact:
                doc = f"remove superseded images of {step.subject}"
                found.append(Command(f"prune:{step.subject}", doc, action(session, plan, step.artifact.image), PARAMETERS))
    return found


def action(session: Session, plan: Plan | KfoldError, artifact: str = "") -> Callable[[bool, bool], None]:
    def run(all: bool, dry_run: bool) -> None:
        from kfold.plan.retention import Extent
        from kfold.verbs.prune import preview, prune_images
        from kfold.verbs.recovery import find_images

        find_images(session.world, config_names(session, plan))
        session.cleaned = not dry_run
        extent: Extent = "all" if all else "superseded"
        if dry_run:
            preview(session.world, extent, artifact)
        else:
            prune_images(session.world, extent, artifact)

    return run
