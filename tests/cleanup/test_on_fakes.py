"""Taking back where something is missing: the config, the ledger. Whole runs of doit, on the fakes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from kfold.ledger import Effect, Record
from kfold.state_folder import NAME
from kfold.stores.fake_cluster import FakeCluster
from kfold.verbs.objects import ledger_name
from kfold.verbs.retained import retained
from tests.crash.stories import Scene, config, manifests, one_object
from tests.crash.test_random import Stage, nowhere
from tests.crash.test_two_projects import Beside
from tests.scenarios.application import custom_kind

__all__ = ["nowhere"]


@pytest.fixture
def stage(nowhere: dict[str, str], tmp_path: Path) -> Stage:
    made = Stage(tmp_path / "stage", nowhere)
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


@pytest.mark.parametrize("gone", ["cut", "cut, and the config broken", "gone"])
def test_both_copies_of_the_ledger_are_lost(gone: str, stage: Stage) -> None:
    """The stores tell what there was: the cluster to delete, the engine to prune, in this order."""
    before = stage.state()
    stage.show(Scene(("web",), (0, 0), ("config-a", "deployment-web"), 0, ""))
    assert stage.doit("deploy")[0] == 0
    assert len(stage.state()["engine"]) and stage.state() != before
    memory, config = stage.project / NAME, stage.project / "kfold.yaml"
    shutil.rmtree(stage.folder / "home" / "STATE")
    if gone == "gone":
        shutil.rmtree(memory)
    else:
        os.truncate(memory / "ledger.db", 100)
    text = config.read_text()
    if "broken" in gone:
        shutil.rmtree(memory / "cache")
        config.write_text("build: [")
        for arguments, told in ((("delete",), "delete --name shop"), (("prune", "--all"), "were lost")):
            code, output = stage.doit(*arguments)
            assert code == 1 and told in output, output
        config.write_text(text)
    code, output = stage.doit("delete")
    assert code == 0 and stage.state()["cluster"] == before["cluster"], output
    code, output = stage.doit("prune", "--all")
    assert code == 0 and "found again" in output, output
    assert "web:latest stays" in output and list(stage.state()["engine"]["names"]) == ["web:latest"]  # may be a person's
    assert not memory.exists()
    stage.engine.remove("web:latest")
    assert stage.state() == before
    assert "No images to prune." in stage.doit("prune", "--all")[1] and not memory.exists()


def test_a_definition_goes_with_what_a_killed_run_made_of_it(tmp_path: Path) -> None:
    """Killed between the apply and its confirmation: by the mark on it, the object is ours; without it, somebody else's."""
    cluster = FakeCluster(tmp_path / "cluster.json")
    definition = cluster.apply(custom_kind("things"))
    metadata = {"name": "one", "namespace": "default", "annotations": {"kfold.dev/intent": "mark"}}
    made = cluster.apply({"apiVersion": "kfold.test/v1", "kind": "Things", "metadata": metadata})
    there = {state.ref: state for state in (definition, made)}

    def stays(mark: str) -> list[str]:
        effects = [Effect("cluster", "object", "c", ledger_name(ref), "shop", mark) for ref in there]
        records = [Record(1, effects[0], "done", definition.uid, 0, 0), Record(2, effects[1], "intended", "", 0, 0)]
        return [one.why for one in retained(cluster, records, there, []).values()]

    assert stays("mark") == []
    assert stays("another") == stays("") == ['it defines things.kfold.test "one", which kfold did not make']


def test_a_set_that_only_kept_data_is_left_of_goes(stage: Stage) -> None:
    """Data is kept, and the deployment moves to another namespace: the record of the first one has nothing to tell."""
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {}}
    before = stage.state()["cluster"]
    for namespace in ("elsewhere", ""):
        stage.show(Scene((), (0, 0), ("config-a",), 0, namespace))
        document = json.loads((stage.project / "kfold.yaml").read_text())
        document["deploy"]["keep"] = True
        (stage.project / "kfold.yaml").write_text(json.dumps(document))
        (stage.project / "k8s" / "claim.yaml").write_text(json.dumps(claim))
        code, output = stage.doit("deploy")
        assert code == 0, output
    code, output = stage.doit("delete")
    assert code == 0, output
    left = [key for key in stage.state()["cluster"] if key not in before]
    assert sorted(key.rpartition("PersistentVolumeClaim")[2] for key in left) == ["|default|data", "|elsewhere|data"], left


