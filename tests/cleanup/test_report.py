"""What a deletion's report tells: of everything that was recorded, whatever became of it. On the fake cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kfold.errors import KfoldError
from kfold.ledger import Effect
from kfold.stores.cluster_interface import ClusterError, ObjectRef
from kfold.verbs.objects import ledger_name
from kfold.verbs.report import CleanupReport, written_to
from tests.cleanup.test_parent_races import SECRETS, SETTINGS, Machine
from tests.hooks.checkout import ADDRESS

CLAIM = ObjectRef("v1", "PersistentVolumeClaim", "default", "disk-db-0")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """It has deployed two objects; an earlier deletion left the claim of a StatefulSet."""
    one = Machine(tmp_path / "one", tmp_path / "me")
    parent = one.widen(SETTINGS, SECRETS)
    for ref in (SETTINGS, SECRETS):
        one.apply(parent, ref)
    one.narrow(parent)
    metadata = {"name": CLAIM.name, "namespace": CLAIM.namespace}
    made = one.cluster.put({"apiVersion": "v1", "kind": CLAIM.kind, "metadata": metadata})
    details = {**ADDRESS, "maker": 'statefulset.apps "db"'}
    effect = Effect("cluster", "volume", one.cluster.identity().uid, ledger_name(CLAIM), "shop", details=details)
    one.world.ledger.done(one.world.ledger.intend(effect), made["metadata"]["uid"])
    yield one
    one.world.ledger.close()


def told(machine: Machine, problem: str = "", **options: Any) -> dict[str, list[tuple[str, str]]]:
    """What a deletion's report says: kind and why."""
    report = CleanupReport()
    said = machine.delete(report=report, **options)
    assert problem in said and bool(said) == bool(problem), said
    entries = json.loads(report.as_json())
    return {fate: sorted((one["kind"], one.get("why", "")) for one in entries[fate]) for fate in entries}


def test_what_was_gone_already_and_what_an_earlier_deletion_left(machine: Machine) -> None:
    found = machine.cluster.get(SECRETS)
    assert found
    machine.cluster.delete(SECRETS, uid=found["metadata"]["uid"])
    report = told(machine)
    why = 'it holds the data of statefulset.apps "db" (`doit delete --volumes` takes it)'
    assert report == {
        "removed": [("ConfigMap", ""), ("Secret", "it was gone already")],
        "kept": [(CLAIM.kind, why)],
        "failed": [],
    }


def test_a_cluster_that_does_not_answer(machine: Machine) -> None:
    machine.cluster.fail("identity", ClusterError("the cluster does not answer"), times=9)
    report = told(machine, problem="does not answer")
    assert [kind for kind, why in report["failed"] if "does not answer" in why] == ["ConfigMap", "Secret"], report
    assert report["removed"] == report["kept"] == []


def test_a_cluster_that_is_gone_for_good(machine: Machine) -> None:
    report = told(machine, forget=True)
    assert {kind for kind, why in report["kept"] if "--forget" in why} == {"ConfigMap", "Secret", CLAIM.kind}, report
    assert report["removed"] == report["failed"] == []


def test_a_report_where_everything_goes(tmp_path: Path) -> None:
    (tmp_path / ".kfold").mkdir()
    for file in (".kfold/report.json", str(tmp_path / ".kfold" / "x" / ".." / "report.json")):
        with pytest.raises(KfoldError, match="goes with the last record; nothing was removed"), written_to(file, tmp_path):
            raise AssertionError("something was removed")
    assert list((tmp_path / ".kfold").iterdir()) == []
