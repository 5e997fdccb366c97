"""Making an engine learn the digests of layers that it only built, so that later loads move changed layers alone.

It learns them by compressing each layer once, in a push to nowhere (800 MB: 21 s). That is a process of its own: it outlives
the run that started it, and ends by itself. It removes the names that it was lent.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kfold.errors import StoreError
from kfold.stores import process

SECONDS = 900.0
"""How long one push may take."""
END = 5.0


class Priming:
    """The process, which waits to be told what to push. `repository`: what the names of the images are to begin with.

    Use as a context manager: without `go` it ends.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "kfold.stores.priming"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
            text=True,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        self.repository = self._child.stdout.readline().strip()
        self.id = identity(self._child.pid)

    def go(self, names: Sequence[str]) -> None:
        """Push these and remove them, in the background."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(list(names)) + "\n")
            self._child.stdin.flush()
        # it is nobody's child to wait for: subprocess would warn of one that still runs
        self._child.returncode = 0

    def __enter__(self) -> Priming:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        if self._child.returncode is None:
            self._child.wait()


def identity(pid: int) -> str:
    """What tells a process from a later one of the same number: the number, and when it started (`ps` knows it anywhere)."""
    with contextlib.suppress(StoreError):
        return f"{pid} {process.answer(['ps', '-o', 'lstart=', '-p', str(pid)]).strip()}"
    return ""


def runs(id: str) -> bool:
    return bool(id) and identity(int(id.split()[0])) == id


def end(id: str) -> None:
    """End it, if it still runs."""
    deadline = time.monotonic() + END
    while runs(id) and time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(id.split()[0]), signal.SIGKILL)
        time.sleep(0.02)


def main() -> None:
    """The process: tells its repository, is told names, pushes them to nowhere, removes them."""
    from kfold.stores.node_loading import without_logins
    from kfold.stores.push_endpoint import Endpoint

    with Endpoint(None) as endpoint, tempfile.TemporaryDirectory(prefix=f"kfold-docker-{os.getpid()}-") as folder:
        print(endpoint.name("").rstrip(":"), flush=True)  # noqa: T201
        told = sys.stdin.readline()
        for name in json.loads(told) if told else ():
            push = ["docker", "push", "--quiet", name]
            with contextlib.suppress(StoreError):
                process.answer(push, environment={"DOCKER_CONFIG": without_logins(Path(folder))}, timeout=SECONDS)
            with contextlib.suppress(StoreError):
                process.answer(["docker", "image", "rm", name])


if __name__ == "__main__":
    main()
