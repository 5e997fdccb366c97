"""Bad input to the API, of every kind: it is refused as a client's mistake, or stored so that all can read it again.

The bodies follow the schema that the server itself goes by, with a value here and there that does not; the server runs
in this process, so that a hundred requests take no longer than one over TLS.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfold.sandbox.api.auth import Guard
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.customresources import CustomResources
from kfold.sandbox.api.handlers import Api
from kfold.sandbox.api.protobuf import TYPE as PROTOBUF
from kfold.sandbox.api.resources import BUILTIN, CUSTOMRESOURCEDEFINITIONS, NAMESPACES, PODS, Resource
from kfold.sandbox.api.schema import Node, Schema
from kfold.sandbox.server import bootstrap, open_store
from tests.sandbox.conftest import APPLY, JSON_PATCH, MERGE, STRATEGIC, config_map

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
SCHEMA = Schema()
FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))


class Server:
    """The API without a node: no controllers, no kubelet."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.store, schema = open_store(None)
        CustomResources(self.store).start()
        bootstrap(self.store, 1)
        self.client = TestClient(TestServer(Api(Cluster(self.store, schema), Guard("t")).application()))
        await self.client.start_server()

    def send(self, method: str, path: str, body: Any = None, *, kind: str = "", accept: str = "", **query: str) -> Any:
        """(code, body). `body`: bytes go as they are, anything else as JSON."""

        async def ask() -> Any:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            headers = {"Authorization": "Bearer t", "Content-Type": kind or "application/json", "Accept": accept or "*/*"}
            async with self.client.request(method, path, data=data, headers=headers, params=query) as response:
                return response.status, json.loads(await response.read(), parse_constant=pytest.fail)

        return self.runner.run(ask())

    def refused(self, answer: Any) -> bool:
        """Whether it was; fails where the refusal is none of a client's mistake."""
        code, body = answer
        if code < 300:
            return False
        # the real server answers these two with 500 too
        known = ("failed to create typed patch object", "resourceVersion should not be set")
        named = (400, 403, 404, 405, 409, 413, 415, 422, 501, 504)
        assert code in named or any(text in body["message"] for text in known), body
        assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", code)
        assert body["message"] and (body["reason"] or code == 500), body
        return True

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.store.close()
        self.runner.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.sampled_from(
    ["", "a", "b", "web", "a.b/c", "-", "Ä", "x" * 64, "None", "Always", "Never", "NodePort", "ClusterIP", "ExternalName",
     "RollingUpdate", "10.96.0.9", "In", "Exists", "object", "array", "v1", "default", "Cluster", "kubernetes.io/tls"]
)  # fmt: skip
NUMBERS = st.sampled_from([-1, 0, 1, 80, 65536, 2**31, 2**63, -(2**63)])
SCALARS = {
    "string": TEXTS,
    "int32": NUMBERS,
    "int64": NUMBERS,
    "number": NUMBERS | st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "bytes": st.sampled_from(["", "YQ==", "?", "YQ"]),
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "", "yesterday", "9999-99-99T99:99:99Z"]),
    "quantity": st.sampled_from(["1", "100m", "1.5Gi", "", "-1", "1e9", "1e999999999", "x", 3, 0.1]),
    "int-or-string": NUMBERS | st.sampled_from(["25%", "http", "-1%", ""]),
}


@st.composite
def values(draw: st.DrawFn, node: Node, depth: int = 0) -> Any:
    """A value for a place in an object: one that fits its type, but for every thirtieth."""
    if not draw(st.integers(0, 29)):
        return draw(ANYTHING)
    if node.form == "any":
        return draw(ANYTHING)
    if node.form == "scalar":
        return draw(SCALARS.get(node.scalar, TEXTS))
    if node.form == "list":
        return [draw(values(node.item, depth + 1)) for _ in range(draw(st.integers(0, 2)) if depth < 9 else 0)]
    if node.form == "map":
        return {draw(TEXTS): draw(values(node.item, depth + 1)) for _ in range(draw(st.integers(0, 2)))}
    if not node.fields:
        return {}
    some = draw(st.lists(st.sampled_from(sorted(node.fields)), max_size=4 if depth < 6 else 1, unique=True))
    chosen = {*some, *node.required} if draw(st.integers(0, 5)) else set(some)
    return {key: draw(values(node.fields[key], depth + 1)) for key in sorted(chosen) if depth < 12}


@st.composite
def bodies(draw: st.DrawFn, resource: Resource) -> Any:
    """An object of that kind under one of three names."""
    body = draw(values(SCHEMA.of(resource)))
    if isinstance(body, dict) and draw(st.integers(0, 19)):
        body |= {"apiVersion": resource.api_version, "kind": resource.kind}
        metadata = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
        kept = {key: value for key, value in metadata.items() if key not in ("namespace", "uid", "resourceVersion")}
        body["metadata"] = kept | {"name": draw(st.sampled_from(["a", "b", "c"]))}
    return body


