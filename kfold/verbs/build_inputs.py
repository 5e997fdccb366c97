"""What the image of an artifact is made of: its files, build arguments and bases, and the content key over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kfold.config.model import Artifact
from kfold.errors import ConfigError
from kfold.plan import content_key
from kfold.plan.reference import split_tag
from kfold.plan.steps import Step
from kfold.plan.tags import check_templates
from kfold.stores import file_stamp
from kfold.stores.engine_interface import Names, shown_name
from kfold.stores.files import ArtifactInputs, artifact_inputs
from kfold.verbs.world import Built, Run, Tagged, World


@dataclass(frozen=True)
class Prepared:
    """Everything that a build needs to know, before it is known whether it must run."""

    inputs: content_key.Inputs
    files: ArtifactInputs
    build_args: Mapping[str, str | None]


def prepare(run: Run, step: Step, names: Names | None = None) -> Prepared:
    """Evaluate build arguments, digest the files, and put all inputs together. `names`: the engine's by now."""
    artifact, world = artifact_of(step), run.world
    platform = step.platforms[0] if len(step.platforms) == 1 else ""
    check_templates(step.config.tag_policy)
    arguments = user_arguments(artifact, world)
    files = context_files(world, artifact, platform)
    required: dict[str, str] = {}
    keys: dict[str, str] = {}
    for requirement, need in zip(artifact.requires, step.needs, strict=True):
        built: Built = run.outcome(need.replace("tag:", "build:", 1), Built)
        tagged: Tagged = run.outcome(need, Tagged)
        keys[requirement.alias] = built.key
        # as Skaffold: the alias reaches the builder only where the Dockerfile declares it
        if requirement.alias in files.sources.arguments:
            required[requirement.alias] = tagged.parts.get(platform, tagged.reference)
    inputs = content_key.build_inputs(
        files=files.file_set.digest,
        dockerfile=artifact.docker.dockerfile,
        target=artifact.docker.target,
        no_cache=artifact.docker.no_cache,
        build_args=given_arguments(arguments, world),
        bases=_bases(names or run.engine_names, files, {requirement.image for requirement in artifact.requires}),
        required=keys,
        platforms=step.platforms,
    )
    return Prepared(inputs, files, {**required, **arguments})


def context_files(world: World, artifact: Artifact, platform: str = "") -> ArtifactInputs:
    """What the build of an artifact reads from the disk. The legacy builder runs every stage, BuildKit the needed ones.

    `platform`: the one that it is built for, where that is known; the builder tells the Dockerfile of it."""
    # a required image may be the base; which one it is then does not change what is read
    required = {requirement.alias: requirement.image for requirement in artifact.requires}
    given = {**_told(platform), **required, **given_arguments(user_arguments(artifact, world), world)}
    return artifact_inputs(
        world.folder / artifact.context,
        artifact.docker.dockerfile,
        {name: value for name, value in given.items() if value is not None},
        artifact.docker.target,
        world.files,
        folder=world.folder,
        all_stages=world.engine.builder() == "legacy",
        where=artifact.docker.position,
    )


def _told(platform: str) -> dict[str, str]:
    """The arguments by which BuildKit names the platform (Dockerfile reference, automatic platform ARGs)."""
    if not platform:
        return {}
    system, architecture, variant = [*platform.split("/"), ""][:3]
    return {
        "TARGETPLATFORM": platform, "TARGETOS": system, "TARGETARCH": architecture, "TARGETVARIANT": variant
    }  # fmt: skip


def given_arguments(arguments: Mapping[str, str | None], world: World) -> dict[str, str | None]:
    """`NAME: null` is the environment's value, where it has one."""
    return {name: world.environment.get(name) if value is None else value for name, value in arguments.items()}


def user_arguments(artifact: Artifact, world: World) -> dict[str, str | None]:
    """`buildArgs`, their templates rendered (Skaffold: IMAGE_REPO, IMAGE_NAME and the environment)."""
    if not any(value and "{{" in value for value in artifact.docker.build_args.values()):
        return dict(artifact.docker.build_args)
    from kfold.plan.go_template import render  # 0.03 s, for those who write templates

    repository, _, name = artifact.image.rpartition("/")
    data = {**world.environment, "IMAGE_REPO": repository, "IMAGE_NAME": name if repository else ""}
    arguments: dict[str, str | None] = {}
    for key, value in artifact.docker.build_args.items():
        if value is not None and "IMAGE_TAG" in value and "{{" in value:
            raise ConfigError(
                f"build argument {key} of {artifact.image} uses IMAGE_TAG",
                where=artifact.docker.position,
                hint="A tag names an image after it is built, so that equal inputs stay one image. Use another value.",
            )
        plain = value is None or "{{" not in value
        arguments[key] = value if plain else render(str(value), data, where=artifact.docker.position)
    return arguments


def _bases(names: Names, files: ArtifactInputs, required: set[str]) -> dict[str, str]:
    """What each base image is: its ID where it exists in this engine alone, else the reference as written.

    A pulled image keeps its reference: the legacy builder pulls while it builds, and the second run would see another key.
    `required`: those that the config builds; their own keys are among the inputs.
    """
    identities = {}
    for base in files.sources.base_images:
        if base in required:
            continue
        tagged = shown_name(base if split_tag(base)[1] or "@" in base else f"{base}:latest")
        local = tagged in names.ids and tagged not in names.pulled
        identities[base] = names.ids[tagged] if local else base
    return identities


def stamp(prepared: Prepared, world: World, artifact: Artifact) -> file_stamp.Stamp:
    files = prepared.files
    return file_stamp.stamp(world.folder / artifact.context, files.file_set.listing, [files.dockerfile_path])


def artifact_of(step: Step) -> Artifact:
    """The artifact of an image step."""
    assert step.artifact is not None
    return step.artifact
