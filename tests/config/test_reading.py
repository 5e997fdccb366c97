"""YAML with positions: what is read, and one clean error for each thing that cannot be."""

from __future__ import annotations

import time

import pytest
import yaml

from kfold.config.nodes import ListNode, MappingNode, ScalarNode
from kfold.config.reading import MAX_DEPTH, decode, read_documents
from kfold.errors import ConfigError, Position

LOADERS = [pytest.param(yaml.SafeLoader, id="pure")]
if yaml.__with_libyaml__:
    LOADERS.append(pytest.param(yaml.CSafeLoader, id="libyaml"))
every_loader = pytest.mark.parametrize("loader", LOADERS)


def texts(node: MappingNode) -> dict[str, str]:
    return {key: value.text for key, value in node.entries.items() if isinstance(value, ScalarNode)}


@every_loader
def test_every_value_and_key_knows_its_place(loader: type) -> None:
    (document,) = read_documents("# c\na:\n  b: [x, 'y']\n", file="f", loader=loader)
    inner = document.mapping("a")
    assert document.keys["a"] == Position("f", 2, 1)
    assert inner.keys["b"] == Position("f", 3, 3)
    items = inner.entries["b"]
    assert isinstance(items, ListNode)
    assert [item.position for item in items.items] == [Position("f", 3, 7), Position("f", 3, 10)]


@every_loader
def test_scalars_stay_as_written(loader: type) -> None:
    (document,) = read_documents(
        "a: 1.10\nb: 0o17\nc: yes\nd: 2001-01-01\ne: 1_0\nf: !!str 1\n", file="f", loader=loader
    )
    assert texts(document) == {"a": "1.10", "b": "0o17", "c": "yes", "d": "2001-01-01", "e": "1_0", "f": "1"}


@every_loader
def test_quoted_null_is_text_and_plain_null_is_nothing(loader: type) -> None:
    (document,) = read_documents("a: 'null'\nb: null\nc: ~\nd:\ne: ''\n", file="f", loader=loader)
    assert {key: document.has(key) for key in "abcde"} == {"a": True, "b": False, "c": False, "d": False, "e": True}


@every_loader
def test_explicit_keys_win_over_merged_ones_and_the_first_source_over_the_second(loader: type) -> None:
    text = ".x: &x {a: x, b: x}\n.y: &y {b: y, c: y, d: y}\nmerged:\n  d: own\n  <<: [*x, *y]\nquoted:\n  '<<': 1\n"
    (document,) = read_documents(text, file="f", loader=loader)
    merged = document.mapping("merged")
    assert texts(merged) == {"a": "x", "b": "x", "c": "y", "d": "own"}
    assert list(merged.entries) == ["d", "a", "b", "c"], "the order must not depend on hashes"
    assert merged.keys["c"] == Position("f", 2, 15)
    assert texts(document.mapping("quoted")) == {"<<": "1"}


@every_loader
def test_documents_are_separate_and_empty_ones_are_left_out(loader: type) -> None:
    documents = read_documents(
        "---\n---\na: &x 1\n---\n# only a comment\n---\nnull\n---\nb: 2\n", file="f", loader=loader
    )
    assert [texts(document) for document in documents] == [{"a": "1"}, {"b": "2"}]
    assert documents[1].position == Position("f", 9, 1)
    with pytest.raises(ConfigError, match="no anchor `&x` above"):
        read_documents("a: &x 1\n---\nb: *x\n", file="f", loader=loader)


@every_loader
def test_top_level_keys_with_a_dot_are_left_out(loader: type) -> None:
    (document,) = read_documents(".hidden: {a: 1}\nshown:\n  .inner: 1\n", file="f", loader=loader)
    assert list(document.entries) == ["shown"]
    assert list(document.mapping("shown").entries) == [".inner"]


