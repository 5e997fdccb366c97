"""Whose an object is: what others make, take and delete while ours is there. In this process, on the fake cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.cluster_interface import ObjectRef
from tests.cleanup.deployments import by_hand, config_map, contents, deploy
from tests.hooks.checkout import PARENT, Checkout

Make = Callable[..., Checkout]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Make]:
    made = []

    def make(name: str = "one") -> Checkout:
        made.append(Checkout(tmp_path / name, tmp_path / "me"))
        return made[-1]

    yield make
    for one in made:
        one.world.ledger.close()


def before_applying(one: Checkout, name: str, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody acts once, right before an object of this name is applied."""
    applied, acts = one.cluster.apply, [act]

    def apply(manifest: Any, **how: Any) -> Any:
        if manifest["metadata"]["name"] == name and not how.get("dry_run") and acts:
            acts.pop()()
        return applied(manifest, **how)

    monkeypatch.setattr(one.cluster, "apply", apply)


@pytest.mark.parametrize("theirs", [{"a": "theirs", "b": "theirs"}, {"b": "theirs"}], ids=["another value", "another key"])
def test_what_somebody_makes_while_we_deploy_is_theirs(
    checkout: Make, monkeypatch: pytest.MonkeyPatch, theirs: dict[str, str]
) -> None:
    """Others before it and after it are applied by then; it is taken over as what was there before a deployment is."""
    one = checkout()
    made: list[tuple[ObjectRef, Any]] = []

    def act() -> None:
        ref = by_hand(one, config_map("it", **theirs))
        made.append((ref, contents(one, ref)))

    before_applying(one, "it", act, monkeypatch)
    others = [config_map(name, a="ours") for name in ("one", "two")]
    assert deploy(one, others[0], config_map("it", a="ours"), others[1]) == "", one.said
    ((ref, before),) = made
    taken = contents(one, ref)
    assert taken and taken["data"] == {**theirs, "a": "ours"} and "labels" not in taken["metadata"]
    assert any("it was there before" in line for line in one.said), one.said
    assert one.delete() == ""
    assert contents(one, ref) == before
    assert [key for key in one.cluster.snapshot() if key.startswith("|ConfigMap|")] == ["|ConfigMap|default|it"]


def test_what_helm_makes_while_we_deploy_is_refused(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = checkout()
    theirs = config_map("it", b="theirs")
    theirs["metadata"]["annotations"] = {"meta.helm.sh/release-name": "other"}
    before_applying(one, "it", lambda: by_hand(one, theirs), monkeypatch)
    assert "belongs to Helm release other" in deploy(one, config_map("it", a="ours"))
    ref = ObjectRef("v1", "ConfigMap", "default", "it")
    taken = contents(one, ref)
    assert taken and taken["data"] == {"b": "theirs"} and one.cluster.get(PARENT) is None
    assert one.delete() == "" and contents(one, ref) == taken


def test_an_object_of_ours_whose_creation_got_no_answer_is_ours(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The try after it is refused, since there is one by then."""
    one = checkout()
    applied = one.cluster.apply

    def twice(manifest: Any, **how: Any) -> Any:
        applied(manifest, **how)
        return applied(manifest, **how)

    monkeypatch.setattr(one.cluster, "apply", twice)
    assert deploy(one, config_map("it", a="ours")) == "", one.said
    monkeypatch.undo()
    assert one.delete() == "" and contents(one, ObjectRef("v1", "ConfigMap", "default", "it")) is None
