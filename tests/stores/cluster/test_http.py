"""kfold's small HTTP client against a real TLS server: what is tried again, what is not, and how it says so."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from pathlib import Path

import pytest

from kfold.stores.cluster import Cluster, ClusterError, ObjectRef
from kfold.stores.connection import proxy_for
from tests.stores.cluster.server import (
    SERVER_NAME,
    SETTINGS,
    Handler,
    Running,
    client,
    hang_up,
    ok,
    running,
    status,
)


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


def test_one_that_stays_away_is_waited_for_once(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfold.stores.http._LONGEST_PAUSE", 0.01)
    http = client(api.entry)
    http.request("GET", "/0", doing="ask")
    api.says(hang_up)
    for name, calls in (("/1", 9), ("/2", 1), ("/3", 1)):
        with pytest.raises(ClusterError, match="does not answer"):
            http.request("GET", name, doing="ask")
        # eight attempts, and the first of them on a connection that was open
        assert [seen[1] for seen in api.server.seen].count(name) == calls
    api.says(ok, hang_up, ok)
    http.request("GET", "/4", doing="ask")
    assert http.request("GET", "/5", doing="ask") == {"ok": True}, "it answered again since"
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
