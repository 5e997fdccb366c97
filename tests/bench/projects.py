"""Projects that the benchmark makes: N artifacts with a Deployment each, and N plain doit tasks to compare with."""

from __future__ import annotations

from pathlib import Path

DODO = "import kfold\n\nDOIT_CONFIG, task_kfold = kfold.project()\n"


def application(folder: Path, count: int, base: str) -> Path:
    """`count` artifacts of one small file each and `count` Deployments without Pods, so that images and objects count,
    not the starting of containers."""
    (folder / "k8s").mkdir(parents=True)
    config = ["apiVersion: kfold/v1", "kind: Config", f"metadata: {{name: bench-{count}}}", "build:"]
    config += ["  tagPolicy: {inputDigest: {}}", "  artifacts:"]
    manifests = []
    for number in range(count):
        name = f"bench-{number:03}"
        (folder / name).mkdir()
        (folder / name / "Dockerfile").write_text(f"FROM {base}\nCOPY file.txt /file.txt\n")
        (folder / name / "file.txt").write_text(f"{number}\n")
        config += [f"    - image: {name}", f"      context: {name}"]
        manifests.append(deployment(name))
    (folder / "kfold.yaml").write_text("\n".join(config) + "\nmanifests: {rawYaml: [k8s/all.yaml]}\n")
    (folder / "k8s" / "all.yaml").write_text("---\n".join(manifests))
    (folder / "dodo.py").write_text(DODO)
    return folder


def manifests_alone(folder: Path, count: int) -> Path:
    """`count` Deployments without Pods and nothing to build."""
    (folder / "k8s").mkdir(parents=True)
    (folder / "kfold.yaml").write_text(
        "apiVersion: kfold/v1\nkind: Config\nmetadata: {name: bench-delete}\nmanifests: {rawYaml: [k8s/all.yaml]}\n"
    )
    (folder / "k8s" / "all.yaml").write_text("---\n".join(deployment(f"gone-{number:03}") for number in range(count)))
    (folder / "dodo.py").write_text(DODO)
    return folder


def deployment(name: str) -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app, image: {name}, command: [sleep, "9999"]}}]}}
"""


def plain_tasks(folder: Path, names: list[str]) -> Path:
    """A dodo.py with as many plain tasks, as many of them sub-tasks: what doit itself needs for them."""
    folder.mkdir(parents=True)
    groups = {name.partition(":")[0] for name in names if ":" in name and not name.startswith("prune:")}
    tasks = [
        {"basename": name.replace(":", "_")}
        if name.partition(":")[0] not in groups
        else dict(zip(("basename", "name"), name.split(":"), strict=True))
        for name in names
        if name not in groups
    ]
    creator = "def task_all():\n    for task in TASKS:\n        yield {**task, 'actions': ['true'], 'doc': 'a task'}\n"
    (folder / "dodo.py").write_text(f"TASKS = {tasks!r}\n\n\n{creator}")
    return folder
