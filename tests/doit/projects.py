"""Projects whose cluster and engine lead to nowhere: what works then needs neither."""

from __future__ import annotations

from tests.engine import Project

NOWHERE = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CONTEXT": ""}
"""Nothing listens on port 1. (The project fixture's KUBECONFIG is a file that does not exist.)"""

DODO = "import kfold\n\nDOIT_CONFIG, task_kfold = kfold.project()\n"
CONFIG = """\
apiVersion: kfold/v1
kind: Config
metadata: {name: shop}
build:
  artifacts:
  - {image: web}
manifests:
  rawYaml: [k8s.yaml]
"""
WITHOUT_ARTIFACTS = """\
apiVersion: kfold/v1
kind: Config
metadata: {name: shop}
manifests:
  rawYaml: [k8s.yaml]
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"


def offline(project: Project, config: str = CONFIG, *, dodo: str = "") -> Project:
    """Fill a project: `dodo` comes after the three lines."""
    environment = {name: value for name, value in project.environment.items() if not name.startswith("DOCKER_")}
    project.environment.clear()
    project.environment.update(environment | {"DOCKER_HOST": NOWHERE["DOCKER_HOST"]})
    project.write("dodo.py", DODO + dodo)
    if config:
        project.write("kfold.yaml", config)
    project.write("k8s.yaml", CONFIG_MAP)
    return project


def files(project: Project) -> set[str]:
    """What lies in the project, without Python's own caches."""
    return {path.name for path in project.folder.iterdir()} - {"__pycache__"}
