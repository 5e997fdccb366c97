"""The cluster's DNS: names of Services and their Pods from the table, everything else by the engine's own resolver.

The schema is "Kubernetes DNS-Based Service Discovery" 1.1; wire format is RFC 1035. Answers live 5 seconds, as CoreDNS'
do: a client that asks again sees which Pods are ready now.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

Json = dict[str, Any]
Address = tuple[str, int]

DOMAIN = "cluster.local"
A, CNAME, PTR, AAAA, SRV, ANY = 1, 5, 12, 28, 33, 255
LIFETIME = 5
"""Seconds for which a client may keep an answer."""

PLAIN_SIZE, EXTENDED_SIZE = 512, 1232
"""Bytes of an answer by UDP, without and with EDNS; more is cut off, and the client asks by TCP."""

UPSTREAM_SECONDS = 10.0


class BadMessage(Exception):
    """Not a question that can be answered."""


class Zone:
    """What the table says about names."""

    def __init__(self, table: Json) -> None:
        self._names: dict[str, list[str]] = table.get("names") or {}
        self._services: dict[str, list[tuple[int, str]]] = table.get("services") or {}
        self.aliases: dict[str, str] = table.get("aliases") or {}
        # only a Service's own address has a name of its own: those of Pods are asked of the engine
        self._pointers = {
            ".".join([*reversed(addresses[0].split(".")), "in-addr.arpa"]): name
            for name, addresses in self._names.items()
            if len(addresses) == 1
        }
        self._turn = 0

    def addresses(self, name: str) -> list[str] | None:
        """The addresses of a name, each time another one first; None if the name is not known."""
        found = self._names.get(name)
        if not found:
            return found
        self._turn += 1
        start = self._turn % len(found)
        return found[start:] + found[:start]

    def records(self, name: str, kind: int) -> list[tuple[int, bytes]] | None:
        """(type, data) of what is asked for; [] for a name that has nothing of that type; None: not a name of the zone.

        Raises KeyError for a name that would be of the zone but does not exist.
        """
        if name in self._services:
            found = self._services[name]
            return (
                [(SRV, struct.pack("!3H", 0, 100, port) + encoded(target)) for port, target in found] if kind == SRV else []
            )
        addresses = self.addresses(name)
        if addresses is not None:
            return [(A, socket.inet_aton(address)) for address in addresses] if kind in (A, ANY) else []
        if name in self._pointers:
            return [(PTR, encoded(self._pointers[name]))] if kind in (PTR, ANY) else []
        if name == DOMAIN or name.endswith("." + DOMAIN):
            raise KeyError(name)
        return None


def question(message: bytes) -> tuple[str, int, int]:
    """(name in lower case, type, where the question ends). Raises BadMessage."""
    try:
        _, flags, count = struct.unpack_from("!3H", message)
        if flags & 0xF800 or count != 1:
            raise BadMessage
        position, labels = 12, []
        while length := message[position]:
            if length > 63:
                raise BadMessage
            labels.append(message[position + 1 : position + 1 + length].decode("ascii").lower())
            position += 1 + length
        (kind,) = struct.unpack_from("!H", message, position + 1)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadMessage from error
    return ".".join(labels), kind, position + 5


def encoded(name: str) -> bytes:
    """A name in wire format. Labels that are too long are cut: the API does not let them through."""
    labels = [
        label.encode("idna" if not label.isascii() else "ascii")[:63] for label in name.rstrip(".").split(".") if label
    ]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def reply(message: bytes, end: int, records: list[tuple[int, bytes]], *, code: int = 0, limit: int = 0xFFFF) -> bytes:
    """The answer to `message`, whose question ends at `end`. What does not fit in `limit` bytes is left out, and said."""
    flags = 0x8480 | (struct.unpack_from("!H", message, 2)[0] & 0x0100) | code
    body = b"".join(struct.pack("!3HIH", 0xC00C, kind, 1, LIFETIME, len(data)) + data for kind, data in records)
    if end + len(body) > limit:
        flags, records, body = flags | 0x0200, [], b""
    return message[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0) + message[12:end] + body


def answers(message: bytes) -> list[tuple[int, bytes]]:
    """(type, data) of the answers in a reply. Raises BadMessage."""
    try:
        questions, count = struct.unpack_from("!2H", message, 4)
        position = 12
        for _ in range(questions):
            position = _after_name(message, position) + 4
        found = []
        for _ in range(count):
            position = _after_name(message, position)
            kind, _, _, length = struct.unpack_from("!2HIH", message, position)
            found.append((kind, message[position + 10 : position + 10 + length]))
            position += 10 + length
    except (struct.error, IndexError) as error:
        raise BadMessage from error
    return found


def _after_name(message: bytes, position: int) -> int:
    while length := message[position]:
        if length >= 0xC0:
            return position + 2
        position += 1 + length
    return position + 1


class Server(asyncio.DatagramProtocol):
    """Answers on UDP and TCP. `upstream` is the resolver for all other names."""

    def __init__(self, upstream: Address) -> None:
        self.zone = Zone({})
        self._upstream = upstream
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, address: str, port: int = 53) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, port))
        await asyncio.start_server(self._serve, address, port)

    def datagram_received(self, message: bytes, client: Address) -> None:
        task = asyncio.create_task(self._answer_datagram(message, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(self, message: bytes, client: Address) -> None:
        # the last count of the header is that of additional records: of a question, EDNS
        limit = EXTENDED_SIZE if message[10:12] > b"\0\0" else PLAIN_SIZE
        # silence where nothing can be said: the client asks again
        with contextlib.suppress(BadMessage, OSError, TimeoutError):
            found = await self._answer(message, limit, self._ask)
            if self._transport:
                self._transport.sendto(found, client)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                found = await self._answer(message, 0xFFFF, self._ask_by_stream)
                writer.write(len(found).to_bytes(2, "big") + found)
                await writer.drain()
        except (asyncio.IncompleteReadError, BadMessage, OSError, TimeoutError):
            return
        finally:
            writer.close()

    async def _answer(self, message: bytes, limit: int, ask: Any) -> bytes:
        name, kind, end = question(message)
        if alias := self.zone.aliases.get(name):
            records = [(CNAME, encoded(alias))]
            inside = self.zone.addresses(alias)
            if inside is not None:
                records += [(A, socket.inet_aton(address)) for address in inside] if kind == A else []
            elif kind in (A, AAAA):
                asked = message[:12] + encoded(alias) + message[end - 4 : end]
                asked = asked[:10] + b"\0\0" + asked[12:]  # without the additional records
                records += [(found, data) for found, data in answers(await ask(asked)) if found == kind]
            return _with_alias(message, end, alias, records, limit)
        try:
            records_found = self.zone.records(name, kind)
        except KeyError:
            return reply(message, end, [], code=3)
        if records_found is None:
            found: bytes = await ask(message)
            return found
        return reply(message, end, records_found, limit=limit)

    async def _ask(self, message: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as far:
            far.connect(self._upstream)
            async with asyncio.timeout(UPSTREAM_SECONDS):
                await loop.sock_sendall(far, message)
                while True:
                    found = await loop.sock_recv(far, 0xFFFF)
                    if found[:2] == message[:2]:
                        return found

    async def _ask_by_stream(self, message: bytes) -> bytes:
        async with asyncio.timeout(UPSTREAM_SECONDS):
            reader, writer = await asyncio.open_connection(*self._upstream)
            try:
                writer.write(len(message).to_bytes(2, "big") + message)
                return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            finally:
                writer.close()


def _with_alias(message: bytes, end: int, alias: str, records: list[tuple[int, bytes]], limit: int) -> bytes:
    """A reply whose first record is the alias, and whose others are the alias's own."""
    whole = reply(message, end, records, limit=limit)
    if len(records) < 2 or len(whole) == end:
        return whole
    first = 12 + len(encoded(alias))  # bytes of the CNAME record: its header and its data
    target = struct.pack("!H", 0xC000 | (end + 12))  # a pointer to the name in that data
    rest = b"".join(target + struct.pack("!2HIH", kind, 1, LIFETIME, len(data)) + data for kind, data in records[1:])
    return whole[: end + first] + rest
