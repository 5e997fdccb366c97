"""The tasks of a project whose engine and cluster lead to nowhere: what they are, and how they fail."""

from __future__ import annotations

import json
import re
import signal
import sys

import pytest

from tests.conftest import ProjectFactory
from tests.doit.projects import CONFIG, WITHOUT_ARTIFACTS, files, offline
from tests.engine import Project

MINE = """

def task_mine():
    return {"actions": ["echo mine ran"], "task_dep": ["build:web"], "verbosity": 2}
"""
BAD = CONFIG.replace("image: web", "imge: web")
CANNOT_BE_USED = [BAD, "a: [", "", None, CONFIG.replace("kfold/v1", "kfold/v9")]
"""A mistyped field, broken YAML, an empty file, no file, an unknown version."""


@pytest.fixture
def shop(project: ProjectFactory) -> Project:
    return offline(project())


def broken(project: Project, config: str | None) -> None:
    if config is None:
        (project.folder / "kfold.yaml").unlink()
    else:
        project.write("kfold.yaml", config)


def names(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines()]


# the list


def test_the_list_needs_no_engine_and_no_cluster_and_makes_no_folder(shop: Project) -> None:
    before = files(shop)
    assert names(shop.doit("list").succeeded().output) == [
        "build", "delete", "deploy", "dev", "load", "prune", "prune:web", "push", "render", "status", "tag", "wait", "why",
    ]  # fmt: skip
    listed = names(shop.doit("list", "--all").succeeded().output)
    assert {"build:web", "tag:web", "load:web", "render:shop", "deploy:shop", "wait:shop"} <= set(listed)
    assert "push:web" not in listed
    assert files(shop) == before


def test_the_verb_that_this_target_does_not_need_says_so(shop: Project) -> None:
    assert "Nothing to push: the cluster uses the images of this engine." in shop.doit("push").succeeded().output


def test_every_task_says_what_it_does(shop: Project) -> None:
    for line in shop.doit("list", "--all").succeeded().output.splitlines():
        assert len(line.split()) > 1, line


def test_several_documents_have_a_delete_each(shop: Project) -> None:
    other = CONFIG.replace("name: shop", "name: other").replace("image: web", "image: api")
    shop.write("kfold.yaml", f"{CONFIG}---\n{other}")
    listed = names(shop.doit("list").succeeded().output)
    assert {"delete", "delete:shop", "delete:other", "prune:web", "prune:api"} <= set(listed)


def test_push_is_a_variable(shop: Project) -> None:
    assert "push:web" in names(shop.doit("list", "--all", "push=yes").succeeded().output)
    assert "push:web" in names(shop.doit("list", "--all", env={"KFOLD_PUSH": "yes"}).succeeded().output)
    assert "load:web" in names(shop.doit("list", "--all", "push=no", env={"KFOLD_PUSH": "yes"}).succeeded().output)


@pytest.mark.parametrize(
    ("variables", "message"),
    [(("push=maybe",), "push=maybe means nothing"), (("profile=ci",), "profiles are not supported yet")],
)
def test_a_variable_that_means_nothing_ends_it(shop: Project, variables: tuple[str, ...], message: str) -> None:
    output = shop.doit("list", *variables).failed(1).output
    assert output.startswith(f"kfold: {message}\n  ") and output.count(message) == 1


def test_a_project_without_artifacts_has_the_image_verbs_all_the_same(shop: Project) -> None:
    """A user's task may hang on `build`, and a script may call it."""
    shop.write("kfold.yaml", WITHOUT_ARTIFACTS)
    assert "Nothing to build: the config has no artifacts." in shop.doit("build").succeeded().output
    assert "render" in names(shop.doit("list").succeeded().output)
    first = shop.doit("render").succeeded()
    assert "Traceback" not in first.output
    assert "Nothing to do" in shop.doit("render").succeeded().output


# a config that cannot be used


@pytest.mark.parametrize("config", CANNOT_BE_USED)
def test_without_a_config_what_looks_and_cleans_up_works(shop: Project, config: str | None) -> None:
    broken(shop, config)
    before = files(shop)
    listed = names(shop.doit("list").succeeded().output)
    assert {"build", "deploy", "dev", "delete", "prune", "status", "why"} <= set(listed)
    assert files(shop) == before
    assert "Nothing is deployed." in shop.doit("delete").succeeded().output
    assert "No images to prune." in shop.doit("prune", "--all").succeeded().output
    assert "cannot be used:" in shop.doit("status").succeeded().output


