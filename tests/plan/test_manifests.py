"""Manifests: what is an object and where it begins, and scalars as kubectl reads them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kfold.errors import ConfigError
from kfold.plan.manifests import parse_manifests, refuse_duplicates, replace_images
from tests.plan.generated import moderate

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"


def parsed(text: str) -> list[dict[str, Any]]:
    return [manifest.content for manifest in parse_manifests(text, file="k8s/app.yaml")]


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_manifests(text, file="k8s/app.yaml")
    assert caught.value.hint
    assert str(caught.value).startswith("k8s/app.yaml")
    return str(caught.value).removeprefix("k8s/app.yaml:")


def value(scalar: str) -> Any:
    (content,) = parsed(f"{CONFIG_MAP}spec:\n  value: {scalar}\n")
    return content["spec"]["value"]


# objects and their places


def test_each_object_knows_where_it_begins() -> None:
    pod = "  {apiVersion: v1, kind: Pod, metadata: {name: two}}\n"
    text = f"# a comment\n\n---\n{CONFIG_MAP}---\n---\n# nothing\n---\n{pod}"
    manifests = parse_manifests(text, file="k8s/app.yaml")
    assert [(m.kind, m.name, str(m.position)) for m in manifests] == [
        ("ConfigMap", "one", "k8s/app.yaml:4:1"),
        ("Pod", "two", "k8s/app.yaml:11:3"),
    ]


def test_what_an_object_says_of_itself() -> None:
    (manifest,) = parse_manifests(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n", file="app.yaml"
    )
    assert (manifest.api_version, manifest.kind, manifest.name, manifest.namespace) == (
        "apps/v1",
        "Deployment",
        "web",
        "shop",
    )


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "---\n---\n", "null\n", "~\n"])
def test_an_empty_document_is_nothing(text: str) -> None:
    assert parsed(text) == []


def test_json_is_yaml() -> None:
    content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {"x": [1, None, True, "ü\n"]}}
    assert parsed(json.dumps(content, indent=4)) == [content]


@pytest.mark.parametrize("kind", ["List", "ConfigMapList"])
def test_a_list_is_its_items(kind: str) -> None:
    items = "".join(f"- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}\n" for name in ("one", "two"))
    nested = "- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: three}}]}\n"
    text = f"apiVersion: v1\nkind: {kind}\nitems:\n{items}{nested}"
    assert [content["metadata"]["name"] for content in parsed(text)] == ["one", "two", "three"]


@pytest.mark.parametrize("items", ["[]", "null", "~", ""])
def test_a_list_of_nothing_is_nothing(items: str) -> None:
    assert parsed(f"apiVersion: v1\nkind: List\nitems: {items}\n") == []


def test_an_item_that_is_no_object_is_refused_as_such() -> None:
    assert "not a mapping" in refused("apiVersion: v1\nkind: List\nitems: [5]\n")


def test_a_kind_may_end_in_list_and_be_an_object() -> None:
    (content,) = parsed("apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: one}\nspec: {}\n")
    assert content["kind"] == "AllowList"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n- 2\n", "1:1: this is no Kubernetes object: it is a list, not a mapping"),
        ("just text\n", "1:1: this is no Kubernetes object: it is a plain value, not a mapping"),
        ("5\n", "1:1: this is no Kubernetes object: it is a plain value, not a mapping"),
        ("---\n\nkind: Pod\n", "3:1: this is no Kubernetes object: `apiVersion` is missing"),
        ("apiVersion: v1\n", "1:1: this is no Kubernetes object: `kind` is missing"),
        ("apiVersion: 1\nkind: Pod\n", "1:1: this is no Kubernetes object: `apiVersion` is no text"),
        ("apiVersion: v1\nkind: ''\n", "1:1: this is no Kubernetes object: `kind` is no text"),
        ("apiVersion: v1\nkind: Pod\n", "1:1: this is no Kubernetes object: `metadata.name` is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "`metadata.name` is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n", "`metadata.name` is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: 5\n", "`metadata` is no mapping"),
        ("apiVersion: v1\nkind: Pod\nmetadata: generateName\n", "`metadata` is no mapping"),
        ("apiVersion: v1\nkind: Pod\nmetadata: [name]\n", "`metadata` is no mapping"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n", "`metadata.name` is no text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: on}\n", "`metadata.name` is no text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: 5}\n", "`metadata.namespace` is no text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "generateName names another object each time"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(text: str, message: str) -> None:
    assert message in refused(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1\n", "2:1"),
        (f"{CONFIG_MAP}---\na: b: c\n", "5:5"),
        ("\tkey: value\n", "1:1"),
        ("a: *nobody\n", "1:4"),
        ("a: !unknown x\n", "1:4"),
        ("? [a]\n: b\n", "1:3"),
        ("'\n", ""),
        ("a: \x07\n", ""),
    ],
)
def test_broken_yaml_is_refused_with_its_place(text: str, place: str) -> None:
    message = refused(text)
    assert message.startswith(place) and "YAML" in message


@pytest.mark.parametrize(
    "scalar",
    ["!!binary aGk=", "!!timestamp 2024-01-01", "!!set {a}", ".nan", ".inf", "-.inf", "&a [*a]", "!!omap [a: 1]"],
)
def test_what_json_cannot_say_is_refused(scalar: str) -> None:
    """An API server speaks JSON: better said with the file's name than when it is sent."""
    assert refused(f"{CONFIG_MAP}spec: {scalar}\n").startswith(("1:1: the document has", "1:1: the document is nested"))


