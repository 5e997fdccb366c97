"""Taking back where something is missing: the config, the ledger. Whole runs of doit, on the fakes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.crash.stories import Scene, one_object
from tests.crash.test_random import Stage, zygote
from tests.crash.test_two_projects import Beside

__all__ = ["zygote"]


@pytest.fixture
def stage(zygote: subprocess.Popen[str], tmp_path: Path) -> Stage:
    made = Stage(tmp_path / "stage", zygote)
    made.cluster.put(one_object("namespace-elsewhere", 0))
    return made


def scene(*objects: str) -> Scene:
    return Scene((), (0, 0), objects, 0, "")


def test_without_a_config_and_a_record_nothing_is_no_answer(stage: Stage) -> None:
    """A second machine with a broken config, or none: what is deployed is named, with the way to take it back."""
    before = stage.state()
    first, second = Beside(stage, "first"), Beside(stage, "second")
    first.show(scene("config-a"))
    assert first.doit("deploy")[0] == 0
    deployed = stage.state()
    named = "`doit delete --name first namespace=default`"
    for text, problem in (("build: [\n", "kfold.yaml:2:"), (None, "there is no config in")):
        if text:
            (second.project / "kfold.yaml").write_text(text)
        else:
            (second.project / "kfold.yaml").unlink()
        for arguments in (("delete",), ("delete", "--dry-run")):
            code, output = second.doit(*arguments)
            assert code == 1 and named in output and problem in output, output
            assert "Nothing is deployed" not in output, output
        code, output = second.doit("status")
        assert code == 0 and "deployed from elsewhere: first in namespace default" in output and named in output, output
    assert stage.state() == deployed
    code, output = second.doit("delete", "--name", "first")
    assert code == 0 and stage.state() == before, output
    for project in (second, first):  # now it is the answer
        code, output = project.doit("delete")
        assert code == 0, output
    assert "Nothing is deployed." in second.doit("delete")[1]
