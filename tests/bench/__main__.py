"""`python -m tests.bench [COUNT]`: needs an engine; starts a sandbox of its own and removes all it made."""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.images import images
from tests.bench.ledger import an_effect, history
from tests.bench.projects import application, manifests_alone, plain_tasks
from tests.bench.table import Row, print_table, seconds
from tests.engine import REPOSITORY, Running, docker, run

PYTHON = Path(sys.executable)
EDITS = 7


def main(count: int) -> None:
    # as an installation is; without it a machine that writes no bytecode compiles kfold at every start
    compileall.compile_dir(REPOSITORY / "kfold", quiet=1)
    base = f"kfold-bench-base:{os.getpid()}"
    run([PYTHON, REPOSITORY / "scripts" / "base-image", base], folder=REPOSITORY).succeeded()
    with tempfile.TemporaryDirectory(prefix="kfold-bench-") as name:
        folder = Path(name)
        environment = {**os.environ, "KFOLD_SANDBOX_HOME": str(folder / "sandbox"), "PYTHONUNBUFFERED": "1"}
        environment["KUBECONFIG"] = str(folder / "sandbox" / "default" / "kubeconfig")
        try:
            rows = [sandbox_start(environment)]
            for size in (1, count):
                project = application(folder / f"app-{size}", size, base)
                print(f"building and deploying {size} artifact(s)...", flush=True)
                with taken_back(project, environment):
                    rows += measure(project, folder / f"plain-{size}", environment, size)
                    if size == 1:
                        rows.append(history(project, partial(doit, project, environment, "deploy")))
            rows.append(deletion(manifests_alone(folder / "delete", count), environment, count))
            rows.append(an_effect(folder / "ledger"))
            rows.append(edit(application(folder / "edit", 1, base), environment))
            print("pushing, finding and building many images...", flush=True)
            rows += images(folder / "images", environment, PYTHON, base)
            print_table(rows)
        finally:
            run([PYTHON, "-m", "kfold.sandbox", "down"], folder=folder, environment=environment)
            docker("rmi", base)


def doit(project: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run doit to its end, quietly; its output."""
    done = subprocess.run(
        [PYTHON, "-m", "doit", *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def taken_back(project: Path, environment: dict[str, str]) -> Iterator[None]:
    """Whatever happens, nothing of the project stays."""
    try:
        doit(project, environment, "deploy")
        yield
    finally:
        doit(project, environment, "delete")
        doit(project, environment, "prune", "--all")


def sandbox_start(environment: dict[str, str]) -> Row:
    def up() -> None:
        run([PYTHON, "-m", "kfold.sandbox", "up"], folder=REPOSITORY, environment=environment).succeeded()

    taken = []
    for _ in range(3):
        run([PYTHON, "-m", "kfold.sandbox", "down"], folder=REPOSITORY, environment=environment)
        begin = time.perf_counter()
        up()
        taken.append(time.perf_counter() - begin)
    return Row("kfold sandbox up", statistics.median(taken), "<= 2 s")


def measure(project: Path, plain: Path, environment: dict[str, str], size: int) -> list[Row]:
    """`doit list` and `doit deploy` with nothing to do, beside doit's own list and kubectl's own look at the objects."""
    names = [line.split()[0] for line in doit(project, environment, "list", "--all").splitlines()]
    plain_tasks(plain, names)
    ours = seconds(lambda: doit(project, environment, "list"))
    theirs = seconds(lambda: doit(plain, environment, "list"))
    said = doit(project, environment, "deploy")
    assert "Nothing to do" in said, said
    nothing = seconds(lambda: doit(project, environment, "deploy"))
    get = ["kubectl", "get", "-f", "k8s/all.yaml"]
    kubectl = seconds(lambda: subprocess.run(get, cwd=project, env=environment, capture_output=True, check=True))
    budget = "<= 0.35 s" if size == 1 else "<= 0.6 s"
    return [
        Row(f"doit list, {len(names)} tasks", ours, f"<= {theirs + 0.06:.3f} s", theirs, "doit, as many plain tasks"),
        Row(f"doit deploy, nothing to do, {size}", nothing, budget, kubectl, "kubectl get of the same objects"),
    ]


def deletion(project: Path, environment: dict[str, str], count: int) -> Row:
    """From the command to its end, with all objects seen to be gone; beside kubectl, which waits for that too."""

    def taken(make: list[str], delete: list[str]) -> float:
        times = []
        for _ in range(3):
            subprocess.run(make, cwd=project, env=environment, capture_output=True, check=True)
            begin = time.perf_counter()
            subprocess.run(delete, cwd=project, env=environment, capture_output=True, check=True)
            times.append(time.perf_counter() - begin)
            left = subprocess.run(["kubectl", "get", "deployments", "-o", "name"], cwd=project, env=environment,
                                  capture_output=True, check=True, text=True)  # fmt: skip
            assert "gone-" not in left.stdout, left.stdout
        return statistics.median(times)

    doit = [str(PYTHON), "-m", "doit"]
    ours = taken([*doit, "deploy"], [*doit, "delete"])
    file = ["-f", "k8s/all.yaml"]
    theirs = taken(["kubectl", "apply", *file], ["kubectl", "delete", *file])
    return Row(f"doit delete, {count} Deployments", ours, "<= 2 s" if count == 100 else "", theirs, "kubectl delete -f")


def edit(project: Path, environment: dict[str, str]) -> Row:
    """From a save to the line that says that the build starts."""
    running = Running([PYTHON, "-m", "doit", "dev", "--prune", "all"], folder=project, environment=environment)
    taken = []
    try:
        position = running.wait_for("Watching for changes")
        for number in range(EDITS):
            begin = time.perf_counter()
            (project / "bench-000" / "file.txt").write_text(f"edit {number}\n")
            position = running.wait_for("Building [", after=position)
            taken.append(time.perf_counter() - begin)
            position = running.wait_for("Watching for changes", after=position)
        running.interrupt()
        running.wait().succeeded()
    finally:
        running.end()
    return Row("save -> build starts", statistics.median(taken), "<= 0.1 s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
