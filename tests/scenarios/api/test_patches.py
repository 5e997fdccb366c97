"""The patches that are computed from the patch alone: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.api.cluster import JSON_PATCH, MERGE, STRATEGIC, Space
from tests.scenarios.api.objects import config_map, deployment, idle_pod, service

CONTAINERS = [
    {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}], "args": ["1", "2"]},
    {"name": "b", "image": "b:1"},
]


def inner(found: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def app(space: Space) -> Space:
    """A Deployment "app" of two containers."""
    space.create(deployment("app", *CONTAINERS))
    return space


def strategic(space: Space, spec: dict[str, Any]) -> dict[str, Any]:
    """The Pod spec after a strategic merge patch of it."""
    return inner(space.patch("Deployment", "app", {"spec": {"template": {"spec": spec}}}, STRATEGIC))


def test_merge_patch(space: Space) -> None:
    """RFC 7386: maps are merged, null removes, lists are replaced as a whole."""
    space.create(config_map("a", x="1", y="2"))
    found = space.patch("ConfigMap", "a", {"data": {"x": None, "y": "3", "z": "4"}}, MERGE)
    assert found["data"] == {"y": "3", "z": "4"}
    space.create(deployment("app", *CONTAINERS))
    only = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c:1"}]}}}}
    assert [item["name"] for item in inner(space.patch("Deployment", "app", only, MERGE))["containers"]] == ["c"]


def test_json_patch(space: Space) -> None:
    """RFC 6902: test, add, replace, move, copy, remove, in order; ~1 stands for a slash."""
    space.create(config_map("a", {"x/y": "1"}, a="1", b="2"))
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "move", "from": "/data/b", "path": "/data/c"},
        {"op": "copy", "from": "/data/c", "path": "/data/d"},
        {"op": "remove", "path": "/metadata/labels/x~1y"},
        {"op": "add", "path": "/metadata/labels/z", "value": "1"},
    ]
    found = space.patch("ConfigMap", "a", operations, JSON_PATCH)
    assert found["data"] == {"a": "9", "c": "2", "d": "2"}
    assert found["metadata"]["labels"] == {"z": "1"}


def test_json_patch_appends_to_lists(app: Space) -> None:
    """`-` is the place behind a list's end, a number the place in front of that item."""
    base = "/spec/template/spec/containers"
    operations = [
        {"op": "add", "path": f"{base}/-", "value": {"name": "z", "image": "z:1"}},
        {"op": "add", "path": f"{base}/0", "value": {"name": "first", "image": "f:1"}},
    ]
    found = inner(app.patch("Deployment", "app", operations, JSON_PATCH))
    assert [item["name"] for item in found["containers"]] == ["first", "a", "b", "z"]


def test_strategic_merge_goes_by_name(app: Space) -> None:
    """Containers merge by name and keep what the patch does not say; env by name; args are replaced."""
    patch = {"name": "a", "image": "a:2", "env": [{"name": "Y", "value": "3"}, {"name": "Z", "value": "4"}], "args": ["9"]}
    found = {item["name"]: item for item in strategic(app, {"containers": [patch]})["containers"]}
    assert set(found) == {"a", "b"}
    assert found["a"]["image"] == "a:2"
    assert {item["name"]: item["value"] for item in found["a"]["env"]} == {"X": "1", "Y": "3", "Z": "4"}
    assert found["a"]["args"] == ["9"]


def test_strategic_merge_adds_items(app: Space) -> None:
    """An item with a new key is added."""
    found = strategic(app, {"containers": [{"name": "c", "image": "c:1"}]})
    assert {item["name"] for item in found["containers"]} == {"a", "b", "c"}


def test_strategic_merge_deletes_items(app: Space) -> None:
    """`$patch: delete` in an item deletes the one with its key."""
    patch = {"name": "a", "env": [{"name": "X", "$patch": "delete"}]}
    found = strategic(app, {"containers": [patch, {"name": "b", "$patch": "delete"}]})
    assert [item["name"] for item in found["containers"]] == ["a"]
    assert found["containers"][0]["env"] == [{"name": "Y", "value": "2"}]


def test_strategic_merge_replaces_lists(app: Space) -> None:
    """An item `$patch: replace` makes the rest of the list the whole list."""
    found = strategic(app, {"containers": [{"name": "new", "image": "n:1"}, {"$patch": "replace"}]})
    assert [item["name"] for item in found["containers"]] == ["new"]


