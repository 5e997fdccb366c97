"""Runs `doit ARGUMENTS` on fake stores, each in a process of its own that is forked here with everything imported.

One JSON object a line comes in: `folder` of the project, `arguments`, `kill_at` (the moment of the ledger at which the
process is killed, 0: never), and the fields of a `stories.Trouble`. One a line goes out: `code` (negative: killed),
`moments` that were passed, `output`. A `dev` that has nothing more to do is ended by Ctrl+C.

The stores lie beside the project: engine.json, cluster.json. A fork takes 0.01 s where a new Python takes 0.5 s.
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
from kfold import verbs as kfold_verbs
from kfold.events import Event
from kfold.ledger import Effect, Ledger, Transition
from kfold.plan.verbs import PIPELINE
from kfold.session import Options, Session
from kfold.state_folder import journals
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.fake_engine import FakeEngine
from tests.crash.killer import Killer

CONTEXT = "docker-desktop"


def main() -> None:
    for verb in PIPELINE:
        if verb in kfold_verbs.MODULES:
            kfold_verbs.module(verb)
    sys.modules.setdefault("kfold.commands", __import__("kfold.commands"))
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        folder = Path(asked["folder"])
        record = folder.parent / "moments"
        record.unlink(missing_ok=True)
        output = folder.parent / "output"
        child = os.fork()
        if not child:
            _child(folder, record, output, asked)
        _, status = os.waitpid(child, 0)
        moments = record.read_text().splitlines() if record.exists() else []
        code = os.waitstatus_to_exitcode(status)
        if asked["power"] and code == -signal.SIGKILL:
            _copy_ledger(folder.parent / "disk", folder / ".kfold")
        answer = {"code": code, "moments": moments, "output": output.read_text(errors="replace")}
        print(json.dumps(answer), flush=True)


def line(transition: Transition, effect: Effect) -> str:
    return f"{transition} {effect.store} {effect.kind} {effect.name}"


def _copy_ledger(source: Path, target: Path) -> None:
    """The ledger alone, as it is: nothing where there is none."""
    target.mkdir(exist_ok=True)
    for name in ("ledger.db", "ledger.db-wal"):
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _child(folder: Path, record: Path, output: Path, asked: Mapping[str, Any]) -> None:
    code = 70
    signal.alarm(120)  # one that does not end is a failure, and told
    try:
        file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(folder)
        os.environ["PWD"] = str(folder)
        session = Session(Options())
        engine = FakeEngine(folder.parent / "engine.json")
        cluster = FakeCluster(folder.parent / "cluster.json", context=CONTEXT)
        session.__dict__["_cluster"] = lambda context, files: cluster
        now, killer = time.time, Killer(record, asked["kill_at"], line, asked["interrupts"])
        time.time = lambda: now() + asked["clock"]
        moments = itertools.count(1)

        disk = folder.parent / "disk"
        _copy_ledger(folder / ".kfold", disk)

        def listen(transition: Transition, effect: Effect) -> None:
            if transition == "intended" and asked["power"]:
                with ledger._mutex:  # a claim, and all before it, is on the disk
                    _copy_ledger(ledger.path.parent, disk)
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
        code = int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(asked["arguments"]))
        session.close()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        print(end.code)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