@pytest.mark.parametrize("config", CANNOT_BE_USED)
@pytest.mark.parametrize("command", [(), ("build",), ("render",), ("wait",), ("dev",), ("why", "build:web")])
def test_without_a_config_what_needs_one_says_why_once(shop: Project, config: str | None, command: tuple[str, ...]) -> None:
    broken(shop, config)
    output = shop.doit(*command).failed(1).output
    verb = command[0] if command else "deploy"
    expected = "there is no config in" if config is None else "kfold.yaml"
    assert output.startswith(f"{verb} failed: {expected}")
    assert output.count("failed") == 1, output
    assert len(output.splitlines()) <= 4, output


def test_the_message_has_file_line_and_column_and_what_to_do(shop: Project) -> None:
    shop.write("kfold.yaml", BAD)
    output = shop.doit("deploy").failed(1).output
    assert output == (
        "deploy failed: kfold.yaml:6:5: `build.artifacts[]` has no `image`\n"
        "kfold.yaml:6:6: there is no field `build.artifacts[].imge`\n"
        "  Did you mean `image`?\n"
    )


@pytest.mark.parametrize("config", CANNOT_BE_USED)
def test_a_users_own_task_does_not_keep_the_cleanup_from_running(shop: Project, config: str | None) -> None:
    """doit runs nothing at all where a task needs one that does not exist: `build:web` must stay known."""
    shop.write("dodo.py", shop.read("dodo.py") + MINE)
    shop.doit("status").succeeded()  # makes .kfold
    shop.doit("list").succeeded()  # and with it there, the valid config is remembered
    broken(shop, config)
    assert "Nothing is deployed." in shop.doit("delete").succeeded().output
    output = shop.doit("mine").failed(1).output
    assert "mine ran" not in output and "build:web failed: " in output


def test_a_users_own_task_after_one_run_that_was_killed(shop: Project) -> None:
    """Only the ledger is left to tell which steps there were."""
    from kfold.ledger import Effect, Ledger

    shop.write("dodo.py", shop.read("dodo.py") + MINE)
    ledger = Ledger(shop.folder / ".kfold" / "ledger.db")
    ledger.intend(Effect("engine", "image", "e", "key", "shop", details={"artifact": "team/web"}))
    ledger.close()
    broken(shop, None)
    assert "cannot be used" in shop.doit("status").succeeded().output
    assert "Nothing is deployed." in shop.doit("delete").succeeded().output


# a run that fails


def test_an_engine_that_is_not_there(shop: Project) -> None:
    shop.write("Dockerfile", "FROM scratch\n")
    output = shop.doit("build").failed(1).output
    assert output.startswith("build:web failed: ") and output.count("build:web failed") == 1
    assert "127.0.0.1:1" in output and "\n  " in output, "where, and what to do next"


def test_a_missing_dockerfile_is_told_with_its_place(shop: Project) -> None:
    output = shop.doit("build:web").failed(1).output
    assert output.startswith("build:web failed: kfold.yaml:6:5: Dockerfile")


def test_a_missing_cluster_is_told(shop: Project) -> None:
    shop.write("kfold.yaml", WITHOUT_ARTIFACTS)
    output = shop.doit("deploy").failed(1).output
    assert re.match(r"deploy(:shop)? failed: no kube context", output) and output.count("failed") == 1


def test_a_step_that_fails_does_not_run_what_needs_it(shop: Project) -> None:
    shop.write("dodo.py", shop.read("dodo.py") + MINE)
    output = shop.doit("mine").failed(1).output
    assert "mine ran" not in output
    assert ".  mine" not in output


def test_a_users_task_on_a_step_that_works(shop: Project) -> None:
    shop.write("kfold.yaml", WITHOUT_ARTIFACTS)
    shop.write("dodo.py", shop.read("dodo.py") + MINE.replace("build:web", "render:shop"))
    for count in (1, 2):
        output = shop.doit("-n", "4", "mine").succeeded().output
        assert ".  mine\n" in output and "mine ran" in output, f"run {count}"
        assert "render" not in output, "kfold's own steps speak for themselves"


