"""A TLS server on loopback that answers what a test scripts: what an API server does on a bad day, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
import ipaddress
import json
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kfold.stores.credentials import Credentials
from kfold.stores.http import HttpTransport
from kfold.stores.kubeconfig import ContextEntry, ExecPlugin

SERVER_NAME = "inner.test"
Answer = Callable[["Handler"], None]
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop", "uid": "u"},
            "data": {"keep": None}}
SPEAK = ("print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
         " 'status': {'token': f'token-{run}'%s}}))\n")


@dataclass(frozen=True)
class Pair:
    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority with a server's and a client's certificate."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._sign(self._name, self._key.public_key(), ca=True)

    def issue(self, *, names: tuple[str, ...] = (), client: bool = False) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client" if client else "server")])
        certificate = self._sign(subject, key.public_key(), names=names, client=client)
        return Pair(certificate, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool = False,
              names: tuple[str, ...] = (), client: bool = False) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(hours=1))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            alternatives: list[x509.GeneralName] = []
            for name in names:
                try:
                    alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
                except ValueError:
                    alternatives.append(x509.DNSName(name))
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization") or "",
                                 self.rfile.read(length).decode()))
        self.server.headers.append(dict(self.headers))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_DELETE = do_PATCH = do_GET

    def json(self, content: Any, code: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode()
        if "gzip" in headers.values():
            body = gzip.compress(body)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the terminal."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answers: list[Answer] = [lambda handler: handler.json({"ok": True})]
        self.seen: list[tuple[str, str, str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.peers: list[tuple[str, int]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that a test breaks is no news."""

    def get_request(self) -> tuple[Any, Any]:
        made = super().get_request()
        self.peers.append(made[1])
        return made


@dataclass
class Running:
    """A server that runs, its authority, and the kubeconfig entry that leads to it."""

    server: Server
    authority: Authority
    entry: ContextEntry
    names: list[str] = field(default_factory=list)

    def says(self, *answers: Answer) -> None:
        """The next answers, the last one for ever."""
        self.server.answers = list(answers)


@contextlib.contextmanager
def running(folder: Path, *, client_certificates: bool = False, port: int = 0,
            authority: Authority | None = None) -> Iterator[Running]:
    authority = authority or Authority()
    pair = authority.issue(names=("127.0.0.1", SERVER_NAME))
    chain = folder / "server.pem"
    chain.write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    if client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.certificate.decode())
    server = Server(port)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    entry = ContextEntry(name="test", file=folder / "config", cluster="test", user="tester",
                         server=f"https://127.0.0.1:{server.server_port}", ca=authority.certificate, token="the-token")
    try:
        yield Running(server, authority, entry)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, reason: str, message: str, **details: Any) -> Answer:
    """A Status object, as the API server refuses."""
    return lambda handler: handler.json({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                                         "reason": reason, "message": message, "details": details}, code)


def hang_up(handler: Handler) -> None:
    """Breaks the connection instead of answering."""
    handler.close_connection = True
    handler.connection.close()


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def client(entry: ContextEntry, *, seconds: float = 10.0, proxy: str = "") -> HttpTransport:
    return HttpTransport(entry, Credentials(entry, {}), proxy=proxy, answer_seconds=seconds)


def ok(handler: Handler) -> None:
    handler.json({"ok": True})


def plugin(folder: Path, answer: str, *, name: str = "login") -> ExecPlugin:
    """A real program that hands out credentials; it counts its runs and keeps what it was asked."""
    program = folder / name
    program.write_text(f"#!{sys.executable}\nimport os, pathlib, json\n"
                       f"folder = pathlib.Path({str(folder)!r})\n"
                       "with (folder / 'runs').open('a') as file: file.write('x')\n"
                       "(folder / 'asked').write_text(os.environ['KUBERNETES_EXEC_INFO'])\n"
                       f"run = len((folder / 'runs').read_text())\n{answer}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return ExecPlugin("client.authentication.k8s.io/v1", str(program), provide_cluster_info=True)
