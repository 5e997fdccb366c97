"""Probes and lifecycle hooks: one action (exec, HTTP, TCP) against a container, and when it is repeated.

Requests go from this process to the Pod, as a kubelet's do: `reach` says where a port of it is found from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp

from kfold.errors import StoreError
from kfold.sandbox.kubelet.engine import Engine, EngineError

Json = dict[str, Any]
Reach = Callable[[int], tuple[str, int]]
"""A port of a Pod -> (address, port) where this process reaches it. Raises StoreError where it cannot."""


class Failed(Exception):
    """A probe or hook did not succeed; the text is what an Event says."""


class Unclear(Failed):
    """The engine could not be asked: the container is neither well nor ill for that (a kubelet's probe result Unknown)."""


async def act(engine: Engine, container: str, spec: Json, reach: Reach, action: Json, limit: float | None = None) -> None:
    """Run one probe or hook (`exec`, `httpGet`, `tcpSocket`, `sleep`) within `limit` seconds. Raises Failed."""
    try:
        async with asyncio.timeout(limit):
            if command := (action.get("exec") or {}).get("command"):
                await _run(engine, container, command)
            elif request := action.get("httpGet"):
                await _http(spec, reach, request)
            elif target := action.get("tcpSocket"):
                place = _place(spec, reach, target)
                with _dialling(*place):
                    _, writer = await asyncio.open_connection(*place)
                    writer.close()
            elif pause := action.get("sleep"):
                await asyncio.sleep(pause["seconds"])
            elif "grpc" in action:
                raise Failed("the sandbox does not have gRPC probes")
    except TimeoutError as error:
        raise Failed(f"timed out after {limit:g} s" if limit else "timed out") from error
    except (OSError, aiohttp.ClientError, StoreError) as error:
        unclear = "exec" in action and not (isinstance(error, EngineError) and error.status < 500)
        raise (Unclear if unclear else Failed)(str(error) or type(error).__name__) from error


async def _run(engine: Engine, container: str, command: list[str]) -> None:
    config = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
    run = await engine.exec_create(container, config)
    async with await engine.open_stream("POST", f"/exec/{run}/start", {"Detach": False, "Tty": False}) as response:
        output = await response.content.read(10240)
        async for _ in response.content.iter_any():
            pass
    code = (await engine.call("GET", f"/exec/{run}/json"))["ExitCode"]
    if code:
        text = output[8:].decode(errors="replace").strip()  # the first frame's header is 8 bytes
        raise Failed(text or f'command "{shlex.join(command)}" exited with {code}')


@contextlib.contextmanager
def _dialling(host: str, port: int, request: str = "") -> Iterator[None]:
    """Say a connection that cannot be made in the words of a kubelet (Go's), not in those of asyncio."""
    try:
        yield
    except OSError as error:
        if not error.errno or error.errno < 0:  # a name that is not found has an error number of its own
            raise
        raise Failed(f"{request}dial tcp {host}:{port}: connect: {os.strerror(error.errno).lower()}") from error


def _place(spec: Json, reach: Reach, target: Json) -> tuple[str, int]:
    port = port_number(spec, target["port"])
    return (target["host"], port) if target.get("host") else reach(port)


async def _http(spec: Json, reach: Reach, request: Json) -> None:
    host, port = _place(spec, reach, request)
    scheme = request.get("scheme", "HTTP").lower()
    path = request.get("path") or "/"
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    headers = {header["name"]: header["value"] for header in request.get("httpHeaders") or []}
    headers.setdefault("User-Agent", "kube-probe/kfold-sandbox")
    # A kubelet does not verify certificates either, and does not follow redirects to other hosts.
    with _dialling(host, port, f'Get "{url}": '):
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False, allow_redirects=False) as response,
        ):
            if not 200 <= response.status < 400:
                raise Failed(f"HTTP probe failed with statuscode: {response.status}")


def port_number(spec: Json, port: object) -> int:
    """A port given as number, or by the name of one of the container's ports. Raises Failed."""
    if isinstance(port, int) or str(port).isdigit():
        return int(str(port))
    for declared in spec.get("ports") or []:
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise Failed(f"the container has no port named {port}")


async def results(
    probe: Json, check: Callable[[float], Awaitable[None]], *, hurry: bool = False
) -> AsyncIterator[tuple[bool, bool, str]]:
    """(passed, threshold reached, why not) of each try, for ever; `check(timeout in seconds)` raises Failed.

    `hurry`: until the first pass, try every second whatever the period. So does a kubelet with readiness probes, "to make
    the Pod ready faster"; start-up and liveness probes count failures against time and must keep to theirs.
    """
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    period = float(probe.get("periodSeconds") or 10)
    thresholds = {True: int(probe.get("successThreshold") or 1), False: int(probe.get("failureThreshold") or 3)}
    last, in_row = False, 0
    while True:
        why = ""
        try:
            await check(float(probe.get("timeoutSeconds") or 1))
            passed = True
        except Unclear:
            await asyncio.sleep(period)
            continue
        except Failed as error:
            passed, why = False, str(error)
        in_row = in_row + 1 if passed == last else 1
        last = passed
        hurry = hurry and not passed
        yield passed, in_row >= thresholds[passed], why
        await asyncio.sleep(min(period, 1.0) if hurry else period)
