"""Which paths an ignore file keeps out: Docker's rules, by table and against a plain reading of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.errors import ConfigError
from kfold.plan.dockerignore import NOTHING, Ignore


def ignores(text: str, path: str) -> bool:
    return Ignore.parse(text, file=".dockerignore").matches(path)


# pattern file, path, ignored?
TABLE = [
    ("a", "a", True),
    ("a", "a/b/c", True),
    ("a", "b/a", False),
    ("a", "ab", False),
    ("/a", "a", True),
    ("a/", "a", True),
    ("a/", "a/b", True),
    ("./a/../b/", "b", True),
    ("*", "a/b", True),
    ("*.md", "a.md", True),
    ("*.md", "d/a.md", False),
    ("*/a", "d/a", True),
    ("*/a", "d/e/a", False),
    ("?", "a", True),
    ("?", "ab", False),
    ("**", "a/b", True),
    ("**/a", "a", True),
    ("**/a", "x/y/a", True),
    ("**/a", "x/a/y", True),
    ("**/a", "xa", False),
    ("**a", "xa", True),
    ("**a", "x/ya", True),
    ("a/**", "a", False),
    ("a/**", "a/b/c", True),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("a/**/b", "a/x/yb", False),
    ("a**", "abc/d", True),
    ("**/*.go", "a.go", True),
    ("**/*.go", "x/a.go", True),
    ("**/x/**", "a/x", False),
    ("**/x/**", "a/x/b", True),
    ("[ab]", "b", True),
    ("[^ab]", "b", False),
    ("[^ab]", "c", True),
    ("[!ab]", "c", False),
    ("[!ab]", "!", True),
    ("[a-c]x", "bx", True),
    ("[[]", "[", True),
    ("\\*", "*", True),
    ("\\*", "a", False),
    ("a.b", "axb", False),
    ("a+(b)|{c}$^", "a+(b)|{c}$^", True),
    ("#a", "#a", False),
    (" #a", "#a", True),
    ("  a  ", "a", True),
    ("\ufeffa", "a", True),
    ("a\r\nb\r\n", "b", True),
    ("\n\n", "a", False),
    ("*\n!a", "a", False),
    ("*\n!a", "a/b", False),
    ("*\n!a\n", "b", True),
    ("*\n! a", "a", False),
    ("*\n!/a", "a", False),
    ("!a\n*", "a", True),
    ("a\n!a/b", "a/b", False),
    ("a\n!a/b", "a/c", True),
    ("a\n!a/b\na/b/c", "a/b/c", True),
    ("a\n!a/b\na/b/c", "a/b/d", False),
    ("**/*.go\n!**/x/*.go", "y/x/a.go", False),
    ("**\n!x.md", "x.md", False),
    ("**\n!x.md", "a/x.md", True),
    # A pattern that could not change the answer for the directory is not remembered for what is below (moby, too).
    ("a\n!a/b\na", "a/b", False),
    ("a\n!a/b\na", "a/c", True),
    (".", "a", False),
    ("/", "a", False),
    ("..", "a", False),
    ("é*", "tété", False),
    ("é*", "éa", True),
    ("a\nb", "a\nb", False),
]


@pytest.mark.parametrize("text,path,expected", TABLE)
def test_docker_keeps_it_out(text: str, path: str, expected: bool) -> None:
    assert ignores(text, path) is expected


@pytest.mark.parametrize("text,line", [("a\n[", 2), ("[]a]", 1), ("x\n\n[a-", 3), ("!", 1), ("a\n! ", 2), ("a\\", 1)])
def test_a_malformed_pattern_names_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Ignore.parse(text, file="web/.dockerignore")
    assert caught.value.where is not None
    assert (caught.value.where.file, caught.value.where.line) == ("web/.dockerignore", line)


def test_no_ignore_file_keeps_nothing_out() -> None:
    assert not NOTHING
    assert not NOTHING.matches("a/b")
    assert not NOTHING.may_contain_exception_below("a")


@pytest.mark.parametrize(
    "exception,below,expected",
    [
        ("!a/b/c", "a", True),
        ("!a/b/c", "a/b", True),
        ("!a", "a/b", True),
        ("!**/c", "a/b", True),
        ("!a/*/c", "a/b", True),
        ("!a/b", "ab", False),
        ("!b/a", "a", False),
    ],
)
def test_where_an_exception_may_hide(exception: str, below: str, expected: bool) -> None:
    assert Ignore(("*", exception)).may_contain_exception_below(below) is expected


COMPONENT = st.sampled_from(["a", "b", "ab", "*", "a*", "?", "**", "[ab]", "b.c", "x"])
PATTERN = st.builds(
    lambda mark, parts: mark + "/".join(parts), st.sampled_from(["", "", "!"]), st.lists(COMPONENT, min_size=1, max_size=3)
)
PATH = st.lists(st.sampled_from(["a", "b", "ab", "b.c", "x", "xa"]), min_size=1, max_size=4).map("/".join)


def _matches_whole(pattern: list[str], path: list[str]) -> bool:
    """One pattern on one whole path, component by component: `**` is any number of them, none included."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return any(_matches_whole(pattern[1:], path[count:]) for count in range(len(path) + 1))
    if not path:
        return False
    expression = re.escape(pattern[0]).replace(r"\*", "[^/]*").replace(r"\?", "[^/]").replace(r"\[ab\]", "[ab]")
    return bool(re.fullmatch(expression, path[0])) and _matches_whole(pattern[1:], path[1:])


def _oracle(patterns: list[str], path: str) -> bool:
    """Each directory above in turn; a pattern counts for what is below what it matched, if it was asked there at all."""
    held = [False] * len(patterns)
    ignored = False
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        ignored = False
        for place, pattern in enumerate(patterns):
            exception = pattern.startswith("!")
            if not held[place] and exception is ignored:
                held[place] = _matches_whole(pattern.removeprefix("!").split("/"), parts[:depth])
            if held[place]:
                ignored = not exception
    return ignored


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(PATTERN, max_size=5), PATH)
def test_it_agrees_with_a_plain_reading_of_the_rules(patterns: list[str], path: str) -> None:
    assert Ignore(patterns).matches(path) is _oracle(patterns, path)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(PATTERN, max_size=5), PATH)
def test_no_exception_hides_in_a_directory_that_is_skipped(patterns: list[str], path: str) -> None:
    ignore = Ignore(patterns)
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if ignore.matches(above) and not ignore.may_contain_exception_below(above):
            assert ignore.matches(path)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        ignore = Ignore.parse(text, file=".dockerignore")
    except ConfigError as error:
        assert error.where is not None and error.where.line >= 1
    else:
        assert ignore.matches("a/b") in (True, False)