@every_loader
@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\nb:\n\tc: 1\n", 3, 1, "cannot start any token"),
        ("a: b: c\n", 1, 5, "mapping values are not allowed"),
        ("a: [1, 2\n", 2, 1, "broken YAML"),
        ("a: 'x\n", 2, 1, "broken YAML"),
        ("a: \x00\n", 1, 4, "control character U+0000"),
        ("b: 1\na: x\x1b[31m\n", 2, 5, "control character U+001B"),
        ("a: \udc80\n", 1, 4, "control character U+DC80"),
        ('a: "x\\0y"\n', 1, 4, "NUL"),
        ("a: *x\n", 1, 4, "no anchor `&x` above"),
        ("a: &x [*x]\n", 1, 8, "inside its own anchor"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "`a` is already given on line 1"),
        ("a: {b: 1, c: {d: 1, d: 2}}\n", 1, 21, "`d` is already given on line 1"),
        ("a: {[b]: 1}\n", 1, 5, "a key must be text, got a list"),
        ("? \n: 1\n", 1, 2, "a key is missing"),
        ("a: !!python/object:os.system x\n", 1, 4, "tag"),
        ("a: !!binary aGk=\n", 1, 4, "the YAML tag `!!binary` is not supported"),
        ("a: !!map [1]\n", 1, 4, "tag"),
        ("<<: 1\n", 1, 5, "`<<` merges mappings, got a number"),
        (".a: &a {b: 1}\n<<: *a\nc: 1\n<<: *a\n", 4, 1, "`<<` is already given on line 2"),
        ("- a\n", 1, 1, "expected a mapping with `apiVersion`"),
        ("text\n", 1, 1, "got a string"),
    ],
)
def test_what_cannot_be_read_is_one_error_with_its_place(
    loader: type, text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_documents(text, file="f", loader=loader)
    assert message in caught.value.message
    assert caught.value.where == Position("f", line, column)


def test_a_tab_is_named_as_what_it_is() -> None:
    with pytest.raises(ConfigError) as caught:
        read_documents("a:\n\tb: 1\n", file="f")
    assert "never with tabs" in caught.value.hint


@every_loader
@pytest.mark.parametrize(
    "text", ["a: " + "[" * 50_000, "- " * 5_000, "\n".join(" " * depth + "a:" for depth in range(500))]
)
def test_deep_nesting_is_refused_without_a_crash(loader: type, text: str) -> None:
    with pytest.raises(ConfigError, match=f"nested deeper than {MAX_DEPTH} levels"):
        read_documents(text, file="f", loader=loader)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")], ids=["lists", "mappings"])
def test_depth_counts_through_aliases(opening: str, closing: str) -> None:
    half = opening * 40 + "x" + closing * 40
    nested = "[" * 40 + "*a" + "]" * 40
    assert read_documents(f"a: &a {half}\n", file="f")
    with pytest.raises(ConfigError, match="nested deeper"):
        read_documents(f"a: &a {half}\nb: {nested}\n", file="f")


@pytest.mark.parametrize(
    "step",
    ["a{n}: &a{n} [{refs}]", "a{n}: &a{n} {{x: {{q: [{refs}]}}}}", "a{n}: &a{n} {{<<: [{refs}], k{n}: [{refs}]}}"],
)
def test_alias_bombs_are_refused_quickly(step: str) -> None:
    first = "a0: &a0 {k: 1}\n"
    bomb = first + "\n".join(step.format(n=n, refs=",".join([f"*a{n - 1}"] * 10)) for n in range(1, 20))
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"aliases expanded|nested deeper"):
        read_documents(bomb, file="f")
    assert time.monotonic() - start < 10


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    (document,) = read_documents(decode(b"\xef\xbb\xbfa: 1\n", file="f"), file="f")
    assert document.keys["a"] == Position("f", 1, 1)
    (document,) = read_documents("\ufeffa: 1\n", file="f", loader=yaml.SafeLoader)
    assert document.keys["a"] == Position("f", 1, 1)
    assert texts(document) == {"a": "1"}


@pytest.mark.parametrize(
    ("data", "where", "message"),
    [
        (b"a: 1\nb: \xc3\xa9\xff\n", Position("f", 2, 5), "not UTF-8"),
        ("a: 1\n".encode("utf-16"), Position("f"), "UTF-16"),
        (b"\xef\xbb\xbf\xff", Position("f", 1, 1), "not UTF-8"),
    ],
)
def test_bytes_that_are_not_utf8(data: bytes, where: Position, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        decode(data, file="f")
    assert caught.value.where == where
    assert caught.value.hint == "Save it as UTF-8."


def test_windows_line_ends_count_as_one() -> None:
    (document,) = read_documents("a: 1\r\nb: x\r\n", file="f")
    assert texts(document) == {"a": "1", "b": "x"}
    assert document.keys["b"] == Position("f", 2, 1)