def path_of(resource: Resource, *tail: str) -> str:
    spread = "/namespaces/default" if resource.namespaced else ""
    return "/".join([resource.prefix + spread, resource.plural, *tail])


KINDS = st.sampled_from(
    [kind for kind in BUILTIN if kind.key not in (NAMESPACES.key, CUSTOMRESOURCEDEFINITIONS.key) and "get" in kind.verbs]
)
HOW = st.sampled_from(["create", "replace", "apply", "apply", "force", MERGE, STRATEGIC, "status", "scale", "delete"])


def write(server: Server, resource: Resource, how: str, body: Any) -> Any:
    path = path_of(resource, "a")
    if how == "create":
        return server.send("POST", path_of(resource), body)
    if how in ("replace", "delete"):
        return server.send({"replace": "PUT"}.get(how, "DELETE"), path, body)
    if how in ("apply", "force"):
        return server.send("PATCH", path, body, kind=APPLY, fieldManager="fuzz", force=str(how == "force").lower())
    if how in ("status", "scale"):
        return server.send("PUT", f"{path}/{how}", body)
    return server.send("PATCH", path, body, kind=how)


def readable(server: Server, resource: Resource) -> None:
    """As JSON, as a Table, by its OpenAPI, and by a watch, which says what the list says."""
    code, listed = server.send("GET", path_of(resource))
    assert code == 200
    assert all(item["metadata"]["uid"] and item["metadata"]["resourceVersion"] for item in listed["items"])
    assert server.send("GET", path_of(resource), accept=TABLE)[0] == 200


@settings(FUZZ, max_examples=200)
@given(data=st.data())
def test_no_body_of_any_kind_is_a_server_error(server: Server, data: st.DataObject) -> None:
    resource = data.draw(KINDS)
    before = server.store.revision
    for how in data.draw(st.lists(HOW, min_size=1, max_size=3)):
        body = data.draw(bodies(resource))
        if server.refused(write(server, resource, how, body)):
            assert server.store.revision == before, "a refusal changes nothing"
        before = server.store.revision
    readable(server, resource)
    server.refused(server.send("DELETE", path_of(resource)))


QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "labelSelector": st.sampled_from(["a", "a=", "a in (b", "a in (b,c)", "!a", "a>1", "a=b,", "(", "Ä", "a/b/c"]),
        "fieldSelector": st.sampled_from(["metadata.name=a", "metadata.name", "x=1", "=", "type=a\\"]),
        "limit": st.sampled_from(["1", "-1", "x", "99999999999999999999"]),
        "continue": st.sampled_from(["x", "W10=", "WzEsMl0=", "WzEsImEiLCJiIl0=", "Ä", "bnVsbA=="]),
        "resourceVersion": st.sampled_from(["0", "1", "-1", "x", "99999999999", ""]),
        "resourceVersionMatch": st.sampled_from(["Exact", "NotOlderThan", "x"]),
        "dryRun": st.sampled_from(["All", "x", ""]),
        "fieldManager": st.sampled_from(["", "a", "x" * 200, "Ä"]),
        "fieldValidation": st.sampled_from(["Strict", "Warn", "x"]),
        "force": st.sampled_from(["true", "x"]),
        "propagationPolicy": st.sampled_from(["Orphan", "Foreground", "x"]),
        "gracePeriodSeconds": st.sampled_from(["0", "-1", "x"]),
        "orphanDependents": st.sampled_from(["true", "x"]),
        "timeoutSeconds": st.sampled_from(["x", "1.5"]),
        "watch": st.sampled_from(["", "x"]),
    },
)  # fmt: skip
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
        optional={
            "path": st.sampled_from(
                ["", "/", "/data", "/data/a", "/metadata", "/metadata/labels", "/kind", "/x/0", "/data/-"]
            ),
            "from": st.sampled_from(["", "/data", "/metadata/name", "/x"]),
            "value": ANYTHING,
        },
    )
    | ANYTHING,
    max_size=3,
)


@settings(FUZZ, max_examples=120)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    tail=st.sampled_from([(), ("a",), ("a", "status"), ("Ä",), ("..",), ("a", "x"), ("a%2Fb",)]),
    kind=st.sampled_from(["application/json", "application/yaml", APPLY, MERGE, STRATEGIC, JSON_PATCH, PROTOBUF, "x"]),
    body=st.binary(max_size=20)
    | ANYTHING
    | OPERATIONS
    | st.sampled_from([config_map("a", a="1"), b"a: &a [*a]", b"", b"a: !!x"]),
    query=QUERIES,
)
def test_no_request_is_a_server_error(
    server: Server, method: str, tail: tuple[str, ...], kind: str, body: Any, query: dict[str, str]
) -> None:
    path = "/".join(["/api/v1/namespaces/default/configmaps", *tail])
    server.refused(server.send("POST", "/api/v1/namespaces/default/configmaps", config_map("a", a="1")))
    server.refused(server.send(method, path, body, kind=kind, **query))
    assert server.send("GET", "/api/v1/namespaces/default/configmaps", accept=TABLE)[0] == 200


