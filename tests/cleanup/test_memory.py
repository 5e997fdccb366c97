"""What was there before, and the memory of it: what is not known any more is not taken for nothing."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.cluster_interface import ObjectRef
from tests.crash.stories import Scene
from tests.crash.test_random import Stage, nowhere

__all__ = ["nowhere"]

KEY = ObjectRef("v1", "Secret", "default", "key")


@pytest.fixture
def stage(nowhere: dict[str, str], tmp_path: Path) -> Stage:
    made = Stage(tmp_path / "stage", nowhere)
    made.show(Scene((), (0, 0), ("config-a",), 0, ""))
    return made


def secret(**values: str) -> dict[str, Any]:
    data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}, "data": data}


def data(stage: Stage) -> dict[str, str]:
    found = (stage.cluster.get(KEY) or {})["data"]
    return {name: base64.b64decode(value).decode() for name, value in found.items()}


def test_old_values_of_a_secret_that_somebody_deleted(stage: Stage) -> None:
    """The Secret that keeps them is gone: ours stays and is named, also after a deployment; what the user sets instead
    stays, and ends it."""
    stage.cluster.put(secret(word="quiet", other="theirs"))
    stage._write("k8s/secret.yaml", secret(word="ours", new="ours"))
    assert stage.doit("deploy")[0] == 0
    (beside,) = (state for state in stage.cluster.list_kind("v1", "Secret", "default") if state.name != "key")
    stage.cluster.delete(beside.ref, uid=beside.uid)
    for again in (False, True):
        if again:
            stage._write("k8s/secret.yaml", secret(word="ours, too"))
            assert stage.doit("deploy")[0] == 0
        code, output = stage.doit("delete")
        assert code == 1 and 'secret "key" stays: what .data.word of secret "key" was before' in output, output
        assert data(stage)["word"] == ("ours, too" if again else "ours"), "the user's key is not dropped"
    stage.cluster.edit(KEY, {"data": secret(word="mine")["data"]})
    code, output = stage.doit("delete")
    assert code == 0 and data(stage) == {"word": "mine", "other": "theirs"}, output
    assert [state.name for state in stage.cluster.list_kind("v1", "Secret", "default")] == ["key"]
    assert not (stage.project / ".kfold" / "ledger.db").exists()
