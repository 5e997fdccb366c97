"""`doit ARGUMENTS` on fake stores, in the project of the current folder: `run_on_fakes.py REQUEST`.

The request is a JSON object: `arguments`, `kill_at` (the moment of the ledger at which the process is killed, 0: never),
`context` (""; there is none), `push`, `other` (the folder of the other checkout), and the fields of a `stories.Trouble`. The
stores lie beside the project: engine.json, cluster.json, registry, nodes; where the power fails, also the folder disk, with
the ledger as it would be found. A `dev` that has nothing more to do is ended by Ctrl+C.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
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
from kfold.stores import sandbox_process
from kfold.stores.fake_cluster import FakeCluster
from kfold.verbs import registry_writes, sandbox
from tests.crash.kept import HOST, PushingEngine, nodes, registry
from tests.crash.killer import Killer


def line(transition: Transition, effect: Effect) -> str:
    return f"{transition} {effect.store} {effect.kind} {effect.name}"


def copy_ledger(source: Path, target: Path) -> None:
    """The ledger alone, as it is: nothing where there is none."""
    target.mkdir(exist_ok=True)
    for name in ("ledger.db", "ledger.db-wal"):
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _up(environment: Mapping[str, str], mark: str) -> None:
    """A fake sandbox: its kubeconfig is there while it is; its mark lies beside that."""
    file = sandbox_process.kubeconfig(environment)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.with_name("mark").write_text(mark)
    file.write_text(json.dumps(kubeconfig(sandbox.CONTEXT)))


def _runs(environment: Mapping[str, str]) -> bool:
    return sandbox_process.kubeconfig(environment).exists()


def _down(environment: Mapping[str, str]) -> None:
    shutil.rmtree(sandbox_process.kubeconfig(environment).parent, ignore_errors=True)
    _sandbox_objects().unlink(missing_ok=True)


def _sandbox_objects() -> Path:
    return Path.cwd().parent / "sandbox.json"


def kubeconfig(*contexts: str) -> dict[str, Any]:
    """A kubeconfig of these contexts, the first one the current."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in contexts],
        "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1"}} for name in contexts],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }


def main(asked: Mapping[str, Any]) -> int:
    beside = Path.cwd().parent
    push = bool(asked["push"])
    session = Session(Options(context=asked["context"], push=push or None, default_repo=HOST if push else None))
    sandbox_process.up, sandbox_process.runs, sandbox_process.down = _up, _runs, _down
    engine, images = PushingEngine(beside / "engine.json"), registry(beside)
    node = nodes(beside, engine)
    objects = beside / "cluster.json" if asked["context"] else _sandbox_objects()
    cluster = FakeCluster(objects, context=asked["context"])
    session.__dict__["_cluster"] = lambda context, files: cluster
    registry_writes.LATE = 0.0  # this registry takes a manifest in at once or never
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
        number = next(moments)
        takes_back = asked["arguments"][0] in ("delete", "prune")
        if asked["meanwhile"] and takes_back and number == asked["meanwhile_at"]:
            calm = {"kill_at": 0, "clock": 0, "full_at": 0, "interrupts": (), "power": False, "meanwhile": ()}
            request = json.dumps({**asked, **calm, "arguments": asked["meanwhile"]})
            subprocess.run([sys.executable, __file__, request], cwd=asked["other"], check=False)
        if number == asked["full_at"]:
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
        open_registry=lambda host, insecure: images,
        open_nodes=lambda address: node,
        report=report,
    )
    namespace = {"DOIT_CONFIG": kfold_tasks.doit_config(session), "task_kfold": kfold_tasks.task_creator(session)}
    return int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(asked["arguments"]))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
