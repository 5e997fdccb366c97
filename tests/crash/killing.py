"""A `doit` run that is killed at the Nth moment of its ledger, and the moments that it came to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.crash import points
from tests.engine import REPOSITORY, Finished, Project, Running

PROGRAM = Path(__file__).with_name("run_and_kill.py")


def killed(project: Project, kill_at: int, *arguments: str, victim: int = 0) -> tuple[Finished, list[str]]:
    """`doit ARGUMENTS`, killed at that moment of its ledger (0: never), and the moments that it came to.

    A moment is the transition, the effect's kind and its count of layers. `victim`: another process that is killed there,
    while the run goes on.
    """
    done, reached = killing(project, kill_at, *arguments, victim=victim).wait(), moments(project)
    if done.code == -signal.SIGKILL and reached:
        points.tried(" ".join(arguments), reached[-1])
    return done, reached


def killing(project: Project, kill_at: int, *arguments: str, victim: int = 0) -> Running:
    """The same, still running."""
    _record(project).unlink(missing_ok=True)
    command: list[str | Path] = [sys.executable, PROGRAM, str(kill_at), str(victim), _record(project), *arguments]
    return project.start(*command, env={"PYTHONPATH": str(REPOSITORY)})


def moments(project: Project) -> list[str]:
    """Those of the last run."""
    record = _record(project)
    return record.read_text().splitlines() if record.exists() else []


def _record(project: Project) -> Path:
    return project.folder.parent / f"moments-{project.folder.name}"
