"""Fixtures that stand on real parts, and the count of tests that really met them.

`KFOLD_TEST_ENGINE=required` (the test command sets it) makes a missing engine a failure instead of a skip.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfold.sandbox.files import engine_name
from kfold.sandbox.kubelet.cleaning import LEAKED
from tests import thorough
from tests.crash.points import Matrix, with_the_rooms
from tests.engine import EXAMPLES, REPOSITORY, EngineState, Finished, Project, docker, engine_state, run
from tests.nodes.node import NodeImages, new_node_image, old_node_image, two_nodes

# Where Python is told to write no compiled modules, each of several processes would compile all tests anew, with pytest's
# own assertions: 6 s each. What a test starts is told as before.
sys.dont_write_bytecode = False

# one fixture each for the session, whichever folders use them
__all__ = ["new_node_image", "old_node_image", "two_nodes"]


def engine_is_required() -> bool:
    return os.environ.get("KFOLD_TEST_ENGINE") == "required"


@pytest.fixture(scope="session")
def engine() -> str:
    """A Docker Engine that answers: its version. Skips where none does, or fails where one is required."""
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, timeout=30
        )
        problem = done.stderr.strip() if done.returncode else ""
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        message = f"no Docker Engine answers: {problem}"
        if engine_is_required():
            pytest.fail(message)
        pytest.skip(message)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def base_image(engine: str) -> Iterator[str]:
    """The name of a small image with a shell, made from this machine's busybox; removed at the end of the session."""
    name = f"kfold-test-base:{os.getpid()}"
    run([sys.executable, REPOSITORY / "scripts" / "base-image", name], folder=REPOSITORY).succeeded()
    yield name
    # Not by force: what still uses it was left behind by a test, and is to be seen.
    docker("rmi", name)


@pytest.fixture
def engine_snapshot(engine: str) -> Callable[..., EngineState]:
    """`engine_state`: `before = engine_snapshot(); …; assert before.difference(engine_snapshot()) == []`."""
    return engine_state


@pytest.fixture
def isolated_environment(tmp_path: Path) -> dict[str, str]:
    """This process's environment, with kfold's state and cache in the test's folder, and no cluster or settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KFOLD_", "DOIT_", "COV_"))}
    return environment | {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "KFOLD_SANDBOX_HOME": str(tmp_path / "sandbox"),
        "KUBECONFIG": str(tmp_path / "no-kubeconfig"),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


ProjectFactory = Callable[..., Project]


@pytest.fixture
def project(tmp_path: Path, isolated_environment: dict[str, str]) -> Iterator[ProjectFactory]:
    """Makes projects: `project("getting-started")` copies that example; `project()` is a folder with only a dodo.py.

    `name=` sets the folder's name (default: the example's, or "project"). What still runs at the end is killed.
    """
    made: list[Project] = []

    def make(example: str = "", *, name: str = "") -> Project:
        folder = tmp_path / (name or example or "project")
        if example:
            shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(".kfold", "__pycache__", ".doit.db*"))
        else:
            folder.mkdir()
            shutil.copy(EXAMPLES / "getting-started" / "dodo.py", folder)
        made.append(Project(folder, dict(isolated_environment)))
        return made[-1]

    yield make
    for one in made:
        one.end()


@dataclass(frozen=True)
class Cluster:
    """An embedded cluster that runs: its kubeconfig file, its context's name, and the environment that leads to it."""

    kubeconfig: Path
    context: str
    environment: dict[str, str]

    def kubectl(self, *arguments: str, seconds: float = 60.0) -> Finished:
        """The real kubectl on this cluster."""
        return run(
            ["kubectl", *arguments],
            folder=self.kubeconfig.parent,
            environment=os.environ | self.environment,
            seconds=seconds,
        )


