"""`kfold config`: its file, Skaffold's where there is none of ours, and which entry holds for a context."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kfold.cli import main
from kfold.planning import facts
from kfold.session import Options, Session
from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.settings import SettingsError, SettingsFile, own_file, read
from kfold.verbs.repository import repository
from kfold.verbs.world import Run
from tests.plan.test_graphs import artifact
from tests.targets.test_told import kubeconfig


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A user of their own, for this process too: the command reads its environment."""
    variables = {
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KFOLD_CONTEXT", raising=False)
    return dict(os.environ)


def skaffold(environment: dict[str, str], content: object) -> Path:
    file = Path(environment["HOME"], ".skaffold", "config")
    file.parent.mkdir(parents=True)
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def test_set_list_unset(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "--kube-context", "my-profile", "local-cluster", "true"]) == 0
    assert capsys.readouterr().out == "set local-cluster to true for context my-profile\n"
    assert main(["config", "set", "-g", "default-repo", "ghcr.io/me"]) == 0
    assert main(["config", "set", "insecure-registries", "a:5000", "-k=my-profile"]) == 0
    assert main(["config", "set", "insecure-registries", "b:5000,a:5000", "--global"]) == 0
    assert yaml.safe_load(own_file(environment).read_text()) == {
        "kubeContexts": [{"kube-context": "my-profile", "local-cluster": True, "insecure-registries": ["a:5000"]}],
        "global": {"default-repo": "ghcr.io/me", "insecure-registries": ["b:5000", "a:5000"]},
    }
    held = read(environment).of("my-profile")
    assert (held.local_cluster, held.default_repo, held.insecure_registries) == (True, "ghcr.io/me", ("a:5000", "b:5000"))
    assert read(environment).of("other").local_cluster is None
    capsys.readouterr()
    assert main(["config", "list", "--kube-context", "my-profile"]) == 0
    told = capsys.readouterr().out
    assert "local-cluster: true" in told and "default-repo: ghcr.io/me" in told and "a:5000, b:5000" in told
    assert main(["config", "unset", "local-cluster", "-k", "my-profile"]) == 0
    assert main(["config", "set", "insecure-registries", "", "-k", "my-profile"]) == 0
    assert "kubeContexts" not in yaml.safe_load(own_file(environment).read_text()), "an entry that says nothing"
    assert main(["config", "unset", "default-repo", "--global"]) == 0
    capsys.readouterr()
    assert main(["config", "list", "--all"]) == 0
    assert "default-repo" not in capsys.readouterr().out


def test_who_says_that_a_registry_is_insecure(environment: dict[str, str], tmp_path: Path) -> None:
    """The settings and the run add up, and reach the one registry that they name."""
    Path(environment["KUBECONFIG"]).write_text(kubeconfig(("mine", "https://127.0.0.1:1")))
    assert main(["config", "set", "insecure-registries", "a:5000"]) == 0
    assert main(["config", "set", "-g", "insecure-registries", "b:5000"]) == 0
    session = Session(Options(insecure_registries=("c:5000",)), folder=tmp_path, environment=environment)
    opened: list[tuple[str, bool]] = []

    def open_registry(host: str, insecure: bool) -> FakeRegistry:
        opened.append((host, insecure))
        return FakeRegistry(host)

    run = Run(replace(session.world, open_registry=open_registry), facts(session))
    hosts = ("a:5000", "b:5000", "c:5000", "ghcr.io")
    for host in hosts:
        repository(run, artifact(f"{host}/team/web"))
    assert opened == [(host, host != "ghcr.io") for host in hosts]
    session.close()


