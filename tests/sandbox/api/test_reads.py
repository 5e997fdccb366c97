"""Lists, selectors, pages, Tables and watches."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.sandbox.conftest import MERGE, RawApi, config_map

pytestmark = pytest.mark.sandbox
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def labelled(name: str, **labels: str) -> dict[str, Any]:
    body = config_map(name)
    body["metadata"]["labels"] = labels
    return body


def names(body: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


@pytest.fixture
def five(api: RawApi, maps: str) -> str:
    for name, labels in {
        "a": {"tier": "front", "n": "1"},
        "b": {"tier": "back", "n": "2"},
        "c": {"tier": "back"},
        "d": {},
        "e": {"tier": "front"},
    }.items():
        api.post(maps, labelled(name, **labels)).ok()
    return maps


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=front", "ae"),
        ("tier==front", "ae"),
        ("tier!=front", "bcd"),
        ("tier in (front, back),n", "ab"),
        ("tier notin (front)", "bcd"),
        ("!tier", "d"),
        ("tier", "abce"),
        ("n>1", "b"),
        ("n<2", "a"),
        ("tier=back,!n", "c"),
    ],
)
def test_label_selectors(api: RawApi, five: str, selector: str, found: str) -> None:
    assert "".join(names(api.get(five, labelSelector=selector).ok())) == found


def test_field_selectors(api: RawApi, five: str, namespace: str) -> None:
    assert names(api.get(five, fieldSelector="metadata.name=b").ok()) == ["b"]
    assert names(api.get(five, fieldSelector="metadata.name!=b").ok()) == ["a", "c", "d", "e"]
    everywhere = api.get("/api/v1/configmaps", fieldSelector=f"metadata.namespace={namespace}").ok()
    assert names(everywhere) == ["a", "b", "c", "d", "e"]
    refused = api.get(five, fieldSelector="data.x=b")
    assert (refused.code, refused.reason) == (400, "BadRequest")
    assert "field label not supported: data.x" in refused.body["message"]


@pytest.mark.parametrize("selector", ["a=b=c", "(", "a in", "a in b", "=x", "a>b", "-x-", "a b"])
def test_bad_selectors_are_400(api: RawApi, five: str, selector: str) -> None:
    refused = api.get(five, labelSelector=selector)
    assert (refused.code, refused.reason) == (400, "BadRequest")


def test_a_list_has_kind_and_revision_and_its_items_have_none(api: RawApi, five: str) -> None:
    body = api.get(five).ok()
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(body["metadata"]["resourceVersion"]) >= max(int(i["metadata"]["resourceVersion"]) for i in body["items"])
    assert "kind" not in body["items"][0]


def test_pages_show_the_collection_as_the_first_one_saw_it(api: RawApi, five: str) -> None:
    first = api.get(five, limit=2).ok()
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    api.delete(f"{five}/c").ok()
    api.post(five, labelled("cc")).ok()
    api.send("PATCH", f"{five}/d", {"metadata": {"labels": {"late": "1"}}}, kind=MERGE).ok()
    second = api.get(five, limit=2, **{"continue": first["metadata"]["continue"]}).ok()
    assert names(second) == ["c", "d"]
    assert "labels" not in second["items"][1]["metadata"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = api.get(five, limit=2, **{"continue": second["metadata"]["continue"]}).ok()
    assert names(third) == ["e"]
    assert "continue" not in third["metadata"]
    assert names(api.get(five).ok()) == ["a", "b", "cc", "d", "e"]


def test_bad_pages_are_400(api: RawApi, five: str) -> None:
    assert api.get(five, **{"continue": "nonsense"}).code == 400
    assert api.get(five, limit="many").code == 400
    assert api.get(five, resourceVersion="x").code == 400


def test_a_table_is_what_kubectl_prints(api: RawApi, five: str) -> None:
    body = api.send("GET", five, headers={"Accept": TABLE}).ok()
    assert body["kind"] == "Table"
    assert [column["name"] for column in body["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][:2] for row in body["rows"]] == [[name, 0] for name in "abcde"]
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_metadata_alone(api: RawApi, five: str) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    body = api.send("GET", five, headers={"Accept": accept}).ok()
    assert body["kind"] == "PartialObjectMetadataList"
    assert set(body["items"][0]) == {"kind", "apiVersion", "metadata"}


# --- watches


def test_a_watch_from_a_list_sees_every_later_change_once(api: RawApi, maps: str) -> None:
    api.post(maps, config_map("before")).ok()
    start = api.get(maps).ok()["metadata"]["resourceVersion"]
    api.post(maps, config_map("x", a="1")).ok()
    api.send("PATCH", f"{maps}/x", {"data": {"a": "2"}}, kind=MERGE).ok()
    api.send("PATCH", f"{maps}/x", {"data": {"a": "2"}}, kind=MERGE).ok()
    api.delete(f"{maps}/x").ok()
    events = list(api.watch(maps, resourceVersion=start, timeoutSeconds=1))
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "x"),
        ("MODIFIED", "x"),
        ("DELETED", "x"),
    ]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(set(revisions))
    assert revisions[0] > int(start)
    assert events[0]["object"]["kind"] == "ConfigMap"


def test_a_watch_without_a_revision_begins_with_what_is_there(api: RawApi, five: str) -> None:
    events = list(api.watch(five, timeoutSeconds=1))
    assert [event["type"] for event in events] == ["ADDED"] * 5


def test_a_watch_follows(api: RawApi, maps: str) -> None:
    seen: list[str] = []
    started = threading.Event()

    def follow() -> None:
        for event in api.watch(maps, timeoutSeconds=30):
            seen.append(event["object"]["metadata"]["name"])
            started.set()
            if len(seen) == 2:
                return

    api.post(maps, config_map("one")).ok()
    thread = threading.Thread(target=follow)
    thread.start()
    assert started.wait(10)
    api.post(maps, config_map("two")).ok()
    thread.join(10)
    assert not thread.is_alive()
    assert seen == ["one", "two"]


def test_a_selecting_watch_sees_objects_come_and_go(api: RawApi, maps: str) -> None:
    start = api.get(maps).ok()["metadata"]["resourceVersion"]
    api.post(maps, labelled("x", on="0")).ok()
    for value in ("1", "1", "0"):
        patch = {"metadata": {"labels": {"on": value}}, "data": {value: value}}
        api.send("PATCH", f"{maps}/x", patch, kind=MERGE).ok()
    api.delete(f"{maps}/x").ok()
    events = list(api.watch(maps, resourceVersion=start, labelSelector="on=1", timeoutSeconds=1))
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    assert events[1]["object"]["metadata"]["labels"] == {"on": "1"}


def test_a_watch_of_one_object(api: RawApi, five: str) -> None:
    events = list(api.watch(five, fieldSelector="metadata.name=b", timeoutSeconds=1))
    assert [event["object"]["metadata"]["name"] for event in events] == ["b"]


def test_a_streaming_list_ends_with_a_marked_bookmark(api: RawApi, five: str) -> None:
    query: dict[str, Any] = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "timeoutSeconds": 1}
    events = list(api.watch(five, resourceVersionMatch="NotOlderThan", resourceVersion="", **query))
    assert [event["type"] for event in events] == ["ADDED"] * 5 + ["BOOKMARK"]
    assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