@pytest.fixture(scope="session")
def sandbox_cluster(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One embedded cluster for the session, in a home of its own; its end must leave nothing of it.

    A project reaches it by `project.environment.update(sandbox_cluster.environment)`. A test that
    must not meet the objects of others makes itself a namespace.
    """
    name = f"test-{os.getpid()}"
    home = tmp_path_factory.mktemp("sandbox")
    environment = {"KFOLD_SANDBOX_HOME": str(home)}
    command = [sys.executable, "-m", "kfold.sandbox"]

    def sandbox(*arguments: str) -> Finished:
        return run([*command, *arguments, "--name", name], folder=REPOSITORY, environment=os.environ | environment)

    sandbox("up").succeeded()
    try:
        kubeconfig = Path(sandbox("kubeconfig", "--path").succeeded().output.strip())
        assert kubeconfig.is_file(), kubeconfig
        yield Cluster(kubeconfig, f"kfold-sandbox-{name}", environment | {"KUBECONFIG": str(kubeconfig)})
    finally:
        down = sandbox("down")
    if LEAKED in down.output:
        # known of Docker 20.10 when many containers come and go at once, and no fault of ours: told, and let be
        print(down.output)
        return
    down.succeeded()
    label = f"label=dev.kfold.sandbox={engine_name(name, home)}"
    left = docker("ps", "-a", "--filter", label, "--format", "{{.Names}}") + docker(
        "network", "ls", "--filter", label, "--format", "{{.Name}}"
    )
    assert not left.strip(), f"the sandbox left behind: {left}"


# --- which tests need what ---

USES_EXAMPLES = frozenset({"test_commands.py", "test_examples.py"})
"""Files whose tests run the examples."""


SLOW = (
    "tests/nodes/",
    "tests/scenarios/api/test_workloads.py",
    "tests/scenarios/api/test_pods.py",
    "tests/crash/",
    "tests/images/",
    "tests/cleanup/",
    "tests/registry/",
    "tests/scenarios/",
    "tests/targets/test_told.py",
    "tests/hooks/",
    "tests/dev/",
    "tests/sandbox/",
)
"""What takes minutes, longest first: side by side, the quick tests then fill the gaps at the end."""
APART = ("tests/crash/", "tests/images/", "tests/cleanup/", "tests/hooks/", "tests/dev/", "tests/scenarios/test_")
"""Where tests share nothing that is dear to make: each may run in another process than its neighbours."""


def _together(item: pytest.Item) -> str:
    """What runs in one process, side by side with others (-n): a file, or less, or all that build the examples' images."""
    if item.path.name in USES_EXAMPLES:
        return "examples"  # which have one name
    apart = item.nodeid.startswith(APART) and not item.path.name.endswith("_restarts.py")  # which make an engine, a server
    return item.nodeid if apart else item.nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who uses the fixture needs the part: the markers follow from the fixtures (and can be set by hand as well)."""
    again = [item for item in items if thorough.says_again(item)]
    if again and not thorough.wanted():
        config.hook.pytest_deselected(items=again)
        items[:] = [item for item in items if not thorough.says_again(item)]
    items.sort(key=lambda item: next((n for n, slow in enumerate(SLOW) if item.nodeid.startswith(slow)), len(SLOW)))
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "sandbox_cluster" in fixtures or item.get_closest_marker("sandbox"):
            item.add_marker("sandbox")
            item.add_marker("engine")
        elif "engine" in fixtures:
            item.add_marker("engine")
        item.add_marker(pytest.mark.xdist_group(_together(item)))


class RealParts:
    """Counts the tests that ran on real parts, and those that were skipped; fails a run that was to have an engine."""

    def __init__(self, config: pytest.Config) -> None:
        self.ran = {"engine": set[str](), "sandbox": set[str]()}
        self.skipped = {"engine": set[str](), "sandbox": set[str]()}
        # Only a run of everything can be expected to have engine tests at all.
        self.worker = hasattr(config, "workerinput")  # one of several processes: their controller counts
        self.everything = not config.option.keyword and config.option.markexpr in ("", "not alone") and (
            config.args_source is pytest.Config.ArgsSource.TESTPATHS
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Not by a report's keywords: those hold the names of folders too, and tests/sandbox has pure tests. A report
        # carries these words along, from another process as well.
        for item in session.items:
            item.user_properties += [("needs", part) for part in self.ran if item.get_closest_marker(part)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for part in (value for name, value in report.user_properties if name == "needs"):
            if report.skipped:
                self.skipped[str(part)].add(report.nodeid)
            elif report.when == "call":
                self.ran[str(part)].add(report.nodeid)

    def problem(self) -> str:
        if not engine_is_required() or self.worker:
            return ""
        if skipped := set().union(*self.skipped.values()):
            return f"{len(skipped)} tests that need the engine were skipped, and it is required"
        if self.everything and not self.ran["engine"]:
            return "no test ran on a Docker Engine, and it is required"
        return ""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.problem() and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        line = terminalreporter.write_line
        line(f"Tests run on a real Docker Engine: {len(self.ran['engine'])}, skipped: {len(self.skipped['engine'])}")
        line(f"Tests run on the embedded cluster: {len(self.ran['sandbox'])}, skipped: {len(self.skipped['sandbox'])}")
        if problem := self.problem():
            line(f"FAILED: {problem}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    # what `nohup`, or a shell of what runs in its background, ignores, the programs under test would ignore too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    thorough.settle(config)
    with_the_rooms(config)
    NodeImages.begin()
    if not config.option.collectonly:
        config.pluginmanager.register(RealParts(config), "real-parts")
        config.pluginmanager.register(Matrix(), "crash-matrix")
        config.pluginmanager.register(NodeImages(), "node-images")
