"""The program's beginning: takes the range of cluster IPs, and does what the tables on stdin say."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
import struct
import sys
from pathlib import Path

from kfold.sandbox.proxy import dns
from kfold.sandbox.proxy.forwarding import Forwarder

TABLE_BYTES = 64 * 1024 * 1024
"""The longest line on stdin."""


def main() -> None:
    """Arguments: the range of cluster IPs ("10.96.0.0/16") and the DNS server's address in it."""
    asyncio.run(_run(ipaddress.IPv4Network(sys.argv[1]), sys.argv[2]))


async def _run(services: ipaddress.IPv4Network, resolver: str) -> None:
    take(services)
    server, forwarder = dns.Server((_upstream(Path("/etc/resolv.conf").read_text()), 53)), Forwarder()
    await server.open(resolver)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=TABLE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            table = json.loads(line)
        except ValueError:  # the sandbox's server was killed while it wrote this line: a new one sends its own
            continue
        server.zone = dns.Zone(table)
        problems = await forwarder.update(table["forward"])
        sys.stdout.write(json.dumps({"serial": table["serial"], "problems": problems}) + "\n")
        sys.stdout.flush()
    await asyncio.Event().wait()  # nobody writes any more: what is known goes on


def take(network: ipaddress.IPv4Network) -> None:
    """Make every address of the network one of this machine's own ("AnyIP"): `ip route add local NETWORK dev lo`.

    Then the kernel answers ARP for all of them, and a socket can listen on any. Needs CAP_NET_ADMIN; rtnetlink(7), in this
    machine's byte order. Raises OSError.
    """
    link = socket.if_nametoindex("lo")
    # struct rtmsg: family, bits of destination and source, tos; table LOCAL, protocol BOOT, scope HOST, type LOCAL; flags
    route = struct.pack("=8BI", socket.AF_INET, network.prefixlen, 0, 0, 255, 3, 254, 2, 0)
    destination = struct.pack("=2H4s", 8, 1, network.network_address.packed)  # RTA_DST
    device = struct.pack("=2HI", 8, 4, link)  # RTA_OIF
    body = route + destination + device
    # RTM_NEWROUTE; flags REQUEST, ACK, CREATE, REPLACE
    header = struct.pack("=I2H2I", 16 + len(body), 24, 0x1 | 0x4 | 0x400 | 0x100, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(header + body)
        (code,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if code:
        raise OSError(-code, f"{os.strerror(-code)}: the range {network} cannot be taken")


def _upstream(configuration: str) -> str:
    """The first name server of resolv.conf: the engine's own, in a container on a network of its own."""
    servers = [line.split()[1] for line in configuration.splitlines() if line.startswith("nameserver ")]
    return servers[0] if servers else "127.0.0.11"
