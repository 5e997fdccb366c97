"""Names below the default repo: Skaffold's own cases (docker/default_repo_test.go), and what must hold for any name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.plan.reference import NAME_LIMIT, as_nodes_know_it, in_default_repo, parse
from tests.plan.generated import moderate


@pytest.mark.parametrize(
    ("repo", "name", "expected"),
    [
        ("", "gcr.io/some/registry", "gcr.io/some/registry"),
        ("myrepo", "gcr.io/some/registry", "myrepo/gcr_io_some_registry"),
        ("localhost:5000", "gcr.io/k8s-skaffold/ex", "localhost:5000/gcr_io_k8s-skaffold_ex"),
        ("localhost:5000/", "app", "localhost:5000/app"),
        ("localhost:5000", "localhost:5000/app", "localhost:5000/app"),
        ("reg.io/team", "other:5000/a.b/c__d-e", "reg.io/team/other_5000_a_b_c__d-e"),
        # Google's registries keep folders, and what both names have in common is written once
        ("gcr.io/default", "registry", "gcr.io/default/registry"),
        ("gcr.io/default", "gcr.io/default/registry", "gcr.io/default/registry"),
        ("gcr.io/default/repo", "gcr.io/default/registry", "gcr.io/default/repo/registry"),
        ("gcr.io/default", "gcr.io/other/registry", "gcr.io/default/gcr.io/other/registry"),
        ("eu.gcr.io/default", "a.b/c", "eu.gcr.io/default/a.b/c"),
        ("us-docker.pkg.dev/project-1/repo", "team/app", "us-docker.pkg.dev/project-1/repo/team/app"),
        ("gcr.io/abc", "team/app", "gcr.io/abc/team_app"),  # three letters are no project
    ],
)
def test_skaffolds_rules(repo: str, name: str, expected: str) -> None:
    assert in_default_repo(name, repo) == expected


def test_a_registry_that_takes_folders_by_setting() -> None:
    assert in_default_repo("team/app", "reg.io/x", multi_level=True) == "reg.io/x/team/app"
    assert in_default_repo("reg.io/project/app", "reg.io/project/x", multi_level=True) == "reg.io/project/x/app"


components = st.from_regex(r"[a-z0-9]{1,30}((\.|_|__|-{1,2})[a-z0-9]{1,30}){0,2}", fullmatch=True)
hosts = st.from_regex(r"[a-z]{2,20}\.[a-z]{2,5}(:[0-9]{2,5})?", fullmatch=True)
names = st.builds(
    lambda host, parts: "/".join([*host, *parts]), st.lists(hosts, max_size=1), st.lists(components, min_size=1, max_size=6)
).filter(lambda name: len(name) < NAME_LIMIT)
repos = st.builds(
    lambda host, parts: "/".join([host, *parts]), hosts | st.just("gcr.io/a-project"), st.lists(components, max_size=2)
)


@moderate
@given(names, repos, st.booleans())
def test_any_name(name: str, repo: str, multi_level: bool) -> None:
    found = in_default_repo(name, repo, multi_level=multi_level)
    assert found.startswith(repo) and len(found) <= NAME_LIMIT
    assert parse(found), "what an engine refuses"
    assert in_default_repo(found, repo, multi_level=multi_level) == found, "a second time changes nothing"


@pytest.mark.parametrize("multi_level", [True, False])
def test_names_that_differ_late_stay_apart(multi_level: bool) -> None:
    one, other = ("a/" * 100 + "b" * 50 + end for end in "xy")
    first, second = (in_default_repo(name, "reg.io/team", multi_level=multi_level) for name in (one, other))
    assert first != second and len(first) == len(second) <= NAME_LIMIT
    assert parse(first) and parse(second)


def test_the_name_that_nodes_use() -> None:
    assert as_nodes_know_it("localhost:5001/a:1@sha256:x", "localhost:5001", "reg:5000") == "reg:5000/a:1@sha256:x"
    assert as_nodes_know_it("localhost:50012/a:1", "localhost:5001", "reg:5000") == "localhost:50012/a:1"
