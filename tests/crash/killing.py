"""A `doit` run that is killed at the Nth moment of its ledger, and the moments that it came to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.crash import points
from tests.engine import REPOSITORY, Finished, Project

PROGRAM = Path(__file__).with_name("run_and_kill.py")


def killed(project: Project, kill_at: int, *arguments: str) -> tuple[Finished, list[str]]:
    """`doit ARGUMENTS`, killed at that moment of its ledger (0: never), and the moments that it came to.

    A moment is the transition, the effect's kind and its count of layers.
    """
    record = project.folder.parent / f"moments-{project.folder.name}"
    record.unlink(missing_ok=True)
    environment = {"PYTHONPATH": str(REPOSITORY)}
    done = project.start(sys.executable, PROGRAM, str(kill_at), record, *arguments, env=environment).wait()
    moments = record.read_text().splitlines() if record.exists() else []
    if done.code == -signal.SIGKILL and moments:
        points.tried(" ".join(arguments), moments[-1])
    return done, moments
