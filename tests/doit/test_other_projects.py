"""kfold in the environment of a project that does not use it: nothing of it is met."""

from __future__ import annotations

import pytest

from tests.conftest import ProjectFactory
from tests.engine import Project

DODO = "def task_hello():\n    return {'actions': ['echo hello'], 'doc': 'greet'}\n"


@pytest.fixture
def plain(project: ProjectFactory) -> Project:
    made = project()
    made.write("dodo.py", DODO)
    return made


@pytest.mark.parametrize("arguments", [("help",), ("list",), ("list", "--all"), ("help", "hello"), ("info", "hello")])
def test_nothing_of_kfold_is_shown(plain: Project, arguments: tuple[str, ...]) -> None:
    output = plain.doit(*arguments).output
    assert output.strip() and "kfold" not in output.replace(str(plain.folder), "") and "Traceback" not in output
    assert not (plain.folder / ".kfold").exists()


@pytest.mark.parametrize("command", ["run", "list"])
def test_help_of_a_command_names_the_backend_among_doits_own(plain: Project, command: str) -> None:
    """The one place where it is seen; and so the tests above are about an environment that has it."""
    output = plain.doit("help", command).succeeded().output.replace(str(plain.folder), "")
    assert [" ".join(line.split()) for line in output.splitlines() if "kfold" in line] == [
        "choices: dbm, json, kfold, sqlite3 (config: backend)"
    ]


def test_a_run_uses_doits_own_files(plain: Project) -> None:
    assert "hello" in plain.doit().succeeded().output
    names = {path.name for path in plain.folder.iterdir()}
    assert ".kfold" not in names
    assert any(name.startswith(".doit.db") for name in names)


def test_a_project_without_kfold_may_choose_the_backend(plain: Project) -> None:
    plain.write("dodo.py", "DOIT_CONFIG = {'backend': 'kfold', 'dep_file': 'state/results.db'}\n" + DODO)
    plain.doit().succeeded()
    assert (plain.folder / "state" / "results.db").exists()
    assert not (plain.folder / "state" / ".gitignore").exists(), "another folder than .kfold is the user's"
