"""Two machines and one set: what one of them writes to the parent between two steps of the other, on the fake cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kfold.ledger import Effect
from kfold.stores.cluster_interface import ObjectRef
from kfold.verbs import applyset, applyset_end
from kfold.verbs.applyset import Parent
from kfold.verbs.objects import ledger_name
from tests.hooks.checkout import ADDRESS, Checkout

SETTINGS, SECRETS = (ObjectRef("v1", kind, "default", "it") for kind in ("ConfigMap", "Secret"))


class Machine(Checkout):
    """Deploys in the steps in which `deploy` does."""

    def widen(self, *refs: ObjectRef) -> Parent:
        self.world.ledger.claim()
        parent = applyset.find(self.cluster, "shop", "default") or applyset.new(self.world, self.cluster, "shop", "default")
        return applyset.widen(self.world, self.cluster, parent, ADDRESS, refs)

    def apply(self, parent: Parent, ref: ObjectRef) -> None:
        details = {**ADDRESS, "set": parent.id}
        effect = Effect("cluster", "object", self.cluster.identity().uid, ledger_name(ref), "shop", details=details)
        record = self.world.ledger.intend(effect)
        metadata = {"name": ref.name, "namespace": ref.namespace, "labels": {"applyset.kubernetes.io/part-of": parent.id}}
        state = self.cluster.apply({"apiVersion": "v1", "kind": ref.kind, "metadata": metadata})
        self.world.ledger.done(record, state.uid)

    def narrow(self, parent: Parent) -> Parent:
        return applyset.narrow(self.world, self.cluster, parent, ADDRESS)

    def there(self) -> Parent | None:
        return applyset.find(self.cluster, "shop", "default")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    one, two = Machine(tmp_path / "one", tmp_path / "me"), Machine(tmp_path / "two", tmp_path / "you")
    yield one, two
    one.world.ledger.close(), two.world.ledger.close()


def test_one_narrows_what_another_widened(machines: tuple[Machine, Machine]) -> None:
    """Whoever narrows last names what the other one has, too."""
    one, two = machines
    first = one.widen(SETTINGS)
    one.apply(first, SETTINGS)
    second = two.widen(SECRETS)
    one.narrow(first)
    found = one.there()
    assert found and {("", "ConfigMap"), ("", "Secret")} <= found.kinds, "what is being applied is looked for"
    two.apply(second, SECRETS)
    two.narrow(second)
    found = two.there()
    assert found and {("", "ConfigMap"), ("", "Secret")} <= found.kinds
    assert {state.kind for state in applyset.members(one.cluster, found)} == {"ConfigMap", "Secret"}


@pytest.mark.parametrize("method", ["get", "delete"])
def test_one_deletes_the_parent_while_another_deploys(
    machines: tuple[Machine, Machine], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one comes before the last look, or between it and the deletion: its record stays, and leads to it all."""
    one, two = machines
    parent = one.widen(SETTINGS)
    one.narrow(parent)
    plain = getattr(one.cluster, method)
    came: list[Parent] = []

    def late(*arguments: Any, **options: Any) -> Any:
        if not came:
            came.append(two.widen(SECRETS))
            two.apply(came[0], SECRETS)
            two.narrow(came[0])
        return plain(*arguments, **options)

    monkeypatch.setattr(one.cluster, method, late)
    applyset_end.remove(one.world, one.cluster, parent.id)
    found = two.there()
    assert came and found and [state.kind for state in applyset.members(two.cluster, found)] == ["Secret"]
    assert one.world.ledger.records() == [], "it is the other one's"
    assert two.delete() == "" and two.there() is None and two.cluster.get(SECRETS) is None


def test_a_parent_that_went_between_widening_and_narrowing(machines: tuple[Machine, Machine]) -> None:
    """One that was only widened may go; who widened it writes it anew, and never into one of another UID."""
    one, two = machines
    parent = one.widen(SETTINGS)
    seen = two.widen(SECRETS)
    one.narrow(parent)
    applyset_end.remove(one.world, one.cluster, parent.id)
    two.apply(seen, SECRETS)
    two.narrow(seen)
    found = two.there()
    assert found and found.state and seen.state and found.state.uid != seen.state.uid
    assert [state.kind for state in applyset.members(two.cluster, found)] == ["Secret"]
    (record,) = two.world.ledger.records("cluster", "set")
    assert (record.state, record.identity) == ("done", found.state.uid)
