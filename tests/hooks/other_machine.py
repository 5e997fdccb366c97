"""`doit ARGUMENTS` on a machine with another machine ID: `other_machine.py FILE ARGUMENTS...`, where FILE holds that ID."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from kfold.session import Options, Session
from kfold.stores import host
from kfold.tasks import doit_config, task_creator


def main(machine_id: Path, arguments: list[str]) -> int:
    host._MACHINE_ID = machine_id
    session = Session(Options.of({}, os.environ))
    namespace = {"DOIT_CONFIG": doit_config(session), "task_kfold": task_creator(session)}
    return int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(arguments))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