def test_strategic_merge_replaces_maps(space: Space) -> None:
    """`$patch: replace` in a map makes it the whole map."""
    space.create(config_map("a", {"x": "1"}, a="1"))
    found = space.patch("ConfigMap", "a", {"metadata": {"labels": {"y": "2", "$patch": "replace"}}}, STRATEGIC)
    assert found["metadata"]["labels"] == {"y": "2"}
    assert found["data"] == {"a": "1"}


def test_strategic_merge_null_removes(app: Space) -> None:
    """null removes a field, as in a merge patch."""
    found = strategic(app, {"containers": [{"name": "a", "args": None}]})
    assert all("args" not in item for item in found["containers"])


def test_strategic_merge_sets_the_order(app: Space) -> None:
    """$setElementOrder orders the items of a list."""
    patch = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "b:2"}]}
    found = strategic(app, patch)
    assert [item["name"] for item in found["containers"]] == ["b", "a"]


def test_strategic_merge_retains_keys(app: Space) -> None:
    """$retainKeys drops what it does not name: a strategy that becomes Recreate loses its rollingUpdate."""
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert app.patch("Deployment", "app", patch, STRATEGIC)["spec"]["strategy"] == {"type": "Recreate"}


def test_strategic_merge_of_primitive_lists(space: Space) -> None:
    """Finalizers merge as a set; $deleteFromPrimitiveList takes some away."""
    body = config_map("a")
    body["metadata"]["finalizers"] = ["kfold.dev/a", "kfold.dev/b"]
    space.create(body)
    found = space.patch("ConfigMap", "a", {"metadata": {"finalizers": ["kfold.dev/c"]}}, STRATEGIC)
    assert set(found["metadata"]["finalizers"]) == {"kfold.dev/a", "kfold.dev/b", "kfold.dev/c"}
    drop = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["kfold.dev/a", "kfold.dev/b", "kfold.dev/c"]}}
    assert "finalizers" not in space.patch("ConfigMap", "a", drop, STRATEGIC)["metadata"]


def test_strategic_merge_keys_differ_by_list(space: Space) -> None:
    """A Service's ports merge by port, a container's by containerPort, volumes by name, tolerations not at all."""
    space.create(service("ports", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}]))
    found = space.patch("Service", "ports", {"spec": {"ports": [{"port": 81, "targetPort": 9}]}}, STRATEGIC)
    assert {item["port"]: item["targetPort"] for item in found["spec"]["ports"]} == {80: 80, 81: 9}
    ports = [{"containerPort": 1, "name": "one"}, {"containerPort": 2, "name": "two"}]
    space.create(deployment("app", {"name": "a", "image": "a:1", "ports": ports}))
    inside = strategic(space, {"containers": [{"name": "a", "ports": [{"containerPort": 2, "name": "zwei"}]}]})
    assert {item["name"] for item in inside["containers"][0]["ports"]} == {"one", "zwei"}
    for key in ("a", "b"):
        inside = strategic(space, {
            "tolerations": [{"key": key, "operator": "Exists"}],
            "volumes": [{"name": key, "emptyDir": {}}],
        })  # fmt: skip
    assert [item["key"] for item in inside["tolerations"]] == ["b"]
    assert {item["name"] for item in inside["volumes"]} == {"a", "b"}


def test_a_volumes_source_is_replaced(app: Space) -> None:
    """A volume's source is replaced with $retainKeys, as kubectl sends it: the old one does not stay beside the new."""
    strategic(app, {"volumes": [{"name": "v", "emptyDir": {}}]})
    patch = {"volumes": [{"name": "v", "configMap": {"name": "c"}, "$retainKeys": ["name", "configMap"]}]}
    (volume,) = strategic(app, patch)["volumes"]
    assert set(volume) == {"name", "configMap"}


def test_status_is_no_part_of_the_main_path(space: Space) -> None:
    """A patch of the main path leaves status alone; one of /status leaves everything else alone."""
    space.create(idle_pod("a"))
    entry = {"type": "kfold.dev/gate", "status": "True"}
    patch = {"metadata": {"labels": {"x": "y"}}, "status": {"conditions": [entry]}}
    found = space.patch("Pod", "a", patch, STRATEGIC)
    assert found["metadata"]["labels"]["x"] == "y"
    assert not any(item["type"] == entry["type"] for item in found["status"].get("conditions") or [])
    patch["metadata"]["labels"] = {"x": "z"}  # type: ignore[index]
    found = space.api.patch(space.path("Pod", "a", "status"), patch, STRATEGIC).ok()
    assert found["metadata"]["labels"]["x"] == "y"
    assert any(item["type"] == entry["type"] for item in found["status"]["conditions"])
