"""kfold's small HTTP client against a real TLS server: what is tried again, what is not, and how it says so."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kfold.stores.cluster import Cluster, ClusterError, FieldConflict, ObjectRef, ObjectReplaced, UnknownKind
from kfold.stores.connection import proxy_for
from kfold.stores.credentials import Credentials
from kfold.stores.http import HttpTransport
from kfold.stores.kubeconfig import ContextEntry, ExecPlugin
from tests.stores.cluster.server import SERVER_NAME, Authority, Handler, Running, hang_up, running, status


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as one:
        yield one


def client(entry: ContextEntry, *, seconds: float = 10.0, proxy: str = "") -> HttpTransport:
    return HttpTransport(entry, Credentials(entry, {}), proxy=proxy, answer_seconds=seconds)


def ok(handler: Handler) -> None:
    handler.json({"ok": True})


def test_one_connection_serves_many_calls(api: Running) -> None:
    http = client(api.entry)
    for _ in range(5):
        assert http.request("GET", "/api", [("a", "b c")], doing="ask") == {"ok": True}
    assert len(api.server.seen) == 5 and len(set(api.server.peers)) == 1
    assert api.server.seen[0] == ("GET", "/api?a=b+c", "Bearer the-token", "")
    http.close()


def test_threads_do_not_share_a_connection_at_the_same_time(api: Running) -> None:
    http = client(api.entry)
    barrier = threading.Barrier(4, timeout=10)

    def together(handler: Handler) -> None:
        barrier.wait()
        handler.json({"path": handler.path})

    api.says(together)
    answers: dict[int, object] = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: http.request("GET", f"/{n}", doing="ask")}))
               for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: {"path": f"/{n}"} for n in range(4)}
    assert len(set(api.server.peers)) == 4
    http.close()


def test_a_server_path_and_a_base_path_are_kept(api: Running) -> None:
    http = client(dataclasses.replace(api.entry, server=f"{api.entry.server}/k8s/clusters/c-1"))
    http.request("GET", "/api/v1", doing="ask")
    assert api.server.seen[0][1] == "/k8s/clusters/c-1/api/v1"
    http.close()


def test_an_idle_connection_that_the_server_closed_is_no_error(api: Running) -> None:
    http = client(api.entry)
    http.request("GET", "/1", doing="ask")
    api.says(hang_up, ok)
    assert http.request("GET", "/2", doing="ask") == {"ok": True}
    assert [seen[1] for seen in api.server.seen] == ["/1", "/2", "/2"]
    http.close()


def test_busy_and_broken_answers_are_tried_again(api: Running) -> None:
    http = client(api.entry)
    http.request("GET", "/0", doing="ask")
    api.says(status(503, "ServiceUnavailable", "starting"), hang_up, hang_up, status(500, "InternalError", "etcd"),
             lambda handler: handler.json({}, 429, Retry_After="1"), ok)
    begin = time.monotonic()
    assert http.request("GET", "/1", doing="ask") == {"ok": True}
    assert time.monotonic() - begin >= 1.0, "Retry-After is kept"
    http.close()


def test_a_refusal_is_not_tried_again(api: Running) -> None:
    http = client(api.entry)
    api.says(status(403, "Forbidden", 'pods is forbidden: User "x" cannot list'))
    with pytest.raises(ClusterError, match='list pods: pods is forbidden: User "x" cannot list') as caught:
        http.request("GET", "/1", doing="list pods")
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    assert 'user "tester" of context "test"' in caught.value.hint
    assert len(api.server.seen) == 1
    http.close()


def test_what_stays_broken_is_said_in_the_servers_words(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfold.stores.http._LONGEST_PAUSE", 0.01)
    http = client(api.entry)
    api.says(status(500, "InternalError", "failed calling webhook"))
    with pytest.raises(ClusterError, match="failed calling webhook") as caught:
        http.request("GET", "/1", doing="ask")
    assert caught.value.code == 500 and len(api.server.seen) == 8
    http.close()


def test_no_server_is_said_at_once(api: Running) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        entry = dataclasses.replace(api.entry, server=f"https://127.0.0.1:{free.getsockname()[1]}")
        begin = time.monotonic()
        with pytest.raises(ClusterError, match="does not answer: Connection refused") as caught:
            client(entry).request("GET", "/1", doing="ask")
    assert time.monotonic() - begin < 2
    assert caught.value.reason == "Unreachable" and "doit deploy context=NAME" in caught.value.hint
    assert 'cluster "test" (context "test") at https://127.0.0.1' in caught.value.message


def test_a_server_behind_an_open_port_that_restarts_is_waited_for(api: Running) -> None:
    http = client(api.entry)
    http.request("GET", "/1", doing="ask")
    api.says(hang_up, hang_up, hang_up, hang_up, ok)
    begin = time.monotonic()
    assert http.request("GET", "/2", doing="ask") == {"ok": True}
    assert time.monotonic() - begin > 0.2, "no pause between the attempts"
    http.close()


@pytest.mark.parametrize("official", [False, True], ids=["own", "official"])
def test_a_local_server_that_went_away_is_told_at_once(tmp_path: Path, official: bool) -> None:
    """Nothing listens: a local cluster that was stopped or killed does not come back by itself."""
    with running(tmp_path) as first:
        made = Cluster(dataclasses.replace(first.entry, tls_server_name=SERVER_NAME), environment={})
        made.get(ObjectRef("v1", "ConfigMap", "default", "a"))
        if official:
            first.says(lambda handler: handler.json({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
            made.apply(SETTINGS)
    made.close()  # a connection that is open already would still be served
    begin = time.monotonic()
    with pytest.raises(ClusterError, match="Connection refused") as caught:
        made.apply(SETTINGS) if official else made.get(ObjectRef("v1", "ConfigMap", "default", "a"))
    assert time.monotonic() - begin < 1.5
    for way in ("context=NAME", "KFOLD_CONTEXT", "--kube-context NAME"):
        assert way in caught.value.hint
    made.close()


@pytest.mark.parametrize(("context", "command"), [
    ("kfold-sandbox", "`kfold sandbox up`"), ("kfold-sandbox-two", "`kfold sandbox up --name two`")])
def test_a_sandbox_that_is_down_names_what_brings_it_back(api: Running, context: str, command: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        entry = dataclasses.replace(api.entry, name=context, server=f"https://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ClusterError, match="brings it back with its objects") as caught:
            client(entry).request("GET", "/1", doing="ask")
    assert command in caught.value.message


def test_silence_ends(api: Running) -> None:
    over = threading.Event()
    api.says(lambda handler: over.wait(20) and None)
    http = client(api.entry, seconds=0.3)
    with pytest.raises(ClusterError, match="gave no answer in time") as caught:
        http.request("GET", "/1", doing="ask")
    over.set()
    assert caught.value.reason == "Timeout"
    http.close()


def test_a_page_that_is_no_api_is_told(api: Running) -> None:
    def page(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"<html>")

    api.says(page)
    http = client(api.entry)
    with pytest.raises(ClusterError, match="is it a Kubernetes API"):
        http.request("GET", "/1", doing="ask")
    http.close()


def test_compressed_answers(api: Running) -> None:
    api.says(lambda handler: handler.json({"ok": "zipped"}, Content_Encoding="gzip"))
    http = client(api.entry)
    assert http.request("GET", "/1", doing="ask") == {"ok": "zipped"}
    http.close()


# --- who we are -----------------------------------------------------------------------------------------------------


def test_a_certificate_of_another_authority_is_not_trusted(api: Running) -> None:
    with pytest.raises(ClusterError, match=r"certificate of cluster .* is not trusted") as caught:
        client(dataclasses.replace(api.entry, ca=Authority().certificate)).request("GET", "/1", doing="ask")
    assert str(api.entry.file) in caught.value.hint
    assert api.server.seen == [], "nothing was sent, the token least of all"
    insecure = client(dataclasses.replace(api.entry, ca=None, insecure=True))
    assert insecure.request("GET", "/1", doing="ask") == {"ok": True}
    insecure.close()


def test_the_server_name_of_the_kubeconfig_is_the_one_that_is_checked(api: Running) -> None:
    http = client(dataclasses.replace(api.entry, tls_server_name=SERVER_NAME))
    assert http.request("GET", "/1", doing="ask") == {"ok": True}
    http.close()
    with pytest.raises(ClusterError, match="not trusted"):
        client(dataclasses.replace(api.entry, tls_server_name="else.test")).request("GET", "/1", doing="ask")


def test_client_certificates(tmp_path: Path) -> None:
    with running(tmp_path, client_certificates=True) as api:
        pair = api.authority.issue(client=True)
        http = client(dataclasses.replace(api.entry, token="", client_certificate=pair.certificate,
                                          client_key=pair.key))
        assert http.request("GET", "/1", doing="ask") == {"ok": True}
        http.close()
        with pytest.raises(ClusterError, match=r"refused the TLS connection|does not answer") as caught:
            client(api.entry).request("GET", "/1", doing="ask")
        assert caught.value.reason == "Unreachable"


def test_a_broken_certificate_is_told(api: Running) -> None:
    entry = dataclasses.replace(api.entry, client_certificate=b"no PEM", client_key=b"no PEM")
    with pytest.raises(ClusterError, match='certificate or key of context "test" cannot be used'):
        client(entry).request("GET", "/1", doing="ask")


def test_a_token_is_never_shown_without_tls(api: Running) -> None:
    from tests.stores.cluster.server import Server

    plain = Server()
    thread = threading.Thread(target=plain.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    http = client(dataclasses.replace(api.entry, server=f"http://127.0.0.1:{plain.server_port}"))
    try:
        assert http.request("GET", "/1", doing="ask") == {"ok": True}
    finally:
        http.close()
        plain.shutdown()
        thread.join()
        plain.server_close()
    assert plain.seen == [("GET", "/1", "", "")]


def test_a_wrong_token_names_user_and_file(api: Running) -> None:
    api.says(status(401, "Unauthorized", "Unauthorized"))
    http = client(api.entry)
    with pytest.raises(ClusterError, match='does not accept user "tester" of context "test"') as caught:
        http.request("GET", "/1", doing="ask")
    assert caught.value.code == 401 and str(api.entry.file) in caught.value.hint
    assert "the-token" not in str(caught.value) and len(api.server.seen) == 1
    http.close()


def test_a_token_file_is_read_again_after_a_refusal(api: Running, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    http = client(dataclasses.replace(api.entry, token="", token_file=file))
    http.request("GET", "/1", doing="ask")
    file.write_text("new\n")
    api.says(status(401, "Unauthorized", "expired"), ok)
    assert http.request("GET", "/2", doing="ask") == {"ok": True}
    assert [seen[2] for seen in api.server.seen] == ["Bearer old", "Bearer old", "Bearer new"]
    http.close()


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


SPEAK = ("print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
         " 'status': {'token': f'token-{run}'%s}}))\n")


def test_an_exec_plugin_runs_once_for_all_threads(api: Running, tmp_path: Path) -> None:
    entry = dataclasses.replace(api.entry, token="", exec_plugin=plugin(tmp_path, SPEAK % ""))
    http = client(entry)
    threads = [threading.Thread(target=http.request, args=("GET", "/1"), kwargs={"doing": "ask"}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {seen[2] for seen in api.server.seen} == {"Bearer token-1"} and len(api.server.seen) == 4
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["kind"] == "ExecCredential" and asked["spec"]["interactive"] is False
    assert asked["spec"]["cluster"]["server"] == entry.server
    http.close()


def test_an_exec_plugin_runs_again_when_its_answer_expired_or_was_refused(api: Running, tmp_path: Path) -> None:
    expired = SPEAK % ", 'expirationTimestamp': '2020-01-01T00:00:00Z'"
    http = client(dataclasses.replace(api.entry, token="", exec_plugin=plugin(tmp_path, expired)))
    http.request("GET", "/1", doing="ask")
    http.request("GET", "/2", doing="ask")
    assert [seen[2] for seen in api.server.seen] == ["Bearer token-1", "Bearer token-2"]
    http.close()
    http = client(dataclasses.replace(api.entry, token="", exec_plugin=plugin(tmp_path, SPEAK % "", name="other")))
    api.says(status(401, "Unauthorized", "revoked"), ok)
    http.request("GET", "/3", doing="ask")
    assert [seen[2] for seen in api.server.seen[2:]] == ["Bearer token-3", "Bearer token-4"]
    http.close()


@pytest.mark.parametrize(("answer", "message"), [
    ("import sys; print('secret'); sys.exit('please log in')", "failed with exit code 1"),
    ("print('secret')", "is no ExecCredential"),
    ("print('[]')", "is no ExecCredential"),
    ("print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'status': {}}))", "gave no token"),
    ("print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1beta1', 'status': {'token': 'secret'}}))",
     "answered with apiVersion"),
])
def test_a_failing_exec_plugin_is_named_without_its_output(api: Running, tmp_path: Path, answer: str,
                                                           message: str) -> None:
    http = client(dataclasses.replace(api.entry, token="", exec_plugin=plugin(tmp_path, answer)))
    with pytest.raises(ClusterError, match=message) as caught:
        http.request("GET", "/1", doing="ask")
    assert caught.value.reason == "Credentials" and str(tmp_path / "login") in str(caught.value)
    assert "secret" not in str(caught.value) and api.server.seen == []
    if "exit" in answer:
        assert "please log in" in caught.value.hint


def test_a_missing_exec_plugin_says_how_to_get_it(api: Running, tmp_path: Path) -> None:
    missing = ExecPlugin("client.authentication.k8s.io/v1", str(tmp_path / "none"), install_hint="apt install it")
    with pytest.raises(ClusterError, match="is not installed") as caught:
        client(dataclasses.replace(api.entry, exec_plugin=missing)).request("GET", "/1", doing="ask")
    assert caught.value.hint == "apt install it"


# --- the store over this server -------------------------------------------------------------------------------------


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


SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop", "uid": "u"},
            "data": {"keep": None}}


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


# --- proxies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("server", "environment", "expected"), [
    ("https://a.example", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
    ("https://a.example", {"https_proxy": "http://p:1"}, "http://p:1"),
    ("https://a.example", {"HTTP_PROXY": "http://p:1"}, ""),
    ("http://a.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
    ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, ""),
    ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b, example"}, ""),
    ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, ""),
    ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample"}, "http://p:1"),
    ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""),
    ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
    ("https://a.example", {}, ""),
])
def test_which_proxy(api: Running, server: str, environment: dict[str, str], expected: str) -> None:
    assert proxy_for(dataclasses.replace(api.entry, server=server), environment) == expected


def test_a_proxy_is_really_used(api: Running) -> None:
    """A proxy that knows CONNECT, on a real socket: the name that is asked for exists behind it only."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        inside, _ = listener.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            head += inside.recv(4096)
        asked.append(head)
        outside = socket.create_connection(("127.0.0.1", api.server.server_port))
        inside.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def pump(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):  # the other side hung up
                while data := source.recv(65536):
                    target.sendall(data)

        back = threading.Thread(target=pump, args=(outside, inside))
        back.start()
        pump(inside, outside)
        with contextlib.suppress(OSError):
            outside.shutdown(socket.SHUT_RDWR)
        back.join()
        outside.close()
        inside.close()

    thread = threading.Thread(target=serve)
    thread.start()
    entry = dataclasses.replace(api.entry, server=f"https://{SERVER_NAME}:6443")
    http = client(entry, proxy=f"http://me:pass@127.0.0.1:{listener.getsockname()[1]}")
    assert http.request("GET", "/1", doing="ask") == {"ok": True}
    http.close()
    thread.join(10)
    listener.close()
    assert asked[0].startswith(b"CONNECT inner.test:6443 HTTP/1.")
    assert b"Proxy-Authorization: Basic bWU6cGFzcw==" in asked[0]
