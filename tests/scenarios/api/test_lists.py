"""Lists: selectors, pages, and the version that a list is of."""

from __future__ import annotations

import pytest

from tests.scenarios.api.cluster import CORE, Space
from tests.scenarios.api.objects import config_map, idle_pod, secret


@pytest.fixture(scope="module")
def maps(shared: Space) -> Space:
    """Three labelled ConfigMaps and one without labels."""
    for name, labels in (
        ("red", {"color": "red", "size": "1"}),
        ("blue", {"color": "blue", "size": "20"}),
        ("green", {"color": "green", "kind": "leaf"}),
        ("plain", {}),
    ):
        shared.create(config_map(name, {"suite": "lists", **labels} if labels else None))
    return shared


@pytest.mark.parametrize(
    "selector, expected",
    [
        ("color=red", ["red"]),
        ("color==red", ["red"]),
        ("color!=red,suite", ["blue", "green"]),
        ("color in (red, blue)", ["blue", "red"]),
        ("color notin (red),suite=lists", ["blue", "green"]),
        ("suite,!size", ["green"]),
        ("size>3", ["blue"]),
        ("size<3,color", ["red"]),
        ("color=", []),
    ],
)
def test_label_selectors(maps: Space, selector: str, expected: list[str]) -> None:
    """Equality, sets, existence and comparison; commas mean and; `!=` and `notin` hold for a missing label too."""
    assert maps.names("ConfigMap", labelSelector=selector) == expected


def test_a_missing_label_is_unequal(maps: Space) -> None:
    """`color!=red` selects objects without the label as well."""
    assert {"plain", "blue", "green"} <= set(maps.names("ConfigMap", labelSelector="color!=red"))


def test_field_selectors(maps: Space) -> None:
    """metadata.name and metadata.namespace select in all kinds, a Pod's status.phase, a Secret's type."""
    assert maps.names("ConfigMap", fieldSelector="metadata.name=red") == ["red"]
    assert "red" not in maps.names("ConfigMap", fieldSelector="metadata.name!=red")
    found = maps.api.get(f"{CORE}/configmaps", fieldSelector=f"metadata.namespace={maps.name},metadata.name=red").ok()
    assert [item["metadata"]["name"] for item in found["items"]] == ["red"]
    maps.create(idle_pod("waits"))
    assert maps.names("Pod", fieldSelector="status.phase=Pending") == ["waits"]
    assert maps.names("Pod", fieldSelector="status.phase!=Pending") == []
    assert maps.names("Pod", fieldSelector="spec.nodeName=") == ["waits"]
    maps.create(secret("typed"))
    assert maps.names("Secret", fieldSelector="type=Opaque") == ["typed"]


def test_a_list_is_sorted_by_name(maps: Space) -> None:
    """Lists come in the order of names."""
    names = maps.names("ConfigMap", labelSelector="suite")
    assert names == sorted(names) == ["blue", "green", "red"]


def test_pages_show_one_state(space: Space) -> None:
    """limit and continue give everything once, as it was at the first page, with the number that remains."""
    for number in range(7):
        space.create(config_map(f"page-{number}"))
    everything = space.names("ConfigMap")
    path = space.path("ConfigMap")
    page = space.api.get(path, limit=3).ok()
    first_version = page["metadata"]["resourceVersion"]
    assert page["metadata"]["remainingItemCount"] == len(everything) - 3
    seen = [item["metadata"]["name"] for item in page["items"]]
    space.delete("ConfigMap", "page-6").ok()
    space.create(config_map("page-5a"))
    while token := page["metadata"].get("continue"):
        page = space.api.get(path, limit=3, **{"continue": token}).ok()
        assert page["metadata"]["resourceVersion"] == first_version
        assert len(page["items"]) <= 3
        seen += [item["metadata"]["name"] for item in page["items"]]
    assert seen == everything
    assert "remainingItemCount" not in page["metadata"]


def test_pages_of_a_selection_do_not_count(maps: Space) -> None:
    """With a selector, remainingItemCount is not told."""
    page = maps.api.get(maps.path("ConfigMap"), limit=1, labelSelector="suite").ok()
    assert len(page["items"]) == 1
    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]


def test_a_list_of_an_exact_version(space: Space) -> None:
    """resourceVersionMatch=Exact lists what was there then; it needs a resourceVersion (else 422)."""
    before = space.create(config_map("then"))["metadata"]["resourceVersion"]
    space.delete("ConfigMap", "then").ok()
    space.create(config_map("now"))
    path = space.path("ConfigMap")
    found = space.api.get(path, resourceVersion=before, resourceVersionMatch="Exact").ok()
    names = [item["metadata"]["name"] for item in found["items"]]
    assert "then" in names
    assert "now" not in names
    space.api.get(path, resourceVersionMatch="Exact").refused(422, "Invalid")


def test_a_version_of_the_future(maps: Space) -> None:
    """A list of a resourceVersion that is not reached yet times out: 504 Timeout, to be tried again."""
    refused = maps.api.get(maps.path("ConfigMap"), resourceVersion=str(2**62), resourceVersionMatch="NotOlderThan")
    refused.refused(504, "Timeout")
    assert "Too large resource version" in refused.message
