"""Two checkouts of one project by one user: whoever prunes last leaves the registry and the engine as they were."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from tests.registry.conftest import Open, Pushing

pytestmark = pytest.mark.engine


def beside(one: Pushing, name: str) -> Pushing:
    """Another checkout, with a ledger of its own."""
    folder = one.folder.parent / name
    shutil.copytree(one.folder, folder, ignore=shutil.ignore_patterns(".kfold"))
    return replace(one, project=replace(one.project, folder=folder))


def test_pruned_in_both_orders(pushing: Open) -> None:
    one = pushing()
    other = beside(one, "other")
    for first, last in ((one, other), (other, one)):
        one.push()
        pushed = one.pushed()
        other.push()
        assert other.pushed() == pushed
        first.doit("prune", "--all").succeeded()
        assert one.pushed() == pushed and first.records() == [], "the other one has it too"
        last.all_taken_back()
