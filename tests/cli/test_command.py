"""The `kfold` command as a program: its exit codes, and what it prints where."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ProjectFactory
from tests.doit.projects import CONFIG, WITHOUT_ARTIFACTS, files, offline
from tests.engine import Project

KFOLD = Path(sys.executable).parent / "kfold"


@pytest.fixture
def shop(project: ProjectFactory) -> Project:
    """A project without a dodo.py."""
    made = offline(project(), WITHOUT_ARTIFACTS)
    (made.folder / "dodo.py").unlink()
    return made


def kfold(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The two streams apart."""
    return subprocess.run(
        [KFOLD, *arguments], cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("deploy", "--help"), ("-n", "x", "--help")])
def test_help(shop: Project, arguments: tuple[str, ...]) -> None:
    done = kfold(shop, *arguments)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith("usage: kfold VERB [FLAGS]\n")


def test_help_names_every_verb_and_flag(shop: Project) -> None:
    from kfold.cli import FIXED, VALUED

    shop.write("kfold.yaml", CONFIG)
    text = kfold(shop, "--help").stdout
    words = set(re.findall(r"[a-z-]+", text))
    shown = {line.split()[0].partition(":")[0] for line in kfold(shop, "list").stdout.splitlines()}
    assert len(shown) > 8 and shown <= words
    assert set(FIXED) | set(VALUED) - {"--context"} <= set(re.findall(r"(?<![\w-])--?[a-z-]+", text))


@pytest.mark.parametrize("arguments", [("--version",), ("deploy", "--version")])
def test_version(shop: Project, arguments: tuple[str, ...]) -> None:
    done = kfold(shop, *arguments)
    assert done.returncode == 0 and not done.stderr
    assert re.fullmatch(r"kfold \d+\.\d+\.\d+\n", done.stdout)


def test_help_and_version_need_no_project(tmp_path: Path, shop: Project) -> None:
    empty = Project(tmp_path / "empty", shop.environment)
    empty.folder.mkdir()
    for flag in ("--help", "--version"):
        assert kfold(empty, flag).returncode == 0
    assert files(empty) == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-n",), "-n needs a value"),
        (("deploy", "--kube-context"), "--kube-context needs a value"),
        (("deploy", "-j", "0"), "--jobs 0: a whole number from 1 is needed"),
        (("deploy", "-j", "many"), "--jobs many"),
        (("deploy", "-j-1"), "--jobs -1"),
        (("frobnicate",), "frobnicate"),
        (("build:nope",), "build:nope"),
        (("deploy", "--bogus"), "bogus"),
        (("dev", "--prune", "some"), "some"),
        (("delete", "--timeout", "soon"), "soon"),
    ],
)
def test_a_command_line_that_means_nothing_is_2_and_changes_nothing(
    shop: Project, arguments: tuple[str, ...], message: str
) -> None:
    done = kfold(shop, *arguments)
    assert done.returncode == 2, done
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert files(shop) == {"kfold.yaml", "k8s.yaml"}


def test_flags_without_a_verb(shop: Project) -> None:
    done = kfold(shop, "-n", "x")
    assert done.returncode == 2 and done.stdout.startswith("usage:")


def test_what_works_is_0_and_what_fails_is_1(shop: Project) -> None:
    assert kfold(shop, "render").returncode == 0
    done = kfold(shop, "render")
    assert done.returncode == 0 and "Nothing to do: everything is up to date." in done.stdout
    done = kfold(shop, "deploy")
    assert done.returncode == 1
    assert re.match(r"deploy(:shop)? failed: no kube context", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_config_that_cannot_be_used_is_1(shop: Project) -> None:
    shop.write("kfold.yaml", "a: [")
    done = kfold(shop, "deploy")
    assert done.returncode == 1 and done.stdout.startswith("deploy failed: kfold.yaml:")
    assert kfold(shop, "delete").returncode == 0


def test_a_variable_that_means_nothing_is_1(shop: Project) -> None:
    shop.environment["KFOLD_PUSH"] = "maybe"
    done = kfold(shop, "list")
    assert done.returncode == 1 and done.stderr.startswith("kfold: push=maybe means nothing\n  ")
    assert "Traceback" not in done.stderr


def test_a_flag_goes_before_the_environment(shop: Project) -> None:
    shop.write("kfold.yaml", CONFIG)
    shop.environment["KFOLD_PUSH"] = "yes"
    assert "push:web" in kfold(shop, "list", "--all").stdout.split()
    assert "push:web" not in kfold(shop, "list", "--all", "--no-push").stdout.split()
    shop.write("other.yaml", CONFIG.replace("image: web", "image: api"))
    assert "prune:api" in kfold(shop, "-f", "other.yaml", "list").stdout
    shop.environment["KFOLD_CONFIG"] = "other.yaml"
    assert "prune:api" in kfold(shop, "list").stdout
    assert "prune:web" in kfold(shop, "list", "--filename=kfold.yaml").stdout


def test_a_config_that_is_not_there(shop: Project) -> None:
    done = kfold(shop, "deploy", "-f", "nope.yaml")
    assert done.returncode == 1 and "there is no config" in done.stdout and "nope.yaml" in done.stdout


def test_an_unknown_context_is_told(shop: Project) -> None:
    done = kfold(shop, "deploy", "--kube-context", "nope")
    assert done.returncode == 1 and "nope" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_users_own_doit_settings_are_for_their_doit(shop: Project) -> None:
    shop.write("pyproject.toml", "[tool.doit]\nbackend = 'nothing'\nreporter = 'nobody'\n")
    shop.write("doit.cfg", "[GLOBAL]\nbackend = nothing\n")
    shop.write("dodo.py", "raise RuntimeError('kfold reads no dodo.py')\n")
    assert kfold(shop, "list").returncode == 0


def test_the_same_results_with_and_without_a_dodo(shop: Project) -> None:
    """One project, one memory: what `kfold` did `doit` need not do again."""
    assert kfold(shop, "render").returncode == 0
    offline(shop, WITHOUT_ARTIFACTS)
    assert "Nothing to do" in shop.doit("render").succeeded().output


def test_sandbox_is_a_program_of_its_own(shop: Project) -> None:
    done = kfold(shop, "sandbox", "--help")
    assert done.returncode == 0 and "kubeconfig" in done.stdout
    assert kfold(shop, "sandbox", "frobnicate").returncode == 2
