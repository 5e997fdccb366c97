"""Which images of an artifact go and which stay, and why. Pure: the versions are told with all that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kfold.config.model import PrunePolicy

Extent = Literal["superseded", "all"]


@dataclass(frozen=True)
class Version:
    """One image of an artifact. `age` in seconds. `used_by` names what uses it, where something does."""

    age: float
    used_by: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether a version goes. `held`: it was to go, and something that uses it keeps it."""

    goes: bool
    why: str
    held: bool = False


def decide(
    versions: Sequence[Version], extent: Extent, policy: PrunePolicy | None, *, pushed: bool = False
) -> list[Decision]:
    """A decision for each version of one artifact; they come newest first, the current one at their head.

    `policy`: None where the config that they were built for is not known, and so not what it wants to be kept.
    `pushed`: about what registries have of them, where age alone decides: other machines may need what none here does.
    """
    return [_decide(number, version, extent, policy, pushed) for number, version in enumerate(versions)]


def _decide(number: int, version: Version, extent: Extent, policy: PrunePolicy | None, pushed: bool) -> Decision:
    name = "superseded" if number else "current"
    if extent == "superseded":
        if not number:
            return Decision(False, name)
        if policy is None:
            return Decision(False, "superseded, and its config is not here to say what is kept: `--all` takes it")
        if pushed and policy.max_age is None:
            return Decision(False, "superseded, and pushed: it goes by `prune.maxAge` only")
        if not pushed and number <= policy.keep:
            return Decision(False, f"superseded, one of the {policy.keep} that are kept")
        if policy.max_age is not None and version.age < policy.max_age:
            return Decision(False, "superseded, and younger than `prune.maxAge`")
    if version.used_by:
        return Decision(False, f"in use by {version.used_by}", held=True)
    return Decision(True, name)
