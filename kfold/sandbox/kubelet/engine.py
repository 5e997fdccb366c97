"""The Docker Engine, by its HTTP API over the unix socket: one small client for everything the kubelet asks of it.

A client of our own, and not a library: the calls are few, they are one HTTP request each, and they have to share the
event loop with the API server. Nothing in here knows what a Pod is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from kfold.errors import StoreError

Json = dict[str, Any]

NEWEST_API = (1, 47)
"""The newest version of the Engine API that this client was written for; older engines answer with their own."""


PATIENCE = 120.0
"""Seconds in which the engine must answer a request, as a kubelet's runtimeRequestTimeout; a stop has its grace on top."""


class EngineError(StoreError):
    """The engine refused: `status` is its HTTP code, the text its own message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def socket_path(environment: Mapping[str, str] | None = None) -> Path:
    """The unix socket of the engine that `docker` itself would talk to: DOCKER_HOST, then the current docker context.

    Raises StoreError when that engine is not reached over a unix socket.
    """
    env = os.environ if environment is None else environment
    host = env.get("DOCKER_HOST", "")
    if not host:
        host = _context_host(env) or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        raise StoreError(
            f"the sandbox needs a Docker Engine on this machine's unix socket, not {host.split('://')[0]}://",
            hint="unset DOCKER_HOST or set it to unix:///path/to/docker.sock",
        )
    return Path(host.removeprefix("unix://"))


def _context_host(env: Mapping[str, str]) -> str:
    """The host of docker's current context. Docker Desktop and colima are reached only by it; "default" has no file."""
    folder = Path(env.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        name = env.get("DOCKER_CONTEXT") or json.loads((folder / "config.json").read_text()).get("currentContext", "")
        if not name or name == "default":
            return ""
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text())
        return str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, AttributeError):
        return ""


