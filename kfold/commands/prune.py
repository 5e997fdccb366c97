"""`doit prune`: images that are superseded; with `--all`, all that kfold made."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands.command import Command, flag, option
from kfold.errors import KfoldError
from kfold.plan.steps import Plan
from kfold.planning import facts, known_configs
from kfold.session import Session

PARAMETERS = (
    flag("all", "every image and name that kfold made, not only superseded ones"),
    flag("forget", "drop the records of engines and registries that do not answer, or are other ones now"),
    flag("forget_hooks", "drop the records of build hooks that may be taken back in another folder"),
    flag("build_cache", "also the engine's own build cache, which all its builds share"),
    option("report", "", "a JSON file that is to tell what was removed, kept and failed, and why"),
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


def action(session: Session, plan: Plan | KfoldError, artifact: str = "") -> Callable[..., None]:
    def run(all: bool, forget: bool, forget_hooks: bool, build_cache: bool, report: str, dry_run: bool) -> None:
        from kfold.plan.retention import Extent
        from kfold.verbs.prune import preview, prune_build_cache, prune_images
        from kfold.verbs.recovery import find_images
        from kfold.verbs.report import written_to

        if dry_run and (report or build_cache):
            raise KfoldError(
                f"{'--report tells' if report else '--build-cache takes'} what goes, and with --dry-run nothing does",
                hint="Leave one of the two out.",
            )
        configs = known_configs(session, plan)
        policies = {config.name: config.prune for config in configs}
        built = [config.name for config in configs if config.artifacts or session.world.ledger.lost]
        known = plan.facts if isinstance(plan, Plan) else facts(session)

        def elsewhere() -> None:
            from kfold.stores.local_clusters import node_containers
            from kfold.verbs.recovery_elsewhere import find_elsewhere

            clusters = sorted({(one.product, one.cluster) for one in node_containers(session.environment)})
            find_elsewhere(session.world, known, configs, clusters)

        if not dry_run or session.world.ledger.lost:
            find_images(session.world, built, elsewhere)
        extent: Extent = "all" if all else "superseded"
        if dry_run:
            preview(session.world, extent, artifact, policies, known.target)
            return
        session.takes_back(known=isinstance(plan, Plan))
        with written_to(report, session.folder) as collected:
            try:
                prune_images(
                    session.world, extent, artifact, policies, collected,
                    forget=forget, forget_hooks=forget_hooks, target=known.target,
                )  # fmt: skip
            finally:
                if build_cache and not session.stop.is_set():
                    prune_build_cache(session.world)

    return run
