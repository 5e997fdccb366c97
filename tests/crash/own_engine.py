"""A Docker Engine of a test's own, which may be killed: the one of this machine is everybody's, and never restarted.

A holder stands in namespaces of its own (network, mounts, processes) for as long as the engine is wanted; the daemon is
started into them as often as is asked. So its bridge is not this machine's, its mounts and what is under /run are seen by
nobody else, and whatever a killed daemon left running goes with the holder, which goes with the tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.engine_socket import EngineSocket, NoAnswer
from tests.engine import REPOSITORY, EngineState, engine_state, run, wait_until

PROGRAMS = ("unshare", "nsenter", "mount", "dockerd", "containerd", "runc")
_HOLD = "exec 3<&0; mount -t tmpfs tmpfs /run && echo held && { cat <&3 & wait; }"
"""Process 1 of the namespace: reaps what daemons leave, until standard input ends."""
_BASE = "base:1"


class OwnEngine:
    """See the module. `pid`: the daemon's."""

    def __init__(self) -> None:
        """Makes the namespaces. Skips where that cannot be."""
        if missing := [name for name in PROGRAMS if not shutil.which(name)]:
            pytest.skip(f"an engine of the test's own needs {', '.join(missing)}")
        if os.geteuid():
            pytest.skip("an engine of the test's own needs root: it makes namespaces")
        self.pid = 0
        self._entry: subprocess.Popen[bytes] | None = None
        # not below pytest's own folder, which stays; and the path of a socket has 107 bytes at the most
        self.folder = Path(tempfile.mkdtemp(prefix="kfold-engine-"))
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _HOLD]
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(unshare, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True)
        assert self._holder.stdout is not None
        told = self._holder.stdout.readline().decode().strip()
        if told != "held":
            self.end()
            pytest.skip(f"an engine of the test's own needs namespaces: {told}")

    @property
    def environment(self) -> dict[str, str]:
        """What leads to it."""
        return {"DOCKER_HOST": f"unix://{self.folder / 'socket'}"}

    @cached_property
    def _socket(self) -> EngineSocket:
        return EngineSocket(str(self.folder / "socket"))

    def ask(self, path: str, **query: str) -> Any:
        """The answer to a GET; None where there is no such thing. Raises NoAnswer."""
        status, answer = self._socket.ask("GET", path, query)
        assert status in (200, 404), answer
        return answer if status == 200 else None

    def state(self) -> EngineState:
        """All that it holds."""
        return engine_state(ask=self.ask)

    def start(self) -> None:
        """Start the daemon on the data that it has. It has ended, or is about to: somebody else may have killed it."""
        wait_until(self.ended, "the daemon's end")
        (self.folder / "daemon.json").write_text("{}")
        log = (self.folder / "log").open("ab")
        with log:
            self._entry = subprocess.Popen(
                ["nsenter", "--target", str(_child(self._holder.pid)), "--net", "--mount", "--pid", "dockerd",
                 "--config-file", str(self.folder / "daemon.json"), "--data-root", str(self.folder / "data"),
                 "--host", self.environment["DOCKER_HOST"], "--iptables=false", "--ip6tables=false", "--log-level", "warn",
                 "--cgroup-parent", f"/{self.folder.name}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self.answers, "the engine", tell=lambda: (self.folder / "log").read_text(errors="replace"))
        self.pid = _child(self._entry.pid)

    def answers(self) -> bool:
        assert not self.ended(), "dockerd ended"
        with suppress(NoAnswer):
            return self._socket.ask("GET", "/version")[0] == 200
        return False

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the daemon a signal, and wait for its end."""
        os.kill(self.pid, number)
        wait_until(self.ended, "the daemon's end")

    def ended(self) -> bool:
        """Whether the daemon does not run: somebody else may have killed it."""
        return self._entry is None or self._entry.poll() is not None

    def end(self) -> None:
        """Nothing of it is left."""
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(30)
        self._holder.stdout.close()
        wait_until(self.ended, "the daemon's end")
        for folder in sorted(Path("/sys/fs/cgroup").glob(f"**/{self.folder.name}/**/"), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        shutil.rmtree(self.folder)

    def base_image(self) -> str:
        """The name of its base image, which is made where it is not there."""
        if self.ask(f"/images/{_BASE}/json") is None:
            command: list[str | Path] = [sys.executable, REPOSITORY / "scripts" / "base-image", _BASE]
            run(command, folder=REPOSITORY, environment=os.environ | self.environment).succeeded()
        return _BASE


def _child(pid: int) -> int:
    """The one child of a process, once it has one."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_until(lambda: children.read_text().split(), "the child")[0])
