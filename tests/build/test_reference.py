"""Image references: what they are made of, and which name the same image."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.errors import ConfigError, Position
from kfold.plan.reference import artifact_name, parse, same_name, split_tag

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text,name,familiar,tag,digest",
    [
        ("nginx", "docker.io/library/nginx", "nginx", "", ""),
        ("nginx:1.25", "docker.io/library/nginx", "nginx", "1.25", ""),
        ("user/app", "docker.io/user/app", "user/app", "", ""),
        ("docker.io/nginx", "docker.io/library/nginx", "nginx", "", ""),
        ("index.docker.io/library/nginx", "docker.io/library/nginx", "nginx", "", ""),
        ("localhost/app", "localhost/app", "localhost/app", "", ""),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b", "localhost:5000/a/b", "v1", ""),
        ("host:5000/app", "host:5000/app", "host:5000/app", "", ""),
        ("gcr.io/k8s-skaffold/ex", "gcr.io/k8s-skaffold/ex", "gcr.io/k8s-skaffold/ex", "", ""),
        ("Upper/app", "Upper/app", "Upper/app", "", ""),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app", "", ""),
        (f"app@{DIGEST}", "docker.io/library/app", "app", "", DIGEST),
        (f"app:v1@{DIGEST}", "docker.io/library/app", "app", "v1", DIGEST),
        ("a__b/c-d.e--f", "docker.io/a__b/c-d.e--f", "a__b/c-d.e--f", "", ""),
    ],
)
def test_a_reference_is_taken_apart(text: str, name: str, familiar: str, tag: str, digest: str) -> None:
    found = parse(text)
    assert (found.name, found.familiar_name, found.tag, found.digest) == (name, familiar, tag, digest)
    assert parse(str(found)) == found
    assert parse(found.familiar) == found


@pytest.mark.parametrize(
    "text,reason",
    [
        ("", "no name"),
        (":v1", "no name"),
        ("App", "lower case"),
        ("a//b", "no part of a name"),
        ("app:", "nothing follows"),
        ("app:-x", "no tag"),
        ("app:" + "x" * 129, "no tag"),
        ("app@sha256:12", "no digest"),
        ("app@", "no digest"),
        (f"app@{DIGEST.upper()}", "no digest"),
        ("a_-b", "no part of a name"),
        ("-host.io/app", "no registry host"),
        ("ab" * 32, "image ID"),
        ("a/" * 127 + "abc", "longer than 255"),
        ("app name", "no part of a name"),
        ("app\n", "no part of a name"),
        ("http://x.io/app", "no"),
    ],
)
def test_what_is_no_reference_is_refused_by_its_place(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, where=Position("kfold.yaml", 3, 5))
    assert reason in str(caught.value)
    assert str(caught.value).startswith("kfold.yaml:3:5: ")


def test_the_name_of_an_artifact() -> None:
    assert artifact_name("ko://GitHub.com/Me/App:V1") == "github.com/me/app:V1"
    assert artifact_name("Host:5000/App") == "host:5000/app"
    assert artifact_name(f"App@{DIGEST}") == f"app@{DIGEST}"
    assert split_tag("host:5000/app") == ("host:5000/app", "")


def test_equal_names() -> None:
    assert same_name("nginx", "docker.io/library/nginx:1.25")
    assert same_name("ko://Example.com/App", f"example.com/app:x@{DIGEST}")
    assert not same_name("nginx", "user/nginx")
    assert not same_name("localhost:5000/nginx", "nginx")
    assert not same_name("not an image", "not an image")


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=30) | st.from_regex(r"[a-z0-9._/:@-]{0,30}", fullmatch=True))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ConfigError:
        return
    assert parse(str(found)) == found
