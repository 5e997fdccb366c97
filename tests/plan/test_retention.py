"""Which images of an artifact go: the rules, one by one and for any versions."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from kfold.config.model import PrunePolicy
from kfold.plan.retention import Extent, Version, decide
from tests.plan.generated import moderate

DAY = 86400.0
versions = st.lists(
    st.builds(Version, st.floats(0, 100 * DAY), st.sampled_from(["", "container web"])), max_size=8
)
policies = st.builds(PrunePolicy, st.integers(0, 4), st.none() | st.floats(0, 50 * DAY))


def fates(
    given: list[Version], policy: PrunePolicy, *, extent: Extent = "superseded", pushed: bool = False
) -> list[bool]:
    return [decision.goes for decision in decide(given, extent, policy, pushed=pushed)]


def test_all_but_the_current_one_go() -> None:
    assert fates([Version(0), Version(1), Version(2)], PrunePolicy()) == [False, True, True]
    assert fates([Version(0), Version(1)], PrunePolicy(keep=5), extent="all") == [True, True], "all means all"


def test_as_many_stay_as_are_to_be_kept() -> None:
    assert fates([Version(0), Version(1), Version(2), Version(3)], PrunePolicy(keep=2)) == [False, False, False, True]


def test_young_ones_stay() -> None:
    assert fates([Version(0), Version(DAY), Version(9 * DAY)], PrunePolicy(max_age=7 * DAY)) == [False, False, True]


def test_what_is_pushed_goes_by_age_only() -> None:
    versions = [Version(0), Version(DAY), Version(90 * DAY)]
    assert fates(versions, PrunePolicy(), pushed=True) == [False, False, False]
    for keep in (0, 5):
        assert fates(versions, PrunePolicy(keep, 7 * DAY), pushed=True) == [False, False, True]
    assert fates(versions, PrunePolicy(), extent="all", pushed=True) == [True, True, True]


@moderate
@given(versions, policies, st.sampled_from(get_args(Extent)), st.booleans())
def test_nothing_in_use_goes_and_every_fate_has_a_reason(
    given: list[Version], policy: PrunePolicy, extent: Extent, pushed: bool
) -> None:
    decisions = decide(given, extent, policy, pushed=pushed)
    assert len(decisions) == len(given)
    for version, decision in zip(given, decisions, strict=True):
        assert decision.why and not (decision.goes and version.used_by) and not (decision.goes and decision.held)
        if decision.held:
            assert version.used_by in decision.why


@moderate
@given(versions, policies, policies, st.booleans())
def test_a_stricter_policy_never_takes_more(
    given: list[Version], one: PrunePolicy, other: PrunePolicy, pushed: bool
) -> None:
    ages = [policy.max_age for policy in (one, other) if policy.max_age is not None]
    strict = PrunePolicy(max(one.keep, other.keep), max(ages) if len(ages) == 2 else None)
    if strict.max_age is None and ages:
        return  # without an age registries keep all, and engines nothing: neither is the stricter one
    for wide, narrow in zip(*(fates(given, policy, pushed=pushed) for policy in (one, strict)), strict=True):
        assert wide or not narrow
