"""Connections to (address, port) handed on to one of its targets in turn: TCP streams and UDP flows.

As on a real cluster nothing listens where there is no target, so a client is refused. What differs: the target sees the
proxy's address as the client's, and a target that refuses is seen as a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import Any

Json = dict[str, Any]
Address = tuple[str, int]

CHUNK = 1 << 16
"""Bytes that are read at once."""

UDP_IDLE = 120.0
"""Seconds after which a silent UDP flow is forgotten (the kernel's nf_conntrack_udp_timeout_stream)."""

STICKY = 10800.0
"""Seconds for which a client with affinity keeps its target (the default of sessionAffinityConfig)."""


class Balancer:
    """Chooses a target for each connection: round-robin, or the same one for a client."""

    def __init__(self) -> None:
        self.targets: list[Address] = []
        self.sticky = False
        self._next = 0
        self._chosen: dict[str, tuple[Address, float]] = {}

    def pick(self, client: str) -> Address:
        """The target for a connection from that address."""
        now = time.monotonic()
        target, until = self._chosen.get(client, (None, 0.0))
        if not self.sticky or target not in self.targets or until < now:
            target = self.targets[self._next % len(self.targets)]
            self._next += 1
        if self.sticky:
            self._chosen[client] = (target, now + STICKY)
        return target


class Forwarder:
    """All listeners; `update` makes them those of a table."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str, int], _Tcp | _Udp] = {}

    async def update(self, entries: list[Json]) -> list[str]:
        """Open, change and close listeners. Returns what could not be done; established TCP connections go on."""
        wanted = {(entry["protocol"], entry["address"], entry["port"]): entry for entry in entries if entry["targets"]}
        problems = []
        for key in self._listeners.keys() - wanted.keys():
            self._listeners.pop(key).close()
        for key, entry in wanted.items():
            listener = self._listeners.get(key) or (_Udp() if key[0] == "UDP" else _Tcp())
            listener.balancer.targets = [(address, port) for address, port in entry["targets"]]
            listener.balancer.sticky = bool(entry.get("sticky"))
            if key in self._listeners:
                continue
            try:
                await listener.open(key[1], key[2])
                self._listeners[key] = listener
            except OSError as error:
                problems.append(f"{key[0]} {key[1]}:{key[2]}: {error.strerror or error}")
        return problems


class _Tcp:
    def __init__(self) -> None:
        self.balancer = Balancer()
        self._server: asyncio.Server | None = None

    async def open(self, address: str, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, address, port, backlog=512)

    def close(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = writer.get_extra_info("peername")
            far_reader, far_writer = await asyncio.open_connection(*self.balancer.pick(peer[0]))
        except (OSError, TypeError):  # TypeError: the client is gone already, so it has no name
            _reset(writer)
            return
        pumps = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            clean = all(pump.done() and not pump.cancelled() and pump.exception() is None for pump in pumps)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, far_writer):
                # a side that broke off is seen by the other as that, not as an orderly end
                end.close() if clean else _reset(end)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction until its end; the other one may go on."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class _Udp(asyncio.DatagramProtocol):
    """A flow is a client's address: it keeps its target, and a socket of its own to which the answers come."""

    def __init__(self) -> None:
        self.balancer = Balancer()
        self._transport: asyncio.DatagramTransport | None = None
        self._flows: dict[Address, tuple[socket.socket, Address]] = {}
        self._used: dict[Address, float] = {}

    async def open(self, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, port))

    def close(self) -> None:
        for client in list(self._flows):
            self._end(client)
        if self._transport:
            self._transport.close()

    def datagram_received(self, data: bytes, client: Address) -> None:
        now = time.monotonic()
        for old in [client for client, used in self._used.items() if now - used > UDP_IDLE]:
            self._end(old)
        if client in self._flows and self._flows[client][1] not in self.balancer.targets:
            self._end(client)
        try:
            if client not in self._flows:
                self._begin(client)
            self._used[client] = now
            self._flows[client][0].send(data)
        except OSError:  # refused, or the target is gone: UDP does not tell
            self._end(client)

    def _begin(self, client: Address) -> None:
        target = self.balancer.pick(client[0])
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._flows[client] = (far, target)
        far.connect(target)
        asyncio.get_running_loop().add_reader(far, self._answer, far, client)

    def _answer(self, far: socket.socket, client: Address) -> None:
        try:
            data = far.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._end(client)
            return
        self._used[client] = time.monotonic()
        if self._transport:
            self._transport.sendto(data, client)

    def _end(self, client: Address) -> None:
        far, _ = self._flows.pop(client, (None, None))
        self._used.pop(client, None)
        if far:
            asyncio.get_running_loop().remove_reader(far)
            far.close()
