"""Tag policies: the exact tags, what they ask for, and what happens where they have no answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.config.model import (
    Artifact,
    CustomTemplate,
    DateTime,
    DockerBuild,
    EnvTemplate,
    GitCommit,
    GitVariant,
    InputDigest,
    Sha256,
    TagPolicy,
)
from kfold.errors import ConfigError, Position
from kfold.plan.reference import parse
from kfold.plan.tags import GitRef, Tag, TagFacts, sanitise, tag

NOW = datetime(2024, 3, 5, 14, 7, 9, 120_000, tzinfo=timezone(timedelta(hours=1), "CET"))
HERE = Position("kfold.yaml", 9, 3)


def artifact(image: str = "app") -> Artifact:
    return Artifact(image, ".", DockerBuild(), (), Position("kfold.yaml", 5, 5))


@dataclass
class Asked:
    """Facts that remember what was asked for."""

    answer: GitRef = GitRef("v1.2-3-gabcdef", dirty=False)
    environment: Mapping[str, str] = field(default_factory=dict)
    log: list[object] = field(default_factory=list)

    def git(self, variant: GitVariant, ignore_changes: bool) -> GitRef:
        self.log.append((variant, ignore_changes))
        return self.answer

    def digest(self) -> str:
        self.log.append("digest")
        return "d" * 64

    def facts(self, functions: Mapping[str, Callable[..., object]] | None = None) -> TagFacts:
        return TagFacts(self.git, self.environment, NOW, self.digest, functions or {})


def given_tag(policy: TagPolicy, asked: Asked | None = None, image: str = "app") -> Tag:
    return tag(policy, artifact(image), (asked or Asked()).facts())


def test_git_commit() -> None:
    assert given_tag(GitCommit()).reference == "app:v1.2-3-gabcdef"
    dirty = Asked(GitRef("v1", dirty=True))
    assert given_tag(GitCommit(), dirty).value == "v1-dirty"
    assert given_tag(GitCommit(prefix="p-"), dirty).value == "p-v1-dirty"
    assert given_tag(GitCommit("CommitSha", ignore_changes=True), dirty).value == "v1"
    assert dirty.log == [("Tags", False), ("Tags", False), ("CommitSha", True)]


def test_a_git_ref_that_is_no_tag_is_changed_and_said() -> None:
    found = given_tag(GitCommit("Branches"), Asked(GitRef("feature/über#1")))
    assert found.value == "feature__ber_1"
    assert "feature/über#1" in found.warning
    assert sanitise("-.-a.b-c") == "___a.b-c"
    assert sanitise("x" * 200) == "x" * 128


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(min_size=1, max_size=200))
def test_every_sanitised_ref_is_a_tag(ref: str) -> None:
    assert parse(f"app:{sanitise(ref)}").tag == sanitise(ref)


def test_without_git_the_tag_is_latest_and_the_reason_is_told() -> None:
    found = given_tag(GitCommit(), Asked(GitRef(reason="'x' is not in a git repository")))
    assert found.reference == "app:latest"
    assert "not in a git repository" in found.warning and "app" in found.warning


def test_sha256() -> None:
    asked = Asked()
    assert given_tag(Sha256(), asked) == Tag("app", "latest")
    assert given_tag(Sha256(), asked, "app:v1").reference == "app:v1"
    assert given_tag(Sha256(), asked, "host:5000/app").reference == "host:5000/app:latest"
    assert asked.log == []


def test_env_template() -> None:
    asked = Asked(environment={"USER": "me", "V": "1.0"})
    assert given_tag(EnvTemplate('{{.USER}}-{{.V | replace "." "_"}}'), asked).value == "me-1_0"
    assert given_tag(EnvTemplate("{{.IMAGE_NAME}}"), asked).value == "app"
    assert given_tag(EnvTemplate('{{env "USER"}}'), asked).value == "me"
    missing = given_tag(EnvTemplate("{{.NOPE}}"), asked)
    assert missing.value == "latest" and "{{.NOPE}}" in missing.warning
    called = tag(EnvTemplate('{{cmd "x"}}'), artifact(), asked.facts({"cmd": lambda name: f"out-{name}"}))
    assert called.value == "out-x"


def test_date_time() -> None:
    assert given_tag(DateTime()).value == "2024-03-05_14-07-09.12_CET"
    assert given_tag(DateTime(timezone="UTC")).value == "2024-03-05_13-07-09.12_UTC"
    assert given_tag(DateTime("2006-01-02", "Asia/Tokyo")).value == "2024-03-05"
    assert given_tag(DateTime("20060102-1504", "America/New_York")).value == "20240305-0807"
    for name in ("Mars/Base", "../etc/passwd", "\0"):
        with pytest.raises(ConfigError, match="time zone"):
            given_tag(DateTime(timezone=name))


def test_input_digest() -> None:
    assert given_tag(InputDigest()).value == "d" * 64


def test_custom_template_asks_only_for_what_it_names() -> None:
    asked = Asked(environment={"USER": "me"})
    policy = CustomTemplate(
        "{{.PREFIX}}-{{.GIT}}_{{.USER}}",
        (("PREFIX", EnvTemplate("p{{.USER}}")), ("NEVER", GitCommit("TreeSha"))),
        HERE,
    )
    assert given_tag(policy, asked).value == "pme-v1.2-3-gabcdef_me"
    assert asked.log == [("Tags", False)]
    built_in = CustomTemplate("{{.DATE}}-{{.SHA}}-{{.INPUT_DIGEST | trunc 4}}", (), HERE)
    assert given_tag(built_in).value == "2024-03-05_14-07-09.12_CET-latest-dddd"
    renamed = CustomTemplate("{{.DATE}}", (("DATE", DateTime("2006", "UTC")),), HERE)
    assert given_tag(renamed).value == "2024"


def test_a_component_without_an_answer_takes_the_whole_tag_along() -> None:
    found = given_tag(CustomTemplate("x-{{.GIT}}", (), HERE), Asked(GitRef(reason="no commit yet")))
    assert found.value == "latest" and "no commit yet" in found.warning
    assert given_tag(CustomTemplate("x-{{.NOPE}}", (), HERE)).value == "latest"


def test_mistakes_name_the_policy() -> None:
    twice = CustomTemplate("{{.A}}", (("A", Sha256()), ("A", Sha256())), HERE)
    nested = CustomTemplate("{{.A}}", (("A", CustomTemplate("x")),), HERE)
    for policy, reason in (
        (twice, "multiple components with name 'A'"),
        (nested, "customTemplate itself"),
        (EnvTemplate("{{.A", HERE), "unclosed action"),
        (EnvTemplate("{{nope}}", HERE), "not defined"),
        (EnvTemplate("a b", HERE), "'a b', which is none"),
        (EnvTemplate("", HERE), "'', which is none"),
        (EnvTemplate("x" * 129, HERE), "which is none"),
    ):
        with pytest.raises(ConfigError) as caught:
            given_tag(policy)
        assert reason in caught.value.message
        assert caught.value.where == HERE


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    facts = TagFacts(Asked().git, {}, NOW.astimezone(UTC), Asked().digest)
    assert tag(DateTime(), artifact(), facts).value == "2024-03-05_13-07-09.12_UTC"
