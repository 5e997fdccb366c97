"""Mistakes in a config: each one named, with its place and the next step. The body starts on line 3."""

from __future__ import annotations

import time

import pytest

from kfold.config.problems import SHOWN
from kfold.config.skaffold import FIELDS, MOVED
from tests.config.texts import FILE, artifacts, error_of, lines_of


@pytest.mark.parametrize(
    ("head", "line", "hint"),
    [
        ("kind: Config\n", "1:1: `apiVersion` is missing", "Write `apiVersion: kfold/v1`."),
        ("apiVersion:\nkind: Config\n", "1:1: `apiVersion` is missing", ""),
        ("apiVersion: [a]\nkind: Config\n", "1:13: `apiVersion`: expected a string, got a list", ""),
        ("apiVersion: kfold/v1\n", "1:1: `kind` is missing", ""),
        ("apiVersion: kfold/v1\nkind: Pod\n", "2:7: `kind`: expected `Config`", ""),
        *(
            (
                f"kind: Config\napiVersion: {version}\n",
                f"2:13: kfold does not read the schema version `{version}`",
                "It reads kfold/v1, skaffold/v3 and skaffold/v4beta1 to v4beta14; older ones are not upgraded yet",
            )
            for version in ("skaffold/v2beta29", "skaffold/v3alpha1", "skaffold/v4beta15", "kfold/v2", "v1", "1.0")
        ),
    ],
)
def test_version_and_kind(head: str, line: str, hint: str) -> None:
    assert lines_of("", head=head) == [line]
    assert hint in error_of("", head=head).hint


def test_a_file_without_a_config() -> None:
    for text in ("", "---\n", "# nothing\n", ".hidden: 1\n", "null\n"):
        assert str(error_of("", head=text)).startswith(FILE)
    assert error_of("", head="").message == "there is no config in the file"


NESTED = {
    "": "{name}: {{}}\n",
    "metadata": "metadata:\n  {name}: {{}}\n",
    "build": "build:\n  {name}: {{}}\n",
    "build.artifacts[]": "build:\n  artifacts:\n  - image: a\n    {name}: {{}}\n",
    "build.artifacts[].docker": "build:\n  artifacts:\n  - image: a\n    docker:\n      {name}: {{}}\n",
    "build.artifacts[].requires[]": "build:\n  artifacts:\n  - image: a\n    requires:\n    - {name}: x\n",
    "build.tagPolicy": "build:\n  tagPolicy:\n    {name}: {{}}\n",
    "build.local": "build:\n  local:\n    {name}: {{}}\n",
    "manifests": "manifests:\n  {name}: {{}}\n",
    "deploy": "deploy:\n  {name}: {{}}\n",
    "deploy.kubectl": "deploy:\n  kubectl:\n    {name}: {{}}\n",
}
SUPPORTED = {
    "apiVersion",
    "kind",
    "metadata",
    "build",
    "manifests",
    "deploy",
    "metadata.name",
    "metadata.labels",
    "metadata.annotations",
    "build.artifacts",
    "build.tagPolicy",
    "build.local",
    "build.hooks",
    "build.artifacts[].hooks",
    "build.platforms",
    "build.artifacts[].platforms",
    "build.artifacts[].image",
    "build.artifacts[].context",
    "build.artifacts[].docker",
    "build.artifacts[].requires",
    "build.artifacts[].docker.dockerfile",
    "build.artifacts[].docker.target",
    "build.artifacts[].docker.buildArgs",
    "build.artifacts[].docker.noCache",
    "build.artifacts[].requires[].image",
    "build.artifacts[].requires[].alias",
    "build.local.push",
    "manifests.rawYaml",
    "deploy.kubectl",
    "deploy.statusCheck",
    "deploy.statusCheckDeadlineSeconds",
    "deploy.kubectl.defaultNamespace",
    "deploy.kubectl.hooks",
} | {f"build.tagPolicy.{name}" for name in FIELDS["build.tagPolicy"]}
SKAFFOLD_ONLY = [(path, name) for path, names in FIELDS.items() for name in sorted(names)]
UNSUPPORTED = [(path, name) for path, name in SKAFFOLD_ONLY if f"{path}.{name}".lstrip(".") not in SUPPORTED]


@pytest.mark.parametrize(("path", "name"), UNSUPPORTED)
def test_what_skaffold_has_and_kfold_has_not_is_refused_by_name(path: str, name: str) -> None:
    body = NESTED[path].format(name=name)
    line, column = next(
        (number, text.index(name) + 1) for number, text in enumerate(body.splitlines(), 3) if f"{name}:" in text
    )
    full = f"{path}.{name}" if path else name
    assert lines_of(body) == [f"{line}:{column}: kfold does not support `{full}` yet"]
    assert "Supported here: " in error_of(body).hint


