"""A push that was cut off when the registry had its manifest already, and takes its time: on the fakes, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kfold.errors import KfoldError
from kfold.stores.engine_interface import PushFailed
from kfold.verbs import registry_writes
from tests.images.test_on_fakes import shop
from tests.images.test_two_checkouts import NOTHING, Checkout, Pushing, checkouts

__all__ = ["checkouts", "shop"]

A, B = 12 * "a", 12 * "b"
UPLOADED = (f"{A}: Preparing", f"{B}: Preparing", f"{A}: Layer already exists", f"{B}: Pushed")


class Killed(BaseException):
    """The process ends here."""


def cut_off(
    checkout: Checkout, patches: pytest.MonkeyPatch, lines: tuple[str, ...] = UPLOADED, error: Exception | None = None
) -> Callable[[], str]:
    """Push, and die when the engine has said this much. Returns what makes it come to its end in the registry."""
    finish: list[Callable[[], str]] = []

    def push(name: str, on_line: Callable[[str], None], *_: Any) -> str:
        for line in lines:
            on_line(line)
        image = checkout.engine.names().ids[name]
        finish.append(lambda: checkout.engine.arrives(name, image))
        raise error or Killed

    with patches.context() as patch, pytest.raises((Killed, KfoldError)):
        patch.setattr(checkout.engine, "push", push)
        checkout.push()
    checkout.ends()
    return finish[0]


def test_its_record_stays_until_it_came_or_comes_no_more(
    checkouts: Callable[..., Checkout], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = checkouts("one")
    finish = cut_off(checkout, monkeypatch)
    for _ in range(2):
        with pytest.raises(KfoldError, match="may not have ended in the registry yet"):
            checkout.prune()
        assert [record.effect.kind for record in checkout.world.ledger.records()] == ["tag"], "all else went"
        checkout.ends()
    finish()
    assert checkout.held() != NOTHING
    checkout.prune()
    assert checkout.held() == NOTHING
    cut_off(checkout, monkeypatch)
    monkeypatch.setattr(registry_writes, "LATE", 0.0)
    checkout.prune()
    assert checkout.held() == NOTHING


@pytest.mark.parametrize("lines", [(), UPLOADED[:3]], ids=len)
def test_nothing_comes_of_one_that_was_cut_off_before(
    checkouts: Callable[..., Checkout], monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]
) -> None:
    checkout = checkouts("one")
    cut_off(checkout, monkeypatch, lines)
    checkout.prune()
    cut_off(checkout, monkeypatch, error=PushFailed("the engine could not push", output=("denied",)))
    checkout.prune()
    assert checkout.held() == NOTHING


def test_a_tag_that_was_on_its_way(checkouts: Callable[..., Checkout], monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = checkouts("one")
    put: list[tuple[Any, ...]] = []

    def cut(*arguments: Any) -> None:
        put.append(arguments)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        # the engine's own push has a way of its own
        patch.setattr(checkout.engine, "push", lambda *a: _pushed(checkout, patch, cut, *a))
        checkout.push()
    checkout.ends()
    with pytest.raises(KfoldError, match="may not have ended in the registry yet"):
        checkout.prune()
    checkout.ends()
    assert checkout.registry.tags("web") == []
    checkout.registry._manifests["web"][put[0][2].digest] = put[0][2]
    checkout.registry.put(*put[0])
    checkout.prune()
    assert checkout.held() == NOTHING


def _pushed(checkout: Checkout, patch: pytest.MonkeyPatch, cut: Callable[..., None], *arguments: Any) -> str:
    digest = Pushing.push(checkout.engine, *arguments)
    patch.setattr(checkout.registry, "put", cut)
    return digest
