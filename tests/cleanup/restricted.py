"""A cluster as a user sees it whose roles cover some namespaces alone: everything else is answered with 403."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

_NAMESPACE = re.compile(r"/namespaces/([^/?]+)/")
_DISCOVERY = re.compile(r"/(version|openapi(/.*)?|api(/v1)?|apis(/[^/]+(/[^/]+)?)?)$")


class Restricted(ThreadingHTTPServer):
    """Stands before the API server, and lets pass what is asked about `namespaces`. `refused`: what it did not let pass."""

    daemon_threads = True

    def __init__(self, kubeconfig: Path, namespaces: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.host = cluster["server"].removeprefix("https://")
        self.tls = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        self.authorization = f"Bearer {user['token']}"
        self.namespaces = namespaces
        self.refused: list[str] = []

    def kubeconfig(self, file: Path, namespace: str) -> Path:
        """What leads here."""
        server = f"http://127.0.0.1:{self.server_address[1]}"
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "restricted",
            "contexts": [{"name": "restricted", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": {}}],
        }))  # fmt: skip
        return file


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Restricted

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        inside = _NAMESPACE.search(path)
        allowed = inside.group(1) in self.server.namespaces if inside else bool(_DISCOVERY.match(path))
        if not allowed:
            self.server.refused.append(f"{self.command} {path}")
            message = f'User "restricted" cannot do that: {self.command} {path}'
            told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403}
            self._answer(403, json.dumps({**told, "message": message}).encode(), "application/json")
            return
        connection = http.client.HTTPSConnection(self.server.host, context=self.server.tls, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() in ("accept", "content-type")}
        try:
            connection.request(self.command, self.path, body, {**kept, "Authorization": self.server.authorization})
            answer = connection.getresponse()
            self._answer(answer.status, answer.read(), answer.headers["Content-Type"])
        finally:
            connection.close()

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass

    def _answer(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def restricted(kubeconfig: Path, *namespaces: str) -> Iterator[Restricted]:
    """It, serving."""
    server = Restricted(kubeconfig, set(namespaces))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
