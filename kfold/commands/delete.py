"""`doit delete`: takes the deployment back, by the record alone."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands.command import Command, flag, option
from kfold.errors import KfoldError
from kfold.plan.steps import Plan
from kfold.session import Session

PARAMETERS = (
    flag("dry_run", "only say what would be deleted"),
    option("timeout", 300, "seconds that deleted objects may take to go (default 300)"),
    flag("forget", "drop the records of clusters that are gone for good, without reaching them"),
)


def commands(session: Session, plan: Plan | KfoldError) -> list[Command]:
    """`delete`, and `delete:<config>` for each config where there are several."""
    found = [Command("delete", "take the deployment back, by the record", action(session), PARAMETERS)]
    if isinstance(plan, Plan) and len(plan.configs) > 1:
        for config in plan.configs:
            doc = f"take the deployment of {config.name} back"
            found.append(Command(f"delete:{config.name}", doc, action(session, config.name), PARAMETERS))
    return found


def action(session: Session, config: str = "") -> Callable[[bool, int, bool], None]:
    def delete(dry_run: bool, timeout: int, forget: bool) -> None:
        from kfold.verbs.deployment import delete_deployment

        session.cleaned = not dry_run
        delete_deployment(session.world, config=config, dry_run=dry_run, timeout=timeout, forget=forget)

    return delete
