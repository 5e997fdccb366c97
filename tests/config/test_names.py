"""Names and relations: images, aliases, `requires`, tag policies and documents, each mistake with its place."""

from __future__ import annotations

import pytest

from kfold.errors import Position
from tests.config.texts import FILE, artifacts, error_of, lines_of, load_one


def components(entries: str) -> str:
    """A custom template; the list of its components starts in line 4, column 3."""
    return f"build: {{tagPolicy: {{customTemplate: {{template: x, components:\n  [{entries}]}}}}}}\n"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("web:v1", "the image name `web:v1` has a tag", "build.tagPolicy"),
        ("host:5000/web:v1", "the image name `host:5000/web:v1` has a tag", "build.tagPolicy"),
        ("web@sha256:abc", "the image name `web@sha256:abc` has a digest", "without `@…`"),
        ("Web", "`Web` is not an image name", "Image names are lower case: `web`."),
        ("a//b", "`a//b` is not an image name", "Lower case letters"),
        ("/a", "`/a` is not an image name", "Lower case letters"),
        ("a b", "`a b` is not an image name", "Lower case letters"),
        ("-a", "`-a` is not an image name", ""),
        ("ho_st.x/a", "`ho_st.x/a` is not an image name", "`ho_st.x` is not a registry host."),
        ("a" * 256, "the image name is longer than 255 characters", ""),
        ("0123456789abcdef" * 4, f"`{'0123456789abcdef' * 4}` is not an image name", "image ID"),
        ("a\\e[31m", "`a\\x1b[31m` is not an image name", ""),
    ],
)
def test_image_names(name: str, message: str, hint: str) -> None:
    error = error_of(artifacts(f'image: "{name}"'))
    assert (error.message, error.where) == (message, Position(FILE, 5, 12))
    assert hint in error.hint


@pytest.mark.parametrize(
    ("entries", "lines"),
    [
        (["image: a", "image: b", "image: a"], [f"7:12: the artifact `a` is already given at {FILE}:5:12"]),
        (
            ["image: a", "image: docker.io/library/a"],
            [f"6:12: the artifact `docker.io/library/a` is already given at {FILE}:5:12"],
        ),
        (["{image: a, requires: [{image: b}]}"], ["5:35: `a` requires `b`, which is not an artifact"]),
        (["{image: a, requires: [{image: a}]}"], ["5:35: the artifacts require each other: a -> a"]),
        (
            [
                "{image: a, requires: [{image: b}]}",
                "{image: b, requires: [{image: c}]}",
                "{image: c, requires: [{image: a}]}",
            ],
            ["7:35: the artifacts require each other: a -> b -> c -> a"],
        ),
        (
            [
                "{image: a, requires: [{image: b}]}",
                "{image: b, requires: [{image: c}]}",
                "{image: c, requires: [{image: b}]}",
            ],
            ["7:35: the artifacts require each other: b -> c -> b"],
        ),
        (
            ["image: my-base", "{image: a, requires: [{image: my-base}]}"],
            ["6:35: `my-base` cannot be the name of a build argument"],
        ),
        (
            ["image: b", "{image: a, requires: [{image: b, alias: 1x}]}"],
            ["6:45: `1x` cannot be the name of a build argument"],
        ),
        (
            ["image: b", "image: c", "{image: a, requires: [{image: b, alias: X}, {image: c, alias: X}]}"],
            ["7:67: the alias `X` is already taken in this artifact"],
        ),
        (
            ["{image: a, docker: {buildArgs: {A=B: c}}}"],
            ["5:37: the name of a build argument is empty or has a `=`"],
        ),
    ],
)
@pytest.mark.parametrize("validate", [True, False])
def test_relations_between_artifacts(entries: list[str], lines: list[str], validate: bool) -> None:
    assert lines_of(artifacts(*entries), validate=validate) == lines


def test_a_diamond_is_no_cycle_and_a_long_chain_no_problem() -> None:
    chain = [
        f"{{image: a{n}, requires: [{{image: a{n + 1}, alias: A}}, {{image: a{n + 2}, alias: B}}]}}"
        for n in range(3000)
    ]
    assert len(load_one(artifacts(*chain, "image: a3000", "image: a3001")).artifacts) == 3002


def test_an_unknown_requirement_comes_with_a_guess() -> None:
    assert error_of(artifacts("image: base", "{image: a, requires: [{image: bsae}]}")).hint == "Did you mean `base`?"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            "build: {tagPolicy: {gitCommit: {}, sha256: {}}}\n",
            "3:36: only one tag policy can be used, got `gitCommit` and `sha256`",
        ),
        ("build: {tagPolicy: {gitCommit: {variant: Tag}}}\n", "3:42: there is no gitCommit variant `Tag`"),
        (
            components("{name: A, customTemplate: {template: y}}"),
            "4:14: kfold does not support `build.tagPolicy.customTemplate.components[].customTemplate`",
        ),
        (
            components("{name: A, sha256: }, {name: A, sha256: }"),
            "4:32: the component `A` is already given",
        ),
        (
            components("{name: A}"),
            "4:4: the component `A` names no tag policy",
        ),
        (
            components("{name: A, sha256: , gitCommit: }"),
            "4:24: only one tag policy can be used, got `sha256` and `gitCommit`",
        ),
        ("deploy: {kubectl: {defaultNamespace: A_b}}\n", "3:38: `A_b` cannot be a namespace"),
        ("metadata: {name: a/b}\n", "3:18: `a/b` cannot be the name of a config"),
        (f"metadata: {{name: {'a' * 64}}}\n", f"3:18: `{'a' * 64}` cannot be the name of a config"),
        ("manifests: {rawYaml: ['https://a/b.yaml']}\n", "3:23: kfold does not read manifests from URLs yet"),
    ],
)
def test_other_values(body: str, line: str) -> None:
    assert lines_of(body) == [line]


def test_a_nested_custom_template_is_refused_without_the_schema_too() -> None:
    body = components("{name: A, customTemplate: {template: y}}")
    assert lines_of(body, validate=False) == ["4:14: a `customTemplate` cannot be a component of another"]


DOCUMENT = "---\napiVersion: kfold/v1\nkind: Config\n"


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (
            f"metadata: {{name: a}}\n{DOCUMENT}metadata: {{name: a}}\n",
            [f"5:1: the config `a` is already given at {FILE}:1:1"],
        ),
        (f"metadata: {{name: a}}\n{DOCUMENT}", ["5:1: this document has no `metadata.name`"]),
        (
            f"metadata: {{name: a}}\n{artifacts('image: x')}{DOCUMENT}metadata: {{name: b}}\n{artifacts('image: x')}",
            [f"13:12: the artifact `x` is already given at {FILE}:6:12"],
        ),
    ],
)
def test_names_are_unique_over_all_documents(body: str, lines: list[str]) -> None:
    assert lines_of(body) == lines


def test_a_document_that_cannot_be_read_does_not_make_its_artifacts_missing() -> None:
    first = f"metadata: {{name: a}}\n{artifacts('image: x')}deploy: {{statusCheck: 3}}\n"
    second = f"{DOCUMENT}metadata: {{name: b}}\n{artifacts('{image: y, requires: [{image: x}]}')}"
    assert lines_of(first + second, validate=False) == ["7:23: `statusCheck`: expected true or false, got a number"]
