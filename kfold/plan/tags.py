"""Tag policies: which tag an artifact gets. Pure: what git, the clock and the environment say comes in as facts.

The formats are Skaffold's (v2.24, `pkg/skaffold/tag`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kfold.config.model import (
    Artifact,
    CustomTemplate,
    DateTime,
    EnvTemplate,
    GitCommit,
    GitVariant,
    InputDigest,
    Sha256,
    TagPolicy,
)
from kfold.errors import ConfigError, Position
from kfold.plan.reference import split_tag

FALLBACK = "latest"
TAG_LIMIT = 128
"""Characters of a tag (distribution/reference)."""

BUILT_IN_COMPONENTS: Mapping[str, TagPolicy] = {
    "GIT": GitCommit(),
    "DATE": DateTime(),
    "SHA": Sha256(),
    "INPUT_DIGEST": InputDigest(),
}

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class GitRef:
    """What git says about a folder: `ref` as it prints it, and whether anything below the folder is not committed.

    `reason` says why there is no ref ("not a git repository"); `ref` is "" then.
    """

    ref: str = ""
    dirty: bool = False
    reason: str = ""


def by_time(policy: TagPolicy) -> bool:
    """Whether the moment of the build is in the tag."""
    parts = [part for _, part in policy.components] if isinstance(policy, CustomTemplate) else [policy]
    return any(isinstance(part, DateTime) for part in parts) or (
        isinstance(policy, CustomTemplate) and "DATE" in policy.template
    )


@dataclass(frozen=True)
class TagFacts:
    """What the tag of one artifact may depend on; asked for only by the policies that need it.

    Attributes:
        git: variant, whether changes are ignored -> the answer for the artifact's context.
        environment: the variables of templates.
        built_at: the time of the build, in the local zone (`datetime.now().astimezone()`: its zone's name is used).
        input_digest: digest of the artifact's inputs.
        functions: more functions for templates (`cmd`).
    """

    git: Callable[[GitVariant, bool], GitRef]
    environment: Mapping[str, str]
    built_at: datetime
    input_digest: Callable[[], str]
    functions: Mapping[str, Callable[..., object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tag:
    """The tag `value` of `image`; "" where the image's own name holds one. `warning`: why it is not as asked, or ""."""

    image: str
    value: str
    warning: str = ""

    @property
    def reference(self) -> str:
        """`image:tag`."""
        return f"{self.image}:{self.value}" if self.value else self.image


class _NoTag(Exception):
    """The policy has no answer here; the message says why."""


def tag(policy: TagPolicy, artifact: Artifact, facts: TagFacts) -> Tag:
    """The tag that `policy` gives to `artifact`. Where it has none the tag is `latest`, with a warning.

    Raises:
        ConfigError: the policy itself is wrong (template, time zone, component), or its result is no tag.
    """
    warnings: list[str] = []
    try:
        value = _value(policy, artifact, facts, warnings)
    except _NoTag as reason:
        return Tag(artifact.image, FALLBACK, f"the tag of {artifact.image} is `{FALLBACK}`: {reason}")
    if not value and isinstance(policy, Sha256):
        return Tag(artifact.image, "")
    if not _TAG.fullmatch(value):
        raise ConfigError(
            f"the tag policy gives {artifact.image} the tag {value!r}, which is none",
            where=_position(policy, artifact),
            hint=f"A tag has up to {TAG_LIMIT} letters, digits, `_`, `.` and `-`, and starts with none of `.` `-`.",
        )
    return Tag(artifact.image, value, "; ".join(warnings))


def check_templates(policy: TagPolicy) -> None:
    """Raises ConfigError for a template that cannot be read, before anything is built for the sake of its tag."""
    if isinstance(policy, EnvTemplate | CustomTemplate):
        from kfold.plan.go_template import check

        check(policy.template, policy.position)


def _position(policy: TagPolicy, artifact: Artifact) -> Position:
    return policy.position if isinstance(policy, EnvTemplate | CustomTemplate) else artifact.position


def _value(policy: TagPolicy, artifact: Artifact, facts: TagFacts, warnings: list[str]) -> str:
    match policy:
        case GitCommit():
            return _git(policy, facts, warnings)
        case Sha256():
            return "" if split_tag(artifact.image.partition("@")[0])[1] else FALLBACK
        case EnvTemplate():
            named = {**facts.environment, "IMAGE_NAME": artifact.image}
            return _template(policy.template, named, policy.position, facts)
        case DateTime():
            return _date(policy, artifact, facts)
        case InputDigest():
            return facts.input_digest()
        case CustomTemplate():
            components = _components(policy)
            data = _Lazy(facts.environment, components, lambda part: _value(part, artifact, facts, warnings))
            return _template(policy.template, data, policy.position, facts)


def _git(policy: GitCommit, facts: TagFacts, warnings: list[str]) -> str:
    answer = facts.git(policy.variant, policy.ignore_changes)
    if not answer.ref:
        raise _NoTag(answer.reason or "git gives no name for this commit")
    ref = sanitise(answer.ref)
    if ref != answer.ref:
        warnings.append(f"{answer.ref!r} cannot be a tag; using {ref!r}")
    return policy.prefix + ref + ("-dirty" if answer.dirty and not policy.ignore_changes else "")


def sanitise(ref: str) -> str:
    """A git ref as a tag: other characters and each leading `-` or `.` become `_`, and 128 characters are kept."""
    cleaned = re.sub(r"[^a-zA-Z0-9\-._]", "_", ref)
    cleaned = re.sub(r"^[-.]+", lambda match: "_" * len(match.group()), cleaned)
    return cleaned[:TAG_LIMIT]


def _date(policy: DateTime, artifact: Artifact, facts: TagFacts) -> str:
    moment = facts.built_at
    if policy.timezone not in ("", "Local"):
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            moment = moment.astimezone(ZoneInfo(policy.timezone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"time zone {policy.timezone!r} is unknown",
                where=artifact.position,
                hint="Use a name of the IANA database (Europe/Berlin), `UTC` or `Local`.",
            ) from None
    from kfold.plan.go_time import format_time

    return format_time(moment, policy.format or DateTime().format)


def _template(template: str, data: Mapping[str, object], where: Position, facts: TagFacts) -> str:
    from kfold.plan.go_template import NO_VALUE, render  # 0.03 s, for those who write templates

    text = render(template, data, facts.functions, where, environment=facts.environment, now=facts.built_at)
    if NO_VALUE in text:
        raise _NoTag(f"the template {template!r} names a variable that is not set")
    return text


def _components(policy: CustomTemplate) -> dict[str, TagPolicy]:
    components = dict(BUILT_IN_COMPONENTS)
    seen: set[str] = set()
    for name, part in policy.components:
        if name in seen:
            raise ConfigError(f"multiple components with name {name!r}", where=policy.position)
        if isinstance(part, CustomTemplate):
            raise ConfigError(
                f"component {name!r} is a customTemplate itself",
                where=policy.position,
                hint="Write it into the outer one.",
            )
        seen.add(name)
        components[name] = part
    return components


class _Lazy(Mapping[str, object]):
    """The environment and, hiding it, the components; a component is worked out when the template names it."""

    def __init__(
        self,
        environment: Mapping[str, str],
        components: Mapping[str, TagPolicy],
        value: Callable[[TagPolicy], str],
    ) -> None:
        self._environment = environment
        self._components = components
        self._value = value

    def __getitem__(self, name: str) -> object:
        part = self._components.get(name)
        return self._environment[name] if part is None else self._value(part)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._environment, **self._components})

    def __len__(self) -> int:
        return len({**self._environment, **self._components})
