"""Every command, in one list."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands import delete, dev, prune, status, why
from kfold.commands.command import Command
from kfold.errors import KfoldError
from kfold.plan.steps import Plan
from kfold.session import Session


def commands(session: Session, plan: Plan | KfoldError, run: Callable[[list[str]], int]) -> list[Command]:
    """All of them. `plan` is the error where there is none: what cleans up and looks works all the same."""
    return [
        *delete.commands(session, plan),
        *prune.commands(session, plan),
        status.command(session, plan),
        why.command(session, plan),
        dev.command(session, plan, run),
    ]