def test_keys_are_text_as_kubectl_makes_them() -> None:
    (content,) = parsed(f"{CONFIG_MAP}data: {{2: a, true: b, 2024-01-01: c, 1.5: d}}\n")
    assert content["data"] == {"2": "a", "true": "b", "2024-01-01": "c", "1.5": "d"}
    assert "has a key that is no text" in refused(f"{CONFIG_MAP}data: {{null: a}}\n")


@pytest.mark.parametrize("depth", [100, 190, 500, 20_000])
def test_deep_nesting_is_read_or_refused(depth: int) -> None:
    text = f"{CONFIG_MAP}spec: {'[' * depth}{']' * depth}\n"
    if depth < 200:
        (content,) = parsed(text)
        assert json.dumps(replace_images(content, {}))
    else:
        assert "nested too deeply" in refused(text)


def test_few_lines_cannot_become_gigabytes() -> None:
    """Aliases of aliases ("billion laughs"): kubectl refuses them as excessive aliasing."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "grows too large" in refused(CONFIG_MAP + "\n".join(lines) + "\n")


def test_ordinary_aliases_and_merges_are_read() -> None:
    (content,) = parsed(f"{CONFIG_MAP}x: &x {{a: 1, b: 2}}\ny: {{<<: *x, b: 3}}\nz: [*x, *x]\n")
    assert content["y"] == {"a": 1, "b": 3}
    assert content["z"] == [{"a": 1, "b": 2}] * 2


# scalars


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("2001-12-14 21:59:43.10 -5", "2001-12-14 21:59:43.10 -5"),
        ("22:22", "22:22"),
        ("1:30:00", "1:30:00"),
        ("190:20:30.15", "190:20:30.15"),
        ("0644", 420),
        ("0o644", 420),
        ("-010", -8),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("0", 0),
        ("-7", -7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("1.2.3", "1.2.3"),
        ("1Gi", "1Gi"),
        ("100m", "100m"),
        ("true", True),
        ("yes", True),
        ("off", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("'true'", "true"),
        ("'22'", "22"),
        ("=", "="),
        ("12e03", 12000.0),
    ],
)
def test_scalars_are_what_kubectl_makes_of_them(scalar: str, expected: Any) -> None:
    found = value(scalar)
    assert (found, type(found)) == (expected, type(expected))


@moderate
@given(st.text(max_size=60))
@example("=")
@example("\ud800")
@example("a: !!int x")
@example("a: !!float x")
@example("0_")
@example("0b_")
@example("a: !!bool x")
@example("<<: 5")
def test_any_text_is_objects_or_one_error(text: str) -> None:
    for whole in (text, f"{CONFIG_MAP}spec: {text}\n", f"{CONFIG_MAP}{text}"):
        try:
            manifests = parse_manifests(whole, file="app.yaml")
        except ConfigError as error:
            assert str(error).startswith("app.yaml")
        else:
            json.dumps([replace_images(manifest.content, {"web": "web:1"}) for manifest in manifests], allow_nan=False)


# duplicates


def objects(*names: str, head: str = "apiVersion: v1\nkind: ConfigMap\n") -> str:
    return "---\n".join(f"{head}metadata: {name}\n" for name in names)


def test_one_object_twice_is_refused_with_both_places() -> None:
    manifests = parse_manifests(objects("{name: a}", "{name: b}", "{name: a}"), file="one.yaml")
    with pytest.raises(ConfigError) as caught:
        refuse_duplicates(manifests)
    assert str(caught.value).startswith("one.yaml:9:1: ConfigMap a is in the manifests twice\n")
    assert "one.yaml:1:1" in caught.value.hint


def test_another_version_of_the_group_is_the_same_object() -> None:
    text = "---\n".join(
        objects("{name: a}", head=f"apiVersion: {v}\nkind: HorizontalPodAutoscaler\n")
        for v in ("autoscaling/v1", "autoscaling/v2")
    )
    with pytest.raises(ConfigError, match="twice"):
        refuse_duplicates(parse_manifests(text, file="one.yaml"))


def test_other_names_namespaces_kinds_and_groups_are_other_objects() -> None:
    text = "---\n".join(
        [
            objects("{name: a}", "{name: b}", "{name: a, namespace: x}", "{name: a, namespace: y}"),
            objects("{name: a}", head="apiVersion: v1\nkind: Secret\n"),
            objects("{name: a}", head="apiVersion: v1\nkind: Service\n"),
            objects("{name: a}", head="apiVersion: serving.knative.dev/v1\nkind: Service\n"),
        ]
    )
    manifests = parse_manifests(text, file="one.yaml")
    assert len(manifests) == 7
    refuse_duplicates(manifests)


def test_what_is_parsed_is_not_shared_between_objects() -> None:
    one, other = parse_manifests(objects("{name: a}", "{name: b}"), file="one.yaml")
    before = copy.deepcopy(other.content)
    one.content["metadata"]["name"] = "changed"
    assert other.content == before
