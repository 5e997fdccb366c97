"""What must hold between artifacts and between documents: unique names, known and acyclic `requires`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from kfold.config.model import Artifact, Config
from kfold.config.names import canonical_image_name
from kfold.config.problems import Problems
from kfold.errors import Position


def check_configs(configs: Sequence[Config], problems: Problems) -> None:
    """Adds to `problems` what cannot be, over all documents of a file (artifact names are unique over all of them)."""
    _check_config_names(configs, problems)
    artifacts = [artifact for config in configs for artifact in config.artifacts]
    _check_artifact_names(artifacts, problems)
    _check_known(artifacts, problems)
    _check_cycles(artifacts, problems)


def _check_config_names(configs: Sequence[Config], problems: Problems) -> None:
    first: dict[str, Position] = {}
    for config in configs:
        if len(configs) > 1 and not config.named:
            problems.add(
                "this document has no `metadata.name`",
                config.position,
                "With several documents each needs a name of its own: what is deployed is kept apart by it.",
            )
        elif config.name in first:
            problems.add(f"the config `{config.name}` is already given at {first[config.name]}", config.position)
        else:
            first[config.name] = config.position


def _check_artifact_names(artifacts: Iterable[Artifact], problems: Problems) -> None:
    first: dict[str, Artifact] = {}
    for artifact in artifacts:
        same = first.setdefault(canonical_image_name(artifact.image), artifact)
        if same is not artifact and artifact.image:
            problems.add(f"the artifact `{artifact.image}` is already given at {same.position}", artifact.position)


def _check_known(artifacts: Sequence[Artifact], problems: Problems) -> None:
    images = {artifact.image for artifact in artifacts}
    for artifact in artifacts:
        for requirement in artifact.requires:
            if requirement.image and requirement.image not in images:
                # Guessing compares with every image: 30 ms among 2,000, so only for what will be shown.
                close = [] if problems.is_full else get_close_matches(requirement.image, images, n=1)
                problems.add(
                    f"`{artifact.image}` requires `{requirement.image}`, which is not an artifact",
                    requirement.position,
                    f"Did you mean `{close[0]}`?"
                    if close
                    else "An image that is not built here goes into the Dockerfile's FROM.",
                )


def _check_cycles(artifacts: Sequence[Artifact], problems: Problems) -> None:
    """Depth first, without recursion: a chain of thousands of artifacts is no reason to fail."""
    edges = {artifact.image: artifact.requires for artifact in artifacts}
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        path = {start: None}  # ordered, and quick to ask
        pending = [iter(edges[start])]
        while path:
            requirement = next(pending[-1], None)
            if requirement is None:
                done.add(path.popitem()[0])
                pending.pop()
            elif requirement.image in path:
                names = [*path]
                cycle = [*names[names.index(requirement.image) :], requirement.image]
                problems.add(f"the artifacts require each other: {' -> '.join(cycle)}", requirement.position)
            elif requirement.image in edges and requirement.image not in done:
                path[requirement.image] = None
                pending.append(iter(edges[requirement.image]))