def test_there_are_unsupported_fields_at_every_level() -> None:
    assert len(UNSUPPORTED) > 40
    assert {path for path, _ in UNSUPPORTED} >= {"", "build", "build.artifacts[]", "build.artifacts[].docker", "deploy"}


@pytest.mark.parametrize("full", sorted(MOVED))
def test_fields_of_old_versions_say_where_they_went(full: str) -> None:
    path, _, name = full.rpartition(".")
    error = error_of(NESTED[path].format(name=name))
    assert error.message == f"there is no field `{full}`"
    assert error.hint == MOVED[full]


@pytest.mark.parametrize(
    ("body", "line", "hint"),
    [
        ("bulid: {}\n", "3:1: there is no field `bulid`", "Did you mean `build`?"),
        ("Build: {}\n", "3:1: there is no field `Build`", "Did you mean `build`?"),
        (
            artifacts("{image: a, contxt: b}"),
            "5:16: there is no field `build.artifacts[].contxt`",
            "Did you mean `context`?",
        ),
        (
            artifacts("{image: a, dockerfile: b}"),
            "5:16: there is no field `build.artifacts[].dockerfile`",
            "`dockerfile` belongs in `build.artifacts[].docker`.",
        ),
        (
            artifacts("{image: a, docker: {cacheForm: b}}"),
            "5:25: there is no field `build.artifacts[].docker.cacheForm`",
            "Did you mean `cacheFrom`? kfold does not support that yet.",
        ),
        ("deploy: {zzz: 1}\n", "3:10: there is no field `deploy.zzz`", "Fields here: keep, kubectl, statusCheck,"),
        (
            "build: {tagPolicy: {sha256: {a: 1}}}\n",
            "3:30: there is no field `build.tagPolicy.sha256.a`",
            "There are no fields here.",
        ),
        ("'': 1\n", "3:1: there is no field ``", ""),
    ],
)
def test_unknown_fields_come_with_a_guess(body: str, line: str, hint: str) -> None:
    assert lines_of(body) == [line]
    assert hint in error_of(body).hint


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("build: text\n", "3:8: `build`: expected a mapping, got a string"),
        ("build: []\n", "3:8: `build`: expected a mapping, got a list"),
        ("build: {artifacts: {}}\n", "3:20: `build.artifacts`: expected a list, got a mapping"),
        (artifacts("web"), "5:5: `build.artifacts[]`: expected a mapping, got a string"),
        (artifacts(""), "5:4: `build.artifacts[]`: expected a mapping, got nothing"),
        (artifacts("image:"), "5:11: `build.artifacts[].image`: expected a string, got nothing"),
        (artifacts("{image: [a]}"), "5:13: `build.artifacts[].image`: expected a string, got a list"),
        (artifacts("{context: a}"), "5:5: `build.artifacts[]` has no `image`"),
        (artifacts("{image: a, requires: [{alias: A}]}"), "5:27: `build.artifacts[].requires[]` has no `image`"),
        (artifacts("{image: ''}"), "5:13: `build.artifacts[].image` is empty"),
        (
            artifacts("{image: a, docker: {noCache: 1}}"),
            "5:34: `build.artifacts[].docker.noCache`: expected true or false, got a number",
        ),
        (
            artifacts("{image: a, docker: {noCache: 'true'}}"),
            "5:34: `build.artifacts[].docker.noCache`: expected true or false, got a string",
        ),
        (
            artifacts("{image: a, docker: {buildArgs: [A=b]}}"),
            "5:36: `build.artifacts[].docker.buildArgs`: expected a mapping, got a list",
        ),
        ("build: {local: {push: maybe}}\n", "3:23: `build.local.push`: expected true or false, got a string"),
        ("manifests: {rawYaml: k8s/*.yaml}\n", "3:22: `manifests.rawYaml`: expected a list, got a string"),
        ("manifests: {rawYaml: [{a: b}]}\n", "3:23: `manifests.rawYaml[]`: expected a string, got a mapping"),
        ("manifests: {rawYaml: ['']}\n", "3:23: `manifests.rawYaml[]` is empty"),
        ("deploy: {statusCheck: 1}\n", "3:23: `deploy.statusCheck`: expected true or false, got a number"),
        *(
            (
                f"deploy: {{statusCheckDeadlineSeconds: {value}}}\n",
                f"3:38: `deploy.statusCheckDeadlineSeconds`: expected a whole number, got {kind}",
            )
            for value, kind in (
                ("10m", "a string"),
                ("1.5", "a number"),
                ("'10'", "a string"),
                ("0600", "a number"),
                ("9" * 5000, "a number"),
            )
        ),
        (
            "deploy: {statusCheckDeadlineSeconds: -1}\n",
            "3:38: `deploy.statusCheckDeadlineSeconds`: expected a whole number from 0 to 2147483647",
        ),
        ("build: {tagPolicy: gitCommit}\n", "3:20: `build.tagPolicy`: expected a mapping, got a string"),
        ("build: {tagPolicy: {envTemplate: {}}}\n", "3:34: `build.tagPolicy.envTemplate` has no `template`"),
        (
            "build: {tagPolicy: {envTemplate: ~}}\n",
            "3:34: `build.tagPolicy.envTemplate`: expected a mapping, got nothing",
        ),
    ],
)
def test_wrong_types_and_missing_fields(body: str, line: str) -> None:
    assert lines_of(body) == [line]


