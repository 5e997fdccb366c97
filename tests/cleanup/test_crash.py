"""`kill -9` at the moments of the ledger while a deployment with a set, a member and adopted objects comes and goes."""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.cleanup.test_adoption import secret, without_times
from tests.cleanup.test_applyset import second_checkout
from tests.crash import points
from tests.crash.killing import killed
from tests.scenarios.application import ApplicationFactory, config_map


@pytest.mark.parametrize("command", ["deploy", "delete"])
def test_killed_at_the_moments_of_the_ledger(application: ApplicationFactory, command: str) -> None:
    """Every third moment, each time another third is left to the other command; taken back by this checkout's record and
    by the cluster's own in turn."""
    app = application(artifact=False)
    app.deploys(config_map("own", {"a": "1"}), config_map("it", {"a": "ours"}), secret("key", word="ours"))
    app.place.apply(config_map("it", {"a": "theirs"}), secret("key", word="quiet"))

    def now() -> dict[str, object]:
        found = {name: app.place.object(*name.split("/")) for name in app.place.held()}
        return {name: without_times(item) for name, item in found.items() if item}

    before = now()
    assert set(before) == {"configmaps/it", "secrets/key"}
    killed_at = 0
    kill_at = 1 if command == "deploy" else 2
    while True:
        if command == "delete":
            app.doit("deploy").succeeded()
        done, moments = killed(app.project, kill_at, command)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL, done.output
        killed_at += 1
        if killed_at % 2:
            cleaned = app.doit("delete").succeeded()
        else:
            other = second_checkout(app)
            cleaned = other.doit("delete").succeeded()
            app.doit("delete").succeeded()
            shutil.rmtree(other.project.folder)
        assert now() == before, f"killed at moment {kill_at}: {moments[-1]}\n{cleaned.output}"
        assert app.status()["cluster"] == [], moments[-1]
        points.survived(command, moments[-1])
        kill_at += points.step(3)
    app.doit("delete").succeeded()
    assert now() == before
    assert killed_at >= 5, "most of these runs came as far as a change"
