"""What was there before, and the memory of it: what is not known any more is not taken for nothing."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.cluster_interface import ObjectRef
from tests.crash.stories import Fault, Scene, Trouble
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


def values(stage: Stage) -> dict[str, str]:
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
        assert values(stage)["word"] == ("ours, too" if again else "ours"), "the user's key is not dropped"
    stage.cluster.edit(KEY, {"data": secret(word="mine")["data"]})
    code, output = stage.doit("delete")
    assert code == 0 and values(stage) == {"word": "mine", "other": "theirs"}, output
    assert [state.name for state in stage.cluster.list_kind("v1", "Secret", "default")] == ["key"]
    assert not (stage.project / ".kfold" / "ledger.db").exists()


def test_whose_a_field_was_is_remembered_too(stage: Stage) -> None:
    """Also where the answer to each write of what is put back is lost: the value is back then, and not yet its owner's."""
    it = ObjectRef("v1", "ConfigMap", "default", "it")
    owner = {"manager": "flux", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
             "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}}  # fmt: skip
    metadata = {"name": "it", "namespace": "default", "managedFields": [owner]}
    data = {"a": "1", "b": "1", "c": "1"}
    stage.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    ours = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": {"a": "2", "c": "2"}}
    stage._write("k8s/it.yaml", ours)
    assert stage.doit("deploy")[0] == 0
    lost = Trouble(fault=Fault("cluster", "patch", 500, after_effect=True))
    codes = [stage.doit("delete", trouble=lost)[0] for _ in range(3)]
    assert stage.doit("delete")[0] == 0 and codes[0] == 1
    found = stage.cluster.get(it)
    assert found and found["data"] == data
    (entry,) = found["metadata"]["managedFields"]  # and what was nobody's is nobody's again
    assert {key: entry[key] for key in owner if key != "time"} == {key: owner[key] for key in owner if key != "time"}


def test_killed_before_the_old_value_of_a_secret_was_kept(stage: Stage) -> None:
    """The parent names the field by then, and its value is nowhere yet: the next deployment still finds it in its place."""
    stage.cluster.put(secret(word="quiet", other="theirs"))
    stage._write("k8s/secret.yaml", secret(word="ours"))
    for moment in itertools.count(1):
        if stage.doit("deploy", kill_at=moment)[0] == 0:
            break
        assert stage.doit("deploy")[0] == 0 and values(stage)["word"] == "ours"
        code, output = stage.doit("delete")
        assert code == 0 and values(stage) == {"word": "quiet", "other": "theirs"}, f"killed at {moment}: {output}"
    assert moment > 8
