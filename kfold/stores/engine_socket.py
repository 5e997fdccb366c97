"""The engine's HTTP API on its own socket, for what is asked often: an answer takes 2 ms, by the docker client 40 ms.

Who asks goes to the docker client where there is no socket (an engine reached by TCP, TLS or SSH), and where the answer is
not the usual one: the client has the words for what is wrong.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kfold.errors import StoreError

_DEFAULT = "unix:///var/run/docker.sock"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0


class NoAnswer(StoreError):
    """The engine did not answer on its socket, or not in HTTP."""


def settings_folder(environment: Mapping[str, str]) -> Path:
    """Where the docker client keeps its settings."""
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")


def settings(folder: Path) -> dict[str, Any]:
    """The docker client's `config.json`; empty where there is none, or one that docker itself complains about."""
    with suppress(OSError, ValueError):
        read = json.loads((folder / "config.json").read_bytes())
        return read if isinstance(read, dict) else {}
    return {}


def context_name(environment: Mapping[str, str]) -> str:
    """The docker client's context (docker/cli, cli/command: resolveContextName)."""
    if environment.get("DOCKER_HOST"):
        return "default"
    named = environment.get("DOCKER_CONTEXT") or settings(settings_folder(environment)).get("currentContext")
    return str(named or "default")


def endpoint(environment: Mapping[str, str]) -> str:
    """Where the docker client finds its engine, such as `unix:///…`; "" for a context that does not exist."""
    folder, name = settings_folder(environment), context_name(environment)
    if name == "default":
        return environment.get("DOCKER_HOST") or _DEFAULT
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(meta.read_bytes())["Endpoints"]["docker"]["Host"])
    return ""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float = _ANSWER_SECONDS) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CONNECT_SECONDS)
        try:
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise
        self.sock.settimeout(self.timeout)


class EngineSocket:
    """See the module. `path` is the socket's; an answer is waited for `answer_seconds`. Connections are kept and used
    again, by any thread."""

    def __init__(self, path: str, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._path = path
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        weakref.finalize(self, _close_all, self._idle)

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """The status, and the content where it is JSON. Raises NoAnswer."""
        status, content = self._ask(method, f"{path}?{urlencode(query)}" if query else path, body)
        try:
            return status, json.loads(content) if content.strip() else None
        except ValueError as error:
            raise NoAnswer(f"what answers on {self._path} is no Docker Engine: {error}") from error

    def run(self, container: str, command: Sequence[str]) -> tuple[int, str, str]:
        """The exit code of a command in a container, its output and its errors. For questions: should no answer come, it
        may have run all the same. Raises NoAnswer, where the container does not run too."""
        asked = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        status, made = self.ask("POST", f"/containers/{container}/exec", body=asked)
        if status != 201:
            raise NoAnswer(f"the Docker Engine runs nothing in {container[:12]}")
        status, frames = self._ask("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        told, ended = self.ask("GET", f"/exec/{made['Id']}/json")
        if (status, told) != (200, 200) or ended["Running"]:
            raise NoAnswer(f"the Docker Engine does not tell how a command in {container[:12]} ended")
        texts, place = {1: bytearray(), 2: bytearray()}, 0
        while place + 8 <= len(frames):  # API, ContainerAttach: a byte for the stream, three of no meaning, the length
            stream, size = frames[place], int.from_bytes(frames[place + 4 : place + 8], "big")
            texts[stream] += frames[place + 8 : place + 8 + size]
            place += 8 + size
        return int(ended["ExitCode"]), texts[1].decode(errors="replace"), texts[2].decode(errors="replace")

    def _ask(self, method: str, target: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:
                return self._exchange(connection, method, target, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                connection.close()  # an engine that was restarted has closed it
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise NoAnswer(f"the Docker Engine does not answer on {self._path}: {error}") from error
        connection = _Connection(self._path, self._answer_seconds)
        try:
            return self._exchange(connection, method, target, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(f"the Docker Engine does not answer on {self._path}: {error}") from error

    def _exchange(
        self, connection: _Connection, method: str, target: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        if body is None:
            connection.request(method, target)
        else:
            connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return answer.status, content

    def stream(self, path: str, query: Mapping[str, str], body: bytes) -> Stream:
        """What is answered to an archive that is posted. Raises NoAnswer."""
        connection = _Connection(self._path)
        try:
            connection.connect()
        except OSError as error:
            raise NoAnswer(f"the Docker Engine does not answer on {self._path}: {error}") from error
        return Stream(connection, f"{path}?{urlencode(query)}", body)


def socket_of(environment: Mapping[str, str], answer_seconds: float = _ANSWER_SECONDS) -> EngineSocket | None:
    """The socket of the engine that these variables lead to, where it is reached by one."""
    host = endpoint(environment)
    return EngineSocket(host.removeprefix("unix://"), answer_seconds) if host.startswith("unix://") else None


class Stream:
    """An answer that goes on: a JSON object a line. `hang_up` ends it from another thread."""

    def __init__(self, connection: _Connection, target: str, body: bytes) -> None:
        self._connection, self._target, self._body = connection, target, body
        self._line: socket.socket = connection.sock
        self._line.settimeout(None)  # a step of a build may be silent for as long as it likes

    def messages(self) -> Generator[dict[str, Any], None, None]:
        """Posts, and reads on. Close it, and the engine sees that nobody listens any more. Raises NoAnswer."""
        rest = b""
        try:
            self._connection.request("POST", self._target, self._body, {"Content-Type": "application/x-tar"})
            with self._connection.getresponse() as answer:
                while chunk := answer.read1(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield json.loads(line)
            if rest.strip():
                yield json.loads(rest)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoAnswer(f"the Docker Engine ended in the middle of its answer: {error}") from error
        finally:
            self._connection.close()

    def hang_up(self) -> None:
        """End the reader, too."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)


def _close_all(idle: list[_Connection]) -> None:
    while idle:
        idle.pop().close()
