"""One suite for the sandbox and for real clusters: `KFOLD_TEST_KUBECONFIG` names a kubeconfig, `KFOLD_TEST_IMAGE` an image.

The image needs busybox' programs. Without KFOLD_TEST_IMAGE one is made on this machine's engine, which a real cluster
has to see. The suite works in namespaces that it makes, and waits at its end until they are gone.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import CORE, Api, Space, fresh_name

HERE = Path(__file__).parent
REAL = os.environ.get("KFOLD_TEST_KUBECONFIG", "")


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Path:
    """The kubeconfig of the cluster that is held to the documented behaviour."""
    if REAL:
        return Path(REAL).absolute()
    found: Path = request.getfixturevalue("sandbox_cluster").kubeconfig
    return found


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> str:
    named = os.environ.get("KFOLD_TEST_IMAGE")
    return named or str(request.getfixturevalue("base_image"))


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[Api]:
    from kubernetes import config

    with config.new_client_from_config(str(kubeconfig)) as client:
        yield Api(client)
        client.rest_client.pool_manager.clear()


@pytest.fixture(scope="session")
def spaces(api: Api, image: str, kubeconfig: Path) -> Iterator[Callable[[str], Space]]:
    """Makes namespaces. All are deleted at the end of the session at the latest, and waited for together."""
    made: list[str] = []

    def make(prefix: str = "suite") -> Space:
        name = fresh_name(f"kfold-{prefix}")
        answer = api.post(f"{CORE}/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        assert answer.code == 201, answer.body
        made.append(name)
        space = Space(api, name, image, kubeconfig)
        # without it, Pods are refused
        space.wait("ServiceAccount", "default", lambda _: True, "to be there")
        return space

    yield make
    for name in made:
        assert api.delete(f"{CORE}/namespaces/{name}").code in (200, 202, 404, 409), name
    for name in made:
        wait_until(lambda name=name: api.get(f"{CORE}/namespaces/{name}").code == 404, f"the end of {name}", seconds=120)


@pytest.fixture(scope="module")
def shared(spaces: Callable[[str], Space], request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace for all cases of a module: each uses names of its own."""
    space = spaces(request.module.__name__.rpartition(".test_")[2].replace("_", "-"))
    yield space
    space.api.delete(f"{CORE}/namespaces/{space.name}")


@pytest.fixture
def space(spaces: Callable[[str], Space]) -> Iterator[Space]:
    """A namespace for one case."""
    space = spaces("case")
    yield space
    space.api.delete(f"{CORE}/namespaces/{space.name}")


def kubectl_commands() -> list[str]:
    """The path of every kubectl that is found, that of this environment (from PyPI) first."""
    found = [Path(sys.executable).parent / "kubectl", *(Path(part) / "kubectl" for part in os.get_exec_path())]
    return [str(path) for path in dict.fromkeys(found) if shutil.which(str(path))]


class Compared:
    """The lines of kubectl that were compared, for the table at the end."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def add(self, version: str, command: str, line: str) -> None:
        self.lines.append((version, re.sub(r"/\S*/", "", command), line))


@pytest.fixture(scope="session")
def compared(request: pytest.FixtureRequest) -> Compared:
    report: Report = request.config.pluginmanager.get_plugin("likeness-report")
    return report.compared


# --- the report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each case says what real Kubernetes does; on the sandbox, each needs the sandbox."""
    for item in items:
        if HERE in item.path.parents:
            assert (getattr(item, "function", None).__doc__ or "").strip(), f"{item.nodeid} does not say what it holds"
            if not REAL:
                item.add_marker("sandbox")
                item.add_marker("engine")


class Report:
    """A line a case: its name, its result, what the cluster is held to."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        self.results: dict[str, str] = {}
        self.compared = Compared()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if HERE in item.path.parents:
                self.said[item.nodeid] = " ".join(item.function.__doc__.split())  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid in self.said and (report.when == "call" or not report.passed):
            self.results[report.nodeid] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.results:
            return
        where = REAL or "the sandbox"
        terminalreporter.section(f"likeness: {len(self.results)} cases on {where}")
        for case, result in self.results.items():
            name = case.rpartition("/")[2].replace(".py::", ": ").replace("test_", "").replace("_", " ")
            terminalreporter.write_line(f"{result:7} {name}")
            terminalreporter.write_line(f"        {self.said[case]}")
        if self.compared.lines:
            terminalreporter.section("kubectl: the lines that were compared with those of a real cluster")
            for version, command, line in self.compared.lines:
                terminalreporter.write_line(f"{version:24} kubectl {command:60.60} | {line}")
        failed = sum(result == "failed" for result in self.results.values())
        terminalreporter.write_line(f"{len(self.results) - failed} of {len(self.results)} as real Kubernetes does")


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.collectonly:
        config.pluginmanager.register(Report(), "likeness-report")
