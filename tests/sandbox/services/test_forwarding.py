"""The proxy's parts by themselves: forwarding over real sockets on loopback, and DNS messages of any kind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.sandbox.kubelet import services
from kfold.sandbox.proxy import dns
from kfold.sandbox.proxy.forwarding import Balancer, Forwarder

Json = dict[str, Any]
LABELS = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def finish(scenario: Awaitable[None]) -> None:
    """Run it on a loop of its own, and let the connections that are still open come to their end there."""

    async def whole() -> None:
        await scenario
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for _ in range(3):  # what closed connections still have on the loop: each step schedules the next
            await asyncio.sleep(0)

    asyncio.run(whole())


def entry(port: int, *targets: int, protocol: str = "TCP", sticky: bool = False) -> Json:
    places = [["127.0.0.1", target] for target in targets]
    return {"protocol": protocol, "address": "127.0.0.1", "port": port, "targets": places, "sticky": sticky}


async def server(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    return await asyncio.start_server(answer, "127.0.0.1", 0)


def port_of(found: asyncio.Server) -> int:
    return int(found.sockets[0].getsockname()[1])


def test_both_directions_end_by_themselves() -> None:
    """A half-closed connection: the request ends, the answer comes after it."""

    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.read()
            writer.write(b"%d bytes" % len(asked))
            writer.close()

        behind, forwarder, port = await server(answer), Forwarder(), free_port(socket.SOCK_STREAM)
        assert await forwarder.update([entry(port, port_of(behind))]) == []
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 300_000)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"300000 bytes"
        writer.close()
        behind.close()
        await forwarder.update([])
        with pytest.raises(ConnectionRefusedError):  # nothing listens any more
            await asyncio.open_connection("127.0.0.1", port)

    finish(run())


def test_a_target_that_breaks_off_or_refuses_is_a_reset_for_the_client() -> None:
    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        behind, forwarder, port = await server(answer), Forwarder(), free_port(socket.SOCK_STREAM)
        nobody = free_port(socket.SOCK_STREAM)
        for target in (port_of(behind), nobody):
            assert await forwarder.update([entry(port, target)]) == []
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(ConnectionResetError):
                writer.write(b"?")
                assert await asyncio.wait_for(reader.read(), 10) == b"never"
            writer.close()
        behind.close()
        await forwarder.update([])

    finish(run())


def test_datagrams_find_their_way_back() -> None:
    async def run() -> None:
        class Echo(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, client: Any) -> None:
                self.transport.sendto(data.upper(), client)

        loop = asyncio.get_running_loop()
        behind, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        forwarder, port = Forwarder(), free_port(socket.SOCK_DGRAM)
        target = behind.get_extra_info("sockname")[1]
        assert await forwarder.update([entry(port, target, protocol="UDP")]) == []
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as two,
        ):
            for client, said in ((one, b"first"), (two, b"second"), (one, b"third")):
                client.connect(("127.0.0.1", port))
                await loop.sock_sendall(client, said)
                assert await asyncio.wait_for(loop.sock_recv(client, 100), 10) == said.upper()
        behind.close()
        await forwarder.update([])

    finish(run())


def test_a_port_that_is_taken_is_said_and_the_others_are_served() -> None:
    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"here")
            writer.close()

        behind, forwarder, free = await server(answer), Forwarder(), free_port(socket.SOCK_STREAM)
        (problem,) = await forwarder.update([entry(port_of(behind), 1), entry(free, port_of(behind))])
        assert f"TCP 127.0.0.1:{port_of(behind)}" in problem
        reader, writer = await asyncio.open_connection("127.0.0.1", free)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"here"
        writer.close()
        behind.close()
        await forwarder.update([])

    finish(run())


@given(st.lists(st.sampled_from("abcd"), unique=True, min_size=1), st.booleans(), st.lists(st.sampled_from("xyz")))
def test_every_target_gets_its_turn_and_affinity_keeps_it(targets: list[str], sticky: bool, clients: list[str]) -> None:
    balancer = Balancer()
    balancer.targets, balancer.sticky = [(target, 1) for target in targets], sticky
    chosen = [(client, balancer.pick(client)) for client in clients]
    if sticky:
        assert len(set(chosen)) == len(set(clients))
    else:
        counts = [sum(target == one for _, target in chosen) for one in balancer.targets]
        assert max(counts) - min(counts) <= 1


@given(st.binary(max_size=200))
def test_no_bytes_are_anything_but_a_question_or_a_bad_message(data: bytes) -> None:
    for read in (dns.question, dns.answers):
        found: object = None
        try:
            found = read(data)
        except dns.BadMessage as bad:
            found = bad
        assert found is not None


@given(NAMES, st.sampled_from([dns.A, dns.AAAA, dns.SRV]), st.lists(st.ip_addresses(v=4).map(str), max_size=40))
def test_a_reply_says_what_the_zone_says(name: str, kind: int, addresses: list[str]) -> None:
    message = struct.pack("!6H", 9, 0x0100, 1, 0, 0, 0) + dns.encoded(name) + struct.pack("!2H", kind, 1)
    assert dns.question(message) == (name, kind, len(message))
    records = dns.Zone({"names": {name: addresses}}).records(name, kind)
    assert records is not None
    assert sorted(records) == sorted((dns.A, socket.inet_aton(one)) for one in addresses if kind == dns.A)
    assert dns.answers(dns.reply(message, len(message), records)) == records
    short = dns.reply(message, len(message), records, limit=dns.PLAIN_SIZE)
    truncated = bool(short[2] & 0x02)
    assert len(short) <= dns.PLAIN_SIZE and truncated == (len(message) + 16 * len(records) > dns.PLAIN_SIZE)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=6))
def test_who_is_asked_is_ready_or_else_still_serving(states: list[tuple[bool, bool, bool]]) -> None:
    """KEP-1669: ready endpoints; where there is none, those that end but serve on."""
    endpoints = [
        {"addresses": [f"10.0.0.{index}"], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}}
        for index, (ready, serving, terminating) in enumerate(states)
    ]
    metadata = {"name": "web", "namespace": "shop"}
    service = {"metadata": metadata, "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80}]}}
    part = {
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {services.SERVICE_NAME: "web"}},
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080}],
    }
    (found,) = services.table([service], [part])["forward"]
    asked = [target[0] for target in found["targets"]]
    ready = [f"10.0.0.{index}" for index, state in enumerate(states) if state[0]]
    ending = [f"10.0.0.{index}" for index, state in enumerate(states) if state[1] and state[2]]
    assert asked == (ready or ending)
    assert all(target[1] == 8080 for target in found["targets"])
