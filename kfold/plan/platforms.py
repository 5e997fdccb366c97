"""For which platforms an artifact is built: a pure function of config and facts, by Skaffold's precedence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kfold.config.model import Artifact, Config
from kfold.config.platforms import complete
from kfold.errors import ConfigError
from kfold.plan.facts import Facts


def platforms_of(config: Config, artifact: Artifact, facts: Facts, *, push: bool) -> tuple[str, ...]:
    """The platforms, as written; none: the builder's own. Raises ConfigError where none is left.

    `--platform`, else `build.platforms`, and of these the artifact's own. Several can only be pushed: a cluster that shares
    this engine, or whose nodes are loaded, gets the one that its nodes have, else this machine's, else the first.
    """
    wanted = _complete(facts.platforms or config.platforms, facts)
    own = _complete(artifact.platforms, facts)
    found = [platform for platform in wanted if platform in own] if wanted and own else [*wanted, *own]
    if wanted and not found:
        raise ConfigError(
            f"{artifact.image} is built for {_listed(own)}, and {_listed(wanted)} was asked for",
            where=artifact.platforms_position,
            hint="Name a platform in both: here, and in `build.platforms` or `--platform`.",
        )
    if len(found) < 2 or (push and not facts.one_platform):
        return tuple(found)
    nodes = facts.target.platforms
    there = [platform for platform in found if platform in nodes]
    if nodes and not there:
        raise ConfigError(
            f"{artifact.image} is built for {_listed(found)}, and the nodes of {facts.target.context} are {_listed(nodes)}",
            where=artifact.platforms_position,
            hint="Name the nodes' platform too. One that they emulate has to be the only one: `--platform`.",
        )
    return (next((platform for platform in there or found if platform == facts.host), (there or found)[0]),)


def check_required(artifact: Artifact, platforms: Mapping[str, tuple[str, ...]]) -> None:
    """An image that is built for several platforms must be there for each that requires it. Raises ConfigError.

    `platforms`: image -> its platforms. One that is built for a single platform may be a tool that runs while building.
    """
    for requirement in artifact.requires:
        theirs = platforms.get(requirement.image, ())
        lacking = [platform for platform in platforms[artifact.image] if len(theirs) > 1 and platform not in theirs]
        if lacking:
            raise ConfigError(
                f"{artifact.image} is built for {_listed(lacking)}, and {requirement.image}, which it requires, is not",
                where=requirement.position,
                hint=f"Add {_listed(lacking)} to the `platforms` of {requirement.image}.",
            )


def _complete(platforms: Iterable[str], facts: Facts) -> list[str]:
    return list(dict.fromkeys(complete(platform, facts.host) for platform in platforms))


def _listed(platforms: Iterable[str]) -> str:
    return ", ".join(platforms)
