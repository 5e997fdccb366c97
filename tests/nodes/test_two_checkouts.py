"""Two checkouts of one project by one user: whoever prunes last leaves nodes and engine as they were."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from tests.nodes.conftest import App

pytestmark = pytest.mark.engine


def test_pruned_in_both_orders(app: App) -> None:
    folder = app.project.folder.parent / "other"
    shutil.copytree(app.project.folder, folder, ignore=shutil.ignore_patterns(".kfold"))
    other = replace(app, project=replace(app.project, folder=folder))
    for first, last in ((app, other), (other, app)):
        app.doit("load").succeeded()
        loaded = app.world()
        other.doit("load").succeeded()
        assert app.world() == loaded != app.before
        first.doit("prune", "--all").succeeded()
        assert app.world() == loaded and first.records() == [], "the other one has it too"
        last.taken_back()
