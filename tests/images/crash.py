"""`doit ARGUMENTS` whose process is killed at the Nth moment of its ledger: `crash.py N RECORD ARGUMENTS...`.

Each moment is written to the file RECORD, one a line, before the process dies; N = 0 never kills.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from kfold.ledger import Effect, Ledger, Transition
from kfold.session import Options, Session
from kfold.tasks import doit_config, task_creator


def main(kill_at: int, record: Path, arguments: list[str]) -> int:
    session = Session(Options())
    mutex = threading.Lock()
    count = 0

    def listen(transition: Transition, effect: Effect) -> None:
        nonlocal count
        with mutex:
            count += 1
            with record.open("a") as file:
                file.write(f"{transition} {effect.kind} {len(effect.details.get('layers') or ())}\n")
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    session.__dict__["world"] = replace(session.world, ledger=Ledger(session.state.ledger, listener=listen))
    namespace = {"DOIT_CONFIG": doit_config(session), "task_kfold": task_creator(session)}
    return int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(arguments))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
