"""The command line of `kfold`: which words are its own flags, wherever they stand, and which are doit's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.cli import FIXED, REPEATED, VALUED, Usage, parse
from tests.plan.generated import moderate


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("", {}, []),
        ("deploy", {}, ["deploy"]),
        ("deploy -n x", {"namespace": "x"}, ["deploy"]),
        ("-n x deploy", {"namespace": "x"}, ["deploy"]),
        ("deploy -n=x", {"namespace": "x"}, ["deploy"]),
        ("deploy -nx", {"namespace": "x"}, ["deploy"]),
        ("deploy --namespace x", {"namespace": "x"}, ["deploy"]),
        ("deploy --namespace=x", {"namespace": "x"}, ["deploy"]),
        ("deploy --namespace=", {"namespace": ""}, ["deploy"]),
        ("deploy -n x -n y", {"namespace": "y"}, ["deploy"]),
        ("deploy --kube-context c", {"context": "c"}, ["deploy"]),
        ("deploy --kube-context=a=b", {"context": "a=b"}, ["deploy"]),
        ("deploy --context c", {"context": "c"}, ["deploy"]),
        ("-f other.yaml deploy", {"config": "other.yaml"}, ["deploy"]),
        ("deploy --filename=other.yaml", {"config": "other.yaml"}, ["deploy"]),
        ("deploy -fother.yaml", {"config": "other.yaml"}, ["deploy"]),
        ("deploy -j 4", {"jobs": "4"}, ["deploy"]),
        ("deploy -j4", {"jobs": "4"}, ["deploy"]),
        ("deploy --jobs=4", {"jobs": "4"}, ["deploy"]),
        ("deploy --push", {"push": "yes"}, ["deploy"]),
        ("deploy --no-push", {"push": "no"}, ["deploy"]),
        ("deploy --push --no-push", {"push": "no"}, ["deploy"]),
        ("build --platform arm64 --platform=amd64,s390x", {"platform": "arm64,amd64,s390x"}, ["build"]),
        ("dev --no-cleanup --prune all --no-tail", {}, ["dev", "--no-cleanup", "--prune", "all", "--no-tail"]),
        ("delete --dry-run -n x --timeout 5", {"namespace": "x"}, ["delete", "--dry-run", "--timeout", "5"]),
        ("why build:web", {}, ["why", "build:web"]),
        ("build:web tag", {}, ["build:web", "tag"]),
        ("list --all", {}, ["list", "--all"]),
        ("--help", {}, ["--help"]),
        ("-n x --version", {"namespace": "x"}, ["--version"]),
        ("deploy -", {}, ["deploy", "-"]),
        ("deploy -v 0", {}, ["deploy", "-v", "0"]),
    ],
)
def test_parse(line: str, options: dict[str, str], words: list[str]) -> None:
    arguments = line.split()
    assert parse(arguments) == (options, words)
    assert arguments == line.split(), "the caller's list was changed"


def test_a_value_may_look_like_a_flag() -> None:
    assert parse(["-n", "--push", "deploy"]) == ({"namespace": "--push"}, ["deploy"])


@pytest.mark.parametrize("flag", sorted(VALUED))
def test_a_flag_without_its_value_is_a_usage_error(flag: str) -> None:
    with pytest.raises(Usage, match=f"^{flag} needs a value$"):
        parse(["deploy", flag])


verbs = st.lists(st.sampled_from(["deploy", "build:web", "--dry-run", "--all", "5"]), max_size=4)
flags = st.lists(
    st.tuples(st.sampled_from(sorted(VALUED)), st.text(min_size=1, max_size=4)) | st.sampled_from(sorted(FIXED)),
    max_size=4,
)


@moderate
@given(verbs, flags, st.data())
def test_flags_may_stand_anywhere(words: list[str], given_flags: list[tuple[str, str] | str], data: st.DataObject) -> None:
    groups: list[list[str]] = [[word] for word in words]
    expected: dict[str, str] = {}
    position = 0
    for flag in given_flags:
        position = data.draw(st.integers(position, len(groups)))
        if isinstance(flag, str):
            groups.insert(position, [flag])
            expected.update([FIXED[flag]])
        else:
            name, value = flag
            joined = data.draw(st.booleans())
            groups.insert(position, [f"{name}={value}"] if joined else [name, value])
            key = VALUED[name]
            expected[key] = f"{expected[key]},{value}" if key in REPEATED and key in expected else value
        position += 1
    assert parse([word for group in groups for word in group]) == (expected, words)
