"""For any text and any tree `load` gives configs or a ConfigError with a place; what is generated comes back."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kfold.config.loading import load
from kfold.config.reading import decode, read_documents
from kfold.errors import ConfigError
from tests.config.texts import FILE, HEAD

NAMES = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "labels",
    "build",
    "artifacts",
    "image",
    "context",
    "docker",
    "dockerfile",
    "buildArgs",
    "target",
    "noCache",
    "requires",
    "alias",
    "tagPolicy",
    "gitCommit",
    "variant",
    "prefix",
    "ignoreChanges",
    "sha256",
    "envTemplate",
    "template",
    "dateTime",
    "format",
    "timezone",
    "inputDigest",
    "customTemplate",
    "components",
    "local",
    "push",
    "manifests",
    "rawYaml",
    "deploy",
    "kubectl",
    "defaultNamespace",
    "statusCheck",
    "statusCheckDeadlineSeconds",
    "sync",
    ".x",
    "<<",
    "1",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["web", "a:b", "kfold/v1", "Tags"]),
)
trees = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), below, max_size=5)
    ),
    max_leaves=25,
)


def shape(*fields: str, of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A mapping with some of `fields`, at times something else."""
    return st.dictionaries(st.sampled_from(fields), of, max_size=len(fields)) | scalars


policy = shape(
    "gitCommit",
    "sha256",
    "envTemplate",
    "customTemplate",
    "dateTime",
    of=shape("template", "variant", "components", of=trees),
)
near = st.fixed_dictionaries(
    {},
    optional={
        "metadata": shape("name", "labels", of=scalars),
        "build": shape(
            "artifacts",
            of=st.lists(
                shape(
                    "image",
                    "context",
                    "docker",
                    "requires",
                    of=scalars
                    | st.lists(shape("image", "alias", of=scalars))
                    | shape("buildArgs", "noCache", of=trees),
                ),
                max_size=4,
            ),
        )
        | shape("tagPolicy", of=policy)
        | shape("local", of=shape("push", of=scalars)),
        "manifests": shape("rawYaml", of=st.lists(scalars, max_size=3) | scalars),
        "deploy": shape(
            "kubectl", "statusCheck", "statusCheckDeadlineSeconds", of=shape("defaultNamespace", of=scalars)
        ),
    },
)


def loads_or_says_why(text: str) -> None:
    for validate in (True, False):
        try:
            assert load(text, file=FILE, folder_name="folder", validate=validate)
        except ConfigError as error:
            assert error.where is not None
            assert error.where.file == FILE
            assert 0 <= error.where.line <= len(text.splitlines()) + 2
            printed = str(error)
            assert printed.startswith(FILE)
            assert all(line.isprintable() for line in printed.split("\n"))


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80))
@example("%YAML 99999999999999999999.1\n--- a")
@example('"\\UFFFFFFFF"')
@example('"\\uD800"')
@example("? ? ? a")
@example("a: &b *b")
@example("&a &b c")
@example("%TAG ! tag:\n---\n!x y")
def test_any_text(text: str) -> None:
    loads_or_says_why(text)
    loads_or_says_why(HEAD + text)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%#,<~ \n\t\\.0x", max_size=60))
def test_any_text_of_yamls_own_characters(text: str) -> None:
    loads_or_says_why(text)
    loads_or_says_why(f"{HEAD}build:\n  {text}")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        text = decode(data, file=FILE)
    except ConfigError as error:
        assert error.where is not None
    else:
        loads_or_says_why(text)


@settings(max_examples=400, deadline=None)
@given(trees)
def test_any_tree(tree: Any) -> None:
    loads_or_says_why(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=400, deadline=None)
@given(near)
def test_any_tree_that_is_nearly_a_config(tree: Any) -> None:
    loads_or_says_why(HEAD + yaml.safe_dump(tree))


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml: there is only one parser")
@settings(max_examples=300, deadline=None)
@given(trees.filter(lambda tree: isinstance(tree, dict)))
def test_both_parsers_read_the_same(tree: Any) -> None:
    text = yaml.safe_dump(tree)
    outcomes: list[Any] = []
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        try:
            outcomes.append(read_documents(text, file=FILE, loader=loader))
        except ConfigError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=6)
values = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\x85"), max_size=12)
artifact = st.fixed_dictionaries(
    {},
    optional={
        "context": words,
        "docker": st.fixed_dictionaries(
            {},
            optional={
                "dockerfile": words,
                "target": words,
                "noCache": st.booleans(),
                "buildArgs": st.dictionaries(words, st.none() | values),
            },
        ),
    },
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A valid config; an artifact requires only ones before it, so that there is no cycle."""
    images = draw(st.lists(words, unique=True, max_size=5))
    entries = []
    for number, image in enumerate(images):
        earlier = draw(st.lists(st.sampled_from(images[:number]), unique=True)) if number else []
        requires = [{"image": name, "alias": f"A{position}"} for position, name in enumerate(earlier)]
        entries.append({"image": image, **draw(artifact), "requires": requires})
    draw(st.randoms(use_true_random=False)).shuffle(entries)
    return {
        "apiVersion": "skaffold/v4beta14",
        "kind": "Config",
        "metadata": {"name": draw(words)},
        "build": {"artifacts": entries, "local": {"push": draw(st.none() | st.booleans())}},
        "manifests": {"rawYaml": draw(st.lists(words, min_size=1))},
        "deploy": {
            "kubectl": {"defaultNamespace": draw(st.none() | words)},
            "statusCheck": draw(st.booleans()),
            "statusCheckDeadlineSeconds": draw(st.integers(1, 100_000)),
        },
    }


@settings(max_examples=200, deadline=None)
@given(configs(), st.booleans(), st.booleans())
def test_a_valid_config_comes_back(tree: dict[str, Any], validate: bool, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=flow)
    (config,) = load(text, file=FILE, folder_name="folder", validate=validate)
    assert (config.name, config.named) == (tree["metadata"]["name"], True)
    assert config.push is tree["build"]["local"]["push"]
    assert [source.path for source in config.manifests] == tree["manifests"]["rawYaml"]
    assert config.kubectl.default_namespace == tree["deploy"]["kubectl"]["defaultNamespace"]
    assert (config.status_check, config.status_check_deadline) == (
        tree["deploy"]["statusCheck"],
        tree["deploy"]["statusCheckDeadlineSeconds"],
    )
    assert len(config.artifacts) == len(tree["build"]["artifacts"])
    for read, written in zip(config.artifacts, tree["build"]["artifacts"], strict=True):
        docker = written.get("docker", {})
        assert (read.image, read.context) == (written["image"], written.get("context", "."))
        assert (read.docker.dockerfile, read.docker.target, read.docker.no_cache) == (
            docker.get("dockerfile", "Dockerfile"),
            docker.get("target", ""),
            docker.get("noCache", False),
        )
        assert dict(read.docker.build_args) == docker.get("buildArgs", {})
        assert [(r.image, r.alias) for r in read.requires] == [(r["image"], r["alias"]) for r in written["requires"]]
