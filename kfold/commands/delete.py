"""`doit delete`: takes the deployment back, by the record alone."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands.command import Command, flag, option
from kfold.errors import KfoldError
from kfold.plan.facts import Facts
from kfold.plan.steps import Plan
from kfold.planning import facts
from kfold.session import Session

PARAMETERS = (
    flag("dry_run", "only say what would be deleted"),
    option("timeout", 300, "seconds that deleted objects may take to go (default 300)"),
    flag("forget", "drop the records of clusters that are gone for good, without reaching them"),
    flag("forget_hooks", "drop the records of hooks that can be taken back only elsewhere (a machine that is gone)"),
    flag("volumes", "the volume claims that StatefulSets made go, too, with the data in them"),
    option("report", "", "a JSON file that is to tell what was removed, kept and failed, and why"),
    option("name", "", "what was deployed from elsewhere under this config name, where there is no config here"),
)


def commands(session: Session, plan: Plan | KfoldError) -> list[Command]:
    """`delete`, and `delete:<config>` for each config where there are several."""
    found = [Command("delete", "take the deployment back, by the record", action(session, plan), PARAMETERS)]
    if isinstance(plan, Plan) and len(plan.configs) > 1:
        for config in plan.configs:
            doc = f"take the deployment of {config.name} back"
            found.append(Command(f"delete:{config.name}", doc, action(session, plan, config.name), PARAMETERS))
    return found


def action(session: Session, plan: Plan | KfoldError, config: str = "") -> Callable[..., None]:
    def delete(
        dry_run: bool, timeout: int, forget: bool, forget_hooks: bool, volumes: bool, report: str, name: str
    ) -> None:
        from kfold.verbs.deployment import delete_deployment
        from kfold.verbs.report import written_to

        if dry_run and report:
            raise KfoldError("--report tells what goes, and with --dry-run nothing does", hint="Leave one of the two out.")
        if not dry_run:
            session.takes_back(known=isinstance(plan, Plan))
        known = plan.facts if isinstance(plan, Plan) else facts(session)
        with written_to(report, session.folder) as collected:
            delete_deployment(
                session.world,
                config=config or name,
                dry_run=dry_run,
                timeout=timeout,
                forget=forget,
                forget_hooks=forget_hooks,
                volumes=volumes,
                target=known.target,
                sets=sets(known, plan, config, name),
                report=collected,
                unread=plan if isinstance(plan, KfoldError) and not name else None,
            )

    return delete


def sets(known: Facts, plan: Plan | KfoldError, config: str = "", name: str = "") -> list[tuple[str, str]]:
    """(config name, effective namespace) of what this project deploys; of a config that is only named, where none is
    here."""
    configs = plan.configs if isinstance(plan, Plan) else ()
    found = [
        (one.name, known.namespace or one.kubectl.default_namespace or known.target.namespace)
        for one in configs
        if (config or name) in ("", one.name)
    ]
    return found if found or not name else [(name, known.namespace or known.target.namespace)]
