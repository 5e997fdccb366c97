"""The server's process: started detached, found again by its lock, ended with everything that it made.

The server holds a lock on a file as long as it lives, so a pid that another program got after a crash is never taken
for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from kfold.errors import KfoldError
from kfold.sandbox.files import (
    StateFiles,
    context_name,
    engine_name,
    own_home,
    prepare,
    state_files,
    write_kubeconfig,
    write_private,
)

REFUSED = "kfold sandbox: "
"""What an error of this program begins with, on stderr and so in the server's log."""

START_SECONDS = 30.0
"""How long `up` waits for the API: 50 times what a start takes, for a busy machine."""

LOCK_SECONDS = 1.0
"""How long a starting server tries for its lock before it believes that another one runs."""

STOP_SECONDS = 60.0
"""How long `down` waits for the server, which stops every container with a short grace period."""


@dataclass(frozen=True)
class Status:
    """What is there of a sandbox. `pid` and `port` are 0 when none runs.

    `services`: "proxy", or "aliases" (their names lead straight to Pods) for the reason in `services_problem`; empty until
    that is decided, a moment after the start.
    """

    name: str
    running: bool
    pid: int
    port: int
    kubeconfig: str
    context: str
    services: str = ""
    services_problem: str = ""


def up(name: str, mark: str = "") -> Status:
    """Start the sandbox, or find it running. `mark`: what a new one is to be known by; one that is there keeps its own.

    Returns when the API answers. Raises KfoldError with the end of its log.
    """
    files = state_files(name)
    with _alone(files):
        return _up(name, files, mark)


@contextlib.contextmanager
def _alone(files: StateFiles) -> Iterator[None]:
    """One `up` or `down` of a sandbox at a time: what comes meanwhile waits for its end."""
    path = files.folder.with_name(f".{files.folder.name}.lock")  # beside the folder, which `down` removes
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                if path.stat().st_ino != os.fstat(lock.fileno()).st_ino:
                    continue
            except FileNotFoundError:
                continue  # whoever held it has removed it
            try:
                yield
            finally:
                path.unlink()
            return


def _up(name: str, files: StateFiles, mark: str) -> Status:
    if mark and not files.folder.exists():
        files.folder.mkdir(mode=0o700, parents=True)
        write_private(files.mark, mark)
    prepare(files)
    found = status(name)
    if found.running:
        return _ready(files, name, None)
    descriptor = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as out:
        start = out.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "kfold.sandbox", "serve", "--name", name],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # a terminal's Ctrl+C and hang-up must not reach it
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        )
    try:
        return _ready(files, name, child)
    except KfoldError:
        if child.poll() is None:
            raise
        said = files.log.read_bytes()[start:].decode(errors="replace")
        raise KfoldError(_last_words(said) or "the server ended without a word", hint=f"its log: {files.log}") from None


def _last_words(log: str) -> str:
    """Why the server ended: what it said itself, or the end of a traceback."""
    _, said, reason = log.rpartition(REFUSED)
    return reason.strip() if said else log.strip().rpartition("\n")[2]


def _import_path() -> list[str]:
    """The server starts in "/": what is importable here by the current folder must stay so."""
    return [os.path.abspath(entry) for entry in sys.path if entry == "" or os.path.isdir(entry)]  # noqa: PTH100, PTH112


def _ready(files: StateFiles, name: str, child: subprocess.Popen[bytes] | None) -> Status:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = status(name)
        if found.port and _connects(found.port):
            return found
        if child is not None and child.poll() is not None and not status(name).running:
            raise KfoldError(f"the sandbox {name} did not start")
        time.sleep(0.01)
    raise KfoldError(f"the sandbox {name} does not answer after {START_SECONDS:.0f} s", hint=f"its log: {files.log}")


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def status(name: str) -> Status:
    """What is there, by the lock and the pid file."""
    files = state_files(name)
    kubeconfig = str(files.kubeconfig) if files.kubeconfig.exists() else ""
    running = _locked(files)
    pid, port, *services = _recorded(files) if running else (0, 0)
    return Status(name, running, pid, port, kubeconfig, context_name(name), *services)


def _recorded(files: StateFiles) -> tuple[int, int, str, str]:
    """What the server wrote: process ID, port, how Services are done, why so."""
    try:
        found = json.loads(files.process.read_text())
        return int(found["pid"]), int(found["port"]), found.get("services", ""), found.get("services_problem", "")
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return 0, 0, "", ""


def _locked(files: StateFiles) -> bool:
    try:
        with files.lock.open("rb") as lock:
            # shared: two who ask at the same time must not take each other for the server
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def down(name: str) -> bool:
    """End the sandbox and take back all that it made, on the engine and on disk. False if there was nothing of it.

    Works without a server too: what a dead one left on the engine is found by its label. Raises KfoldError if
    something stays.
    """
    files = state_files(name)
    if not files.folder.exists():
        return False
    with _alone(files):
        return _down(name, files)


def _down(name: str, files: StateFiles) -> bool:
    if not files.folder.exists():
        return False  # another `down` was faster
    found = status(name)
    if found.running:
        _stop(found)
    # also after a server that cleaned up itself: one cheap question, and the state goes only when nothing is left
    _clean_engine(name)
    shutil.rmtree(files.folder)
    return True


def _stop(found: Status) -> None:
    files = state_files(found.name)
    deadline = time.monotonic() + STOP_SECONDS
    if found.pid:
        os.kill(found.pid, signal.SIGTERM)
    while _locked(files):
        if time.monotonic() > deadline:
            text = f"the sandbox {found.name} (process {found.pid}) does not end after {STOP_SECONDS:.0f} s"
            raise KfoldError(text, hint=f"its log: {files.log}; `kill -9 {found.pid}`, then `kfold sandbox down` again")
        time.sleep(0.02)


def _clean_engine(name: str) -> None:
    from kfold.sandbox.kubelet import Engine, EngineError, clean, socket_path

    async def run() -> None:
        engine = Engine(socket_path())
        await engine.open()
        try:
            await clean(engine, engine_name(name, own_home()))
        finally:
            await engine.close()

    try:
        asyncio.run(run())
    except EngineError as error:
        raise KfoldError(f"the Docker Engine refused to take back the sandbox {name}: {error}") from error


def run_server(name: str) -> int:
    """The server itself, in this process: takes the lock, chooses a port, writes pid file and kubeconfig, serves."""
    from kfold.sandbox.server import serve

    # everything that the server writes is its owner's alone: the objects hold Secrets
    os.umask(0o077)
    files = state_files(name)
    token = prepare(files)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    lock = files.lock.open("ab")
    if not _take(lock):
        # another `up` was faster; the one that started this finds that server
        return 0
    try:
        port = _free_port(_recorded(files)[1])
        files.process.unlink(missing_ok=True)
        write_kubeconfig(files, name, port, token)
        write_private(files.process, json.dumps({"pid": os.getpid(), "port": port}))
        asyncio.run(serve(name, files, port, token))
    finally:
        files.process.unlink(missing_ok=True)  # before the lock is free for the next one
        lock.close()
    return 0


def _take(lock: IO[bytes]) -> bool:
    """Take the server's lock. Who asks for the status holds it for a moment too, so one refusal means nothing."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.003)


def _free_port(wanted: int) -> int:
    """The port that this sandbox had, so that kubeconfigs stay good, or a free one."""
    for port in (wanted, 0) if wanted else (0,):
        with socket.socket() as probe:
            # as the server itself will: a port in TIME_WAIT counts as free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise KfoldError("no port is free on 127.0.0.1")