def message(*fields: tuple[int, Any]) -> bytes:
    """Protobuf: small numbers as they are, texts and messages (below 128 bytes) with their lengths."""
    result = b""
    for number, value in fields:
        tag = number << 3 | (0 if isinstance(value, int) else 2)
        result += bytes([tag] if tag < 128 else [tag & 127 | 128, tag >> 7])
        result += bytes([value]) if isinstance(value, int) else bytes([len(value)]) + value
    return result


def pod_of(container: bytes) -> bytes:
    """A Pod named a, in the envelope of a body."""
    about = message((1, b"v1"), (2, b"Pod"))
    return b"k8s\x00" + message((1, about), (2, message((1, message((1, b"a"))), (2, message((2, container))))))


def test_a_field_of_protobuf_that_is_not_known_is_named(server: Server) -> None:
    """It is never dropped; what is known is read with its empty values as the real server reads them."""
    path = "/api/v1/namespaces/default/pods"
    main = ((1, b"main"), (2, b"a:1"), (16, 0), (20, b""), (6, message((2, b""), (3, 80))))
    made = server.send("POST", path, pod_of(message(*main)), kind=PROTOBUF, dryRun="All")[1]
    container = made["spec"]["containers"][0]
    assert (container["name"], container["ports"]) == ("main", [{"containerPort": 80, "protocol": "TCP"}])
    assert "stdin" not in container
    code, refused = server.send("POST", path, pod_of(message(*main, (15, 1))), kind=PROTOBUF)
    assert (code, refused["reason"]) == (400, "BadRequest"), "field 15 of a container is a message"
    code, refused = server.send("POST", path, pod_of(message((99, 0))), kind=PROTOBUF)
    assert (code, refused["reason"]) == (415, "UnsupportedMediaType")
    assert "of core.v1.Container is not read here: send JSON" in refused["message"]


@settings(FUZZ, max_examples=120)
@given(data=st.data())
def test_no_protobuf_is_a_server_error(server: Server, data: st.DataObject) -> None:
    body = bytearray(
        pod_of(message((1, b"main"), (2, b"a:1"), (6, message((3, 80))), (8, message((1, message((1, b"cpu")))))))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(4, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path = path_of(PODS)
    if not server.refused(server.send("POST", path, bytes(body), kind=PROTOBUF)):
        readable(server, PODS)
    server.refused(server.send("DELETE", path))
    assert server.send("GET", "/version")[0] == 200


SCHEMAS = values(SCHEMA.of(CUSTOMRESOURCEDEFINITIONS).fields["spec"].fields["versions"].item.fields["schema"])


@settings(FUZZ, max_examples=60)
@given(
    schema=SCHEMAS, wrong=values(SCHEMA.of(CUSTOMRESOURCEDEFINITIONS)), objects=st.lists(ANYTHING, min_size=3, max_size=3)
)
def test_no_definition_is_a_server_error(server: Server, schema: Any, wrong: Any, objects: list[Any]) -> None:
    """Neither a definition that is damaged, nor what is then stored by it."""
    path = path_of(CUSTOMRESOURCEDEFINITIONS)
    server.refused(server.send("POST", path, wrong))
    if isinstance(schema, dict) and isinstance(schema.get("openAPIV3Schema"), dict):
        schema["openAPIV3Schema"]["type"] = "object"
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "a.dev", "scope": "Cluster", "names": {"plural": "as", "kind": "A"}, "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "as.a.dev"}}
    if not server.refused(server.send("POST", path, {**body, "spec": spec})):
        for spec in objects:
            one = {"apiVersion": "a.dev/v1", "kind": "A", "metadata": {"name": "a"}, "spec": spec}
            server.refused(server.send("POST", "/apis/a.dev/v1/as", one))
            server.refused(server.send("PATCH", "/apis/a.dev/v1/as/a", one, kind=APPLY, fieldManager="x", force="true"))
        assert server.send("GET", "/apis/a.dev/v1/as", accept=TABLE)[0] == 200
        assert server.send("GET", "/openapi/v3/apis/a.dev/v1")[0] == 200
    server.refused(server.send("DELETE", f"{path}/as.a.dev"))
    for _ in range(50):
        if server.send("GET", f"{path}/as.a.dev")[0] == 404:
            return
    pytest.fail("the definition stays")
