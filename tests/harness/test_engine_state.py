"""What the other tests stand on must itself notice a change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine import EngineState, docker, engine_state, image_ids, run, start, wait_until


def test_a_state_tells_what_came_and_went() -> None:
    before = EngineState(containers=frozenset({"old (1)"}), names=frozenset({"web:1 = sha256:a"}))
    after = EngineState(containers=frozenset({"new (2)"}), names=frozenset({"web:1 = sha256:b"}))
    assert before.difference(before) == []
    assert before.difference(after) == [
        "container old (1) went",
        "container new (2) came",
        "name web:1 = sha256:a went",
        "name web:1 = sha256:b came",
    ]


def test_the_engine_state_sees_an_image_a_container_a_network_and_a_volume(
    base_image: str, engine_snapshot: Callable[..., EngineState]
) -> None:
    mine = "kfold-test-seen"
    before = engine_snapshot(mine)
    assert before == EngineState(), "left over from an earlier run"
    docker("tag", base_image, f"{mine}:1")
    docker("create", "--name", mine, base_image)
    docker("network", "create", mine)
    docker("volume", "create", mine)
    try:
        seen = before.difference(engine_snapshot(mine))
        assert [line.split()[0] for line in seen] == ["container", "image", "name", "network", "volume"], seen
        assert image_ids(mine) == image_ids(base_image)
    finally:
        docker("rm", mine)
        docker("rmi", f"{mine}:1")
        docker("network", "rm", mine)
        docker("volume", "rm", mine)
    assert engine_state(mine) == before


def test_the_base_image_runs_a_shell(base_image: str) -> None:
    assert docker("run", "--rm", base_image, "sh", "-c", "echo hello | tr a-z A-Z; ls -d /tmp") == "HELLO\n/tmp\n"


def test_a_program_that_hangs_is_ended_at_the_deadline(tmp_path: Path) -> None:
    running = start(
        [sys.executable, "-c", "print('ready', flush=True); input_never = __import__('time').sleep(60)"],
        folder=tmp_path,
    )
    running.wait_for("ready")
    with pytest.raises(AssertionError, match=r"still running after 0\.1 s\nready"):
        running.wait(seconds=0.1)
    assert running.process.poll() is not None


def test_waiting_for_output_ends_when_the_program_does(tmp_path: Path) -> None:
    running = start([sys.executable, "-c", "print('only this')"], folder=tmp_path)
    with pytest.raises(AssertionError, match=r"before it printed 'more'\nonly this"):
        running.wait_for("more")


def test_a_traceback_is_never_an_expected_failure(tmp_path: Path) -> None:
    finished = run([sys.executable, "-c", "1/0"], folder=tmp_path)
    assert finished.code == 1
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        finished.failed()


def test_wait_until_shows_what_it_saw() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.05 s for rain\nblue sky"):
        wait_until(lambda: False, "rain", seconds=0.05, tell=lambda: "blue sky")
