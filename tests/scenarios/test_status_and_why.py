"""`doit status` tells the truth, and `doit why` the reason."""

from __future__ import annotations

from tests.scenarios.application import Application, ApplicationFactory, config_map, uid


def why(app: Application, name: str) -> list[str]:
    return app.doit("why", name).succeeded().output.splitlines()


def test_status_as_json_is_what_the_world_holds(application: ApplicationFactory) -> None:
    app = application()
    empty = app.status()
    assert (empty["engine"], empty["cluster"], empty["host"], empty["problem"]) == ([], [], [], "")
    assert empty["target"]["context"] == app.place.cluster.context and empty["target"]["kind"] == "sandbox"
    assert not (app.project.folder / ".kfold" / "ledger.db").exists(), "looking made a ledger"

    app.doit().succeeded()
    told = app.status()
    assert told["config"] == str(app.project.folder / "kfold.yaml")
    (image,) = [item for item in told["engine"] if item["kind"] == "image"]
    assert {image["id"]} == app.images() and image["artifact"] == app.name and image["made"] and image["size"] > 0
    names = {f"{item['name']} = {item['id']}" for item in told["engine"] if item["kind"] == "name"}
    assert names == app.engine().names
    (held,) = told["cluster"]
    assert (held["kind"], held["namespace"], held["name"]) == ("Pod", app.place.name, "hello")
    assert held["uid"] == uid(app.place.there("pods", "hello")) and held["state"] == "done"
    assert held["context"] == app.place.cluster.context

    plain = app.doit("status").succeeded().output
    assert f'target: context "{app.place.cluster.context}", sandbox' in plain, plain
    assert f"image {app.name}" in plain and f"pod hello in {app.place.cluster.context}/{app.place.name}" in plain, plain

    app.project.write("kfold.yaml", "nonsense: 1\n")
    broken = app.status()
    assert broken["cluster"] == [held | {"age": broken["cluster"][0]["age"]}] and "kfold.yaml:1:1" in broken["problem"]


def test_why(application: ApplicationFactory) -> None:
    app = application()
    name = app.name
    assert why(app, f"build:{name}") == [f"build:{name}: will run: it was not built here yet"]
    assert why(app, f"deploy:{name}") == [f"deploy:{name}: will run: render:{name} will run"]
    app.doit().succeeded()
    assert why(app, f"build:{name}")[0] == f"build:{name}: up to date"
    assert why(app, f"deploy:{name}") == [f"deploy:{name}: up to date"]

    app.project.write("greeting.txt", "other\n")
    (line, *_) = why(app, f"build:{name}")
    assert line.startswith(f"build:{name}: will run: ") and "files" in line, line
    assert f"tag:{name}: will run: build:{name} will run" in why(app, name)
    app.doit().succeeded()
    lines = why(app, f"build:{name}")
    assert lines[0] == f"build:{name}: up to date"
    assert sum("stays: current" in line for line in lines) == 1, lines
    # the Pod keeps its last container of before, as a kubelet does
    assert sum("stays: in use by container k8s_hello_hello" in line for line in lines) == 1, lines
    app.doit("delete").succeeded()
    assert sum("would be pruned: superseded" in line for line in why(app, name)) == 1
    assert len(app.images()) == 2
    app.doit("prune").succeeded()
    assert len(app.images()) == 1


def test_why_names_each_object(application: ApplicationFactory) -> None:
    maps = {name: config_map(name, {"a": "1"}) for name in ("changed", "edited", "gone", "left", "same")}
    app = application(artifact=False).deploys(*maps.values())
    app.doit().succeeded()
    app.place.kubectl("delete", "configmap", "gone").succeeded()
    app.place.kubectl("patch", "configmap", "edited", "--type=merge", "-p", '{"data":{"a":null}}').succeeded()
    (line,) = why(app, f"deploy:{app.name}")
    assert 'configmap "gone" is not there' in line and 'configmap "edited" was changed by somebody else' in line, line
    assert '"same"' not in line and '"changed"' not in line and '"left"' not in line, line

    del maps["left"]
    app.deploys(*(maps | {"changed": config_map("changed", {"a": "2"}), "new": config_map("new", {})}).values())
    assert why(app, f"deploy:{app.name}") == [f"deploy:{app.name}: will run: render:{app.name} will run"]
    before = app.place.held()
    assert app.place.held() == before
    app.doit().succeeded()
    assert why(app, f"deploy:{app.name}") == [f"deploy:{app.name}: up to date"]


def test_why_of_nothing_and_of_what_is_not_there(application: ApplicationFactory) -> None:
    app = application()
    assert "why what?" in app.doit("why").failed(1).output
    output = app.doit("why", "build:webb").failed(1).output
    assert "there is no step build:webb" in output and f"build:{app.name}" in output, output
