"""Every command that a README shows is one that runs here; a new one without a test fails the first test."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cluster, ProjectFactory
from tests.engine import EXAMPLES, REPOSITORY, EngineState, docker, run
from tests.registry.server import registry

SHELL_BLOCK = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What runs each command: a test below, or CI itself.
RUN_BY = {
    ("README.md", "scripts/getting-started"): "test_the_first_command_tells_the_whole_story",
    ("README.md", "scripts/test"): "test_ci_runs_the_second_command",
    ("examples/getting-started/README.md", "doit dev"): "test_the_first_command_tells_the_whole_story",
    ("examples/microservices/README.md", "doit dev"): "test_microservices_rebuilds_only_what_an_edit_touches",
    ("examples/microservices/README.md", "doit push push=yes default_repo=localhost:5000"): "test_microservices_for_two",
    ("examples/hooks/README.md", "doit dev"): "test_the_row_of_hooks_comes_and_goes",
}


def commands_shown() -> set[tuple[str, str]]:
    """(file, command line) of every shell block of the READMEs; comments and prompts are no commands."""
    shown = set()
    for readme in [REPOSITORY / "README.md", *sorted(EXAMPLES.glob("*/README.md"))]:
        for block in SHELL_BLOCK.findall(readme.read_text(encoding="utf-8")):
            for line in block.splitlines():
                command = line.removeprefix("$ ").split(" #")[0].strip()
                if command and not command.startswith("#"):
                    shown.add((str(readme.relative_to(REPOSITORY)), command))
    return shown


def test_every_command_shown_is_run() -> None:
    shown = commands_shown()
    assert len({file for file, _ in shown}) == 1 + len(list(EXAMPLES.glob("*/kfold.yaml"))), "a README shows no command"
    assert shown == set(RUN_BY)
    assert set(RUN_BY.values()) <= set(globals())


def test_ci_runs_the_second_command() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    words = script.read_text(encoding="utf-8").splitlines()[-1].split()
    assert "scripts/test" in words, words


def test_the_dodo_file_shown_is_the_one_of_the_examples() -> None:
    (shown,) = PYTHON_BLOCK.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    for example in EXAMPLES.glob("*/kfold.yaml"):
        assert (example.parent / "dodo.py").read_text(encoding="utf-8") == shown


def test_links_lead_somewhere() -> None:
    checked = 0
    for page in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *EXAMPLES.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
                checked += 1
    assert checked


@pytest.mark.alone
@pytest.mark.sandbox
def test_the_first_command_tells_the_whole_story(engine: str, engine_snapshot: Callable[..., EngineState]) -> None:
    before = engine_snapshot()
    # As a newcomer's shell has it: no setting of ours, and no BASE.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KFOLD_", "BASE"))}
    told = run([REPOSITORY / "scripts" / "getting-started"], folder=Path("/"), environment=environment, seconds=300)
    output = told.succeeded().output
    expected = [
        "[getting-started] Hello, world!",
        "[getting-started] Hello, kfold!",
        "Cleaning up...",
        "Pruning images...",
        "Nothing is left: the Docker Engine holds what it held before",
    ]
    positions = [output.find(line) for line in expected]
    assert -1 not in positions and positions == sorted(positions), output
    assert before.difference(engine_snapshot()) == []


@pytest.mark.sandbox
def test_microservices_rebuilds_only_what_an_edit_touches(
    project: ProjectFactory, base_image: str, sandbox_cluster: Cluster
) -> None:
    example = project("microservices")
    example.environment |= sandbox_cluster.environment | {"BASE": base_image}
    dev = example.start_doit("dev")
    seen = dev.wait_for("The server says: Make it work, then make it undo.", seconds=120)
    dev.wait_for("Watching for changes...", seconds=60)
    names = sandbox_cluster.kubectl("get", "pods", "-o", "name").succeeded().output.split()
    server = [name for name in names if "quotes-server" in name]
    assert len(server) == 1, names

    example.replace("reader/reader.sh", "The server says", "They say")
    seen = dev.wait_for("They say: Make it work, then make it undo.", after=seen, seconds=60)
    after = sandbox_cluster.kubectl("get", "pods", "-o", "name").succeeded().output.split()
    assert server[0] in after, "the server was deployed again for an edit of the reader"

    dev.interrupt()
    dev.wait_for("Cleaning up...", after=seen)
    dev.wait(seconds=60).succeeded()
    left = sandbox_cluster.kubectl("get", "pods,services,deployments", "-o", "name").succeeded().output
    assert "quotes" not in left, left
    example.doit("prune", "--all").succeeded()
    assert "quotes-" not in docker("images", "-a")


@pytest.mark.engine
def test_microservices_for_two(project: ProjectFactory, base_image: str, tmp_path: Path) -> None:
    """Both images for both platforms; what one requires is the image for the same platform."""
    own = docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", base_image).strip()
    copy = f"FROM --platform={own} {base_image} AS files\nFROM scratch\nCOPY --from=files / /\nENV PATH=/bin\n"
    with registry(tmp_path / "registry") as server:
        base = f"{server.host}/base"
        names = [f"{base}:{architecture}" for architecture in ("amd64", "arm64")]
        try:
            for name in names:
                platform = f"linux/{name.rpartition(':')[2]}"
                docker("build", "--platform", platform, "--provenance=false", "--tag", name, "-", input=copy.encode())
                docker("push", "--quiet", name)
            docker("manifest", "create", "--insecure", f"{base}:1", *names)
            docker("manifest", "push", "--insecure", "--purge", f"{base}:1")
            before = server.state()
            example = project("microservices")
            example.environment["BASE"] = f"{base}:1"
            output = example.doit("push", "push=yes", f"default_repo={server.host}").succeeded().output
            assert output.count("Building [") == 4, output
            for image in ("quotes-server", "quotes-reader"):
                tags = [name.partition(":")[2] for name in server.state() if name.startswith(f"{image}:")]
                found = [json.loads(server.get(f"{image}/manifests/{tag}")[2]).get("manifests") for tag in tags]
                made = [[one["platform"]["architecture"] for one in index] for index in found if index]
                assert (len(tags), made) == (4, [["amd64", "arm64"]] * 2)
            example.doit("prune", "--all").succeeded()
            assert server.state() == before
        finally:
            docker("rmi", *names)


@pytest.mark.sandbox
def test_the_row_of_hooks_comes_and_goes(project: ProjectFactory, sandbox_cluster: Cluster) -> None:
    example = project("hooks")
    example.environment |= sandbox_cluster.environment
    dev = example.start_doit("dev")
    dev.wait_for("Watching for changes...", seconds=60)
    rows = sqlite3.connect(example.folder / "deployments.db")
    assert rows.execute("select * from deployments").fetchall() == [("hooks", "default")]
    rows.close()
    dev.interrupt()
    assert "hooks is not in it any more (its hook was done)" in dev.wait().succeeded().output
    assert not (example.folder / "deployments.db").exists()
    assert "hooks-settings" not in sandbox_cluster.kubectl("get", "configmaps", "-o", "name").succeeded().output


def test_the_story_needs_no_test_library() -> None:
    """The first command installs no test dependencies; what it imports of tests/ must do without them."""
    script = "import sys; import scripts.story; print(sorted({'pytest', 'hypothesis'} & set(sys.modules)))"
    assert run([sys.executable, "-c", script], folder=REPOSITORY).succeeded().output == "[]\n"