def test_the_current_context_is_meant_where_none_is_named(environment: dict[str, str]) -> None:
    assert main(["config", "set", "local-cluster", "false"]) == 0
    assert read(environment).of("").local_cluster is False, "no context: it holds for all"
    Path(environment["KUBECONFIG"]).write_text(yaml.safe_dump({"current-context": "mine", "contexts": []}))
    assert main(["config", "set", "local-cluster", "true"]) == 0
    assert [read(environment).of(name).local_cluster for name in ("mine", "other")] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["set", "nonsense", "1"], 1, "there is no setting `nonsense`\n  There are default-repo"),
        (["set", "local-cluster", "maybe"], 1, "`local-cluster` is true or false, not 'maybe'"),
        (["set", "local-cluster"], 2, "say `set KEY VALUE`"),
        (["unset", "a", "b"], 2, "say `set KEY VALUE`"),
        (["frobnicate"], 2, "say `set KEY VALUE`"),
        (["set", "local-cluster", "true", "-g", "-k", "x"], 2, "exclude each other"),
        (["set", "local-cluster", "true", "-k"], 2, "-k needs a value"),
        (["list", "--nonsense"], 2, "there is no flag --nonsense"),
    ],
)
def test_a_command_line_that_means_nothing(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert main(["config", *arguments]) == code
    assert told in capsys.readouterr().err
    assert not own_file(environment).exists()


def test_skaffolds_settings_hold_until_there_are_some_of_ours(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = skaffold(
        environment,
        {
            "global": {"default-repo": "gcr.io/project", "survey": {"disable-prompt": True}, "collect-metrics": False},
            "kubeContexts": [{"kube-context": "kind-.*", "kind-disable-load": True, "update-check": False}],
        },
    )
    before = file.read_text()
    held = read(environment).of("kind-a")
    assert (held.default_repo, held.kind_disable_load, held.file) == ("gcr.io/project", True, str(file))
    assert main(["config", "set", "-k", "other", "local-cluster", "true"]) == 0
    assert f"was made from {file}" in capsys.readouterr().out and file.read_text() == before
    assert yaml.safe_load(own_file(environment).read_text()) == {
        "global": {"default-repo": "gcr.io/project"},
        "kubeContexts": [
            {"kube-context": "kind-.*", "kind-disable-load": True}, {"kube-context": "other", "local-cluster": True},
        ],
    }  # fmt: skip


def test_which_entry_holds() -> None:
    entries = [
        {"kube-context": "kind-.*", "local-cluster": True, "default-repo": "a"},
        {"kube-context": "kind-b", "local-cluster": False},
        {"kube-context": "!kind", "default-repo": "not-kind"},
        {"kube-context": "((", "default-repo": "no-pattern"},
    ]
    found = SettingsFile(Path("x"), {"global": {"default-repo": "all", "multi-level-repo": True}, "kubeContexts": entries})
    one, two, other, nothing = (found.of(name) for name in ("kind-a", "my-kind-b", "prod", ""))
    assert (one.local_cluster, one.default_repo, one.multi_level_repo) == (True, "a", True)
    assert (two.local_cluster, two.default_repo) == (False, "all"), "the last that matches, found anywhere in the name"
    assert (other.local_cluster, other.default_repo) == (None, "not-kind")
    assert nothing.default_repo == "all", "no context: what holds for all"
    assert found.of("((").default_repo == "no-pattern"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("global: [", "broken YAML"),
        ("- a", "two parts"),
        ("kubeContexts: {}\nglobal: 1\n", "two parts"),
        ("kubeContexts: [{local-cluster: true}]", "names its `kube-context`"),
        ("global: {local-cluster: maybe}", "`local-cluster` is to be true or false, and is 'maybe'"),
        ("global: {insecure-registries: a}", "a list of texts"),
        ("global: {defualt-repo: a}", "there is no setting `defualt-repo`"),
    ],
)
def test_a_file_that_says_what_cannot_be(environment: dict[str, str], text: str, told: str) -> None:
    file = own_file(environment)
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read(environment)
    assert str(raised.value).startswith(str(file)) and told in str(raised.value)


def test_settings_that_are_not_there(environment: dict[str, str]) -> None:
    assert read(environment).of("any").file == ""
    assert main(["config", "list"]) == 0
    assert not own_file(environment).exists()
