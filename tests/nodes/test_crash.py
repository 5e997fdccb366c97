"""The process is killed at every moment of a load and of its reverse, on a real node; `prune --all` takes all back."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.conftest import ProjectFactory
from tests.crash import points
from tests.crash.killing import killed
from tests.engine import Finished, docker, wait_until
from tests.images.lab import Lab
from tests.nodes.conftest import Api, App, app_on
from tests.nodes.node import TestNode, cluster_name, node

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def one_node(new_node_image: str) -> Iterator[TestNode]:
    with node(new_node_image, cluster_name()) as made:
        yield made


@pytest.fixture
def single(api: Api, corner: Lab, one_node: TestNode, project: ProjectFactory) -> Iterator[App]:
    with app_on(api, corner, project(), one_node) as made:
        yield made


def run(app: App, kill_at: int, *arguments: str) -> tuple[Finished, list[str]]:
    """The command, killed at that moment of the ledger (0: never), and the moments that it came to."""
    done, moments = killed(app.project, kill_at, *arguments)
    return done, [moment.rpartition(" ")[0] for moment in moments]


def test_killed_at_every_moment_of_a_load(single: App) -> None:
    """Of what a name is for (`name`) a load has the one in the node and the one that it lends from the engine."""
    _, before = run(single, 0, "tag")
    single.taken_back()
    whole, moments = run(single, 0, "load")
    whole.succeeded()
    single.taken_back()
    # intended and done of the name in the node; intended, done and gone of the lent one
    assert [moment.split()[0] for moment in moments[len(before) :]] == [
        *("before-intended", "intended", "before-intended", "intended", "before-done", "done"),
        *("before-gone", "gone", "before-done", "done"),
    ]
    for kill_at in points.some(range(len(before) + 1, len(moments) + 1)):
        done, reached = run(single, kill_at, "load")
        assert done.code == -signal.SIGKILL, done.output
        single.taken_back(f"killed at moment {kill_at} of the load: {reached[-1]}\n{done.output}")
        points.survived("load", reached[-1])


def test_killed_at_every_moment_of_an_unload(single: App) -> None:
    for kill_at in range(1, 5):
        single.doit("load").succeeded()
        done, moments = run(single, kill_at, "prune", "--all")
        assert done.code == -signal.SIGKILL, done.output
        assert moments[-1].split()[0] == ["before-undoing", "undoing", "before-gone", "gone"][kill_at - 1]
        single.taken_back(moments[-1])
        points.survived("prune --all (node)", moments[-1])


def test_killed_and_then_loaded_to_the_end(single: App) -> None:
    """What a crash left is known as ours, and what was there before us is still what comes back."""
    single.doit("tag").succeeded()
    name = single.name()
    for moment in ("intended", "before-done"):
        run(single, 2 if moment == "intended" else 9, "load")
        single.doit("load").succeeded()
        assert name in single.nodes[0].images()
        assert len(single.records("node")) == 1
        assert not docker("images", "-q", "127.0.0.1*/*").strip(), "a lent name was left"
        single.doit("prune", "--all").succeeded()
        assert single.world() == single.before
        single.doit("tag").succeeded()
    single.taken_back()


def test_killed_in_the_middle_of_the_transfer(single: App) -> None:
    """No kfold is there to feed the node, and prune waits for the end of what it had begun."""
    big = "RUN head -c 60000000 /dev/urandom >/big"
    single.project.write("web/Dockerfile", f"FROM {single.corner.base}\n{big}\nCOPY a.txt /out/\n")
    single.doit("tag").succeeded()
    running = single.project.start_doit("load")
    container = single.nodes[0].id
    wait_until(lambda: "images import" in docker("exec", container, "ps"), "the import", tell=lambda: running.output)
    running.kill()
    running.wait()
    single.doit("prune", "--all").succeeded()
    assert single.records() == []
    wait_until(lambda: single.world() == single.before, "the node to be as it was", tell=lambda: str(single.world()))