class Endpoints:
    """Whose turn it is to change who is in a network: containers join it together, and leave it one at a time.

    Engines before 25 (20.10 for one) count a network's endpoints in an object that concurrent calls share. Joins hold the
    network's own lock there, leaves hold none: where one meets another call, the count stays too high, "has active
    endpoints" is the answer to the network's removal, and its range is lost until the engine is started anew. Three
    networks of 20 containers, each disconnected twice, lost one; with turns none of twelve.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._joining = 0
        self._nobody_joins = asyncio.Event()
        self._nobody_joins.set()

    @contextlib.asynccontextmanager
    async def joining(self) -> AsyncIterator[None]:
        async with self._turn:  # in the order of coming: neither side waits for ever
            self._joining += 1
            self._nobody_joins.clear()
        try:
            yield
        finally:
            self._joining -= 1
            if not self._joining:
                self._nobody_joins.set()

    @contextlib.asynccontextmanager
    async def leaving(self) -> AsyncIterator[None]:
        async with self._turn:
            await self._nobody_joins.wait()
            yield


class Engine:
    """One engine. Every method raises EngineError for what the engine refuses, StoreError when it cannot be reached."""

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.path = path
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None
        self._base = "http://docker"
        self._endpoints = Endpoints()

    async def open(self) -> None:
        """Connect and agree on a version of the API. Raises StoreError when nothing answers."""
        connector = aiohttp.UnixConnector(path=str(self.path), limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        try:
            async with self._session.get("http://docker/_ping", timeout=aiohttp.ClientTimeout(total=10)) as response:
                offered = tuple(int(part) for part in response.headers.get("Api-Version", "1.41").split("."))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise StoreError(
                f"no Docker Engine answers on {self.path}: {error}", hint="start Docker, or set DOCKER_HOST"
            ) from error
        except BaseException:
            await self.close()
            raise
        version = min(offered, NEWEST_API)
        self._base = f"http://docker/v{version[0]}.{version[1]}"

    async def close(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    # -- requests

    async def call(self, method: str, path: str, body: object = None, /, *, longer: float = 0.0, **query: object) -> Any:
        """One request. `query` values of None are left out, booleans become 1/0, dicts and lists JSON.

        `longer`: seconds that it may take beyond the usual. Raises EngineError for a refusal, StoreError where there is no
        answer, or none that can be read.
        """
        try:
            async with (
                asyncio.timeout(self._patience + longer),
                await self.open_stream(method, path, body, **query) as response,
            ):
                text = await response.read()
            if not text or "json" not in response.headers.get("Content-Type", ""):
                return None
            return json.loads(text.split(b"\n", 1)[0] if b"\n{" in text.strip() else text)
        except TimeoutError as error:
            why = f"the Docker Engine did not answer {method} {path} in {self._patience + longer:g} s"
            raise StoreError(why) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise StoreError(f"the Docker Engine broke off in {method} {path}: {error}") from error

    async def open_stream(self, method: str, path: str, body: object = None, /, **query: object) -> aiohttp.ClientResponse:
        """The same, with the body of the answer not yet read. The caller closes the response."""
        if self._session is None:
            raise StoreError("the connection to the Docker Engine is closed")
        keywords: Json = {"params": {key: _query(value) for key, value in query.items() if value is not None}}
        if isinstance(body, bytes):
            keywords |= {"data": body, "headers": {"Content-Type": "application/x-tar"}}
        elif body is not None:
            keywords["json"] = body
        try:
            response = await self._session.request(method, self._base + path, **keywords)
        except (aiohttp.ClientError, OSError) as error:
            raise StoreError(f"the Docker Engine on {self.path} does not answer: {error}") from error
        if response.status >= 400:
            async with response:
                text = await response.text()
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                message = text.strip() or f"HTTP {response.status}"
            raise EngineError(response.status, message)
        return response

    async def hijack(self, path: str, body: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A request that the engine turns into a raw two-way stream (exec, attach). The caller closes the writer.

        By hand: aiohttp's client does not give the connection away after "101 UPGRADED".
        """
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.path))
        except OSError as error:
            raise StoreError(f"the Docker Engine on {self.path} does not answer: {error}") from error
        data = json.dumps(body).encode()
        route = self._base.removeprefix("http://docker") + path
        writer.write(
            f"POST {route} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        try:
            async with asyncio.timeout(self._patience):
                head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
        except (OSError, EOFError, ValueError, LookupError) as error:
            writer.close()
            raise StoreError(f"the Docker Engine broke off in POST {path}: {error}") from error
        if status not in (101, 200):
            text = await reader.read(65536)
            writer.close()
            raise EngineError(status, text.decode(errors="replace").strip())
        return reader, writer

    # -- containers

    async def containers(self, *labels: str) -> list[Json]:
        """Containers, running or not, that carry all of `labels` ("key=value")."""
        found: list[Json] = await self.call("GET", "/containers/json", all=True, filters={"label": list(labels)})
        return found

    async def create_container(self, name: str, config: Json) -> str:
        """The ID of the new container."""
        created = await self.call("POST", "/containers/create", config, name=name)
        return str(created["Id"])

    async def start(self, container: str) -> None:
        """Start a container that has no place in a network of its own; see `join`."""
        await self.call("POST", f"/containers/{container}/start")

    async def resize(self, container: str, limits: Json) -> None:
        """Change what a container may use (see configuration.resources) while it runs."""
        if memory := limits.get("Memory"):
            limits = {**limits, "MemorySwap": 2 * memory}  # the engine's default, which it does not raise by itself
        await self.call("POST", f"/containers/{container}/update", limits)

    async def inspect(self, container: str) -> Json:
        found: Json = await self.call("GET", f"/containers/{container}/json")
        return found

    async def stop(self, container: str, grace: int) -> None:
        """Stop signal, then SIGKILL after `grace` seconds; returns when it has stopped, or was never there."""
        await self._unless_gone(self.call("POST", f"/containers/{container}/stop", longer=grace, t=grace))

    async def remove_container(self, container: str) -> None:
        """Remove a stopped container with its anonymous volumes; one that is gone already is fine."""
        await self._unless_gone(self.call("DELETE", f"/containers/{container}", v=True))

    async def put_archive(self, container: str, tar: bytes, path: str = "/") -> None:
        await self.call("PUT", f"/containers/{container}/archive", tar, path=path)

    async def get_file(self, container: str, path: str) -> bytes:
        """The contents of one file."""
        async with await self.open_stream("GET", f"/containers/{container}/archive", path=path) as response:
            packed = await response.read()
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            found = tar.extractfile(tar.next() or "")
            return found.read() if found else b""

    async def exec_create(self, container: str, config: Json) -> str:
        created = await self.call("POST", f"/containers/{container}/exec", config)
        return str(created["Id"])

    # -- images

    async def image(self, reference: str) -> Json | None:
        """What the engine knows of a local image; None when it has none of that name."""
        try:
            found: Json = await self.call("GET", f"/images/{quote(reference, safe='/:@')}/json")
        except EngineError as error:
            if error.status in (400, 404):
                return None
            raise
        return found

    async def pull(self, reference: str) -> None:
        """Pull from its registry. Raises EngineError with the registry's words."""
        # Without a tag the engine would fetch every tag of the repository.
        last = reference.rsplit("/", 1)[-1]
        tag = None if ":" in last or "@" in last else "latest"
        async with await self.open_stream("POST", "/images/create", fromImage=reference, tag=tag) as response:
            try:
                async for line in response.content:
                    if line.strip() and "error" in (event := json.loads(line)):
                        raise EngineError(500, str(event["error"]))
            except (aiohttp.ClientError, ValueError) as error:
                raise StoreError(f"the Docker Engine broke off while it pulled {reference}: {error}") from error

    async def import_image(self, reference: str, tar: bytes, changes: list[str]) -> None:
        """An image from a file system; `changes` are Dockerfile instructions ("CMD …", "LABEL …")."""
        name, _, tag = reference.partition(":")
        # `changes` is a repeated parameter, which the keyword form above cannot say.
        query = "&".join(f"changes={quote(change)}" for change in changes)
        path = f"/images/create?fromSrc=-&repo={quote(name, safe='')}&tag={quote(tag)}&{query}"
        async with await self.open_stream("POST", path, tar) as response:
            await response.read()

    async def remove_image(self, reference: str) -> None:
        """Take one name from an image, and the image with its last name; never by force."""
        await self._unless_gone(self.call("DELETE", f"/images/{quote(reference, safe='/:@')}"))

    # -- networks and volumes

    async def network(self, name: str) -> Json | None:
        try:
            found: Json = await self.call("GET", f"/networks/{name}")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def create_network(self, config: Json) -> None:
        await self.call("POST", "/networks/create", config)

    async def remove_network(self, name: str) -> None:
        await self._unless_gone(self.call("DELETE", f"/networks/{name}"))

    async def join(self, container: str) -> None:
        """Start a container that was created with a network."""
        async with self._endpoints.joining():
            await self.start(container)

    async def leave(self, network: str, container: str) -> None:
        """Take a container out of its network, before it is stopped: what its end would do by itself, in its turn."""
        with contextlib.suppress(EngineError):  # it is in the network no more; if it still is, its end takes it out
            await self.disconnect(network, container)

    async def connect(self, network: str, container: str, endpoint: Json) -> None:
        body = {"Container": container, "EndpointConfig": endpoint}
        async with self._endpoints.joining():
            await self.call("POST", f"/networks/{network}/connect", body)

    async def disconnect(self, network: str, container: str) -> None:
        async with self._endpoints.leaving():
            await self.call("POST", f"/networks/{network}/disconnect", {"Container": container})

    async def create_volume(self, name: str, labels: dict[str, str]) -> str:
        """Where it is on the engine's host; one that is there already stays as it is."""
        made = await self.call("POST", "/volumes/create", {"Name": name, "Labels": labels})
        return str(made["Mountpoint"])

    async def volumes(self, *labels: str) -> list[Json]:
        found = await self.call("GET", "/volumes", filters={"label": list(labels)})
        return list(found.get("Volumes") or [])

    async def remove_volume(self, name: str) -> None:
        await self._unless_gone(self.call("DELETE", f"/volumes/{name}"))

    # -- events

    async def events(self, filters: Json) -> AsyncIterator[Json]:
        """What happens from now on, until the engine ends the stream."""
        async with await self.open_stream("GET", "/events", filters=filters) as response:
            yield {"Type": "connected"}  # the stream is open: whoever asks for states now misses nothing after it
            try:
                async for line in response.content:
                    if line.strip():
                        yield json.loads(line)
            except aiohttp.ClientError:
                return

    async def _unless_gone(self, request: Any) -> None:
        try:
            await request
        except EngineError as error:
            if error.status not in (304, 404):  # 304: it has stopped already
                raise


def _query(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)
