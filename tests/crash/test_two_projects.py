"""Two projects whose images have the same names, on one engine and in one cluster: each takes back its own alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.crash.stories import Scene, one_object
from tests.crash.test_random import Stage, nowhere

__all__ = ["nowhere"]


class Beside(Stage):
    """Another project beside the same stores."""

    def __init__(self, first: Stage, name: str) -> None:
        self.__dict__.update(first.__dict__)
        self.name, self.project = name, first.folder / name
        self.project.mkdir()

    def show(self, scene: Scene) -> None:
        super().show(scene)
        document = json.loads((self.project / "kfold.yaml").read_text())
        document["metadata"]["name"] = self.name
        self._write("kfold.yaml", document)


@pytest.mark.parametrize("same", [True, False], ids=["the same content", "other content"])
@pytest.mark.parametrize("first_goes", [True, False], ids=["the first goes first", "the second goes first"])
def test_two_projects_with_the_same_image_names(
    nowhere: dict[str, str], tmp_path: Path, same: bool, first_goes: bool
) -> None:
    stage = Stage(tmp_path / "stage", nowhere)
    stage.cluster.put(one_object("namespace-elsewhere", 0))
    theirs = stage.engine.put_image("web:latest", "theirs:1")
    before = stage.state()
    first, second = Beside(stage, "first"), Beside(stage, "second")
    objects = ("config-a", "deployment-web")
    first.show(Scene(("base", "web"), (0, 0), objects, 0, ""))
    second.show(Scene(("base", "web"), (0, 0) if same else (1, 1), objects, 1, "elsewhere"))
    for project in (first, second):
        assert project.doit("deploy")[0] == 0
    goes, stays = (first, second) if first_goes else (second, first)
    holds = _of(stays)
    for arguments in (("delete",), ("prune", "--all")):
        code, output = goes.doit(*arguments)
        assert code == 0, output
    assert _of(stays) == holds, "nothing of the other one was touched"
    code, output = stays.doit("deploy")
    assert code == 0 and "Nothing to do" in output, output
    for arguments in (("delete",), ("prune", "--all")):
        code, output = stays.doit(*arguments)
        assert code == 0, output
    assert stage.state() == before, f"web:latest was {theirs}"


def _of(project: Beside) -> dict[str, object]:
    """What stands of one project: its objects, and the images that they name."""
    namespace = "default" if project.name == "first" else "elsewhere"
    state = project.state()
    objects = {key: found for key, found in state["cluster"].items() if key.split("|")[2] == namespace}
    (image,) = {
        container["image"] for found in objects.values() if found["kind"] == "Deployment"
        for container in found["spec"]["template"]["spec"]["containers"]
    }  # fmt: skip
    found = project.engine.image(image)
    assert found, image
    return {"objects": objects, "image": found.id}
