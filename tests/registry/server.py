"""Debian's docker-registry on this machine, for tests: real, in a folder of its own, with what a test wants of it.

And a front before it, which a test tells to fail: what a registry in trouble answers, the one behind it does not do at will.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.registry_interface import MEDIA_TYPES
from tests.conftest import engine_is_required
from tests.engine import wait_until

USER, PASSWORD = "somebody", "secret"
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"


def require_registry() -> str:
    """The program; skips where there is none, or fails where real parts are required."""
    program = shutil.which("docker-registry")
    if program is None:
        message = "docker-registry is not installed (Debian: apt-get install docker-registry)"
        if engine_is_required():
            pytest.fail(message)
        pytest.skip(message)
    return program


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A docker-registry. It may be stopped and started again; its port and data stay."""

    folder: Path
    address: str = "127.0.0.1"
    delete: bool = True
    login: bool = False
    auth: Mapping[str, Any] = field(default_factory=dict)
    tls: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    def start(self) -> None:
        program = require_registry()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.address)
        auth = dict(self.auth)
        if self.login:
            (self.folder / "htpasswd").write_text(_HTPASSWD)
            auth = {"htpasswd": {"realm": "kfold", "path": str(self.folder / "htpasswd")}}
        config = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data")},
                "delete": {"enabled": self.delete},
            },
            "http": {"addr": self.host, **({"tls": dict(self.tls)} if self.tls else {})},
            **({"auth": auth} if auth else {}),
        }
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(self.folder / "config.yml")], stdout=log, stderr=log, start_new_session=True
            )
        process = self._process

        def listens() -> bool:
            assert process.poll() is None, self.log()
            with socket.socket() as probe:
                return probe.connect_ex((self.address, self.port)) == 0

        wait_until(listens, f"a registry on {self.host}", tell=self.log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def ended(self) -> bool:
        """Whether it does not run: somebody else may have killed it."""
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def requests(self) -> list[str]:
        """What was asked so far, as `HEAD /v2/web/manifests/1 200`."""
        found = []
        for line in self.log().splitlines():
            quoted = line.split('"')
            if len(quoted) > 2 and quoted[1].endswith(("HTTP/1.1", "HTTP/2.0")):
                found.append(f"{quoted[1].rsplit(' ', 1)[0]} {quoted[2].split()[0]}")
        return found

    # what it holds, asked by a client that is none of ours

    def get(self, path: str, method: str = "GET") -> tuple[int, Mapping[str, str], bytes]:
        asked = urllib.request.Request(f"http://{self.host}/v2/{path}", method=method)
        asked.add_header("Accept", ", ".join(MEDIA_TYPES))
        if self.login:
            asked.add_header("Authorization", f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}")
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()

    def digest(self, repository: str, reference: str) -> str:
        """"" where there is nothing."""
        status, headers, _ = self.get(f"{repository}/manifests/{reference}", "HEAD")
        return headers["docker-content-digest"] if status == 200 else ""

    def state(self) -> dict[str, str]:
        """Every tag with its digest, and every manifest (tagged or not) by its own."""
        root = self.folder / "data" / "docker" / "registry" / "v2" / "repositories"
        found = {}
        for manifests in root.glob("**/_manifests"):
            repository = str(manifests.parent.relative_to(root))
            for tag in (manifests / "tags").glob("*"):
                if digest := self.digest(repository, tag.name):
                    found[f"{repository}:{tag.name}"] = digest
            for link in (manifests / "revisions" / "sha256").glob("*/link"):
                digest = link.read_text()
                found[f"{repository}@{digest}"] = self.digest(repository, digest)
        return found


@contextmanager
def registry(folder: Path, **settings: Any) -> Iterator[Server]:
    """A running registry; stopped at the end, however the test ended."""
    server = Server(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Reply:
    """What the front answers in the place of the registry. `status` 0: it hangs up without a word."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Decide = Callable[[str, str], Reply | None]
"""(method, path) -> an answer of the front's own, or None: the registry behind it answers."""


class Front:
    """An HTTP server that passes everything on to a registry, but for what `decide` answers. `asked`: all that came."""

    def __init__(self, behind: Server) -> None:
        self.behind = behind
        self.decide: Decide = lambda method, path: None
        self.asked: list[str] = []
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                front.pass_on(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the tests' own output."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def fail(self, times: int, reply: Reply, *, method: str = "", path: str = "") -> None:
        """The next `times` requests of that method and with `path` in theirs get `reply`."""
        left = [times]

        def decide(asked: str, where: str) -> Reply | None:
            if left[0] and method in ("", asked) and path in where:
                left[0] -= 1
                return reply
            return None

        self.decide = decide

    def pass_on(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        length = int(handler.headers.get("Content-Length") or 0)
        chunked = handler.headers.get("Transfer-Encoding") == "chunked"
        body = _chunks(handler) if chunked else handler.rfile.read(length)
        reply = self.decide(handler.command, handler.path)
        if reply is None:
            reply = self._ask(handler, body)
        if not reply.status:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(reply.status)
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(reply.body)

    def _ask(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Reply:
        connection = http.client.HTTPConnection(self.behind.address, self.behind.port, timeout=60)
        try:
            skipped = ("transfer-encoding", "content-length", "connection")
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in skipped}
            connection.request(handler.command, handler.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            passed = {name: value for name, value in answer.getheaders() if name.lower() not in skipped}
            if handler.command == "HEAD":
                passed["Content-Length"] = answer.getheader("Content-Length") or "0"
            return Reply(answer.status, content, passed)
        except OSError:
            return Reply(0)
        finally:
            connection.close()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _chunks(handler: http.server.BaseHTTPRequestHandler) -> bytes:
    body = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


@contextmanager
def front(behind: Server) -> Iterator[Front]:
    made = Front(behind)
    try:
        yield made
    finally:
        made.close()


def docker_config(folder: Path, host: str, *, helper: str = "", others: Mapping[str, str] | None = None) -> dict[str, str]:
    """A folder with Docker's configuration: the login for `host` (or the helper to ask), and helpers of others.

    Returns the environment that leads there. The client's plug-ins stay reachable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    for name in ("cli-plugins", "contexts"):
        if (own / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(own / name)
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    config: dict[str, Any] = {"credHelpers": dict(others or {})}
    if helper:
        config["credHelpers"][host] = helper
    else:
        config["auths"] = {host: {"auth": auth}}
    (folder / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(folder)}


def helper(folder: Path, name: str, script: str) -> None:
    """A credential helper: a shell script, which must be on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def bridge_address() -> str:
    """This machine's address in docker's default network: not loopback, and the engine reaches it."""
    (network,) = json.loads(subprocess.check_output(["docker", "network", "inspect", "bridge"]))
    return str(network["IPAM"]["Config"][0]["Gateway"])
