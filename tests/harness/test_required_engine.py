"""A run that is to have an engine fails where engine tests would be skipped; without that wish it says what it skipped."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.engine import REPOSITORY, Finished, run

NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
USES_THE_ENGINE = "def test_it(engine):\n    pass\n"
SKIPS = "import pytest\n\n@pytest.mark.engine\ndef test_it():\n    pytest.skip('no reason')\n"


def pytest_run(folder: Path, test: str, variables: dict[str, str]) -> Finished:
    (folder / "test_one.py").write_text(test, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "KFOLD_TEST_ENGINE"} | variables
    settings: list[str | Path] = [
        "-c",
        REPOSITORY / "pyproject.toml",
        "--rootdir",
        REPOSITORY,
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
    ]
    command: list[str | Path] = [sys.executable, "-m", "pytest", *settings, folder / "test_one.py"]
    return run(command, folder=REPOSITORY, environment=environment)


def test_without_an_engine_its_tests_are_skipped_and_counted(tmp_path: Path) -> None:
    output = pytest_run(tmp_path, USES_THE_ENGINE, NO_ENGINE).succeeded().output
    assert "Tests run on a real Docker Engine: 0, skipped: 1" in output
    assert "no Docker Engine answers: " in output, "the reason is missing"


def test_a_required_engine_that_does_not_answer_fails_the_run(tmp_path: Path) -> None:
    output = pytest_run(tmp_path, USES_THE_ENGINE, NO_ENGINE | {"KFOLD_TEST_ENGINE": "required"}).failed().output
    assert "no Docker Engine answers: " in output


def test_a_skipped_engine_test_fails_the_run_where_the_engine_is_required(tmp_path: Path) -> None:
    assert pytest_run(tmp_path, SKIPS, {}).succeeded()
    output = pytest_run(tmp_path, SKIPS, {"KFOLD_TEST_ENGINE": "required"}).failed().output
    assert "FAILED: 1 tests that need the engine were skipped, and it is required" in output


def test_a_test_that_ran_on_the_engine_is_counted(tmp_path: Path, engine: str) -> None:
    output = pytest_run(tmp_path, USES_THE_ENGINE, {"KFOLD_TEST_ENGINE": "required"}).succeeded().output
    assert "Tests run on a real Docker Engine: 1, skipped: 0" in output
