"""Who the server is, and who we are to it: authorities, client certificates, tokens, exec plugins."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest

from kfold.stores.cluster import ClusterError
from kfold.stores.kubeconfig import ExecPlugin
from tests.stores.cluster.server import SERVER_NAME, SPEAK, Authority, Running, client, ok, plugin, running, status


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
