"""What the fake cluster does beyond the contract: fails when told to, survives its process, holds what is put there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kfold.errors import KfoldError
from kfold.stores.cluster import ClusterError, FieldConflict, ObjectRef, OwnedField
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.selectors import matches

SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"},
            "data": {"x": "1"}}
REF = ObjectRef("v1", "ConfigMap", "default", "a")


def test_it_fails_as_often_as_it_was_told(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path / "cluster.json")
    fake.fail("apply", ClusterError("busy", code=429, reason="TooManyRequests"), times=2)
    for _ in range(2):
        with pytest.raises(ClusterError, match="busy") as caught:
            fake.apply(SETTINGS)
        assert caught.value.code == 429
        assert fake.get(REF) is None
    assert fake.apply(SETTINGS).uid


def test_an_answer_can_be_lost_after_the_effect(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path / "cluster.json")
    fake.fail("apply", ClusterError("reset"), after_effect=True)
    with pytest.raises(ClusterError, match="reset"):
        fake.apply(SETTINGS)
    found = fake.get(REF)
    assert found is not None and found["data"] == {"x": "1"}


def test_a_conflict_keeps_its_type(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path / "cluster.json")
    fake.fail("apply", FieldConflict("held", (OwnedField("helm", ".data.x"),)))
    with pytest.raises(FieldConflict) as caught:
        fake.apply(SETTINGS)
    assert caught.value.conflicts == (OwnedField("helm", ".data.x"),)


def test_state_and_failures_live_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    fake = FakeCluster(file)
    applied = fake.apply(SETTINGS)
    fake.fail("delete", ClusterError("from another process"))
    program = (
        "import sys, pathlib\n"
        "from kfold.stores.fake_cluster import FakeCluster\n"
        "from kfold.stores.cluster_interface import ObjectRef\n"
        "fake = FakeCluster(pathlib.Path(sys.argv[1]))\n"
        "ref = ObjectRef('v1', 'ConfigMap', 'default', 'a')\n"
        "try:\n    fake.delete(ref, uid=sys.argv[2])\nexcept Exception as error:\n    print(error)\n"
        "print(fake.delete(ref, uid=sys.argv[2]))\n")
    done = subprocess.run([sys.executable, "-c", program, str(file), applied.uid], capture_output=True, text=True,
                          check=True, timeout=30)
    assert done.stdout.split("\n")[:2] == ["from another process", "requested"]
    assert fake.get(REF) is None


def test_deleting_an_owner_or_a_namespace_takes_what_is_in_it(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path / "cluster.json")
    space = fake.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    owner = fake.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
                        "spec": {"replicas": 1}})
    reference = {"uid": owner.uid, "kind": "Deployment", "name": "web"}
    fake.put({"apiVersion": "v1", "kind": "Pod",
              "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [reference]}})
    assert len(fake.pods("shop")) == 1
    fake.delete(owner.ref, uid=owner.uid)
    assert fake.pods("shop") == []
    fake.apply({**SETTINGS, "metadata": {"name": "b", "namespace": "shop"}})
    fake.delete(space.ref, uid=space.uid)
    assert [state.name for state in fake.list_kind("v1", "ConfigMap")] == []
    assert fake.get(space.ref) is None


def test_logs_are_what_was_set(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path / "cluster.json")
    fake.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}})
    fake.set_log("default", "p", "c", ["one", "two", "three"])
    assert list(fake.logs("default", "p", "c")) == [b"one", b"two", b"three"]
    assert list(fake.logs("default", "p", "c", tail=2)) == [b"two", b"three"]
    assert list(fake.logs("default", "p", "c", tail=0)) == []


@pytest.mark.parametrize(("selector", "expected"), [
    ("", True), ("app=web", True), ("app==web", True), ("app!=web", False), ("app in (web, db)", True),
    ("app notin (web)", False), ("app", True), ("!app", False), ("none", False), ("!none", True),
    ("app=web,tier=front", False), ("none!=x", True), ("none notin (x)", True),
])
def test_label_selectors(selector: str, expected: bool) -> None:
    assert matches(selector, {"app": "web"}) is expected


def test_a_malformed_selector_is_refused() -> None:
    with pytest.raises(KfoldError, match="is not a label selector"):
        matches("app in web", {})
