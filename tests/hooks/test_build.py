"""Hooks around builds, on the real engine: when they run, what they are told, and what takes them back."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.crash import points
from tests.crash.killing import killed
from tests.hooks.conftest import Rows, lines
from tests.images.conftest import NOTHING, Shop

pytestmark = pytest.mark.engine


def configure(shop: Shop, artifacts: dict[str, Any], hooks: dict[str, Any] | None = None, **more: Any) -> None:
    """Artifacts by folder, each FROM scratch, with their hooks; `hooks`: those around all of them."""
    entries = []
    for folder, own in artifacts.items():
        image = f"{shop.image}-{folder}"
        shop.project.write(f"{folder}/Dockerfile", "FROM scratch\nCOPY . /\n")
        if not (shop.folder / folder / "a.txt").exists():
            shop.project.write(f"{folder}/a.txt", folder)
        entries.append({"image": image, "context": folder, **({"hooks": own} if own else {}), **more})
    document = {
        "apiVersion": "kfold/v1",
        "kind": "Config",
        "metadata": {"name": shop.image},
        "build": {"tagPolicy": {"sha256": {}}, "artifacts": entries, **({"hooks": hooks} if hooks else {})},
    }
    shop.project.write("kfold.yaml", json.dumps(document, indent=2))


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **more}


def test_when_they_run_and_what_they_are_told(shop: Shop) -> None:
    tell = "env | grep ^SKAFFOLD_ | sort"
    configure(shop, {"one": {
        "before": [shell(f"{tell} > ../before.txt; echo made > gen.txt; echo hello from before", dir="one"),
                   shell("touch wrong.txt", os=["plan9"])],
        "after": [shell(f"{tell} > after.txt; docker image inspect --format '{{{{.Id}}}}' $SKAFFOLD_IMAGE > id.txt")],
    }})  # fmt: skip
    output = shop.doit("build").succeeded().output
    image = f"{shop.image}-one"
    assert lines(shop.folder, "before.txt") == lines(shop.folder, "after.txt") == [
        f"SKAFFOLD_BUILD_CONTEXT={shop.folder / 'one'}",
        f"SKAFFOLD_IMAGE={image}:latest",
        "SKAFFOLD_IMAGE_REPO=",
        "SKAFFOLD_IMAGE_TAG=latest",
        "SKAFFOLD_PUSH_IMAGE=false",
        f"SKAFFOLD_WORK_DIR={shop.folder}",
    ]
    assert lines(shop.folder, "id.txt") == [shop.corner.names()[f"{image}:latest"]], "the image is there, and named"
    assert not (shop.folder / "wrong.txt").exists()
    order = [output.index(text) for text in (
        "Starting pre-build hooks...", "[one] hello from before" if "[one]" in output else "hello from before",
        "Completed pre-build hooks", "Build [", "Starting post-build hooks...", "Completed post-build hooks"
    )]  # fmt: skip
    assert order == sorted(order), output
    assert output.count("pre-build hooks") == 2, "once, though what they wrote is built too"
    assert shop.records() and not [record for record in shop.records() if "hook" in record], "nothing is to be undone"

    (shop.folder / "before.txt").unlink()
    output = shop.doit("tag").succeeded().output
    assert "hooks" not in output and "Building" not in output, output
    assert shop.doit("tag").succeeded().output.strip() == NOTHING
    assert not (shop.folder / "before.txt").exists()
    shop.project.write("one/a.txt", "edited")
    assert shop.doit("tag").succeeded().output.count("Completed p") == 2
    shop.doit("prune", "--all").succeeded()
    assert shop.changes() == []


def test_hooks_that_fail(shop: Shop) -> None:
    configure(shop, {"one": {"before": [shell("echo sad; exit 4")], "after": [shell("touch after.txt; test -e good")]}})
    output = shop.doit("tag").failed().output
    assert "build:" in output and "kfold.yaml:" in output, output
    assert "the pre-build hook `sh -c echo sad; exit 4` failed with exit code 4" in output and "sad\n" in output
    assert shop.changes() == [] and shop.records() == []

    text = shop.project.read("kfold.yaml").replace("exit 4", "exit 0")
    shop.project.write("kfold.yaml", text)
    output = shop.doit("tag").failed().output
    assert "the post-build hook `sh -c touch after.txt; test -e good` failed with exit code 1" in output
    assert shop.changes(), "the image stays"
    (shop.folder / "after.txt").unlink()
    output = shop.doit("tag").failed().output
    assert "Found Locally" in output and "pre-build" not in output, "it is not built again, but the hook is owed still"
    assert (shop.folder / "after.txt").exists()
    shop.project.write("good", "")
    assert "Completed post-build hooks" in shop.doit("tag").succeeded().output
    assert shop.doit("tag").succeeded().output.strip() == NOTHING
    shop.doit("prune", "--all").succeeded()
    assert shop.changes() == [] and shop.records() == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "cannot be started: the program `no-such-program` is not installed (or not on PATH)"),
        (["./plain"], "plain is not executable"),
        (["sh", "-c", "kill -TERM $$"], "was ended by SIGTERM"),
    ],
)
def test_hooks_that_cannot_run(shop: Shop, command: list[str], message: str) -> None:
    shop.project.write("plain", "#!/bin/sh\n")
    configure(shop, {"one": {"before": [{"command": command, "undo": ["touch", "undone.txt"]}]}})
    output = shop.doit("build").failed().output
    assert message in output and "kfold.yaml:" in output, output
    started = command[0] == "sh"
    assert len(shop.records()) == started, "what was never started has nothing to be taken back"
    shop.doit("prune", "--all").succeeded()
    assert (shop.folder / "undone.txt").exists() == started
    assert shop.records() == [] and shop.changes() == []


def test_hooks_around_all_artifacts(shop: Shop) -> None:
    tell = "echo $0 image=$SKAFFOLD_IMAGE push=$SKAFFOLD_PUSH_IMAGE >> told.txt"
    own = {"before": [shell("echo one >> told.txt")], "after": [shell("echo end of one >> told.txt")]}
    around = {"before": [{"command": ["sh", "-c", tell, "first"]}], "after": [{"command": ["sh", "-c", tell, "last"]}]}
    configure(shop, {"one": own, "two": {}}, around)
    shop.doit("tag").succeeded()
    told = lines(shop.folder, "told.txt")
    assert told[0] == "first image= push=false" and told[-1] == "last image= push=false", told
    assert sorted(told[1:-1]) == ["end of one", "one"]
    (shop.folder / "told.txt").unlink()
    assert shop.doit("tag").succeeded().output.strip() == NOTHING
    assert not lines(shop.folder, "told.txt")

    shop.project.write("two/a.txt", "edited")
    shop.doit("tag").succeeded()
    assert lines(shop.folder, "told.txt") == ["first image= push=false", "last image= push=false"]
    (shop.folder / "told.txt").unlink()
    shop.project.write("one/a.txt", "edited")
    shop.project.write("two/a.txt", "edited again")
    shop.doit(f"build:{shop.image}-one").succeeded()
    assert lines(shop.folder, "told.txt") == ["first image= push=false", "one", "end of one", "last image= push=false"]
    shop.doit("prune", "--all").succeeded()
    assert shop.changes() == []


def test_prune_all_takes_them_back_in_reverse(shop: Shop) -> None:
    rows = Rows(shop.project)
    own = {"before": [rows.hook("a"), rows.hook("b")], "after": [rows.hook("c")]}
    configure(shop, {"one": own}, {"before": [rows.hook("all")]})
    shop.doit("tag").succeeded()
    assert rows.told() == ["run all", "run a", "run b", "run c"] and rows.names() == ["a", "all", "b", "c", "mine"]
    shop.doit("prune").succeeded()
    assert rows.told() == [], "what lasts as long as the image stays with it"
    preview = shop.doit("prune", "--all", "--dry-run").succeeded().output
    assert preview.count("would be undone by") == 4 and rows.told() == []
    (shop.folder / "kfold.yaml").rename(shop.folder / "kfold.yaml.away")
    shop.doit("prune", "--all").succeeded()
    assert rows.told() == ["undo c done", "undo b done", "undo a done", "undo all done"]
    assert rows.dump() == rows.before
    assert shop.changes() == [] and shop.records() == []


def test_an_undo_that_fails_keeps_its_record_and_stops_nothing(shop: Shop) -> None:
    rows = Rows(shop.project)
    needy = {"command": ["true"], "undo": ["sh", "-c", "test -n \"$TOKEN_OF_MINE\""]}
    bad = {"command": ["true"], "undo": ["sh", "-c", "echo no >&2; exit 7"]}
    configure(shop, {"one": {"before": [rows.hook("a"), needy, bad], "after": [rows.hook("b", "fail")]}})
    secret = "s3cr3t-of-mine"
    output = shop.doit("build", env={"TOKEN_OF_MINE": secret}).failed().output
    assert "failed with exit code 3" in output
    state = shop.folder / ".kfold"
    assert not [file for file in state.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    output = shop.doit("prune", "--all").failed().output
    assert "undo `sh -c echo no >&2; exit 7` failed with exit code 7" in output
    assert "its undo needs TOKEN_OF_MINE, which is not set now" in output
    assert rows.told() == ["run a", "run b", "undo b intended", "undo a done"], "the one that failed may have done half"
    assert rows.dump() == rows.before and shop.changes() == []
    assert len(shop.records()) == 2
    status = json.loads(shop.doit("status", "--json").succeeded().output)
    assert sorted(hook["state"] for hook in status["hooks"]) == ["undoing", "undoing"]
    shop.project.write("sh", "#!/bin/sh\nexit 0\n").chmod(0o755)
    path = f"{shop.folder}:{shop.project.environment['PATH']}"
    shop.doit("prune", "--all", env={"PATH": path, "TOKEN_OF_MINE": secret}).succeeded()
    assert shop.records() == []


def test_killed_at_each_moment_around_hooks(shop: Shop) -> None:
    """The row of a hook and the image of its build are gone after `prune --all`, wherever the run was killed."""
    rows = Rows(shop.project)
    configure(shop, {"one": {"before": [rows.hook("a")], "after": [rows.hook("b")]}})

    def build(kill_at: int) -> tuple[int, list[str]]:
        done, moments = killed(shop.project, kill_at, "build")
        return done.code, moments

    def cleaned(moment: str) -> None:
        done = shop.doit("prune", "--all").succeeded()
        assert rows.dump() == rows.before, f"{moment}\n{done.output}"
        assert shop.changes() == [] and shop.records() == [], f"{moment}\n{done.output}"

    code, moments = build(0)
    assert code == 0 and rows.names() == ["a", "b", "mine"]
    cleaned("to its end")
    chosen = [number for number, moment in enumerate(moments, 1) if " hook " in moment]
    assert len(chosen) == 12, moments
    seen = set()
    for number in points.some(chosen):
        assert build(number)[0] == -signal.SIGKILL
        seen.add(tuple(rows.names()))
        cleaned(moments[number - 1])
        points.survived("build (hooks)", moments[number - 1])
    assert seen == {("mine",), ("a", "mine"), ("a", "b", "mine")}
