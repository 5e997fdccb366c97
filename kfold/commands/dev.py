"""`doit dev`: the loop, and what follows when it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from kfold.commands.command import Command, flag, option
from kfold.errors import Interrupted, KfoldError
from kfold.plan.retention import Extent
from kfold.plan.steps import Plan
from kfold.planning import read_configs
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
        problems: list[Exception] = []
        try:
            loop(session, run, tail=not no_tail)
        except Interrupted:
            pass  # asked to end before the first deploy was begun: what follows is the same
        except Exception as error:  # also a fault of kfold's own: what it made goes all the same
            problems.append(error)
        problems += clean_up(session, plan, cleanup=not no_cleanup, prune=prune)
        told = [str(error) for error in problems if isinstance(error, KfoldError)]
        faults = [error for error in problems if not isinstance(error, KfoldError)]
        if faults:
            for text in told:
                session.console_error(text)
            raise faults[0] if len(faults) == 1 else ExceptionGroup("faults of kfold's own", faults)
        if told:
            raise KfoldError("\n".join(told))

    return Command("dev", "deploy, watch, redeploy what changed, show logs; Ctrl+C takes it all back", dev, PARAMETERS)


def clean_up(session: Session, plan: Plan, *, cleanup: bool, prune: str) -> list[Exception]:
    """Delete, then prune. One that fails, by a fault of kfold's own too, does not stop the other; a further Ctrl+C ends both
    early. Returns what went wrong."""
    from kfold.verbs.deployment import delete_deployment
    from kfold.verbs.prune import prune_images

    session.begin_cleanup()
    problems: list[Exception] = []
    steps: list[Callable[[], None]] = []
    if cleanup:
        steps.append(lambda: delete_deployment(session.world))
    if prune != "none":
        configs = plan.configs
        with suppress(KfoldError):
            configs += read_configs(session)  # it may have been edited since
        policies = {config.name: config.prune for config in configs}
        extent: Extent = "all" if prune == "all" else "superseded"
        steps.append(lambda: prune_images(session.world, extent, policies=policies, target=plan.facts.target))
    for step in steps:
        try:
            step()
        except KfoldError as error:
            error.hint = error.hint or "When the cause is gone, `doit delete` and `doit prune` go on from here."
            problems.append(_without_hints(error) if session.stop.is_set() else error)
        except Exception as error:
            problems.append(error)
        if session.stop.is_set():
            problems.append(
                KfoldError("cleanup ended early", hint="`doit delete` and `doit prune` go on from where it stopped.")
            )
            break
    return problems


def _without_hints(error: KfoldError) -> KfoldError:
    """Of a cleanup that is ended early: one hint says how to go on with all of it. Hints stand on indented lines."""
    return KfoldError("\n".join(line for line in str(error).splitlines() if not line.startswith("  ")))
