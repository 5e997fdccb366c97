"""`doit ARGUMENTS`, and at the Nth moment of its ledger a process is killed, this one (0) or another one:
`run_and_kill.py N PID RECORD ARGUMENTS...`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from kfold.ledger import Effect, Ledger, Transition
from kfold.session import Options, Session
from kfold.state_folder import journals
from kfold.tasks import doit_config, task_creator
from tests.crash.killer import Killer


def line(transition: Transition, effect: Effect) -> str:
    return f"{transition} {effect.kind} {len(effect.details.get('layers') or ())}"


def main(kill_at: int, victim: int, record: Path, arguments: list[str]) -> int:
    session = Session(Options.of({}, os.environ))
    ledger = Ledger(session.state.ledger, journals=journals, listener=Killer(record, kill_at, line, victim=victim))
    session.__dict__["world"] = replace(session.world, ledger=ledger)
    namespace = {"DOIT_CONFIG": doit_config(session), "task_kfold": task_creator(session)}
    return int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(arguments))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
