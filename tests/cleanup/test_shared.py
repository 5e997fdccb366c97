"""One object in the manifests of two projects: who comes second leaves it as it is, whichever of them goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kfold.stores.cluster_interface import ObjectRef
from tests import thorough
from tests.crash.stories import Scene, Trouble
from tests.crash.test_random import Stage, nowhere
from tests.crash.test_two_projects import Beside

__all__ = ["nowhere"]

IT = ObjectRef("v1", "ConfigMap", "default", "it")
NAMESPACE = ObjectRef("v1", "Namespace", "", "shared")


@pytest.fixture
def stage(nowhere: dict[str, str], tmp_path: Path) -> Stage:
    made = Stage(tmp_path / "stage", nowhere)
    made.cluster.put(namespace(team="old"))
    return made


@pytest.fixture
def projects(stage: Stage) -> tuple[Beside, Beside]:
    """Two that have a ConfigMap each besides what they share."""
    first, second = Beside(stage, "first"), Beside(stage, "second")
    first.show(Scene((), (0, 0), ("config-a",), 0, ""))
    second.show(Scene((), (0, 0), ("config-b",), 0, ""))
    return first, second


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": data}


def namespace(**labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shared", "labels": labels}}


def deploy(project: Beside, manifest: dict[str, Any], code: int = 0) -> str:
    project._write("k8s/shared.yaml", manifest)
    ended, output = project.doit("deploy")
    assert ended == code, output
    return output


def delete(project: Beside) -> None:
    code, output = project.doit("delete")
    assert code == 0, output


@pytest.mark.parametrize("first_goes, deploys_again", [(True, True), (True, False), (False, False)])
def test_what_another_project_made(
    stage: Stage, projects: tuple[Beside, Beside], first_goes: bool, deploys_again: bool
) -> None:
    before = stage.state()
    first, second = projects
    deploy(first, config_map(a="1", b="2"))
    made = stage.cluster.get(IT)
    output = deploy(second, config_map(a="9"), code=1)
    assert 'configmap "it"' in output and "another project's" in output and ".data.a, .data.b" in output, output
    assert stage.cluster.get(IT) == made
    deploy(second, config_map(a="1", b="2"))
    assert stage.cluster.get(IT) == made
    # the first one may change it: it is its own, and the second one is told
    deploy(first, config_map(a="2", b="2"))
    assert ".data.a" in deploy(second, config_map(a="1", b="2"), code=1)
    deploy(second, config_map(a="2", b="2"))
    if first_goes:
        code, output = first.doit("delete")
        assert code == 0 and 'configmap "it" stays: second in namespace default uses it too' in output, output
        assert (stage.cluster.get(IT) or {})["data"] == {"a": "2", "b": "2"}, "the second one has it now"
        if deploys_again:
            deploy(second, config_map(a="3"))
        delete(second)
    else:
        delete(second)
        assert (stage.cluster.get(IT) or {})["data"] == {"a": "2", "b": "2"}
        delete(first)
    assert stage.state() == before


@pytest.mark.parametrize("first_goes", [True, False], ids=["the first goes first", "the second goes first"])
def test_what_another_project_took_over(stage: Stage, projects: tuple[Beside, Beside], first_goes: bool) -> None:
    before = stage.state()
    first, second = projects

    def labels() -> dict[str, str]:
        found: dict[str, str] = (stage.cluster.get(NAMESPACE) or {})["metadata"]["labels"]
        return found

    deploy(first, namespace(team="a"))
    output = deploy(second, namespace(team="b"), code=1)
    assert "another project's" in output and ".metadata.labels.team" in output, output
    deploy(second, namespace(team="a"))
    assert labels() == {"team": "a"}
    if first_goes:
        delete(first)
        assert labels() == {"team": "old"}
        deploy(second, namespace(team="b"))
        assert labels() == {"team": "b"}
        delete(second)
    else:
        delete(second)
        assert labels() == {"team": "a"}
        assert "Nothing to do" in deploy(first, namespace(team="a"))
        delete(first)
    assert stage.state() == before


def test_what_a_helm_release_took(stage: Stage, projects: tuple[Beside, Beside]) -> None:
    """What `delete` would leave to the release, `deploy` does not write either."""
    first, _ = projects
    deploy(first, config_map(a="1"))
    stage.cluster.edit(IT, {"metadata": {"annotations": {"meta.helm.sh/release-name": "shop"}}}, manager="helm")
    taken = stage.cluster.get(IT)
    assert "Nothing to do" in deploy(first, config_map(a="1"))
    assert "belongs to Helm release shop" in deploy(first, config_map(a="2"), code=1)
    assert stage.cluster.get(IT) == taken
    code, output = first.doit("delete")
    assert code == 0 and 'configmap "it" stays: it is of Helm release shop now' in output, output
    assert stage.cluster.get(IT) == taken


def test_what_holds_something_handed_on_stays_with_its_record(stage: Stage, projects: tuple[Beside, Beside]) -> None:
    """A namespace of the one that goes first: it goes when the other one's object in it has gone."""
    before = stage.state()
    first, second = projects
    inner = {**config_map(a="1"), "metadata": {"name": "it", "namespace": "own"}}
    first._write("k8s/own.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "own"}})
    deploy(first, inner)
    deploy(second, inner)
    code, output = first.doit("delete")
    assert code == 1 and 'namespace "own" stays: it holds configmap "it"' in output, output
    delete(second)
    assert stage.cluster.get(ObjectRef("v1", "ConfigMap", "own", "it")) is None
    delete(first)
    assert stage.state() == before


def test_a_parent_that_somebody_broke_holds_up_nobody_else(stage: Stage, projects: tuple[Beside, Beside]) -> None:
    first, _ = projects
    for project in projects:
        deploy(project, config_map(a="1"))
    (parent,) = (state for state in stage.cluster.list_kind("v1", "ConfigMap") if "shared" in (state.raw.get("data") or {}))
    stage.cluster.edit(parent.ref, {"data": {"shared": "not JSON"}})
    delete(first)
    assert stage.cluster.get(IT) is None, "whose it is to be cannot be read"


def test_both_deleted_at_once(
    stage: Stage, projects: tuple[Beside, Beside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed on when the other one has already looked for its members is not forgotten: that one is run again."""
    monkeypatch.setattr("tests.crash.test_random.CHECKOUTS", ("first", "second"))
    before = stage.state()
    first, second = projects
    again = 0
    for moment in range(1, 12, 1 if thorough.wanted() else 3):
        for project in projects:
            deploy(project, config_map(a="1"))
        code, output = second.doit("delete", trouble=Trouble(meanwhile=("delete",), meanwhile_at=moment))
        again += code
        if code:
            assert "a moment ago" in output, output
            delete(second)
        assert stage.state() == before, f"the other one was deleted at moment {moment}: {output}"
        assert not (first.project / ".kfold").exists()
    assert again, "no moment was late enough"
