"""`pods/exec` and `pods/attach`: the channels of a WebSocket joined to a raw stream of the engine.

Protocols `v5.channel.k8s.io` (kubectl) and `v4.channel.k8s.io` (Python): each message begins with a byte for its channel.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web

from kfold.errors import StoreError
from kfold.sandbox.api import errors
from kfold.sandbox.kubelet.engine import Engine, EngineError
from kfold.sandbox.kubelet.runtime import statuses_of

Json = dict[str, Any]

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
"""Channels; CLOSE (only in v5) carries the number of the channel that has ended."""


async def execute(engine: Engine, request: web.Request, pod: Json) -> web.StreamResponse:
    """Run a command in a container. Raises ApiError 400 before the upgrade, for what cannot be."""
    query = request.query
    command = query.getall("command", [])
    if not command:
        raise errors.bad_request("you must specify at least one command for the container")
    container = _running(pod, query.get("container", ""), "exec into")
    terminal = _flag(query, "tty")
    config = {
        "Cmd": command,
        "Tty": terminal,
        "AttachStdin": _flag(query, "stdin"),
        "AttachStdout": _flag(query, "stdout"),
        "AttachStderr": _flag(query, "stderr") and not terminal,
    }
    _require_websocket(request)
    try:
        run = await engine.exec_create(container, config)
        stream = await engine.hijack(f"/exec/{run}/start", {"Detach": False, "Tty": terminal})
    except StoreError as error:
        raise errors.internal(f"error executing command in container: {error}") from error
    session = _Session(engine, stream, terminal, f"/exec/{run}/resize", half_close=True)
    socket = await session.serve(request)
    state = await engine.call("GET", f"/exec/{run}/json")
    await session.end(socket, int(state.get("ExitCode") or 0))
    return socket


async def attach(engine: Engine, request: web.Request, pod: Json) -> web.StreamResponse:
    """Join the streams of a container's own process. Raises ApiError 400."""
    query = request.query
    container = _running(pod, query.get("container", ""), "attach to")
    _require_websocket(request)
    wanted = "&".join(f"{name}={int(_flag(query, name))}" for name in ("stdin", "stdout", "stderr"))
    stream = await engine.hijack(f"/containers/{container}/attach?stream=1&{wanted}", {})
    info = await engine.inspect(container)
    if not info["State"]["Running"]:
        # it ended before the engine joined us to it: that stream would wait for its next start
        stream[1].close()
        raise errors.bad_request("unable to upgrade connection: cannot attach to a container that has ended")
    terminal = bool(info["Config"]["Tty"])
    # The engine takes the end of stdin for the end of the whole attachment, unless it is the container's only stdin.
    once = bool(info["Config"]["StdinOnce"]) and not terminal
    session = _Session(engine, stream, terminal, f"/containers/{container}/resize", half_close=once)
    socket = await session.serve(request)
    await session.end(socket, 0)
    return socket


def _flag(query: Any, name: str) -> bool:
    return str(query.get(name, "")).lower() in ("1", "true")


def _require_websocket(request: web.Request) -> None:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        # kubectl before 1.30 knows only SPDY here
        raise errors.bad_request("unable to upgrade: the sandbox serves WebSockets only (kubectl 1.30 or later)")


def _running(pod: Json, container: str, what: str) -> str:
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        raise errors.bad_request(f"cannot {what} a container in a completed pod; current phase is {status['phase']}")
    name = container or pod["spec"]["containers"][0]["name"]
    for entry in statuses_of(pod):
        if entry["name"] == name and "running" in entry["state"]:
            return str(entry["containerID"]).removeprefix("docker://")
    raise errors.bad_request(f'unable to upgrade connection: container not found ("{name}")')


class _Session:
    """One WebSocket and one raw stream."""

    def __init__(
        self,
        engine: Engine,
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        terminal: bool,
        resize: str,
        *,
        half_close: bool,
    ) -> None:
        self._engine = engine
        self._reader, self._writer = stream
        self._terminal = terminal
        self._resize = resize
        self._half_close = half_close

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Returns when the process has closed its output, or the client is gone."""
        socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, autoping=True)
        await socket.prepare(request)
        receive = asyncio.create_task(self._receive(socket))
        send = asyncio.create_task(self._send(socket))
        try:
            await asyncio.wait([receive, send], return_when=asyncio.FIRST_COMPLETED)
            if not socket.closed:
                await asyncio.gather(send, return_exceptions=True)
        finally:
            receive.cancel()
            send.cancel()
            await asyncio.gather(receive, send, return_exceptions=True)
            self._writer.close()
        return socket

    async def end(self, socket: web.WebSocketResponse, code: int) -> None:
        """Tell the exit code, as the real server does, and close."""
        status: Json = {"metadata": {}, "status": "Success"}
        if code:
            status = {
                "metadata": {},
                "status": "Failure",
                "message": f"command terminated with non-zero exit code: exit status {code}",
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
            }
        if not socket.closed:
            await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
            await socket.close()

    async def _send(self, socket: web.WebSocketResponse) -> None:
        if self._terminal:
            while piece := await self._reader.read(32768):
                await socket.send_bytes(bytes([STDOUT]) + piece)
            return
        while True:
            try:
                header = await self._reader.readexactly(8)
                piece = await self._reader.readexactly(int.from_bytes(header[4:], "big"))
            except asyncio.IncompleteReadError:
                return
            await socket.send_bytes(bytes([header[0] or STDOUT]) + piece)

    async def _receive(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                continue
            data = message.data.encode() if isinstance(message.data, str) else message.data
            if not data:
                continue
            channel, payload = data[0], data[1:]
            if channel == STDIN and payload:
                self._writer.write(payload)
                await self._writer.drain()
            elif channel == CLOSE and payload[:1] == bytes([STDIN]) and self._half_close and self._writer.can_write_eof():
                self._writer.write_eof()
            elif channel == RESIZE:
                await self._set_size(payload)
        # the loop ends when the client has gone

    async def _set_size(self, payload: bytes) -> None:
        try:
            size = json.loads(payload)
            await self._engine.call("POST", self._resize, h=int(size["Height"]), w=int(size["Width"]))
        except (ValueError, KeyError, TypeError, EngineError):
            return  # a size that cannot be set is no reason to end the session