def test_all_problems_of_a_file_are_told_together_and_in_its_order() -> None:
    body = "foo: 1\n" + artifacts("{image: a, sync: {}}", "{}") + "deploy: {statusCheck: 3}\n"
    assert str(error_of(body)).splitlines() == [
        f"{FILE}:3:1: there is no field `foo`",
        "  Fields here: apiVersion, build, deploy, kind, manifests, metadata, prune.",
        f"{FILE}:6:16: kfold does not support `build.artifacts[].sync` yet",
        "  Supported here: context, docker, hooks, image, platforms, requires.",
        f"{FILE}:7:5: `build.artifacts[]` has no `image`",
        f"{FILE}:8:23: `deploy.statusCheck`: expected true or false, got a number",
    ]


def test_a_flood_of_problems_is_cut() -> None:
    text = str(error_of(artifacts(*["{}"] * 100)))
    assert text.count("has no `image`") == SHOWN
    assert text.endswith(f"and {100 - SHOWN} more problems in this file")


def test_a_problem_under_an_alias_is_told_once() -> None:
    body = ".d: &d {squash: true}\n" + artifacts("{image: a, docker: *d}", "{image: b, docker: *d}")
    assert lines_of(body) == ["3:9: kfold does not support `build.artifacts[].docker.squash` yet"]


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    "docker",
    [
        "{buildArgs: {TOKEN: [hunter2]}}",
        "{buildArgs: {TOKEN: {hunter2: hunter2}}}",
        "{buildArgs: [TOKEN=hunter2]}",
        "hunter2",
    ],
)
def test_no_value_of_a_build_argument_is_ever_shown(docker: str, validate: bool) -> None:
    assert "hunter2" not in str(error_of(artifacts(f"{{image: a, docker: {docker}}}"), validate=validate))


@pytest.mark.parametrize(
    "body",
    [
        artifacts(*(f"{{image: artifact-{n}, requires: [{{image: artefact-{n}, alias: A}}]}}" for n in range(2000))),
        "\n".join(f"k{n}: 1" for n in range(5000)),
        artifacts(*["a"] * 10_000),
        artifacts("image: " + "x" * 1_000_000),
        artifacts("{image: a, requires: [{image: a, alias: '" + "-" * 1_000_000 + "'}]}"),
    ],
    ids=["guesses", "unknown fields", "wrong types", "a long image", "a long alias"],
)
def test_a_file_made_to_be_slow_is_refused_in_time_and_in_few_words(body: str) -> None:
    start = time.monotonic()
    assert len(str(error_of(body))) < 20_000
    assert time.monotonic() - start < 30  # seconds; guessing for all of the first takes more than a minute


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("prune: {maxAge: tomorrow}\n", "3:17: `tomorrow` is no age"),
        ("prune: {keep: -1}\n", "3:15: `prune.keep`"),
        ("build: {platforms: [linux/arm46]}\n", "3:21: `linux/arm46` is no platform"),
        ("build: {platforms: [linux/arm64, all]}\n", "3:34: `all` names no platform"),
        ("build: {platforms: ['']}\n", "3:21: `build.platforms[]` is empty"),
        ("build: {platforms: linux/arm64}\n", "3:20: `build.platforms`: expected a list"),
        (artifacts("{image: a, platforms: [linux/amd64/]}"), "5:28: `linux/amd64/` is no platform"),
        ("prune: {keep: many}\n", "3:15: `prune.keep`: expected a whole number"),
    ],
)
def test_a_value_that_cannot_be(body: str, told: str) -> None:
    (line,) = lines_of(body)
    assert line.startswith(told)


def test_pruning_belongs_to_kfold() -> None:
    (line,) = lines_of("prune: {keep: 1}\n", head="apiVersion: skaffold/v4beta13\nkind: Config\n")
    assert line == "3:1: `prune` is no field of skaffold/v4beta13"
