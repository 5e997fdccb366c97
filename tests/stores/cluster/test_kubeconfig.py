"""kubeconfig files are read as kubectl reads them; what is wrong with one is said with the file and the place."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kfold.errors import KfoldError
from kfold.stores import kubeconfig


def write(file: Path, **sections: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **sections}))
    return file


def one(name: str, *, cluster: dict[str, object] | None = None, user: dict[str, object] | None = None,
        namespace: str | None = None) -> dict[str, object]:
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    return {
        "contexts": [{"name": name, "context": context}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443", **(cluster or {})}}],
        "users": [{"name": name, "user": user or {"token": f"token-{name}"}}],
    }


def test_a_context_with_everything_it_leads_to(tmp_path: Path) -> None:
    ca = base64.b64encode(b"the authority").decode()
    file = write(tmp_path / "config", **{"current-context": "a"}, **one(
        "a", cluster={"certificate-authority-data": ca, "tls-server-name": "inner", "proxy-url": "http://p:3128"},
        namespace="shop"))
    entry = kubeconfig.load({}, paths=[file]).context()
    assert (entry.name, entry.server, entry.namespace) == ("a", "https://a.example:6443", "shop")
    assert (entry.ca, entry.tls_server_name, entry.proxy_url) == (b"the authority", "inner", "http://p:3128")
    assert entry.token == "token-a" and entry.supported


def test_namespace_is_default_where_none_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "config", **one("a"))
    assert kubeconfig.load({}, paths=[file]).context("a").namespace == "default"


def test_secrets_are_not_in_the_repr(tmp_path: Path) -> None:
    key = base64.b64encode(b"PRIVATE").decode()
    file = write(tmp_path / "config", **one("a", user={"token": "hidden-token", "client-key-data": key}))
    loaded = kubeconfig.load({}, paths=[file])
    text = repr(loaded) + repr(loaded.context("a"))
    assert "a.example" in text
    assert "hidden-token" not in text and "PRIVATE" not in text and key not in text


def test_the_first_file_wins_and_each_keeps_its_own_paths(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "ca.crt").write_bytes(b"first authority")
    first = write(tmp_path / "one" / "config", **one("a", cluster={"certificate-authority": "ca.crt"}))
    second = write(tmp_path / "two" / "config", **{"current-context": "b"}, **{
        section: entries + one("b")[section]  # type: ignore[operator]
        for section, entries in one("a", cluster={"server": "https://other"}, user={"token": "other"}).items()})
    loaded = kubeconfig.load({"KUBECONFIG": os.pathsep.join([str(first), "", str(tmp_path / "none"), str(second)])})
    assert loaded.files == (first, second)
    assert loaded.current == "b" and set(loaded.contexts) == {"a", "b"}
    a = loaded.context("a")
    assert (a.server, a.token, a.ca) == ("https://a.example:6443", "token-a", b"first authority")


def test_without_kubeconfig_the_file_in_the_home_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", **{"current-context": "a"}, **one("a"))
    assert kubeconfig.load({"HOME": str(tmp_path)}).context().name == "a"
    assert kubeconfig.load({"HOME": str(tmp_path), "KUBECONFIG": ""}).context().name == "a"


def test_no_cluster_at_all_can_be_told_apart(tmp_path: Path) -> None:
    nothing = kubeconfig.load({"HOME": str(tmp_path)})
    assert nothing.current is None and not nothing.contexts
    with pytest.raises(KfoldError, match="no kube context") as caught:
        nothing.context()
    assert "kfold sandbox up" in caught.value.hint
    somewhere = kubeconfig.load({}, paths=[write(tmp_path / "config", **one("a"))])
    assert somewhere.current is None and somewhere.contexts
    with pytest.raises(KfoldError, match="no current context") as caught:
        somewhere.context()
    assert "contexts: a" in caught.value.hint


def test_an_unknown_context_lists_those_that_exist(tmp_path: Path) -> None:
    file = write(tmp_path / "config", **{"current-context": "gone"}, **one("a"))
    with pytest.raises(KfoldError, match='unknown context "gone"') as caught:
        kubeconfig.load({}, paths=[file]).context()
    assert "contexts: a" in caught.value.hint and str(file) in str(caught.value)


@pytest.mark.parametrize(("user", "word"), [
    ({"username": "me", "password": "x"}, "basic authentication"),
    ({"auth-provider": {"name": "oidc"}}, "auth-provider"),
])
def test_what_only_the_official_client_can_do_is_marked(tmp_path: Path, user: dict[str, object], word: str) -> None:
    entry = kubeconfig.load({}, paths=[write(tmp_path / "config", **one("a", user=user))]).context("a")
    assert not entry.supported and entry.unsupported == word


def test_exec_plugins(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "args": ["-r", 7],
              "env": [{"name": "A", "value": "1"}], "provideClusterInfo": True, "installHint": " get it "}
    entry = kubeconfig.load({}, paths=[write(tmp_path / "config", **one("a", user={"exec": plugin}))]).context("a")
    found = entry.exec_plugin
    assert found is not None
    assert Path(found.command) == tmp_path / "login" and found.arguments == ("-r", "7")
    assert found.environment == (("A", "1"),) and found.provide_cluster_info and found.install_hint == "get it"


@pytest.mark.parametrize(("cluster", "user", "message"), [
    ({"server": ""}, {}, "no usable server"),
    ({"server": 7}, {}, "server must be a string"),
    ({"certificate-authority": "none.crt"}, {}, "none.crt: No such file"),
    ({"certificate-authority-data": "%%%"}, {}, "is not base64"),
    ({"certificate-authority-data": "YQ==", "insecure-skip-tls-verify": True}, {}, "insecure-skip-tls-verify"),
    ({}, {"client-certificate": "/nowhere/client.crt"}, "/nowhere/client.crt: No such file"),
    ({}, {"as": "root"}, "impersonates"),
    ({}, {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, "v1alpha1"),
    ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, "needs a command"),
    ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "env": ["A"]}}, "must be lists"),
])
def test_wrong_entries_name_the_file(tmp_path: Path, cluster: dict[str, object], user: dict[str, object],
                                     message: str) -> None:
    file = write(tmp_path / "config", **one("a", cluster=cluster, user=user))
    with pytest.raises(KfoldError, match=message) as caught:
        kubeconfig.load({}, paths=[file]).context("a")
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize(("text", "message", "place"), [
    ("contexts: [\n  token: secret-token\n", "not valid YAML", ":3:1:"),
    ("a: b: c", "not valid YAML", ":1:"),
    ("- 1", "this is not a kubeconfig", ""),
    ("contexts: {}", "contexts must be a list", ""),
    ("current-context: [a]", "current-context must be a string", ""),
    ("users: [{user: {token: secret-token}}]", "needs a name", ""),
    ("clusters: [{name: a, cluster: 7}]", "must be a mapping", ""),
])
def test_broken_files(tmp_path: Path, text: str, message: str, place: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(KfoldError, match=message) as caught:
        kubeconfig.load({"KUBECONFIG": str(file)})
    assert f"{file}{place}" in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(KfoldError, match="cannot be read: Is a directory"):
        kubeconfig.load({"KUBECONFIG": str(tmp_path)})
    with pytest.raises(KfoldError, match="does not exist"):
        kubeconfig.load({}, paths=[tmp_path / "none"])


@given(st.binary(max_size=200))
def test_no_bytes_make_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "config"
    file.write_bytes(content)
    try:
        kubeconfig.load({"KUBECONFIG": str(file)}).context()
    except KfoldError as error:
        assert str(error)
    else:
        pytest.fail("no bytes of this length are a kubeconfig")


def test_kubectl_sees_the_same(tmp_path: Path) -> None:
    """The same two files, merged by kubectl and by us."""
    first = write(tmp_path / "first", **one("a", namespace="shop"))
    second = write(tmp_path / "second", **{"current-context": "b"}, **one("b"))
    environment = {"KUBECONFIG": f"{first}{os.pathsep}{second}", "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(["kubectl", "config", "view", "--raw", "-o", "yaml"], env=environment, capture_output=True,
                          text=True, check=True, timeout=30)
    view = yaml.safe_load(done.stdout)
    ours = kubeconfig.load(environment)
    assert [entry["name"] for entry in view["contexts"]] == sorted(ours.contexts) != []
    assert view["current-context"] == ours.current
    for entry in view["contexts"]:
        assert ours.context(entry["name"]).namespace == entry["context"].get("namespace", "default")
