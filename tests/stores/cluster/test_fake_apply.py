"""Server-side apply in the fake cluster: what must hold for every manifest, and the shapes that the real server writes."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kfold.stores import fake_apply
from kfold.stores.cluster import ObjectRef
from kfold.stores.cluster_interface import manager_hash
from kfold.stores.fake_fields import display, fields, from_tree, to_tree

REF = ObjectRef("apps/v1", "Deployment", "shop", "web")

words = st.sampled_from(["a", "b", "c"])
scalars = st.sampled_from(["x", "y", 1, True, None])
environment = st.lists(words, unique=True, max_size=3).flatmap(
    lambda names: st.tuples(*[st.fixed_dictionaries({"name": st.just(name), "value": words}) for name in names]).map(list))
containers = st.lists(words, unique=True, min_size=1, max_size=3).flatmap(lambda names: st.tuples(*[
    st.fixed_dictionaries({"name": st.just(name), "image": words}, optional={
        "env": environment, "args": st.lists(words, max_size=2),
        "ports": st.lists(st.sampled_from([80, 81]), unique=True, max_size=2).map(
            lambda ports: [{"containerPort": port} for port in ports])})
    for name in names]).map(list))
specs = st.fixed_dictionaries({"replicas": st.integers(0, 3)}, optional={
    "template": st.fixed_dictionaries({"spec": st.fixed_dictionaries({"containers": containers})}),
    "paused": st.booleans(), "free": st.dictionaries(words, scalars, max_size=2)})
manifests = st.builds(lambda spec, labels: {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "labels": labels},
    "spec": spec}, specs, st.dictionaries(words, words, min_size=1, max_size=2))


def meaning(value: Any) -> Any:
    """A value without the order of lists that merge by key, which an apply is free to keep."""
    if isinstance(value, dict):
        return {key: meaning(child) for key, child in value.items()}
    if isinstance(value, list):
        items = [meaning(item) for item in value]
        named = all(isinstance(item, dict) for item in items)
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if named else items
    return value


def said(obj: dict[str, Any]) -> Any:
    for container in obj.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        for port in container.get("ports", []):
            port.pop("protocol", None)
    return meaning({"labels": obj["metadata"].get("labels"), "spec": obj["spec"]})


@given(manifests)
def test_the_same_again_is_the_same_object(manifest: dict[str, Any]) -> None:
    once = fake_apply.apply(None, manifest, REF, force=False)
    assert fake_apply.apply(once, manifest, REF, force=False) == once
    assert said(copy.deepcopy(once)) == said(copy.deepcopy(manifest))


@given(manifests, manifests)
def test_what_left_the_manifest_is_gone_and_the_rest_is_as_if_it_had_never_been(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    result = fake_apply.apply(fake_apply.apply(None, first, REF, force=False), second, REF, force=False)
    assert said(copy.deepcopy(result)) == said(copy.deepcopy(second))
    alone = fake_apply.apply(None, second, REF, force=False)
    assert manager_hash(result["metadata"]["managedFields"]) == manager_hash(alone["metadata"]["managedFields"])


def test_a_new_list_keeps_the_manifests_order() -> None:
    named = [{"name": "web", "image": "x"}, {"name": "proxy", "image": "x"}]
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": named}}
    made = fake_apply.apply(None, manifest, ObjectRef("v1", "Pod", "", "web"), force=False)
    assert [container["name"] for container in made["spec"]["containers"]] == ["web", "proxy"]


@given(manifests)
def test_the_written_fields_are_the_fields(manifest: dict[str, Any]) -> None:
    owned = fields(manifest)
    assert owned and from_tree(to_tree(owned)) == owned


def test_fields_are_written_as_the_api_server_writes_them() -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "x", "ports": [{"containerPort": 80}]}]}}
    assert to_tree(fields(manifest)) == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {"f:containers": {'k:{"name":"web"}': {
            ".": {}, "f:name": {}, "f:image": {},
            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}}}}
    path = max(path for path in fields(manifest) if path[-1] == "f:image")
    assert display(path) == '.spec.containers[name="web"].image'
