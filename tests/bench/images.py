"""Many artifacts at once: found in a registry and not built; and built for the first time, beside `docker build`."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.projects import DODO
from tests.bench.table import Row
from tests.engine import docker
from tests.registry.server import registry

FOUND, BUILT = 50, 100


def images(folder: Path, environment: dict[str, str], python: Path, base: str) -> list[Row]:
    """The rows. Nothing stays in the engine, and the registry is one of its own."""
    with registry(folder / "registry") as server:
        project = artifacts(folder / "pushed", FOUND, base, f"{server.host}/team/")
        _doit(python, project, environment, "push")
        try:
            taken = [_found(python, project, folder / f"machine-{number}", environment) for number in range(3)]
        finally:
            _doit(python, project, environment, "prune", "--all")
    rows = [Row(f"doit build, {FOUND} artifacts, all found in a loopback registry", sorted(taken)[1], "<= 1 s")]
    project = artifacts(folder / "first", BUILT, base, "kfold-bench-")
    begin = time.perf_counter()
    _doit(python, project, environment, "build")
    ours = time.perf_counter() - begin
    _doit(python, project, environment, "prune", "--all")
    theirs = one_after_the_other(project)
    rows.append(Row(f"first build of {BUILT} tiny artifacts", ours, f"<= {theirs / 2:.1f} s", theirs, "docker build each"))
    return rows


def artifacts(folder: Path, count: int, base: str, prefix: str) -> Path:
    """`count` artifacts of one small file each, that no other project has."""
    folder.mkdir(parents=True)
    config = ["apiVersion: kfold/v1", "kind: Config", f"metadata: {{name: bench-{folder.name}}}", "build:"]
    config += ["  tagPolicy: {inputDigest: {}}", f"  local: {{push: {str('/' in prefix).lower()}}}", "  artifacts:"]
    for number in range(count):
        name = f"image-{number:03}"
        (folder / name).mkdir()
        (folder / name / "Dockerfile").write_text(f"FROM {base}\nCOPY file.txt /file.txt\n")
        (folder / name / "file.txt").write_text(f"{folder} {number}\n")
        config += [f"    - image: {prefix}{name}", f"      context: {name}"]
    (folder / "kfold.yaml").write_text("\n".join(config) + "\n")
    (folder / "dodo.py").write_text(DODO)
    return folder


def _found(python: Path, project: Path, folder: Path, environment: dict[str, str]) -> float:
    """Seconds of `doit build` on a machine that has neither `.kfold/` nor images."""
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".kfold", "__pycache__"))
    elsewhere = {**environment, "XDG_STATE_HOME": str(folder.parent / f"{folder.name}-state")}
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "label=dev.kfold.config=bench-pushed")
    if names.strip():
        docker("rmi", *names.split())
    begin = time.perf_counter()
    output = _doit(python, folder, elsewhere, "build")
    taken = time.perf_counter() - begin
    assert output.count("Found Remotely") == FOUND and "Building" not in output, output
    return taken


def one_after_the_other(project: Path) -> float:
    """Seconds of `docker build` for each folder; images are removed again."""
    ids = []
    begin = time.perf_counter()
    for folder in sorted(project.glob("image-*")):
        (folder / "file.txt").write_text(f"{folder} by docker\n")
        file = project / f"{folder.name}.id"
        subprocess.run(
            ["docker", "build", "--quiet", "--iidfile", file, folder], env=os.environ, capture_output=True, check=True
        )
        ids.append(file.read_text())
    taken = time.perf_counter() - begin
    docker("rmi", *ids)
    return taken


def _doit(python: Path, project: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [python, "-m", "doit", *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
