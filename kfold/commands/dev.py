"""`doit dev`: the loop, and what follows when it ends."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands.command import Command, flag, option
from kfold.errors import Interrupted, KfoldError
from kfold.plan.steps import Plan
from kfold.session import Session

PARAMETERS = (
    flag("no_cleanup", "leave the deployment running at the end"),
    option(
        "prune",
        "superseded",
        "images that go at the end: none, superseded (all but the current ones) or all",
        choices=("none", "superseded", "all"),
    ),
    flag("no_tail", "do not show the containers' logs"),
)


def command(session: Session, plan: Plan | KfoldError, run: Callable[[list[str]], int]) -> Command:
    def dev(no_cleanup: bool, prune: str, no_tail: bool) -> None:
        from kfold.loop.dev import dev as loop
        from kfold.loop.dev import prepare

        session.one_platform = True  # as in Skaffold: the cluster at hand needs no other
        if isinstance(plan, KfoldError):
            raise plan
        prepare(session)  # what fails here has changed nothing: there is nothing to clean up
        failure: KfoldError | None = None
        try:
            loop(session, run, tail=not no_tail)
        except Interrupted:
            pass  # asked to end before the first deploy was begun: what follows is the same
        except KfoldError as error:
            failure = error
        except Exception:  # a fault of kfold's own: what it made goes all the same
            for problem in clean_up(session, plan, cleanup=not no_cleanup, prune=prune):
                session.console_error(str(problem))
            raise
        problems = clean_up(session, plan, cleanup=not no_cleanup, prune=prune)
        if failure or problems:
            raise KfoldError("\n".join(str(error) for error in (failure, *problems) if error))

    return Command("dev", "deploy, watch, redeploy what changed, show logs; Ctrl+C takes it all back", dev, PARAMETERS)


def clean_up(session: Session, plan: Plan, *, cleanup: bool, prune: str) -> list[KfoldError]:
    """Delete, then prune. One that fails does not stop the other; a further Ctrl+C ends both early."""
    from kfold.verbs.deployment import delete_deployment
    from kfold.verbs.prune import prune_images

    session.begin_cleanup()
    problems: list[KfoldError] = []
    steps: list[Callable[[], None]] = []
    if cleanup:
        steps.append(lambda: delete_deployment(session.world))
    if prune != "none":
        policies = {config.name: config.prune for config in plan.configs}
        steps.append(lambda: prune_images(session.world, "all" if prune == "all" else "superseded", policies=policies))
    for step in steps:
        try:
            step()
        except KfoldError as error:
            problems.append(_without_hints(error) if session.stop.is_set() else error)
        if session.stop.is_set():
            problems.append(
                KfoldError("cleanup ended early", hint="`doit delete` and `doit prune` go on from where it stopped.")
            )
            break
    return problems


def _without_hints(error: KfoldError) -> KfoldError:
    """Of a cleanup that is ended early: one hint says how to go on with all of it. Hints stand on indented lines."""
    return KfoldError("\n".join(line for line in str(error).splitlines() if not line.startswith("  ")))
