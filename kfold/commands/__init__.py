"""The tasks that are no verb of the forward graph: they walk it backwards, look at it, or go round it."""

from __future__ import annotations

from collections.abc import Callable

from kfold.commands import delete, dev, prune, status, why
from kfold.commands.command import Command
from kfold.errors import KfoldError
from kfold.plan.steps import Plan
from kfold.session import Session

__all__ = ["Command", "commands"]


def commands(session: Session, plan: Plan | KfoldError, run: Callable[[list[str]], int]) -> list[Command]:
    """All of them. `plan` is the error where there is none: what cleans up and looks works all the same."""
    return [
        *delete.commands(session, plan),
        *prune.commands(session, plan),
        status.command(session, plan),
        why.command(session, plan),
        dev.command(session, plan, run),
    ]
