"""Killed at every moment at which a push or its reverse writes the ledger: what is left is taken back all the same."""

from __future__ import annotations

import signal

import pytest

from tests.crash import points
from tests.crash.killing import killed
from tests.registry.conftest import Open
from tests.registry.server import Server

pytestmark = pytest.mark.engine


def moments_of_the_registry(moments: list[str], *transitions: str) -> list[int]:
    """Their numbers. Those before a first commit are left out: they are as the moment after the commit before them."""
    found = [moment.split()[:2] for moment in moments]
    kinds = ("tag", "manifest")
    return [number for number, (name, kind) in enumerate(found, 1) if kind in kinds and name in transitions]


def test_killed_while_pushing(pushing: Open, server: Server) -> None:
    shop = pushing()
    done, moments = killed(shop.project, 0, "push")
    done.succeeded()
    wanted = moments_of_the_registry(moments, "intended", "before-done", "done")
    assert len(wanted) == 11, "\n".join(moments)
    shop.all_taken_back()
    pushed = 0
    chosen = points.some(wanted)
    for number in chosen:
        done, reached = killed(shop.project, number, "push")
        assert done.code == -signal.SIGKILL and len(reached) == number, done.output
        pushed += server.state() != shop.registry_before
        output = shop.doit("prune", "--all").succeeded().output
        assert server.state() == shop.registry_before, f"{reached[-1]}\n{output}"
        assert shop.changes() == [] and shop.records() == [], f"{reached[-1]}\n{output}"
        points.survived("push", reached[-1])
    assert pushed == len(chosen) - 1, "most of these runs came as far as the registry"


def test_killed_and_pushed_again(pushing: Open, server: Server) -> None:
    """After the engine has pushed, before kfold has heard of it: the next run knows the manifest as its own."""
    shop = pushing()
    _, moments = killed(shop.project, 0, "push")
    shop.all_taken_back()
    number = next(at for at, moment in enumerate(moments, 1) if moment.startswith("before-intended manifest"))
    killed(shop.project, number, "push")
    left = shop.pushed()
    assert list(left) == ["latest"]
    output = shop.push().output
    assert "the registry has it" in output and shop.pushed()["latest"] == left["latest"], output
    shop.all_taken_back()

    killed(shop.project, number, "push")
    shop.project.write("web/a.txt", "another\n")
    shop.push()
    assert len(set(server.state().values())) == 2, "what the killed run pushed, and this one's"
    shop.all_taken_back()


def test_killed_while_taking_back(pushing: Open, server: Server) -> None:
    shop = pushing()
    shop.push()
    done, moments = killed(shop.project, 0, "prune", "--all")
    done.succeeded()
    wanted = moments_of_the_registry(moments, "undoing", "before-gone")
    assert len(wanted) == 6, moments
    for number in points.some(wanted):
        shop.push()
        done, reached = killed(shop.project, number, "prune", "--all")
        assert done.code == -signal.SIGKILL and len(reached) == number, done.output
        output = shop.doit("prune", "--all").succeeded().output
        assert server.state() == shop.registry_before, f"{reached[-1]}\n{output}"
        assert shop.changes() == [] and shop.records() == [], f"{reached[-1]}\n{output}"
        points.survived("prune --all (registry)", reached[-1])
