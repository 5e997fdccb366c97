"""The top-level dodo.py runs each example as `doit dev` in its folder."""

from __future__ import annotations

import shutil
import sys

from tests.conftest import Cluster, ProjectFactory
from tests.engine import EXAMPLES, REPOSITORY, docker, start


def test_an_example_runs_from_the_top_and_cleans_up_on_ctrl_c(
    project: ProjectFactory, base_image: str, sandbox_cluster: Cluster
) -> None:
    top = project()
    shutil.copy(REPOSITORY / "dodo.py", top.folder)
    for example in EXAMPLES.glob("*/kfold.yaml"):
        ignored = shutil.ignore_patterns(".kfold", "__pycache__")
        shutil.copytree(example.parent, top.folder / "examples" / example.parent.name, ignore=ignored)
    top.environment |= sandbox_cluster.environment | {"BASE": base_image}
    listed = top.doit("list", "--all").succeeded().output
    assert "example:getting-started" in listed and "example:microservices" in listed, listed

    running = top.start_doit("example:getting-started")
    running.wait_for("[getting-started] Hello, world!", seconds=120)
    seen = running.wait_for("Watching for changes...")
    running.interrupt()
    running.wait_for("Pruning images...", after=running.wait_for("Cleaning up...", after=seen))
    running.wait().succeeded()
    assert "getting-started" not in sandbox_cluster.kubectl("get", "pods", "-o", "name").succeeded().output

    # `dev` keeps the current image for the next start; the record is in the example's folder.
    assert "getting-started" in docker("images")
    folder = top.folder / "examples" / "getting-started"
    start([sys.executable, "-m", "doit", "prune", "--all"], folder=folder, environment=top.environment).wait().succeeded()
    assert "getting-started" not in docker("images")
