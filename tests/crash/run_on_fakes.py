"""`doit ARGUMENTS` on fake stores, in the project of the current folder: `run_on_fakes.py REQUEST`.

The request is a JSON object: `arguments`, `kill_at` (the moment of the ledger at which the process is killed, 0: never), and
the fields of a `stories.Trouble`. The stores lie beside the project: engine.json, cluster.json; where the power fails, also
the folder disk, with the ledger as it would be found. A `dev` that has nothing more to do is ended by Ctrl+C.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from kfold import tasks as kfold_tasks
from kfold.events import Event
from kfold.ledger import Effect, Ledger, Transition
from kfold.session import Options, Session
from kfold.state_folder import journals
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.fake_engine import FakeEngine
from tests.crash.killer import Killer

CONTEXT = "docker-desktop"


def line(transition: Transition, effect: Effect) -> str:
    return f"{transition} {effect.store} {effect.kind} {effect.name}"


def copy_ledger(source: Path, target: Path) -> None:
    """The ledger alone, as it is: nothing where there is none."""
    target.mkdir(exist_ok=True)
    for name in ("ledger.db", "ledger.db-wal"):
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def main(asked: Mapping[str, Any]) -> int:
    beside = Path.cwd().parent
    session = Session(Options())
    engine = FakeEngine(beside / "engine.json")
    cluster = FakeCluster(beside / "cluster.json", context=CONTEXT)
    session.__dict__["_cluster"] = lambda context, files: cluster
    now, killer = time.time, Killer(Path(os.devnull), asked["kill_at"], line, asked["interrupts"])
    time.time = lambda: now() + asked["clock"]
    moments = itertools.count(1)

    disk = beside / "disk"
    copy_ledger(session.folder / ".kfold", disk)

    def listen(transition: Transition, effect: Effect) -> None:
        if transition == "intended" and asked["power"]:
            with ledger._mutex:  # a claim, and all before it, is on the disk
                copy_ledger(ledger.path.parent, disk)
        killer(transition, effect)
        if next(moments) == asked["full_at"]:
            ledger._database.execute("PRAGMA max_page_count=1")  # SQLite then says what it says on a full disk

    def report(event: Event) -> None:
        session.console.report(event)
        if event.text == "Watching for changes..." and not session.interrupts:
            os.kill(os.getpid(), signal.SIGINT)

    ledger = Ledger(session.state.ledger, journals=journals, listener=listen, tell=print)
    session.__dict__["world"] = replace(
        session.world,
        ledger=ledger,
        open_engine=lambda address: engine,
        open_cluster=lambda context, files: cluster,
        report=report,
    )
    namespace = {"DOIT_CONFIG": kfold_tasks.doit_config(session), "task_kfold": kfold_tasks.task_creator(session)}
    return int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(asked["arguments"]))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
