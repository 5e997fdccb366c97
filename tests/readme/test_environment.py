"""What the two commands do to a machine: nothing where they cannot go on, and only what the lock says."""

from __future__ import annotations

import os
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.engine import REPOSITORY, run


def test_an_engine_that_was_chosen_and_does_not_answer_is_named_before_anything_is_done() -> None:
    for command in ("getting-started", "test"):
        environment = os.environ | {"DOCKER_HOST": "tcp://127.0.0.1:1"}
        output = run([REPOSITORY / "scripts" / command], folder=REPOSITORY, environment=environment).failed().output
        problem, hint = output.strip().splitlines()
        assert problem.startswith("The Docker Engine that DOCKER_HOST or the docker context names does not answer: ")
        assert "tcp://127.0.0.1:1" in problem
        assert hint.startswith("  Start it, or choose another one")


def locked() -> dict[NormalizedName, str]:
    """Version by canonical name. Every line must be `name==version`: no hosts, no paths, no options."""
    versions: dict[NormalizedName, str] = {}
    for line in (REPOSITORY / "tests" / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", line)
            assert match, line
            versions[canonicalize_name(match[1])] = match[2]
    return versions


def test_the_lock_satisfies_every_dependency() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(text) for text in project["project"]["dependencies"] + project["dependency-groups"]["test"]]
    versions = locked()
    missing = [str(one) for one in wanted if canonicalize_name(one.name) not in versions]
    assert not missing, f"{missing}: run scripts/lock-requirements"
    old = [str(one) for one in wanted if not one.specifier.contains(versions[canonicalize_name(one.name)])]
    assert wanted and not old, f"{old}: run scripts/lock-requirements"
