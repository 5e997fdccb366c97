"""The store's own rules, and the laws of field ownership."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.sandbox.api.apply import apply
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.fields import compare, field_set, fields_v1, parse_fields_v1, without
from kfold.sandbox.api.history import HISTORY
from kfold.sandbox.api.resources import BUILTIN, CONFIGMAPS, DEPLOYMENTS, NAMESPACES, PODS
from kfold.sandbox.api.schema import Schema
from kfold.sandbox.server import bootstrap, open_store

SCHEMA = Schema()

DATA = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["1", "2", ""]), max_size=3)


@settings(max_examples=200, deadline=None)
@given(DATA, DATA, DATA)
def test_laws_of_apply(ours: dict[str, str], theirs: dict[str, str], later: dict[str, str]) -> None:
    def config(data: dict[str, str]) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}

    def data(obj: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = obj.get("data") or {}
        return found

    def run(live: Any, what: dict[str, str], manager: str) -> dict[str, Any]:
        return apply(SCHEMA, CONFIGMAPS, live, config(what), manager=manager, force=True)

    first = run(None, theirs, "theirs")
    second = run(first, ours, "ours")
    assert data(second) == theirs | ours
    assert run(second, ours, "ours") == second, "the same again is the same"
    third = run(second, later, "ours")
    kept = {key: value for key, value in theirs.items() if ours.get(key, value) == value}
    assert data(third) == kept | later
    assert data(run(third, {}, "ours")) == {key: value for key, value in kept.items() if later.get(key, value) == value}


PATHS = st.lists(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"1"']), min_size=1, max_size=4).map(tuple), max_size=8
)


@given(PATHS)
def test_fields_v1_says_what_the_set_says(paths: list[tuple[str, ...]]) -> None:
    assert parse_fields_v1(fields_v1(paths)) == set(paths)


@given(DATA, DATA)
def test_what_differs_is_what_taking_away_and_adding_shows(old: dict[str, str], new: dict[str, str]) -> None:
    node = SCHEMA.of(CONFIGMAPS)
    left, right = {"data": old} if old else {}, {"data": new} if new else {}
    found = compare(node, left, right)
    assert found.same == (left == right)
    everything = field_set(node, right)
    assert without(node, right, everything) == {}
    assert without(node, right, set()) == right


def test_the_callers_objects_are_their_own() -> None:
    store, _ = open_store(None)
    bootstrap(store, 1)
    body = {"metadata": {"name": "x", "namespace": "default"}, "data": {"a": "1"}}
    made = store.create(CONFIGMAPS, body)
    made["data"]["a"] = "changed"
    body["data"]["a"] = "changed"  # type: ignore[index]
    store.list(CONFIGMAPS)[0]["data"]["a"] = "changed"
    assert store.get(CONFIGMAPS, "default", "x")["data"] == {"a": "1"}


def test_history_is_bounded_and_says_so() -> None:
    store, _ = open_store(None)
    bootstrap(store, 1)
    store.create(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "default"}})
    start = store.revision
    for number in range(HISTORY + 1):
        store.update(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "default"}, "data": {"n": str(number)}})
    with pytest.raises(ApiError) as refused:
        list(store.events_after(start, CONFIGMAPS))
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    oldest = store.oldest
    assert len(list(store.events_after(oldest, CONFIGMAPS))) == HISTORY
    with pytest.raises(ApiError):
        list(store.events_after(oldest - 1, CONFIGMAPS))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "objects.db")
    bootstrap(store, 1)
    kept = store.create(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "default"}, "data": {"a": "ä\u2028"}})
    store.create(CONFIGMAPS, {"metadata": {"name": "y", "namespace": "default"}})
    store.remove(CONFIGMAPS, "default", "y")
    revision = store.revision
    store.close()
    again, _ = open_store(tmp_path / "objects.db")
    bootstrap(again, 1)
    assert again.list(CONFIGMAPS) == [kept]
    assert again.revision == revision, "a start writes nothing"
    again.close()


def test_a_pod_goes_at_once_or_in_its_grace_period() -> None:
    store, _ = open_store(None)
    bootstrap(store, 1)

    def pod(name: str, **spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "default"}
        return store.create(PODS, {"metadata": metadata, "spec": {"containers": [{"name": "a", "image": "x:1"}], **spec}})

    pod("waiting")
    store.delete(PODS, "default", "waiting")
    assert store.peek(PODS, "default", "waiting") is None, "it was never started"
    pod("running", nodeName="n")
    left = store.delete(PODS, "default", "running")
    assert left["metadata"]["deletionGracePeriodSeconds"] == 30
    assert store.delete(PODS, "default", "running", grace=60)["metadata"]["deletionGracePeriodSeconds"] == 30
    assert store.delete(PODS, "default", "running", grace=5)["metadata"]["deletionGracePeriodSeconds"] == 5
    store.delete(PODS, "default", "running", grace=0)
    assert store.peek(PODS, "default", "running") is None
    pod("ended", nodeName="n")
    ended = store.get(PODS, "default", "ended") | {"status": {"phase": "Succeeded"}}
    store.update_status(PODS, ended)
    store.delete(PODS, "default", "ended")
    assert store.peek(PODS, "default", "ended") is None


def test_every_kind_has_its_schema() -> None:
    for resource in BUILTIN:
        node = SCHEMA.of(resource)
        assert node.form == "struct", resource.kind
        assert {"apiVersion", "kind", "metadata"} <= set(node.fields), resource.kind


def test_the_real_merge_keys() -> None:
    pod = SCHEMA.of(PODS).fields["spec"].fields
    assert pod["containers"].keys == ("name",)
    assert pod["containers"].item.fields["ports"].keys == ("containerPort", "protocol")
    assert pod["containers"].item.fields["ports"].merge_key == "containerPort"
    assert pod["containers"].item.fields["command"].atomic
    assert pod["nodeSelector"].atomic
    assert pod["topologySpreadConstraints"].keys == ("topologyKey", "whenUnsatisfiable")
    assert pod["tolerations"].atomic
    assert SCHEMA.of(DEPLOYMENTS).fields["spec"].fields["selector"].atomic
    assert SCHEMA.of(DEPLOYMENTS).fields["spec"].fields["strategy"].patch == ("retainKeys",)
    assert SCHEMA.metadata.fields["finalizers"].keys == ()
    assert not SCHEMA.metadata.fields["finalizers"].atomic
    assert SCHEMA.of(NAMESPACES).fields["status"].fields["conditions"].keys == ("type",)


def test_defaults_are_filled_in_once() -> None:
    store, _ = open_store(None)
    bootstrap(store, 1)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = store.create(DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "default"}, "spec": spec})
    again = store.update(DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "default"}, "spec": copy.deepcopy(spec)})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
