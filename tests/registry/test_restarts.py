"""A registry that is killed in the middle, and comes back with what it had; then all is taken back."""

from __future__ import annotations

import pytest

from tests.crash import points
from tests.crash.killing import killed, killing, moments
from tests.engine import wait_until
from tests.registry.conftest import Open
from tests.registry.server import Server

pytestmark = pytest.mark.engine


def restart(server: Server) -> None:
    server.stop()
    server.start()


def test_killed_in_the_middle(pushing: Open, server: Server) -> None:
    """Of a layer, where the engine tries again by itself; then while tags are taken away, and it stays away."""
    shop = pushing()
    # urandom does not compress, and each byte of it takes its time
    shop.dockerfile("COPY . /out/", "RUN head -c 16000000 /dev/urandom >/out/large")
    running = shop.project.start_doit("push")
    parts = server.folder / "data" / "docker" / "registry" / "v2" / "repositories" / shop.repository / "_uploads"
    wait_until(
        lambda: any(part.stat().st_size for part in parts.glob("*/data")), "a part of a layer", tell=lambda: running.output
    )
    restart(server)
    assert "Traceback" not in running.wait().output
    assert "Retrying in" in running.output, running.output
    shop.push()
    assert len(shop.pushed()) == 2

    done, reached = killed(shop.project, 6, "prune", "--all", victim=server.pid)
    assert reached[5].startswith("undoing tag") and reached[2].startswith("before-gone tag"), reached
    assert f"stays: the registry {server.host} cannot be reached" in done.failed().output, done.output
    restart(server)
    assert len(shop.pushed()) == 1
    shop.all_taken_back()


@pytest.mark.parametrize("command", ["push", "prune --all"])
@pytest.mark.parametrize("back", [False, True], ids=["away", "back at once"])
def test_killed_at_the_moments_of_the_ledger(pushing: Open, server: Server, command: str, back: bool) -> None:
    shop = pushing()
    moment = 1
    while True:
        if command != "push":
            shop.push()
        running = killing(shop.project, moment, *command.split(), victim=server.pid)
        run = running.process
        wait_until(lambda run=run: server.ended() or run.poll() is not None, "an end")  # type: ignore[misc]
        ended = server.ended()
        if ended and back:
            restart(server)
        done = running.wait()
        assert "Traceback" not in done.output and done.code in (0, 1), done.output
        if not (ended or server.ended()):
            break
        if server.ended():
            restart(server)
        if command == "push" and moment % 2:
            shop.push()
        output = shop.doit("prune", "--all").succeeded().output
        assert server.state() == shop.registry_before and shop.changes() == [] and shop.records() == [], output
        points.survived(f"{command} (registry)", moments(shop.project)[moment - 1])
        moment += points.step()
    assert moment > 15
    if command == "push":
        shop.all_taken_back()
