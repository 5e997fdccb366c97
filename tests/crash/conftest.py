"""Parts that a test of this folder may kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.own_engine import OwnEngine


@pytest.fixture(scope="session")
def own_engine() -> Iterator[OwnEngine]:
    made = OwnEngine()
    try:
        made.start()
        made.base_image()
        yield made
    finally:
        made.end()
