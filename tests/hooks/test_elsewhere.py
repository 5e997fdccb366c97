"""Hooks are taken back without the record of who ran them: by the copy that stands at the set's parent in the cluster."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from kfold.plan import applyset
from tests.cleanup.test_applyset import parent, second_checkout
from tests.crash import points
from tests.crash.killing import killed
from tests.engine import Finished
from tests.hooks.conftest import Rows
from tests.hooks.test_deploy import configure, records
from tests.scenarios.application import Application, ApplicationFactory, config_map, container, pod

pytestmark = pytest.mark.sandbox

def kept(app: Application) -> dict[str, str]:
    """The copy: phase of a hook -> its state."""
    found = parent(app)
    texts: dict[str, str] = (found or {}).get("data") or {}
    said = [json.loads(text) for key, text in texts.items() if key.startswith("hook-")]
    return {one["details"]["phase"]: one["details"]["hook"] for one in said}


def forget(app: Application) -> None:
    """This machine knows nothing of it any more: neither `.kfold/` nor its second copy."""
    shutil.rmtree(app.project.folder / ".kfold")
    shutil.rmtree(Path(app.project.environment["XDG_STATE_HOME"]))


@pytest.fixture
def rows_of(application: ApplicationFactory) -> tuple[Application, Rows]:
    app = application(artifact=False)
    rows = Rows(app.project)
    configure(app, [rows.hook("before")], [rows.hook("after")])
    app.deploys(config_map("settings", {"a": "1"}))
    return app, rows


@pytest.mark.parametrize("where", ["the same folder", "another checkout"])
def test_without_the_record(rows_of: tuple[Application, Rows], where: str) -> None:
    """A row in a SQLite file goes, once; also where a deployment in between took the hooks over; also where what takes
    them back is killed at any moment."""
    app, rows = rows_of
    app.doit("deploy").succeeded()
    assert kept(app) == {"pre-deploy": "done", "post-deploy": "done"}
    assert rows.told() == ["run before", "run after"]
    forget(app)
    other = app if where == "the same folder" else second_checkout(app)
    preview = other.doit("delete", "--dry-run").succeeded().output
    assert preview.count("would be undone by") == 2 and str(app.project.folder) in preview, preview
    other.doit("delete").succeeded()
    assert rows.told() == ["undo after done", "undo before done"] and rows.dump() == rows.before
    assert app.place.held() == {} and records(other) == []

    app.doit("deploy").succeeded()
    forget(app)
    other.deploys(config_map("settings", {"a": "2"}))
    if other is app:
        other.doit("deploy").succeeded()  # the same hooks again: one record each, one undo each
        rows.told()
    done, moments = killed(other.project, 0, "delete")
    assert done.code == 0 and rows.dump() == rows.before, done.output
    assert len(rows.told()) == (2 if other is app else 4)
    chosen = [number for number, moment in enumerate(moments, 1) if moment.split()[1] in ("hook", "set")]
    for number in points.some(chosen, 5):
        app.doit("deploy").succeeded()
        forget(app)
        assert killed(other.project, number, "delete")[0].code == -signal.SIGKILL, moments[number - 1]
        told = rows.told()
        done = other.doit("delete").succeeded()
        assert rows.dump() == rows.before and app.place.held() == {}, f"{moments[number - 1]}\n{done.output}"
        assert records(other) == [], done.output
        again = [word for word in rows.told() if word in told]
        assert len(again) <= 1, f"{moments[number - 1]}: {again}"
        points.survived("delete (copied hooks)", moments[number - 1])


def test_between_two_checkouts_of_one_machine_each_undo_runs_once(rows_of: tuple[Application, Rows]) -> None:
    app, rows = rows_of
    app.doit("deploy").succeeded()
    rows.told()
    second_checkout(app).doit("delete").succeeded()
    assert rows.told() == ["undo after done", "undo before done"]
    app.doit("delete").succeeded()
    assert rows.told() == [] and records(app) == [] and rows.dump() == rows.before


def test_what_ran_on_another_machine_or_in_a_folder_that_is_gone(
    rows_of: tuple[Application, Rows], tmp_path: Path
) -> None:
    """It is named and kept, in the cluster too, until it is taken back where it ran."""
    app, rows = rows_of
    app.doit("deploy").succeeded()
    rows.told()
    other = second_checkout(app)
    its_own = {"XDG_STATE_HOME": str(tmp_path / "its-state"), "XDG_CONFIG_HOME": str(tmp_path / "its-settings")}

    def elsewhere(*arguments: str) -> Finished:
        return other.doit(*arguments, env=its_own)

    for _ in range(2):
        output = elsewhere("delete").failed(1).output
        assert output.count(f"in {app.project.folder}, and its undo `") == 2 and "can run there only" in output, output
    assert rows.told() == [] and list(kept(app)) and app.place.object("configmaps", "settings") is None
    app.doit("delete").succeeded()
    assert rows.told() == ["undo after done", "undo before done"] and app.place.held() == {}
    output = elsewhere("delete").succeeded().output
    assert output.count("was taken back from elsewhere") == 2 and records(other) == []

    app.doit("deploy").succeeded()
    moved = app.project.folder.rename(app.project.folder.with_name("moved"))
    output = other.doit("delete").failed(1).output
    assert f"the folder {app.project.folder} is not there on this machine any more" in output, output
    moved.rename(app.project.folder)
    other.doit("delete").succeeded()
    assert rows.dump() == rows.before and app.place.held() == {}
    app.doit("delete").succeeded()


def test_a_command_that_somebody_put_into_the_cluster_is_not_run(rows_of: tuple[Application, Rows]) -> None:
    """Who may write to the set's parent may not run anything on the host of who deletes: neither by another undo in a
    hook's copy, nor by a copy of their own, whether the ledger knows the hook or not."""
    app, rows = rows_of
    app.doit("deploy").succeeded()
    rows.told()
    name = applyset.parent_name(app.name, app.place.name)
    (key, text), _ = sorted((key, text) for key, text in (parent(app) or {})["data"].items() if key.startswith("hook-"))
    said = json.loads(text)
    said["details"]["undo"] = ["touch", "harm"]
    patch = {"data": {key: json.dumps(said), "hook-mine": json.dumps({**said, "name": "another"})}}
    app.place.kubectl("patch", "configmap", name, "--type=merge", "-p", json.dumps(patch)).succeeded()
    harm = app.project.folder / "harm"
    output = app.doit("delete").failed(1).output
    assert "touch harm" in output and "not signed" in output and not harm.exists(), output
    assert rows.dump() == rows.before, "what the ledger knows is undone by its own words"
    forget(app)
    output = app.doit("delete").failed(1).output
    assert "not signed" in output and not harm.exists(), output
    app.place.kubectl("delete", "configmap", name).succeeded()
    app.doit("delete").succeeded()
    assert not harm.exists() and app.place.held() == {}


def test_hooks_in_containers_are_taken_back_from_anywhere(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False)
    undo = ["sh", "-c", "echo taken back: $KFOLD_HOOK"]
    configure(app, [], [{"command": ["true"], "undo": undo, "podName": "one"}])
    app.deploys(pod("one", container("app", base_image, "while true; do sleep 1 & wait $!; done", imagePullPolicy="Never")))
    app.doit("deploy").succeeded()
    assert kept(app) == {"post-deploy": "done"}
    output = second_checkout(app).doit("delete").succeeded().output
    assert "[one app] taken back: done" in output, output
    assert "taken back" not in app.doit("delete").succeeded().output and records(app) == []
