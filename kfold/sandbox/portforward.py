"""`pods/portforward`: connections of a client led to a Pod's address.

kubectl (1.31 or later) sends SPDY inside a WebSocket: for each connection a stream for errors and one for data (KEP-4006).
The Python client names its ports in the query, and has two channels a port. Where a port is found the kubelet knows.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web

from kfold.errors import StoreError
from kfold.sandbox import spdy
from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object, at

TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = "v4.channel.k8s.io"

PIECE = 32768
"""Bytes read from a Pod at once."""

WAITING = 256
"""Pieces of one connection that may wait for a Pod that does not read; then the client has to wait."""

Send = Callable[[bytes], Awaitable[None]]


Reach = Callable[[int], tuple[str, int]]
"""A port of the Pod -> (address, port) where it is found from here. Raises StoreError where it is not."""


async def forward(request: web.Request, pod: Object, reach: Reach) -> web.StreamResponse:
    """Serve until the client goes. Raises ApiError 400 for a Pod that does not run, or a client without WebSockets."""
    phase = at(pod, "status", "phase")
    if phase != "Running" or not at(pod, "status", "podIP"):
        raise errors.bad_request(f"unable to forward port because pod is not running. Current status={phase}")
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if not {TUNNEL, CHANNELS} & set(offered):
        # kubectl before 1.31 upgrades to SPDY itself
        text = "unable to upgrade: the sandbox forwards ports through WebSockets only (kubectl 1.31 or later)"
        raise errors.bad_request(text)
    ports = [] if TUNNEL in offered else _ports(request)
    socket = web.WebSocketResponse(protocols=(TUNNEL, CHANNELS), max_msg_size=0)
    await socket.prepare(request)
    session = _Tunnel(socket, reach) if socket.ws_protocol == TUNNEL else _Channels(socket, reach, ports)
    try:
        await session.serve()
    finally:
        await session.close()
        await socket.close()
    return socket


def _ports(request: web.Request) -> list[int]:
    texts = [part for text in request.query.getall("ports", []) for part in text.split(",")]
    if not texts or not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise errors.bad_request("the query parameter ports has to name ports")
    return [int(text) for text in texts]


class _Connection:
    """One connection to a Pod: `feed` what the client sends; what the Pod sends goes to `send`, then `ended` is called."""

    def __init__(self, reach: Reach, port: int, send: Send, ended: Callable[[str], Awaitable[None]]) -> None:
        self._reach, self._port = reach, port
        self._send, self._ended = send, ended
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self.task = asyncio.create_task(self._run())

    async def feed(self, piece: bytes) -> None:
        """b"" for the end of what the client sends."""
        if not self.task.done():
            await self._pieces.put(piece)

    async def _run(self) -> None:
        try:
            reader, writer = await asyncio.open_connection(*self._reach(self._port))
        except (OSError, StoreError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            await self._ended(f"error forwarding port {self._port} to the pod: {why}")
            return
        up = asyncio.create_task(self._upload(writer))
        try:
            while piece := await reader.read(PIECE):
                await self._send(piece)
        except ConnectionError:
            pass  # the Pod broke off: for the client that is the end
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            writer.close()
        await self._ended("")

    async def _upload(self, writer: asyncio.StreamWriter) -> None:
        while piece := await self._pieces.get():
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


class _Session:
    """What both protocols share: a WebSocket, and the connections that it carries."""

    def __init__(self, socket: web.WebSocketResponse, reach: Reach) -> None:
        self._socket, self._reach = socket, reach
        self._connections: dict[int, _Connection] = {}

    async def serve(self) -> None:
        raise NotImplementedError

    async def _messages(self) -> AsyncIterator[bytes]:
        async for message in self._socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                yield message.data

    async def _write(self, data: bytes) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(data)

    async def close(self) -> None:
        tasks = [connection.task for connection in self._connections.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Tunnel(_Session):
    """SPDY streams: "error" and "data" of one connection have the same requestid."""

    def __init__(self, socket: web.WebSocketResponse, reach: Reach) -> None:
        super().__init__(socket, reach)
        self._reader, self._writer = spdy.Reader(), spdy.Writer()
        self._errors: dict[str, int] = {}
        self._failures: dict[int, int] = {}

    async def serve(self) -> None:
        async for message in self._messages():
            try:
                frames = self._reader.feed(message)
            except spdy.SpdyError:
                return
            for frame in frames:
                if frame.kind == spdy.GOAWAY:
                    return
                await self._take(frame)

    async def _take(self, frame: spdy.Frame) -> None:
        connection = self._connections.get(frame.stream)
        if frame.kind == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.kind == spdy.PING:
            await self._write(spdy.ping(frame.stream))
        elif frame.kind == spdy.RST_STREAM and connection:
            connection.task.cancel()
            await self._end(frame.stream, "")
        elif frame.kind == spdy.DATA and connection:
            if frame.body:
                await connection.feed(frame.body)
            if frame.fin:
                await connection.feed(b"")

    async def _open(self, frame: spdy.Frame) -> None:
        stream, headers = frame.stream, frame.headers
        request, kind, port = headers.get("requestid", ""), headers.get("streamtype"), headers.get("port", "")
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            await self._write(spdy.reset(stream))
            return
        await self._write(self._writer.reply(stream))
        if kind == "error":
            self._errors[request] = stream
            return
        self._failures[stream] = self._errors.pop(request, 0)

        async def send(piece: bytes) -> None:
            await self._write(spdy.data(stream, piece))

        async def ended(problem: str) -> None:
            await self._write(spdy.reset(stream) if problem else spdy.data(stream, fin=True))
            await self._end(stream, problem)

        self._connections[stream] = _Connection(self._reach, int(port), send, ended)

    async def _end(self, stream: int, problem: str) -> None:
        """The error stream ends with its connection: the client waits for that."""
        self._connections.pop(stream, None)
        if failed := self._failures.pop(stream, 0):
            await self._write(spdy.data(failed, problem.encode(), fin=True))


class _Channels(_Session):
    """Two channels a port, in the order of the query: data and errors. Each begins with its port, little-endian."""

    def __init__(self, socket: web.WebSocketResponse, reach: Reach, ports: list[int]) -> None:
        super().__init__(socket, reach)
        self._ports = ports

    async def serve(self) -> None:
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._write(bytes([channel]) + struct.pack("<H", port))
            self._connections[2 * index] = self._connection(2 * index, port)
        async for message in self._messages():
            if message and (connection := self._connections.get(message[0])) and len(message) > 1:
                await connection.feed(message[1:])

    def _connection(self, channel: int, port: int) -> _Connection:
        async def send(piece: bytes) -> None:
            await self._write(bytes([channel]) + piece)

        async def ended(problem: str) -> None:
            if problem:
                await self._write(bytes([channel + 1]) + problem.encode())
            del self._connections[channel]
            if not self._connections:
                await self._socket.close()

        return _Connection(self._reach, port, send, ended)
