"""A client of the embedded cluster's API that shows codes and bodies as they are, and namespaces of a test's own."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.engine import wait_until

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass
class Answer:
    code: int
    body: Any
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    def ok(self) -> Any:
        """The body; fails the test where the request was refused."""
        assert self.code < 300, f"{self.code}: {self.body}"
        return self.body


class RawApi:
    """Plain HTTP over TLS, with the token of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.token = config["users"][0]["user"]["token"]
        self.server = cluster["server"]
        self._context = ssl.create_default_context(cadata=authority)

    def connect(self, timeout: float = 30.0) -> http.client.HTTPSConnection:
        host = self.server.removeprefix("https://")
        return http.client.HTTPSConnection(host, context=self._context, timeout=timeout)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """One request. `body`: bytes go as they are, anything else as JSON."""
        if query:
            path += ("&" if "?" in path else "?") + urlencode(query)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, **(headers or {})}
        connection = self.connect()
        try:
            connection.request(method, path, body=data, headers={k: v for k, v in sent.items() if v})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status, json.loads(text) if is_json else text.decode(), dict(response.headers))

    def get(self, path: str, **query: Any) -> Answer:
        return self.send("GET", path, **query)

    def post(self, path: str, body: Any, **query: Any) -> Answer:
        return self.send("POST", path, body, **query)

    def put(self, path: str, body: Any, **query: Any) -> Answer:
        return self.send("PUT", path, body, **query)

    def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return self.send("DELETE", path, body, **query)

    def apply(self, path: str, config: Any, manager: str = "kfold", **query: Any) -> Answer:
        return self.send("PATCH", path, config, kind=APPLY, fieldManager=manager, **query)

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Events until the server ends the stream (timeoutSeconds, which must be given)."""
        assert "timeoutSeconds" in query
        connection = self.connect()
        try:
            connection.request(
                "GET", f"{path}?watch=1&{urlencode(query)}", headers={"Authorization": f"Bearer {self.token}"}
            )
            response = connection.getresponse()
            assert response.status == 200, response.read()
            for line in response:
                if line.strip():
                    yield json.loads(line)
        finally:
            connection.close()


def wait_for(what: Callable[[], Any], *, seconds: float = 30.0, text: str = "the condition") -> Any:
    """The first true value of `what`, asked again and again; fails after the deadline."""
    return wait_until(what, text, seconds=seconds, tell=lambda: f"now: {what()!r}")


@pytest.fixture(scope="session")
def api(sandbox_cluster: Any) -> RawApi:
    return RawApi(sandbox_cluster.kubeconfig)


_numbers = itertools.count()


@pytest.fixture
def namespace(api: RawApi) -> Iterator[str]:
    """The name of a namespace of the test's own; deleted at its end."""
    name = f"t{next(_numbers)}"
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).ok()
    yield name
    api.delete(f"/api/v1/namespaces/{name}").ok()


def config_map(name: str = "conf", **data: str) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return body | ({"data": data} if data else {})


def deployment(name: str = "web", replicas: int = 0, **container: Any) -> dict[str, Any]:
    """Of no replicas unless asked for: what is tested here is the API."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "none:1", **container}]},
            },
        },
    }
