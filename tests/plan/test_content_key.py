"""Content keys: the same inputs in any order give the same key, any other input another; and the difference in words."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.plan.content_key import Inputs, build_inputs, difference
from tests.plan.generated import moderate

texts = st.text(max_size=6)
mappings = st.dictionaries(texts, texts, max_size=4)
GIVEN: dict[str, Any] = {
    "files": "f",
    "dockerfile": "Dockerfile",
    "target": "",
    "no_cache": False,
    "build_args": {"A": "1", "B": None},
    "bases": {"alpine": "sha256:1"},
    "required": {"BASE": "key"},
}


@moderate
@given(mappings, st.randoms())
def test_the_order_of_inputs_means_nothing(values: dict[str, str], random: Any) -> None:
    items = list(values.items())
    random.shuffle(items)
    assert Inputs(dict(items)).key == Inputs(values).key


@moderate
@given(mappings, mappings)
def test_two_sets_have_one_key_only_if_they_are_equal(one: dict[str, str], other: dict[str, str]) -> None:
    assert (Inputs(one).key == Inputs(other).key) == (one == other)


def test_a_key_is_64_hexadecimal_digits_and_stays_what_it_is() -> None:
    """The same inputs give the same image on every machine and in every later version: this one is written down."""
    assert build_inputs(**GIVEN).key == "8a45175d93418867329ec2c7bac11e38383af2ed4f3de2f0d4b8ff1f26e4a55b"


@pytest.mark.parametrize(
    "changes",
    [
        {"files": "g"},
        {"dockerfile": "Dockerfile.dev"},
        {"target": "dev"},
        {"no_cache": True},
        {"build_args": {"A": "2", "B": None}},
        {"build_args": {"A": "1", "B": ""}},
        {"build_args": {"A": "1", "B": "unset"}},
        {"build_args": {"A": "1"}},
        {"build_args": {"A": None, "B": "1"}},
        {"bases": {"alpine": "sha256:2"}},
        {"bases": {}},
        {"bases": {"alpine:3": "sha256:1"}},
        {"required": {"BASE": "other"}},
        {"required": {"base": "key"}},
        {"bases": {"alpine": "sha256:1", "BASE": "key"}, "required": {}},
        {"bases": {}, "required": {"BASE": "key", "alpine": "sha256:1"}},
    ],
)
def test_every_input_counts(changes: dict[str, Any]) -> None:
    assert build_inputs(**{**GIVEN, **changes}).key != build_inputs(**GIVEN).key


def test_the_values_of_build_arguments_are_not_in_the_inputs() -> None:
    """They are kept in doit's database and shown by `doit why`; a value may be a secret."""
    inputs = build_inputs(**{**GIVEN, "build_args": {"TOKEN": "hunter2"}})
    assert "hunter2" not in str(inputs.values)
    assert inputs.values["build argument TOKEN"] == hashlib.sha256(b"hunter2").hexdigest()


def test_a_build_argument_from_an_environment_that_is_no_utf8() -> None:
    """An environment variable with other bytes comes with surrogates in it (PEP 383)."""
    value = b"caf\xe9".decode("utf-8", "surrogateescape")
    one = build_inputs(**{**GIVEN, "build_args": {"A": value}})
    other = build_inputs(**{**GIVEN, "build_args": {"A": "cafe"}})
    assert one.key != other.key


def test_the_difference_in_words() -> None:
    old = {"files": "1", "target": "", "base image alpine": "x", "same": "s"}
    new = {"files": "2", "target": "dev", "build argument A": "y", "same": "s"}
    assert difference(old, new) == [
        "files changed",
        "target changed",
        "build argument A is new",
        "base image alpine is gone",
    ]
    assert difference(old, old) == []


@moderate
@given(mappings, mappings)
def test_there_is_a_difference_exactly_where_the_keys_differ(old: dict[str, str], new: dict[str, str]) -> None:
    told = difference(old, new)
    assert bool(told) == (Inputs(old).key != Inputs(new).key)
    assert len(told) == len({name for name in old.keys() | new.keys() if old.get(name) != new.get(name)})
    assert sorted(difference(new, old)) == sorted(
        line[:-6] + "is gone" if line.endswith(" is new") else line[:-7] + "is new" if line.endswith(" is gone") else line
        for line in told
    )
