"""The Services' container: made from the pause image with this machine's Python mounted into it, and kept fed with tables.

Where that cannot be (the engine runs elsewhere or in a virtual machine, or another C library), Services' names lead to their
Pods by the engine's own aliases (`names`), and `problem` says why.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import ipaddress
import json
import logging
import os
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from kfold.errors import StoreError
from kfold.sandbox.api.resources import ENDPOINTSLICES, SERVICES, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet import services
from kfold.sandbox.kubelet.cleaning import remove
from kfold.sandbox.kubelet.engine import Engine, EngineError

Json = dict[str, Any]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

log = logging.getLogger(__name__)

SETTING = "KFOLD_SANDBOX_SERVICES"
"""`aliases` in the environment: do not even try."""

PROGRAM = "dev.kfold.sandbox.services"
"""The label by which the container is found again; its value is a digest of all that it was made from."""

START_SECONDS = 10.0
"""How long the program may take until it has applied its first table: 0.4 s as a rule."""

TRIES = 3
"""How often its first start is tried."""

RETRY = 1.0
"""Seconds before a container that has ended is made again."""

FOLDER = "app"
STDOUT, STDERR = 1, 2


class ProxyError(StoreError):
    """The program does not run; the text is its own last word."""


class ServiceProxy:
    """Makes and feeds the container.

    `cluster_ips` is the range that it owns, `resolver` the address in it where it answers DNS; `python` the interpreter.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        *,
        label: str,
        network: str,
        image: str,
        cluster_ips: ipaddress.IPv4Network,
        resolver: str,
        python: Path | None = None,
    ) -> None:
        self._store, self._engine = store, engine
        self._label, self._network, self._image = label, network, image
        self._cluster_ips = cluster_ips
        self._python = python or Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._making: asyncio.Task[Stream] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._address = resolver
        self._settled = asyncio.Event()
        self.resolver = ""
        """Once settled: the address of the DNS server that Pods are given; empty where Services are not proxied."""
        self.problem = ""
        """Once settled: why Services are not proxied."""

    def start(self) -> None:
        """Begin; see `settled`."""
        self._unsubscribe = self._store.subscribe(self._on_event)
        self._task = asyncio.create_task(self._run(), name="services")

    async def settled(self) -> None:
        """Returns when Services work, or when it is clear that they will not (`problem`). Pods wait for it, the API not."""
        await self._settled.wait()

    async def stop(self) -> None:
        """Stop feeding; the container works on with its last table."""
        if self._unsubscribe:
            self._unsubscribe()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._making:
            for stream in await asyncio.gather(self._making, return_exceptions=True):
                if not isinstance(stream, BaseException):
                    stream[1].close()

    def _on_event(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> None:
        if resource.key in (SERVICES.key, ENDPOINTSLICES.key):
            self._changed.set()

    async def _run(self) -> None:
        try:
            stream = await self._try()
        finally:
            self._settled.set()
        while stream:
            try:
                await self._feed(stream)
            except (StoreError, OSError) as error:
                log.warning("the Services' proxy: %s", error)
            except Exception:  # a fault of ours must not end Services for good
                log.exception("the Services' proxy")
            stream = await self._again()

    async def _again(self) -> Stream:
        """The container made anew after its end, as often as it takes: the Pods are made for it by now."""
        while True:
            await asyncio.sleep(RETRY)
            try:
                return await self._begin()
            except (StoreError, OSError, TimeoutError) as error:
                log.warning("the Services' proxy does not start: %s", error)

    async def _try(self) -> Stream | None:
        """The first start: it decides whether Services are proxied."""
        try:
            if os.environ.get(SETTING) == "aliases":
                raise ProxyError(f"{SETTING}=aliases is set")
            if sys.platform != "linux":
                raise ProxyError("the Docker Engine runs in a virtual machine, which cannot run this machine's Python")
            stream = await self._begin_at_last()
        except (StoreError, OSError, TimeoutError) as error:
            self.problem = str(error) or f"the proxy did not answer within {START_SECONDS:.0f} s"
            log.warning("Services are not proxied, their names lead straight to Pods: %s", self.problem)
            try:
                await self._discard(await self._engine.containers(self._label, PROGRAM))
            except StoreError as failure:
                log.warning("the Services' container stays until the sandbox ends: %s", failure)
            return None
        self.resolver = self._address
        return stream

    async def _begin_at_last(self) -> Stream:
        """`_begin`, again where the engine had a fault of its own: what is decided holds as long as the sandbox."""
        for _ in range(TRIES - 1):
            try:
                return await self._begin()
            except ProxyError:
                raise
            except StoreError as error:
                if isinstance(error, EngineError) and error.status < 500:
                    raise
                log.warning("the Services' proxy: %s", error)
            await asyncio.sleep(RETRY)
        return await self._begin()

    # --- the container

    async def _begin(self) -> Stream:
        """The container's streams, after it has applied a table. Raises StoreError (ProxyError), TimeoutError."""
        # to its end even when the sandbox ends meanwhile: a container whose making is cut off would never be found
        self._making = asyncio.create_task(self._make())
        reader, writer = await asyncio.shield(self._making)
        try:
            serial = self._send(writer)
            async with asyncio.timeout(START_SECONDS):
                async for answer in _answers(reader):
                    _complain(answer)
                    if answer["serial"] == serial:
                        return reader, writer
        except BaseException:
            writer.close()
            raise
        raise ProxyError("the proxy ended")

    async def _make(self) -> Stream:
        """Find the container or make it; returns its streams."""
        config = self._config()
        archive = _archive()
        digest = hashlib.sha256(json.dumps(config).encode() + archive).hexdigest()[:16]
        found = await self._engine.containers(self._label, PROGRAM)
        usable = next((entry for entry in found if entry["State"] == "running" and entry["Labels"][PROGRAM] == digest), None)
        await self._discard([entry for entry in found if entry is not usable])
        if usable:
            return await self._attach(str(usable["Id"]))
        config["Labels"][PROGRAM] = digest
        container = await self._engine.create_container(f"{self._network}-services", config)
        await self._engine.put_archive(container, archive)
        # before the start: what it says in its first moment is not missed
        stream = await self._attach(container)
        try:
            await self._engine.join(container)
        except BaseException:
            stream[1].close()
            raise
        return stream

    async def _attach(self, container: str) -> Stream:
        return await self._engine.hijack(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1", {})

    async def _discard(self, entries: list[Json]) -> None:
        for entry in entries:
            await remove(self._engine, entry, 0)

    def _config(self) -> Json:
        key, _, value = self._label.partition("=")
        program = f"import sys; sys.path.insert(0, '/{FOLDER}'); from kfold.sandbox.proxy.program import main; main()"
        # -I -S -B: nothing of the environment, no site-packages, no bytecode files
        command = [str(self._python), "-I", "-S", "-B", "-c", program, str(self._cluster_ips), self._address]
        folders = _folders(self._python)
        return {
            "Image": self._image,
            "Entrypoint": command,
            "Labels": {key: value},
            "OpenStdin": True,
            "StopSignal": "SIGKILL",
            "HostConfig": {
                "NetworkMode": self._network,
                "LogConfig": {"Type": "none"},
                "CapDrop": ["ALL"],
                "CapAdd": ["NET_ADMIN", "NET_BIND_SERVICE"],  # to own the cluster IPs; to listen on ports below 1024
                # SELinux would keep a container from reading /usr
                "SecurityOpt": ["no-new-privileges:true", "label=disable"],
                "Mounts": [{"Type": "bind", "Source": path, "Target": path, "ReadOnly": True} for path in folders],
            },
        }

    # --- feeding it

    def _send(self, writer: asyncio.StreamWriter) -> int:
        """Write the table as it is now; returns its serial."""
        self._changed.clear()
        table = services.table(self._store.peek_all(SERVICES), self._store.peek_all(ENDPOINTSLICES))
        table["serial"] = time.time_ns()
        # the newline before it ends a line that a killed server left half-written
        writer.write(b"\n" + json.dumps(table).encode() + b"\n")
        return int(table["serial"])

    async def _feed(self, stream: Stream) -> None:
        reader, writer = stream
        listen = asyncio.create_task(_listen(reader))
        try:
            while not listen.done():
                change = asyncio.create_task(self._changed.wait())
                await asyncio.wait([listen, change], return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                if self._changed.is_set() and not listen.done():
                    self._send(writer)
                    await writer.drain()
            listen.result()
        finally:
            listen.cancel()
            await asyncio.gather(listen, return_exceptions=True)
            writer.close()


async def _listen(reader: asyncio.StreamReader) -> None:
    async for answer in _answers(reader):
        _complain(answer)


def _complain(answer: Json) -> None:
    for problem in answer["problems"]:
        log.warning("the Services' proxy: %s", problem)


async def _answers(reader: asyncio.StreamReader) -> AsyncIterator[Json]:
    """What the program says after each table. Raises ProxyError with its last words on stderr when it has ended."""
    line, said = b"", b""
    while True:
        try:
            # the engine's frames: stream, three zeros, length
            header = await reader.readexactly(8)
            piece = await reader.readexactly(int.from_bytes(header[4:], "big"))
        except asyncio.IncompleteReadError:
            words = said.decode(errors="replace").strip().splitlines()
            raise ProxyError(words[-1] if words else "the proxy ended without a word") from None
        if header[0] == STDERR:
            said = (said + piece)[-4096:]
            continue
        *complete, line = (line + piece).split(b"\n")
        for text in complete:
            yield json.loads(text)


def _folders(python: Path) -> list[str]:
    """The folders that this machine's Python needs: its own, and those of the system's libraries."""
    wanted = [Path(path) for path in ("/usr", "/lib", "/lib64", "/nix/store", sys.base_prefix, sys.base_exec_prefix)]
    wanted.append(python.parent)
    found: list[Path] = []
    for path in wanted:
        if path.is_dir() and not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return [str(path) for path in found]


def _archive() -> bytes:
    """The program's files for the container's root, as a tar archive. The same bytes every time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        sources = sorted(resources.files("kfold.sandbox.proxy").iterdir(), key=lambda entry: entry.name)
        for source in sources:
            if source.name.endswith(".py"):
                data = source.read_bytes()
                member = tarfile.TarInfo(f"{FOLDER}/kfold/sandbox/proxy/{source.name}")
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
    return out.getvalue()
