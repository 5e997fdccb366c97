"""Hooks as the config has them: Skaffold's shape, the `undo` that only kfold/v1 knows, and mistakes with their place."""

from __future__ import annotations

import json

import pytest

from kfold.config.codec import decode, encode
from kfold.config.model import ContainerHook, Hooks, HostHook
from kfold.errors import Position
from tests.config.texts import FILE, error_of, lines_of, load_one, load_text

SKAFFOLD = "apiVersion: skaffold/v4beta14\nkind: Config\n"

EVERYTHING = """\
build:
  hooks:
    before:
    - command: [./prepare, 1.10, yes]
  artifacts:
  - image: web
    hooks:
      before:
      - command: [make, sources]
        undo: [make, clean]
        os: [linux, darwin]
        dir: tools
      after:
      - command: [sh, -c, "echo $SKAFFOLD_IMAGE"]
deploy:
  kubectl:
    hooks:
      before:
      - host: {command: [a], undo: [b]}
      after:
      - container: {command: [migrate, up], undo: [migrate, down], podName: "web-*", containerName: "app*"}
      - container: {command: [x], podName: y}
"""


@pytest.mark.parametrize("validate", [True, False])
def test_everything_that_is_written_arrives(validate: bool) -> None:
    config = load_one(EVERYTHING, validate=validate)
    assert config.build_hooks == Hooks((HostHook(("./prepare", "1.10", "yes"), position=Position(FILE, 6, 16)),))
    before, after = config.artifacts[0].hooks.before, config.artifacts[0].hooks.after
    clean = ("make", "clean")
    assert before == (HostHook(("make", "sources"), clean, ("linux", "darwin"), "tools", Position(FILE, 11, 18)),)
    assert after == (HostHook(("sh", "-c", "echo $SKAFFOLD_IMAGE"), position=Position(FILE, 16, 18)),)
    deploy = config.kubectl.hooks
    assert deploy.before == (HostHook(("a",), ("b",), position=Position(FILE, 21, 25)),)
    assert deploy.after == (
        ContainerHook(("migrate", "up"), ("migrate", "down"), "web-*", "app*", Position(FILE, 23, 30)),
        ContainerHook(("x",), pod_name="y", position=Position(FILE, 24, 30)),
    )
    assert decode(json.loads(json.dumps(encode((config,))))) == (config,)


def test_skaffolds_own_shape_is_read_in_its_versions() -> None:
    plain = "".join(line for line in EVERYTHING.splitlines(True) if "undo" not in line)
    (config,) = load_text(plain, head=SKAFFOLD)
    assert config.build_hooks.before and config.artifacts[0].hooks.before[0].os == ("linux", "darwin")


@pytest.mark.parametrize(
    "body",
    ["build: {hooks: }\n", "build: {hooks: {before: , after: []}}\n", "deploy: {kubectl: {hooks: {before: []}}}\n", ""],
)
def test_none_are_none(body: str) -> None:
    config = load_one(body)
    assert config.build_hooks == config.kubectl.hooks == Hooks()


HOST = "build:\n  hooks:\n    before:\n    - {hook}\n"
DEPLOY = "deploy:\n  kubectl:\n    hooks:\n      after:\n      - {hook}\n"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (HOST.format(hook="{command: make}"), "6:17: `build.hooks.before[].command`: expected a list, got a string"),
        (HOST.format(hook="{command: []}"), "6:17: `build.hooks.before[].command` is empty"),
        (HOST.format(hook="{command: }"), "6:17: `build.hooks.before[].command`: expected a list, got nothing"),
        (HOST.format(hook="{command: [[a]]}"), "6:18: `build.hooks.before[].command[]`: expected a string, got a list"),
        (HOST.format(hook="{}"), "6:7: `build.hooks.before[]` has no `command`"),
        (HOST.format(hook="{undo: [a]}"), "6:7: `build.hooks.before[]` has no `command`"),
        (HOST.format(hook="{command: [a], undo: b}"), "6:28: `build.hooks.before[].undo`: expected a list, got a string"),
        (HOST.format(hook="{command: [a], undo: []}"), "6:28: `build.hooks.before[].undo` is empty"),
        (HOST.format(hook="{command: [a], cmd: b}"), "6:22: there is no field `build.hooks.before[].cmd`"),
        (HOST.format(hook="[a]"), "6:7: `build.hooks.before[]`: expected a mapping, got a list"),
        (DEPLOY.format(hook="{command: [a]}"), "7:10: there is no field `deploy.kubectl.hooks.after[].command`"),
        (DEPLOY.format(hook="{}"), "7:9: `deploy.kubectl.hooks.after[]` is to have `host` or `container`, one of them"),
        (
            DEPLOY.format(hook="{host: {command: [a]}, container: {command: [a], podName: b}}"),
            "7:9: `deploy.kubectl.hooks.after[]` is to have `host` or `container`, one of them",
        ),
        (
            DEPLOY.format(hook="{container: {command: [a]}}"),
            "7:21: `deploy.kubectl.hooks.after[].container` has no `podName`",
        ),
        ("manifests: {hooks: {before: []}}\n", "3:13: kfold does not support `manifests.hooks` yet"),
        (
            "build: {artifacts: [{image: a, sync: {hooks: {}}}]}\n",
            "3:32: kfold does not support `build.artifacts[].sync` yet",
        ),
        ("test: [{image: a}]\n", "3:1: kfold does not support `test` yet"),
    ],
)
def test_mistakes(body: str, line: str) -> None:
    assert lines_of(body) == [line]


def test_undo_is_refused_by_name_where_skaffold_reads_the_file() -> None:
    body = HOST.format(hook="{command: [a], undo: [b]}")
    assert lines_of(body, head=SKAFFOLD) == ["6:22: `build.hooks.before[].undo` is no field of skaffold/v4beta14"]
    assert "apiVersion: kfold/v1" in error_of(body, head=SKAFFOLD).hint
    assert load_one(body).build_hooks.before[0].undo == ("b",)
