"""Who gets in, what is refused before anything is looked at, and that no request ends the process."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import pytest

from tests.sandbox.conftest import APPLY, JSON_PATCH, MERGE, STRATEGIC, RawApi, config_map

pytestmark = pytest.mark.sandbox


PUBLIC = ("/version", "/healthz", "/livez", "/readyz")


@pytest.mark.parametrize("given_token", ["", "Bearer", "Bearer wrong", "Basic eDp5", "Bearer \u00e4"])
@pytest.mark.parametrize("path", ["/api/v1/secrets", "/api", "/openapi/v2", "/nothing", *PUBLIC])
def test_without_the_token_401(api: RawApi, given_token: str, path: str) -> None:
    """But for what a real server tells anybody; a wrong token is refused even there."""
    answer = api.send("GET", path, headers={"Authorization": given_token.encode("utf-8").decode("latin-1")})
    if path in PUBLIC and not given_token.startswith("Bearer "):
        assert answer.code == 200
        return
    assert (answer.code, answer.reason) == (401, "Unauthorized")
    assert answer.body["kind"] == "Status"


@pytest.mark.parametrize("origin", ["https://example.com", "null", "http://127.0.0.1"])
def test_a_web_page_gets_403_even_with_the_token(api: RawApi, origin: str) -> None:
    refused = api.send("GET", "/api/v1/secrets", headers={"Origin": origin})
    assert (refused.code, refused.reason) == (403, "Forbidden")


def test_it_listens_on_loopback_alone(api: RawApi) -> None:
    port = int(api.server.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
        pass


def test_plain_http_is_no_way_in(api: RawApi) -> None:
    port = int(api.server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"gitVersion" not in plain.recv(4096)
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection(("127.0.0.1", port)) as raw:
        context.wrap_socket(raw, server_hostname="localhost")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nothings", "/apis/apps/v1/pods", "/api/v1/namespaces/default/namespaces/x", "/api/v1/pods/x",
        "/api/v1/namespaces/default/pods/x/y/z", "/api/v1/namespaces/default/configmaps/x/status",
        "/api/v1/namespaces//pods", "/api/v1/watch/pods",
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere_are_404(api: RawApi, path: str) -> None:
    missing = api.get(path)
    assert (missing.code, missing.reason) == (404, "NotFound")


@pytest.mark.parametrize(
    "path", ["/x", "/api/v2", "/apis/none.example", "/apis/apps/v2/deployments", "/openapi/v3/apis/none/v1"]
)
def test_paths_of_no_group_get_the_last_handlers_404(api: RawApi, path: str) -> None:
    missing = api.get(path)
    assert (missing.code, missing.body) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/namespaces/default/configmaps/x"),
        ("POST", "/api/v1/configmaps"),
        ("OPTIONS", "/api/v1/namespaces"),
    ],
)
def test_wrong_methods_are_405(api: RawApi, method: str, path: str) -> None:
    refused = api.send(method, path, {})
    assert (refused.code, refused.reason) == (405, "MethodNotAllowed")


def test_what_the_stand_in_does_not_have_is_501_by_name(api: RawApi, namespace: str) -> None:
    refused = api.post(f"/api/v1/namespaces/{namespace}/services/web/proxy", {})
    assert refused.code == 501
    assert "services/proxy" in refused.body["message"]


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b"a: [", "application/yaml", 400),
        (b"a: !!python/object:os.system x", "application/yaml", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "application/json", 400),
        (b"x", "text/plain", 415),
        (b"k8s\x00", "application/vnd.kubernetes.protobuf", 415),
        (b"k8s\x00\x0a\x7f", "application/vnd.kubernetes.protobuf", 400),
        (b"\x0a\x02v1", "application/vnd.kubernetes.protobuf", 400),
        (
            b'{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"' + b"x" * (3 * 1024 * 1024) + b'"}}',
            "application/json",
            413,
        ),
        (json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}).encode(), "application/json", 400),
        (json.dumps({"apiVersion": "v2", "kind": "ConfigMap"}).encode(), "application/json", 400),
        (json.dumps({"kind": "ConfigMap"}).encode(), "application/json", 422),
        (json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": []}).encode(), "application/json", 400),
        (json.dumps({"apiVersion": "v1", "kind": "ConfigMap"}).encode(), "application/json", 422),
        (json.dumps(config_map() | {"data": {"a": 1}}).encode(), "application/json", 400),
        (json.dumps(config_map() | {"data": []}).encode(), "application/json", 400),
    ],
)
def test_bad_bodies(api: RawApi, namespace: str, body: bytes, kind: str, code: int) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    refused = api.send("POST", path, body, kind=kind)
    assert refused.code == code, refused.body
    assert refused.body["kind"] == "Status"
    assert refused.body["code"] == code
    assert {item["metadata"]["name"] for item in api.get(path).ok()["items"]} <= {"kube-root-ca.crt"}


@pytest.mark.parametrize(
    ("kind", "body", "codes"),
    [
        (MERGE, [1], {400}),
        (MERGE, {"kind": "Pod"}, {400}),
        (MERGE, {"metadata": {"name": "other"}}, {400}),
        (MERGE, {"metadata": None}, {200, 400, 422}),
        (MERGE, {"metadata": {"uid": "x"}}, {409}),
        (STRATEGIC, {"$patch": "sideways"}, {400}),
        (STRATEGIC, "text", {400}),
        (JSON_PATCH, {}, {400}),
        (JSON_PATCH, [1], {400}),
        (JSON_PATCH, [{"op": "nothing"}], {422}),
        (JSON_PATCH, [{"op": "remove", "path": ""}], {422, 400}),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": 3}], {422}),
        (JSON_PATCH, [{"op": "replace", "path": "/data", "value": 3}], {422}),
        (APPLY, [1], {400}),
        ("application/json", {}, {415}),
        ("application/apply-patch+cbor", {}, {415}),
    ],
)
def test_bad_patches(api: RawApi, namespace: str, kind: str, body: Any, codes: set[int]) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.post(path, config_map(a="1")).ok()
    answer = api.send("PATCH", f"{path}/conf", body, kind=kind, fieldManager="x")
    assert answer.code in codes, answer.body
    if answer.code >= 400:
        assert api.get(f"{path}/conf").ok() == made
