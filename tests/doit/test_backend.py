"""doit's results in real doit processes: what a killed run had finished stays, broken files are replaced, none is lost."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from doit.dependency import JSONCodec
from hypothesis import given
from hypothesis import strategies as st

from kfold.doit_backend import Backend, read_results
from tests.conftest import ProjectFactory
from tests.engine import Project
from tests.plan.generated import moderate

DODO = """
import os, time
DOIT_CONFIG = {"dep_file": ".kfold/results.db", "backend": "kfold", "verbosity": 2}

def work(name):
    print(f"did {name}", flush=True)

def task_many():
    for number in range(40):
        yield {"name": f"{number:02}", "actions": [(work, [number])], "uptodate": [True], "file_dep": ["input"]}

def task_stick():
    def stick():
        if os.path.exists("stick"):
            print("stuck", flush=True)
            time.sleep(600)
    return {"actions": [stick], "task_dep": ["many"], "uptodate": [True], "file_dep": ["input"]}

def task_fails():
    return {"actions": [lambda: not os.path.exists("broken")], "file_dep": ["input"]}
"""


@pytest.fixture
def tasks(project: ProjectFactory) -> Project:
    made = project()
    made.write("dodo.py", DODO)
    made.write("input", "1")
    return made


def done(output: str) -> int:
    return output.count("did ")


def results(project: Project) -> dict[str, dict[str, Any]]:
    """The records of sub-tasks (doit keeps one of their group as well)."""
    kept = read_results(str(project.folder / ".kfold" / "results.db"))
    return {name: record for name, record in kept.items() if name != "many"}


def test_a_second_run_does_nothing(tasks: Project) -> None:
    assert done(tasks.doit("stick").succeeded().output) == 40
    assert done(tasks.doit("stick").succeeded().output) == 0
    tasks.write("input", "2")
    assert done(tasks.doit("stick").succeeded().output) == 40


def test_a_killed_run_keeps_what_it_had_finished(tasks: Project) -> None:
    tasks.write("stick", "")
    running = tasks.start_doit("stick")
    running.wait_for("stuck")
    running.kill()
    assert running.wait().code == -9
    assert done(running.output) == 40
    (tasks.folder / "stick").unlink()
    assert set(results(tasks)) == {f"many:{number:02}" for number in range(40)}
    assert done(tasks.doit("stick").succeeded().output) == 0, "all of it would be done again"


@pytest.mark.parametrize("after", [0, 1, 7, 39])
def test_killed_in_the_middle_of_a_task(tasks: Project, after: int) -> None:
    """What was finished before is kept; what was under way and what was to come is done."""
    work = (
        f'if name == {after} and os.path.exists("stick"):\n        print("stuck", flush=True)\n        time.sleep(600)\n    '
    )
    tasks.replace("dodo.py", 'print(f"did {name}", flush=True)', work + 'print(f"did {name}", flush=True)')
    tasks.write("stick", "")
    running = tasks.start_doit("many")
    running.wait_for("stuck")
    running.kill()
    assert running.wait().code == -9
    assert done(running.output) == after
    (tasks.folder / "stick").unlink()
    assert len(results(tasks)) == after
    assert done(tasks.doit("many").succeeded().output) == 40 - after


def test_parallel_tasks_are_all_kept(tasks: Project) -> None:
    assert done(tasks.doit("-n", "8", "-P", "thread", "many").succeeded().output) == 40
    assert len(results(tasks)) == 40
    assert done(tasks.doit("-n", "8", "-P", "thread", "many").succeeded().output) == 0


def test_two_runs_at_once_lose_nothing_of_each_other(tasks: Project) -> None:
    tasks.replace("dodo.py", 'print(f"did {name}", flush=True)', 'print(f"did {name}", flush=True); time.sleep(0.01)')
    runs = [tasks.start_doit(*[f"many:{n:02}" for n in range(start, 40, 2)]) for start in (0, 1)]
    for running in runs:
        assert "does not keep" not in running.wait().succeeded().output
    assert sum(done(running.output) for running in runs) == 40
    assert len(results(tasks)) == 40
    assert done(tasks.doit("many").succeeded().output) == 0


def test_a_failed_task_is_forgotten_and_comes_again(tasks: Project) -> None:
    tasks.doit("fails").succeeded()
    assert "fails" in results(tasks)
    tasks.write("broken", "")
    tasks.write("input", "2")
    tasks.doit("fails").failed(1)
    assert "fails" not in results(tasks)
    tasks.doit("fails").failed(1)


@pytest.mark.parametrize("arguments", [("many:03",), ("-a",)])
def test_forget(tasks: Project, arguments: tuple[str, ...]) -> None:
    tasks.doit("many").succeeded()
    tasks.doit("forget", *arguments).succeeded()
    assert done(tasks.doit("many").succeeded().output) == (1 if arguments == ("many:03",) else 40)


def test_ignore_is_kept_too(tasks: Project) -> None:
    tasks.doit("ignore", "many:03").succeeded()
    assert done(tasks.doit("many").succeeded().output) == 39


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"x" * 9000, b"SQLite format 3\0" + b"\0" * 200, "another", "record", "list"]
)
def test_a_broken_file_is_replaced(tasks: Project, content: bytes | str) -> None:
    tasks.doit("many").succeeded()
    file = tasks.folder / ".kfold" / "results.db"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        change = {
            "another": "ALTER TABLE results RENAME COLUMN record TO other",
            "record": "UPDATE results SET record = '{' WHERE task = 'many:05'",
            "list": "UPDATE results SET record = '[]' WHERE task = 'many:05'",
        }
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute(change[content])
            connection.commit()
    again = tasks.doit("many").succeeded()
    assert "Traceback" not in again.output
    assert done(again.output) == 40
    assert done(tasks.doit("many").succeeded().output) == 0


def test_a_file_in_use_is_not_taken_for_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfold.doit_backend.LOCK_TIMEOUT", 0.1)
    name = str(tmp_path / ".kfold" / "results.db")
    first = Backend(name, JSONCodec())
    first.set("a", "deps:", ())
    first.dump()
    with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as other:
        # a checkpoint or a vacuum of another process
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE results SET record = record")
        second = Backend(name, JSONCodec())
        assert not second.in_("a")
        second.set("b", "deps:", ())
        second.dump()
        other.execute("COMMIT")
    assert set(read_results(name)) == {"a"}, "what another run had kept is gone"


def test_a_cache_that_cannot_be_written_is_said_once(tasks: Project) -> None:
    tasks.write(".kfold", "a file in the way")
    done_ = tasks.doit("many").succeeded()
    assert done(done_.output) == 40
    assert done_.output.count("does not keep what was done") == 1
    assert "Traceback" not in done_.output
    assert tasks.read(".kfold") == "a file in the way"


def test_listing_makes_no_folder(tasks: Project) -> None:
    tasks.doit("list", "--all", "--status").succeeded()
    tasks.doit("info", "many:03").failed(1)  # doit's own code for a task that is not up to date
    assert not (tasks.folder / ".kfold").exists()


def test_the_folder_is_for_the_user_alone_and_git_passes_it_by(tasks: Project) -> None:
    tasks.doit("many").succeeded()
    folder = tasks.folder / ".kfold"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("name", ["plain", "with space", "a#b?c%d", "é"])
def test_results_are_found_from_outside_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    file = str(tmp_path / name / "results.db")
    assert read_results(file) == {}
    backend = Backend(file, JSONCodec())
    backend.set("a", "_values_:", {"x": 1})
    backend.set("a", "deps:", ())
    assert read_results(file) == {"a": {"_values_:": {"x": 1}, "deps:": []}}, "while the run goes on"
    backend.dump()
    assert read_results(file) == {"a": {"_values_:": {"x": 1}, "deps:": []}}


@pytest.mark.parametrize("content", [b"", b"garbage", b"x" * 5000])
def test_a_look_at_a_broken_file_finds_nothing_and_leaves_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "results.db"
    file.write_bytes(content)
    assert read_results(str(file)) == {}
    assert file.read_bytes() == content


names = st.sampled_from(["a", "b", "c:d"])
operations = st.lists(
    st.tuples(st.just("set"), names, st.sampled_from(["deps:", "ignore:", "_values_:", "file"]), st.integers(0, 9))
    | st.tuples(st.just("remove"), names)
    | st.tuples(st.sampled_from(["remove_all", "reopen", "crash"])),
    max_size=25,
)


@moderate
@given(operations)
def test_it_is_a_dict_that_forgets_only_what_was_under_way(
    tmp_path_factory: pytest.TempPathFactory, walk: list[tuple[Any, ...]]
) -> None:
    """Model: a dict, and beside it the dict that a crash leaves: each task as it was at its last `deps:` or `ignore:`."""
    name = str(tmp_path_factory.mktemp("results") / ".kfold" / "results.db")
    backend = Backend(name, JSONCodec())
    now: dict[str, dict[str, Any]] = {}
    kept: dict[str, dict[str, Any]] = {}
    opened = [backend]
    for operation, *arguments in walk:
        if operation == "set":
            task, dependency, value = arguments
            backend.set(task, dependency, value)
            now.setdefault(task, {})[dependency] = value
            if dependency in ("deps:", "ignore:"):
                kept[task] = dict(now[task])
        elif operation == "remove":
            backend.remove(arguments[0])
            now.pop(arguments[0], None)
            kept.pop(arguments[0], None)
        elif operation == "remove_all":
            backend.remove_all()
            now, kept = {}, {}
        else:
            if operation == "reopen":
                backend.dump()
            backend = Backend(name, JSONCodec())  # after a crash nobody closed the old one
            opened.append(backend)
            now = {task: dict(record) for task, record in kept.items()}
        for task in ("a", "b", "c:d"):
            assert backend.in_(task) == (task in now)
            for dependency in ("deps:", "ignore:", "_values_:", "file"):
                assert backend.get(task, dependency) == now.get(task, {}).get(dependency)
        assert read_results(name) == kept
    for one in opened:
        one.dump()


def test_only_the_standard_library_is_loaded_with_it() -> None:
    """Every doit of the environment imports the module through its entry point."""
    code = (
        "import sys; before = set(sys.modules); import kfold.doit_backend\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["kfold"]


def test_many_processes_make_the_file_together(tmp_path: Path) -> None:
    """Each begins with no file there and commits at the same moment: every one must be kept."""
    code = (
        "import sys\nfrom doit.dependency import JSONCodec\nfrom kfold.doit_backend import Backend\n"
        "backend = Backend(sys.argv[1], JSONCodec())\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "for n in range(5):\n    backend.set(f'{sys.argv[2]}-{n}', 'deps:', ())\nbackend.dump()\n"
    )
    for round_ in range(3):
        file = str(tmp_path / f"round{round_}" / "results.db")
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, file, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for number in range(6)
        ]
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"go\n")
            child.stdin.flush()
        for child in children:
            _, errors = child.communicate(timeout=60)
            assert (child.returncode, errors) == (0, b"")
        assert set(read_results(file)) == {f"{number}-{n}" for number in range(6) for n in range(5)}
