"""The cluster store over a real TLS server that answers as a test says: pages, discovery, refusals, logs."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest

from kfold.stores.cluster import Cluster, ClusterError, FieldConflict, ObjectRef, ObjectReplaced, UnknownKind
from tests.stores.cluster.server import SERVER_NAME, SETTINGS, SPEAK, Authority, Handler, Running, hang_up, plugin, status


def test_lists_come_page_by_page_and_start_again_when_they_expire(api: Running) -> None:
    pages = [
        lambda handler: handler.json({"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}}),
        status(410, "Expired", "The provided continue parameter is too old"),
        lambda handler: handler.json({"items": [{"metadata": {"name": name}} for name in "ab"], "metadata": {}}),
    ]
    api.says(*pages)
    store = Cluster(api.entry, environment={})
    assert [state.name for state in store.list_kind("v1", "ConfigMap", "shop")] == ["a", "b"]
    assert [seen[1] for seen in api.server.seen] == [
        "/api/v1/namespaces/shop/configmaps?limit=500", "/api/v1/namespaces/shop/configmaps?limit=500&continue=next",
        "/api/v1/namespaces/shop/configmaps"]
    store.close()


def test_common_kinds_need_no_discovery_and_others_one_request_kept_in_a_file(api: Running, tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        if handler.path.endswith("/kube-system"):
            handler.json({"metadata": {"uid": "this-cluster"}})
        elif handler.path == "/apis/example.test/v1":
            handler.json({"resources": [{"name": "things", "kind": "Thing", "namespaced": True},
                                        {"name": "things/status", "kind": "Thing", "namespaced": True}]})
        else:
            handler.json({"items": [], "metadata": {}})

    api.says(answer)
    store = Cluster(api.entry, cache=tmp_path / "cache", environment={})
    store.list_kind("apps/v1", "Deployment", "shop")
    assert [seen[1] for seen in api.server.seen] == ["/apis/apps/v1/namespaces/shop/deployments?limit=500"]
    store.list_kind("example.test/v1", "Thing", "shop")
    paths = [seen[1] for seen in api.server.seen]
    assert paths[1:] == ["/api/v1/namespaces/kube-system", "/apis/example.test/v1",
                         "/apis/example.test/v1/namespaces/shop/things?limit=500"]
    store.close()
    again = Cluster(api.entry, cache=tmp_path / "cache", environment={})
    assert again.is_namespaced("example.test/v1", "Thing")
    assert [seen[1] for seen in api.server.seen[4:]] == ["/api/v1/namespaces/kube-system"]
    with pytest.raises(UnknownKind, match="Other"):
        again.is_namespaced("example.test/v1", "Other")
    again.close()
    [file] = (tmp_path / "cache").iterdir()
    file.write_text("no JSON")
    last = Cluster(api.entry, cache=tmp_path / "cache", environment={})
    assert last.is_namespaced("example.test/v1", "Thing")
    last.close()


def test_a_deleted_version_is_looked_for_in_the_others(api: Running) -> None:
    gone = status(404, "NotFound", "the server could not find the requested resource")

    def answer(handler: Handler) -> None:
        match handler.path:
            case "/apis/example.test":
                handler.json({"versions": [{"groupVersion": "example.test/v1"}, {"groupVersion": "example.test/v2"}]})
            case "/apis/example.test/v2":
                handler.json({"resources": [{"name": "things", "kind": "Thing", "namespaced": True}]})
            case "/apis/example.test/v2/namespaces/shop/things/a":
                handler.json({"kind": "Status", "status": "Success"})
            case _:
                gone(handler)

    api.says(answer)
    store = Cluster(api.entry, environment={})
    assert store.delete(ObjectRef("example.test/v1", "Thing", "shop", "a"), uid="u") == "requested"
    assert store.delete(ObjectRef("other.test/v1", "Thing", "shop", "a"), uid="u") == "gone"
    deletes = [seen for seen in api.server.seen if seen[0] == "DELETE"]
    assert len(deletes) == 1 and json.loads(deletes[0][3])["preconditions"] == {"uid": "u"}
    store.close()


def test_a_cluster_that_hides_kube_system_is_told_by_its_address_and_authority(api: Running) -> None:
    api.says(status(403, "Forbidden", "no"))
    first = Cluster(api.entry, environment={}).identity()
    assert first.uid.startswith("endpoint:") and first.server == api.entry.server
    other = dataclasses.replace(api.entry, ca=api.entry.ca + Authority().certificate)  # type: ignore[operator]
    assert Cluster(other, environment={}).identity().uid != first.uid


def test_an_apply_is_what_the_api_asks_for(api: Running) -> None:
    api.says(lambda handler: handler.json({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
    store = Cluster(api.entry, environment={})
    store.apply(SETTINGS, uid="known", force=True, dry_run=True)
    method, path, authorization, body = api.server.seen[0]
    assert (method, authorization) == ("PATCH", "Bearer the-token")
    assert api.server.headers[0]["Content-Type"] == "application/apply-patch+yaml"
    route, _, query = path.partition("?")
    assert route == "/api/v1/namespaces/shop/configmaps/a"
    assert sorted(query.split("&")) == ["dryRun=All", "fieldManager=kfold", "fieldValidation=Strict", "force=true"]
    assert json.loads(body) == {**SETTINGS, "metadata": {**SETTINGS["metadata"], "uid": "known"}}  # type: ignore[dict-item]
    store.close()


@pytest.mark.parametrize(("answer", "kind", "message"), [
    (status(409, "Conflict", "Apply failed with 1 conflict: conflict with \"helm\" using v1: .data.x", causes=[
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm" using v1', "field": ".data.x"}]),
     FieldConflict, '"helm" has set .data.x'),
    (status(409, "Conflict", "Precondition failed: UID in precondition: a, UID in object meta: b"),
     ObjectReplaced, "deleted or re-created"),
    (status(409, "Conflict", 'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object '
            "specified uid a, and no existing object was found"), ObjectReplaced, "deleted or re-created"),
    (status(422, "Invalid", "ConfigMap \"a\" is invalid: data: wrong"), ClusterError, "is invalid"),
    (status(400, "BadRequest", 'strict decoding error: unknown field "dta"'), ClusterError, 'unknown field "dta"'),
    (status(403, "Forbidden", "namespace shop is being terminated", causes=[{"reason": "NamespaceTerminating"}]),
     ClusterError, "is being terminated"),
    (status(404, "NotFound", "the server could not find the requested resource"), UnknownKind, "does not serve"),
])
def test_refused_applies_say_why(api: Running, answer: object, kind: type[ClusterError], message: str) -> None:
    api.says(answer)  # type: ignore[arg-type]
    store = Cluster(api.entry, environment={})
    with pytest.raises(kind, match=message) as caught:
        store.apply(SETTINGS)
    assert type(caught.value) is kind and "apply configmap/a in shop" in str(caught.value)
    if kind is FieldConflict:
        assert "kubectl apply --server-side --force-conflicts --field-manager=kfold" in caught.value.hint
    assert len(api.server.seen) == 1
    store.close()


def test_applies_are_tried_again_too(api: Running, tmp_path: Path) -> None:
    pair = api.authority.issue(client=True)
    entry = dataclasses.replace(api.entry, token="", client_certificate=pair.certificate, client_key=pair.key,
                                exec_plugin=plugin(tmp_path, SPEAK % ""), tls_server_name=SERVER_NAME)
    store = Cluster(entry, environment={})

    def good(handler: Handler) -> None:
        handler.json({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})

    modified = status(409, "Conflict", 'Operation cannot be fulfilled on configmaps "liquid": it has been modified')
    api.says(status(503, "ServiceUnavailable", "starting"), hang_up, modified, status(401, "Unauthorized", "no"), good)
    assert store.apply(SETTINGS).name == "a"
    assert [seen[2] for seen in api.server.seen] == ["Bearer token-1"] * 4 + ["Bearer token-2"]
    store.close()


def test_a_log_ends_when_it_is_closed_from_another_thread(api: Running) -> None:
    started = threading.Event()

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"9\r\none\nha\nlf\r\n")
        started.wait(20)

    api.says(endless)
    store = Cluster(api.entry, environment={})
    lines: list[bytes] = []
    stream = store.logs("shop", "web", "web", follow=True, since_time="2026-01-01T00:00:00Z", tail=5)
    reading = threading.Event()

    def read() -> None:
        for line in stream:
            lines.append(line)
            reading.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(10)
    stream.close()
    thread.join(10)
    assert not thread.is_alive() and lines == [b"one", b"ha"]
    started.set()
    assert "/api/v1/namespaces/shop/pods/web/log?" in api.server.seen[0][1]
    assert "follow=true" in api.server.seen[0][1] and "tailLines=5" in api.server.seen[0][1]
    store.close()


def test_what_only_the_official_client_can_do_goes_through_it(api: Running, tmp_path: Path) -> None:
    from tests.stores.cluster.server import encode

    entry = dataclasses.replace(
        api.entry, supported=False, unsupported="basic authentication", token="",
        raw_cluster={"server": api.entry.server, "certificate-authority-data": encode(api.authority.certificate)},
        raw_user={"token": "by-the-official-client"})
    store = Cluster(entry, environment={})
    api.says(lambda handler: handler.json({"items": [{"metadata": {"name": "a"}}], "metadata": {}}))
    assert [state.name for state in store.list_kind("v1", "ConfigMap", "shop")] == ["a"]
    assert store.apply(SETTINGS).uid == ""
    assert {seen[2] for seen in api.server.seen} == {"Bearer by-the-official-client"}
    store.close()