def test_a_users_failing_task_is_reported_as_doit_does(shop: Project) -> None:
    shop.write("dodo.py", shop.read("dodo.py") + MINE.replace("build:web", "status").replace("echo mine ran", "exit 3"))
    output = shop.doit("mine").failed(1).output
    assert "TaskFailed - taskid:mine" in output


def test_processes_are_refused(shop: Project) -> None:
    shop.write("kfold.yaml", WITHOUT_ARTIFACTS)
    output = shop.doit("-P", "process", "-n", "2", "render").failed(1).output
    assert "render:shop failed: kfold works in threads: `-P process` cannot be used" in output


def test_options_that_do_not_exist_are_doits_usage_error(shop: Project) -> None:
    assert "bogus" in shop.doit("delete", "--bogus").failed(3).output
    assert "build:nope" in shop.doit("build:nope").failed(3).output
    output = shop.doit("dev", "--prune", "some").failed(3).output
    assert "none" in output and "superseded" in output and "all" in output


# status


def test_status_as_json_is_nothing_but_json(shop: Project) -> None:
    found = json.loads(shop.doit("status", "--json").succeeded().output)
    assert found["config"] == str(shop.folder / "kfold.yaml")
    assert (found["engine"], found["cluster"], found["host"]) == ([], [], [])
    assert found["target"]["kind"] == "none" and "no kube context" in found["target"]["refusal"]


def test_a_broken_kubeconfig_refuses_the_cluster_and_not_the_build(shop: Project) -> None:
    shop.environment["KUBECONFIG"] = str(shop.write("kubeconfig", "contexts: [broken"))
    shop.doit("list").succeeded()
    assert "kubeconfig" in shop.doit("status").succeeded().output
    shop.write("kfold.yaml", WITHOUT_ARTIFACTS)
    output = shop.doit("deploy").failed(1).output
    assert re.match(r"deploy(:shop)? failed: .*kubeconfig", output) and output.count("failed") == 1
    shop.doit("render").succeeded()


def test_a_damaged_ledger_is_set_aside_and_said(shop: Project) -> None:
    shop.doit("status").succeeded()
    ledger = shop.write(".kfold/ledger.db", "not a ledger")
    output = shop.doit("status").succeeded().output
    assert f"the ledger {ledger} cannot be used" in output
    assert "set aside as ledger.damaged-1.db" in output and "has to be found again" in output
    assert (ledger.parent / "ledger.damaged-1.db").read_text() == "not a ledger"
    for command in ("status", "delete", "list"):
        assert "cannot be used" not in shop.doit(command).succeeded().output


# signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_a_step_at_work(shop: Project, number: signal.Signals) -> None:
    """They come in the main thread, the work is in another: the reporter hands them on, and the run ends in order."""
    dodo = (
        "\n\ndef waits():\n    session = DOIT_CONFIG['reporter'].session\n    print('waiting', flush=True)\n"
        "    assert session.stop.wait(60)\n    print('asked to stop', session.interrupts, flush=True)\n"
        "\n\ndef task_mine():\n    return {'actions': [waits], 'verbosity': 2, 'io': {'capture': False}}\n"
    )
    shop.write("dodo.py", shop.read("dodo.py") + dodo)
    running = shop.start_doit("mine")
    running.wait_for("waiting")
    running.interrupt(number)
    assert "asked to stop 1" in running.wait().succeeded().output


def test_the_tasks_are_made_without_slow_libraries(shop: Project) -> None:
    """`doit list` is to be as quick as doit's own: none of what takes 0.1 s and more to import is imported for it."""
    code = (
        "import sys, kfold\nconfig, create = kfold.project()\nassert len(list(create())) > 10\n"
        "slow = {'kubernetes', 'python_on_whales', 'jsonschema', 'rich', 'yaml', 'aiohttp', 'watchfiles', 'urllib3'}\n"
        "print(*sorted(slow & set(sys.modules)))"
    )
    shop.doit("status").succeeded()
    shop.doit("list").succeeded()
    assert shop.start(sys.executable, "-c", code).wait().succeeded().output.split() == []
