"""A process that has imported what a run of kfold imports, and forks itself for each run that a test asks for.

To be started as `python -m tests.fork_server SOCKET`, the number of an open SOCK_SEQPACKET socket, on which each message is
one request (`tests/forked.py`): JSON with `arguments` (what Python's own command line would be: `-m MODULE …` or
`PROGRAM …`), `folder` and `environment`, and four descriptors: standard input, output, error, and a socket for the answers.
Those are `begun PID` from the new process, in a session of its own, and `ended CODE` (negative: the signal). Until that
socket is closed the process stays a zombie, as the test's own child would. The server ends when nobody can ask any more.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

_IMPORTED = (
    "doit.doit_cmd", "jsonschema.protocols", "kubernetes", "kubernetes.dynamic.resource", "platformdirs", "python_on_whales",
    "watchfiles._rust_notify", "websocket", "kfold.sandbox.command",
)  # fmt: skip
"""What runs import when they first need it, beside kfold's own modules."""


@dataclass
class Child:
    """A process that was forked, and the socket of who asked for it."""

    number: int
    answers: socket.socket


def prepare() -> None:
    """Import everything, and keep the garbage collector off it: it would write to every page, and each child copy them."""
    import kfold

    packages = [f"kfold.{module.name}" for module in pkgutil.iter_modules(kfold.__path__) if module.name != "sandbox"]
    for name in (*_IMPORTED, *packages):
        module = importlib.import_module(name)
        for inner in pkgutil.iter_modules(getattr(module, "__path__", ()) if name in packages else ()):
            importlib.import_module(f"{name}.{inner.name}")
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each request. Returns None when no more can come, and in each new process its request."""
    running: dict[int, Child] = {}
    ended: dict[int, Child] = {}
    while True:
        waiting = select.poll()
        for file in (control.fileno(), *running, *ended):
            waiting.register(file, select.POLLIN)
        for file, _ in waiting.poll():
            if file in running:
                child = running.pop(file)
                os.close(file)
                told = os.waitid(os.P_PID, child.number, os.WEXITED | os.WNOWAIT)
                assert told is not None
                ended[child.answers.fileno()] = child
                code = told.si_status if told.si_code == os.CLD_EXITED else -told.si_status
                try:
                    child.answers.send(f"ended {code}".encode())
                except BrokenPipeError:
                    pass  # nobody wants to know
            elif file in ended:
                child = ended.pop(file)
                os.waitpid(child.number, 0)
                child.answers.close()
            else:
                message, files, _, _ = socket.recv_fds(control, 1 << 20, 4)
                if not message:
                    return None
                number = os.fork()
                if not number:
                    control.close()
                    for other in (*running.values(), *ended.values()):
                        other.answers.close()
                    for other_file in running:
                        os.close(other_file)
                    return {**json.loads(message), "files": files}
                *streams, answers = files
                for stream in streams:
                    os.close(stream)
                end = os.pidfd_open(number)
                running[end] = Child(number, socket.socket(fileno=answers))


def become(request: dict[str, Any], path: list[str]) -> None:
    """Run the program as a Python that was started for it would. `path`: the entries of `sys.path` that every Python has."""
    *streams, answers = request["files"]
    os.setsid()
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if not os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    program, *arguments = request["arguments"]
    module = arguments.pop(0) if program == "-m" else ""
    first = os.getcwd() if module else str(Path(program).resolve().parent)
    added = os.environ.get("PYTHONPATH")
    sys.path[:] = [first, *(added.split(os.pathsep) if added else ()), *path]
    sys.argv[:] = [program, *arguments]
    with socket.socket(fileno=answers) as ready:
        ready.send(f"begun {os.getpid()}".encode())
    if module:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program, run_name="__main__")


def end(run: Callable[[], None]) -> NoReturn:
    """Call it and end this process as Python ends, but for taking its modules apart: that writes to all of their memory,
    and takes twice as long as a whole run of `doit list`."""
    code = 0
    try:
        try:
            run()
        except SystemExit as asked:
            told = asked.code
            code = told if isinstance(told, int) else int(told is not None)
            if not isinstance(told, int | None):
                print(told, file=sys.stderr)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        threading._shutdown()  # waits for the threads that are no daemons
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = 120  # Python's own for this
        if code == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(code & 0xFF)


def main() -> None:
    added = os.environ.get("PYTHONPATH")
    path = sys.path[1 + (len(added.split(os.pathsep)) if added else 0) :]
    prepare()
    if request := serve(socket.socket(fileno=int(sys.argv[1]))):
        end(lambda: become(request, path))


if __name__ == "__main__":
    main()
