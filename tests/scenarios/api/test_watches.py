"""Watches: what a client sees that lists once and then follows."""

from __future__ import annotations

import threading
from typing import Any

from tests.scenarios.api.cluster import Json, Space
from tests.scenarios.api.objects import config_map


def seen(events: list[Json], *, bookmarks: bool = False) -> list[tuple[str, str]]:
    """(type, name) of each event; the ConfigMap of the cluster's own certificate left out."""
    return [
        (event["type"], event["object"]["metadata"].get("name", ""))
        for event in events
        if (bookmarks or event["type"] != "BOOKMARK") and event["object"]["metadata"].get("name") != "kube-root-ca.crt"
    ]


def version(space: Space) -> str:
    found: str = space.api.get(space.path("ConfigMap")).ok()["metadata"]["resourceVersion"]
    return found


def watch(space: Space, seconds: int = 1, **query: Any) -> list[Json]:
    return list(space.api.watch(space.path("ConfigMap"), seconds=seconds, **query))


def test_a_watch_resumes_where_a_list_ended(space: Space) -> None:
    """A watch from a resourceVersion brings every later change once, in order, and nothing that was before."""
    space.create(config_map("before"))
    since = version(space)
    space.create(config_map("a", x="1"))
    space.patch("ConfigMap", "a", {"data": {"x": "2"}})
    space.patch("ConfigMap", "a", {"data": {"x": "2"}})
    space.delete("ConfigMap", "a").ok()
    events = watch(space, resourceVersion=since)
    assert seen(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert [event["object"]["data"]["x"] for event in events] == ["1", "2", "2"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(since)


def test_a_watch_can_resume_in_the_middle(space: Space) -> None:
    """A watch from the resourceVersion of an event brings the events behind it."""
    since = version(space)
    for name in "abc":
        space.create(config_map(name))
    events = watch(space, resourceVersion=since)
    middle = events[1]["object"]["metadata"]["resourceVersion"]
    assert watch(space, resourceVersion=middle) == events[2:]


def test_a_watch_without_version_begins_with_what_is_there(space: Space) -> None:
    """Without a resourceVersion a watch begins with an ADDED event for each object."""
    space.create(config_map("there"))
    assert seen(watch(space)) == [("ADDED", "there")]


def test_a_watch_from_a_forgotten_version(space: Space) -> None:
    """A version older than the history that is kept: 410 Expired (or Gone), as an answer or as an ERROR event."""
    (event,) = watch(space, resourceVersion="1")
    assert event["type"] in ("ERROR", "REFUSED")
    assert event["object"]["code"] == 410
    assert event["object"]["reason"] in ("Expired", "Gone")


def test_selected_objects_come_and_go(space: Space) -> None:
    """With a label selector, an object that begins to match is ADDED, one that ceases to is DELETED."""
    since = version(space)
    space.create(config_map("a", {"on": "no"}))
    space.patch("ConfigMap", "a", {"metadata": {"labels": {"on": "yes"}}})
    space.patch("ConfigMap", "a", {"data": {"x": "1"}})
    last = space.patch("ConfigMap", "a", {"metadata": {"labels": {"on": "no"}}})
    events = watch(space, resourceVersion=since, labelSelector="on=yes")
    assert seen(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert events[-1]["object"]["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]


def test_one_object_is_watched_by_its_name(space: Space) -> None:
    """fieldSelector=metadata.name=… follows one object."""
    since = version(space)
    for name in ("one", "other"):
        space.create(config_map(name))
    assert seen(watch(space, resourceVersion=since, fieldSelector="metadata.name=one")) == [("ADDED", "one")]


def test_bookmarks_tell_how_far_a_watch_is(space: Space) -> None:
    """allowWatchBookmarks: before the watch's time is over a BOOKMARK tells the version that it has come to."""
    space.create(config_map("a"))
    since = version(space)
    events = watch(space, seconds=6, resourceVersion=since, allowWatchBookmarks="true")
    marks = [event["object"] for event in events if event["type"] == "BOOKMARK"]
    assert marks
    assert marks[0]["kind"] == "ConfigMap"
    assert int(marks[-1]["metadata"]["resourceVersion"]) >= int(since)


def test_a_watch_list(space: Space) -> None:
    """sendInitialEvents: the objects as ADDED, then a BOOKMARK annotated k8s.io/initial-events-end."""
    space.create(config_map("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    events = watch(space, **query)
    assert seen(events)[:1] == [("ADDED", "a")]
    mark = next(event for event in events if event["type"] == "BOOKMARK")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_watching_clients_all_see_everything(space: Space) -> None:
    """Several watches at once each see each change once."""
    since = version(space)
    found: list[list[Json]] = [[] for _ in range(4)]

    def follow(into: list[Json]) -> None:
        for event in space.api.watch(space.path("ConfigMap"), seconds=30, resourceVersion=since):
            into.append(event)
            if event["object"]["metadata"]["name"] == "last":
                return

    threads = [threading.Thread(target=follow, args=(into,)) for into in found]
    for thread in threads:
        thread.start()
    for name in [*(f"n{number}" for number in range(20)), "last"]:
        space.create(config_map(name))
    for thread in threads:
        thread.join(30)
    expected = [("ADDED", f"n{number}") for number in range(20)] + [("ADDED", "last")]
    assert all(seen(events) == expected for events in found)


def test_the_official_client_watches(space: Space) -> None:
    """The Python client's Watch gives typed objects, and what a list and a watch gave together is the present state."""
    from kubernetes import client, watch

    core = client.CoreV1Api(space.api.client)
    first = core.list_namespaced_config_map(space.name)
    state = {item.metadata.name: item.metadata.resource_version for item in first.items}
    space.create(config_map("a"))
    space.create(config_map("b"))
    space.patch("ConfigMap", "a", {"data": {"x": "1"}})
    space.delete("ConfigMap", "b").ok()
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, space.name, resource_version=first.metadata.resource_version, timeout_seconds=2
    )
    for event in stream:
        metadata = event["object"].metadata
        if event["type"] == "DELETED":
            del state[metadata.name]
        else:
            state[metadata.name] = metadata.resource_version
    assert state == {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in space.list("ConfigMap")}
