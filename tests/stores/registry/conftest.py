"""The registries under test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.server import Server, registry


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real registry on loopback, that allows deletion; tests use repositories of their own."""
    with registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A registry that is not started yet, for a test that wants it its own way."""
    made = Server(tmp_path / "registry")
    yield made
    made.stop()
