"""Stores that fail or lose an answer, a full disk, a clock that is behind, Ctrl+C: in a deployment and in a deletion, each
where nothing else is wrong. What stands in the end is what stood before."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import pytest

from tests import thorough
from tests.crash.stories import Fault, Scene, Trouble, one_object
from tests.crash.test_random import Stage, nowhere

__all__ = ["nowhere"]

_STATUSES = itertools.cycle([500, 0, 429, 409])
_DEPLOYING = [("cluster", name) for name in ("create", "apply", "get", "list_kind")]
_DEPLOYING += [("engine", name) for name in ("build", "tag", "names", "labelled")]
_LATE = ("create", "apply", "delete", "build", "tag", "remove")
"""What changes something: its answer may be lost after that."""


def faults(methods: list[tuple[str, str]], times: int = 1) -> list[Trouble]:
    each = [(method, late) for method in methods for late in (False, True) if not late or method[1] in _LATE]
    return [Trouble(Fault(*method, next(_STATUSES), late, times)) for method, late in each]


DEPLOYING = [*faults(_DEPLOYING), *(Trouble(full_at=at) for at in (1, 5)), Trouble(clock=-86_400),
             *(Trouble(interrupts=at) for at in ((2,), (9,), (3, 6)))]  # fmt: skip
DELETING = [*faults([("cluster", name) for name in ("delete", "get", "list_kind", "patch")]), Trouble(full_at=2),
            Trouble(clock=-86_400), Trouble(interrupts=(3,)), Trouble(interrupts=(2, 5))]  # fmt: skip
# what fails once is tried again by itself
PRUNING = [*faults([("engine", name) for name in ("remove", "image", "tag")], times=9), Trouble(interrupts=(2,))]


def _plain(stage: Stage, *arguments: str) -> None:
    code, output = stage.doit(*arguments)
    assert code == 0, output


@pytest.fixture
def stage(nowhere: dict[str, str], tmp_path: Path) -> Stage:
    """With an object and a name in the engine of somebody else's, which the project takes over."""
    made = Stage(tmp_path / "stage", nowhere)
    secret = one_object("secret-a", 99)
    secret["metadata"]["namespace"] = "default"
    secret["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in secret.pop("stringData").items()}
    made.cluster.put(secret)
    made.engine.put_image("web:latest", "theirs:1")
    return made


def test_what_goes_wrong_in_a_deployment(stage: Stage) -> None:
    """One after the other in one project, each with an edit; then all is taken back."""
    before = stage.state()
    failed = 0
    for number, trouble in enumerate(DEPLOYING if thorough.wanted() else DEPLOYING[::2]):
        objects = ("config-a", "config-in-own", "deployment-web", "secret-a")
        # what left the manifests goes, and comes back
        stage.show(Scene(("web",), (number, 0), objects[number % 2 :], number, ""))
        code, output = stage.doit("deploy", trouble=trouble)
        failed += code != 0
        assert code in (0, 1, 130), output
    assert failed > 3
    _plain(stage, "deploy")
    _plain(stage, "delete")
    _plain(stage, "prune", "--all")
    assert stage.state() == before and not (stage.project / ".kfold").exists()


@pytest.mark.parametrize("verb", ["delete", "prune"])
def test_what_goes_wrong_while_it_is_taken_back(stage: Stage, verb: str) -> None:
    """The same again goes on from there."""
    before, failed = stage.state(), 0
    arguments = ("delete",) if verb == "delete" else ("prune", "--all")
    troubles = DELETING if verb == "delete" else PRUNING
    for number, trouble in enumerate(troubles if thorough.wanted() else troubles[::2]):
        stage.show(Scene(("web",), (number, 0), ("config-a", "config-in-own", "secret-a"), number, ""))
        _plain(stage, *(("deploy",) if verb == "delete" else ("tag",)))
        code, output = stage.doit(*arguments, trouble=trouble)
        failed += code != 0
        assert code in (0, 1, 130), output
        if code:
            _plain(stage, *arguments)
    assert failed > 1
    _plain(stage, "prune", "--all")
    assert stage.state() == before and not (stage.project / ".kfold").exists()
