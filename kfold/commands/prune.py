"""`doit prune`: images that are superseded; with `--all`, all that kfold made."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands.command import Command, flag
from kfold.console import human_age, human_size
from kfold.errors import KfoldError
from kfold.plan.steps import Plan
from kfold.session import Session
from kfold.verbs.prune import Extent, candidates, prune

PARAMETERS = (
    flag("all", "every image and name that kfold made, not only superseded ones"),
    flag("dry_run", "only say what would go, with sizes, ages and the reason"),
)


def commands(session: Session, plan: Plan | KfoldError) -> list[Command]:
    """`prune`, and `prune:<image>` for each artifact."""
    found = [
        Command("prune", "remove superseded images (--all: every one that kfold made)", action(session), PARAMETERS)
    ]
    if isinstance(plan, Plan):
        for step in plan.steps:
            if step.verb.name == "build" and step.artifact:
                doc = f"remove superseded images of {step.subject}"
                found.append(Command(f"prune:{step.subject}", doc, action(session, step.artifact.image), PARAMETERS))
    return found


def action(session: Session, artifact: str = "") -> Callable[[bool, bool], None]:
    def run(all: bool, dry_run: bool) -> None:
        extent: Extent = "all" if all else "superseded"
        if dry_run:
            preview(session, extent, artifact)
        else:
            prune_images(session, extent, artifact)

    return run


def prune_images(session: Session, extent: Extent, artifact: str = "") -> None:
    """Remove images, saying what was freed. Raises KfoldError naming what had to stay though all was asked for."""
    world = session.world
    if not world.ledger.records("engine"):
        world.tell("line", "No images to prune.")
        return
    world.ledger.claim()
    world.tell("heading", "Pruning images...")
    freed = prune(world, extent, artifact)
    if freed:
        world.tell("line", f"Reclaimed disk space: {human_size(freed)}")


def preview(session: Session, extent: Extent, artifact: str = "") -> None:
    """What prune would do, and why."""
    for candidate in candidates(session.world, extent, artifact):
        verb = "goes" if candidate.goes else "stays"
        session.world.tell(
            "line",
            f" - {candidate.artifact} {candidate.image[7:19]} {verb}: {candidate.why} "
            f"({human_size(candidate.size)}, {human_age(candidate.age)} old)",
        )
        for record in candidate.records:
            if record.effect.kind == "name":
                session.world.tell("line", f"     {record.effect.name}")