def named(stage: Stage, file: str, **configs: Scene) -> None:
    """The config file says these, each with its manifests in a folder of its own."""
    documents = []
    for name, said in configs.items():
        documents.append({**config(said), "metadata": {"name": name}, "manifests": {"rawYaml": [f"{name}/*.json"]}})
        shutil.rmtree(stage.project / name, ignore_errors=True)
        for number, manifest in enumerate(manifests(said)):
            (stage.project / name).mkdir(exist_ok=True)
            (stage.project / name / f"{number}.json").write_text(json.dumps(manifest))
    (stage.project / file).write_text("\n---\n".join(json.dumps(document) for document in documents))


def uids(stage: Stage) -> dict[str, str]:
    """Name of each ConfigMap -> its UID."""
    return {k.rpartition("|")[2]: v["metadata"]["uid"] for k, v in stage.state()["cluster"].items() if "ConfigMap" in k}


def test_a_config_that_left_its_file_goes_at_the_next_deployment(stage: Stage) -> None:
    """Renamed, then taken out; what a config under another name has as well is that one's from then on."""
    before = stage.state()
    named(stage, "kfold.yaml", shop=scene("config-a", "config-b"), last=scene("secret-a"))
    assert stage.doit("deploy")[0] == 0
    first = uids(stage)
    assert set(first) == {"a", "b", "kfold.default.shop", "kfold.default.last"}

    named(stage, "kfold.yaml", store=scene("config-a"), last=scene("secret-a"))
    code, output = stage.doit("deploy")
    assert code == 0 and ' - configmap "b" is of shop' in output and ' - configmap "b" deleted' in output, output
    then = uids(stage)
    assert set(then) == {"a", "kfold.default.store", "kfold.default.last"} and then["a"] == first["a"]
    assert "Nothing to do" in stage.doit("deploy")[1]

    named(stage, "kfold.yaml", last=scene("secret-a"))  # which is up to date
    code, output = stage.doit("why", "deploy:last")
    assert code == 0 and 'configmap "a" is of store, and kfold.yaml has no config of this name now' in output, output
    code, output = stage.doit("deploy")
    assert code == 0 and ' - configmap "a" deleted' in output, output
    assert set(uids(stage)) == {"kfold.default.last"}
    assert "Nothing to do" in stage.doit("deploy")[1]
    code, output = stage.doit("delete")
    assert code == 0 and stage.state() == before, output


@pytest.mark.parametrize("kill_at", [0, 11])
def test_a_renamed_config_gives_back_what_was_there_before(stage: Stage, kill_at: int) -> None:
    """Values of Secrets, too, which were kept beside the first set's parent; and where a run was killed between the record
    that says that an object is the new set's and the apply that has the object say so."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"value": "b2xk"}}
    for theirs in (one_object("config-a", 99), secret):
        stage.cluster.put({**theirs, "metadata": {**theirs["metadata"], "namespace": "default"}})
    before = stage.state()
    for name in ("shop", "store"):
        named(stage, "kfold.yaml", **{name: scene("config-a", "secret-a")})
        if name == "store" and kill_at:
            assert stage.doit("deploy", kill_at=kill_at)[0] == -signal.SIGKILL
        code, output = stage.doit("deploy")
        assert code == 0, output
    code, output = stage.doit("delete")
    assert code == 0 and stage.state() == before, output


def test_two_config_files_in_one_folder_leave_each_other_alone(stage: Stage) -> None:
    before = stage.state()
    named(stage, "skaffold.yaml", one=scene("config-a"))
    assert stage.doit("deploy")[0] == 0
    first = uids(stage)
    named(stage, "kfold.yaml", two=scene("config-b"))  # it goes before the other one
    for _ in range(2):
        code, output = stage.doit("deploy")
        assert code == 0 and first.items() < uids(stage).items(), output
        named(stage, "kfold.yaml", three=scene("config-b"))
    assert set(uids(stage)) == {*first, "b", "kfold.default.three"}
    code, output = stage.doit("delete")
    assert code == 0 and stage.state() == before, output
