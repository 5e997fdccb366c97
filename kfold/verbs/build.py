"""`build`, and its reverse: images in the engine.

An image is found again by its labels (config, artifact, content key), so a fresh clone builds nothing; what was found was
not made by this record and is never removed by it.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kfold.config.model import Artifact
from kfold.errors import ConfigError, KfoldError
from kfold.ledger import Effect, Record
from kfold.plan import content_key
from kfold.plan.reference import split_tag
from kfold.plan.steps import Step
from kfold.plan.tags import check_templates
from kfold.stores import file_stamp
from kfold.stores.engine_interface import (
    LABEL_ARTIFACT,
    LABEL_CONFIG,
    LABEL_KEY,
    BuildRequest,
    Engine,
    EngineError,
    EngineImage,
    InUse,
    Names,
    shown_name,
)
from kfold.stores.files import ArtifactInputs, artifact_inputs
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Built, Run, Tagged, World

STEP_END = 10.0
"""Seconds that an engine gets to remove the container of a step that was cut off; it holds the layer below until then."""

TRIES = 2
"""How often an artifact is built whose files change while the builder reads them."""


@dataclass(frozen=True)
class Prepared:
    """Everything that a build needs to know, before it is known whether it must run."""

    inputs: content_key.Inputs
    files: ArtifactInputs
    build_args: Mapping[str, str | None]


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Built | None:
    """The image of the last run, if its inputs are what they were and the engine still has it."""
    prepared = prepare(run, step)
    run.scratch[step.name] = prepared
    if values.get("key") != prepared.inputs.key:
        return None
    image = str(values["image"])
    if not run.engine_names.has(image):
        return None
    return _built(step, prepared, image, float(values["built_at"]))


def do(run: Run, step: Step) -> tuple[Built, dict[str, Any]]:
    """Find the image by its labels, or build it; again where the inputs changed while the builder read them."""
    prepared: Prepared = run.scratch.pop(step.name, None) or prepare(run, step)
    run.world.ledger.claim()
    _sweep(_scratch(run.world))
    for _ in range(TRIES):
        built, prepared, changes = _attempt(run, step, prepared)
        if built is not None:
            break
    else:
        # Something never rests. It must not hold up everybody else, and no key may lie: this image gets a key of its own,
        # which no inputs have, so it serves this once and the next run builds anew.
        settled = {**prepared.inputs.values, "unsettled": uuid.uuid4().hex}
        prepared = replace(prepared, inputs=content_key.Inputs(settled))
        built, _, _ = _attempt(run, step, prepared, as_it_is=True)
        told = f"{_artifact(step).image}: what it is built from does not rest ({', '.join(changes[:3])}): built as it is"
        run.world.tell("warning", told, step.subject)
    assert built is not None
    return built, {"key": built.key, "image": built.image, "built_at": built.built_at, "inputs": dict(built.inputs)}


def _attempt(
    run: Run, step: Step, prepared: Prepared, *, as_it_is: bool = False
) -> tuple[Built | None, Prepared, list[str]]:
    """The image, if there is one that is true to its key; else the inputs as they are by now, and what changed.

    `as_it_is`: the key stands for no inputs, so any image is true to it."""
    world, engine = run.world, run.world.engine
    artifact = _artifact(step)
    marks = labels(step.config.name, artifact.image, prepared.inputs.key)
    present = engine.labelled(marks)
    stamp = _stamp(prepared, world, artifact)
    effect = Effect(
        store="engine",
        kind="image",
        place=engine.identity(),
        name=f"{artifact.image}@{prepared.inputs.key}",
        config=step.config.name,
        mark=prepared.inputs.key,
        made=not present,
        details={
            "artifact": artifact.image,
            "labels": marks,
            "address": dict(engine.address()),
            "stamp": file_stamp.digest(stamp),
        },
    )
    known = world.ledger.find(effect)
    if present and known and _unproven(known, effect):
        # a run that was killed made it, and nobody looked since whether its inputs held still
        for image in present:
            engine.remove(image.id)
        present = []
    if present:
        found = next((image for image in present if known and image.id == known.identity), present[0])
        if known and known.identity not in ("", found.id):
            world.ledger.gone(known)  # ours went; this one is somebody else's work
        record = world.ledger.intend(effect)
        world.ledger.done(record, found.id, size=found.size)
        world.tell("line", f" - {artifact.image}: Found Locally", step.subject)
        built_at = datetime.fromisoformat(found.created).timestamp() if found.created else time.time()
        return _built(step, prepared, found.id, built_at), prepared, []
    layers = list(known.effect.details.get("layers") or ()) if known else []
    if known and not layers:
        world.ledger.gone(known)  # it is not in the engine any more; what is built now is ours, whoever made that one
    return _build(run, step, prepared, _with_layers(effect, layers), engine, None if as_it_is else stamp)


def _scratch(world: World) -> Path:
    """Where builds put what they need while they last."""
    return world.state.path / "tmp"


def _sweep(scratch: Path) -> None:
    """Make the folder, and remove what killed processes left in it. Only for who holds the project's lock.

    The names begin with the number of their process: another build of this one may be at work.
    """
    scratch.mkdir(mode=0o700, exist_ok=True)
    for path in scratch.iterdir():
        if not path.name.startswith(f"kfold-build-{os.getpid()}-"):
            shutil.rmtree(path, ignore_errors=True)


def _unproven(known: Record, effect: Effect) -> bool:
    """Whether this record's image was never compared with its inputs, and they are not as they were when it began."""
    cut_off = known.state == "intended" and not known.identity and known.effect.made
    return cut_off and known.effect.details.get("stamp") != effect.details["stamp"]


def _stamp(prepared: Prepared, world: World, artifact: Artifact) -> file_stamp.Stamp:
    files = prepared.files
    return file_stamp.stamp(world.folder / artifact.context, files.file_set.listing, [files.dockerfile_path])


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Which inputs differ from those of the last run; nothing if it is the image that is gone."""
    prepared: Prepared = run.scratch.get(step.name) or prepare(run, step)
    if not values:
        return ["it was not built here yet"]
    return content_key.difference(values["inputs"], prepared.inputs.values)


def _build(
    run: Run, step: Step, prepared: Prepared, effect: Effect, engine: Engine, stamp: file_stamp.Stamp | None
) -> tuple[Built | None, Prepared, list[str]]:
    world, artifact = run.world, _artifact(step)
    world.go_on()
    world.tell("heading", f"Building [{artifact.image}]...", step.subject)
    started = time.monotonic()
    request = BuildRequest(
        context=world.folder / artifact.context,
        dockerfile=prepared.files.dockerfile_path,
        target=artifact.docker.target,
        build_args=prepared.build_args,
        no_cache=artifact.docker.no_cache,
        labels=effect.details["labels"],
        files=tuple(prepared.files.file_set.listing),
        ignore=prepared.files.ignore.patterns,
        scratch=_scratch(world),
    )
    record = world.ledger.intend(effect, anew=True)
    left_before = list(effect.details["layers"])
    layers = list(left_before)

    def on_layer(layer: str) -> None:
        nonlocal record
        layers.append(layer)
        record = world.ledger.intend(_with_layers(effect, layers))

    try:
        image = engine.build(request, lambda line: world.tell("output", line, step.subject), world.stop, on_layer)
    except KfoldError:
        # an engine that does not even answer this: the record stays, for `prune`
        with suppress(EngineError):
            if not engine.labelled(effect.details["labels"]):
                _let_go(world, engine, record, layers)
        raise
    prepared_again, changes = prepared, []
    try:
        if stamp is not None:
            prepared_again = prepare(run, step, engine.names())
            changes = file_stamp.changed(stamp, _stamp(prepared_again, world, artifact))
            changes = changes or content_key.difference(prepared.inputs.values, prepared_again.inputs.values)
    except KfoldError:
        _discard(world, engine, record, image, layers)
        raise
    if changes:
        world.tell("line", f" - {artifact.image}: built again, its inputs changed meanwhile", step.subject)
        _discard(world, engine, record, image, layers)
        return None, prepared_again, changes
    found = engine.image(image)
    world.ledger.done(record, image, size=found.size if found else 0, layers=left_before)
    run.changed()
    world.tell("success", f"Build [{artifact.image}] succeeded in {time.monotonic() - started:.1f} s", step.subject)
    return _built(step, prepared, image, time.time()), prepared, []


def _discard(world: World, engine: Engine, record: Record, image: str, layers: list[str]) -> None:
    """Remove an image that is not what its key says. Its record is still `intended`, and stays where this fails."""
    engine.remove(image)
    _let_go(world, engine, record, layers)


def _let_go(world: World, engine: Engine, record: Record, layers: list[str]) -> bool:
    """Remove what a build left on its way, and then the record; it stays while something of it is held."""
    if not (_remove_layers(engine, layers) and _remove_unfinished(world, engine, record)):
        return False
    world.ledger.gone(record)
    return True


def _with_layers(effect: Effect, layers: list[str]) -> Effect:
    return replace(effect, details={**effect.details, "layers": list(layers)})


def _remove_layers(engine: Engine, layers: list[str]) -> bool:
    """Remove what a cut-off build left, the last first; whether all of it is gone or needed by another image.

    False: a container still holds some of it. What another image was made from goes with that image.
    """
    deadline = time.monotonic() + STEP_END
    free = True
    for layer in reversed(layers):
        while True:
            try:
                engine.remove(layer, parents=False)
            except InUse as error:
                if "container" in error.message:
                    if time.monotonic() < deadline:
                        time.sleep(0.1)
                        continue
                    free = False
            break
    return free


def _remove_unfinished(world: World, engine: Engine, record: Record) -> bool:
    """Remove what the engine made of an artifact ahead of what was heard of it, once nothing else of it is recorded.

    Until then it is the builder's cache. A build that comes after a cut-off one goes on from there.
    """
    effect = record.effect

    def owner(other: Effect) -> tuple[str, str, object]:
        return other.place, other.config, other.details.get("artifact")

    others = (one for one in world.ledger.records("engine", "image") if one.id != record.id)
    if any(owner(one.effect) == owner(effect) for one in others):
        return True
    marks = {name: value for name, value in effect.details.get("labels", {}).items() if name != LABEL_KEY}
    return not marks or _remove_layers(engine, [image.id for image in engine.unfinished(marks)])


def prepare(run: Run, step: Step, names: Names | None = None) -> Prepared:
    """Evaluate build arguments, digest the files, and put all inputs together. `names`: the engine's by now."""
    artifact, world = _artifact(step), run.world
    check_templates(step.config.tag_policy)
    arguments = user_arguments(artifact, world)
    files = context_files(world, artifact)
    required: dict[str, str] = {}
    keys: dict[str, str] = {}
    for requirement, need in zip(artifact.requires, step.needs, strict=True):
        built: Built = run.outcome(need.replace("tag:", "build:", 1), Built)
        tagged: Tagged = run.outcome(need, Tagged)
        keys[requirement.alias] = built.key
        # as Skaffold: the alias reaches the builder only where the Dockerfile declares it
        if requirement.alias in files.sources.arguments:
            required[requirement.alias] = tagged.reference
    inputs = content_key.build_inputs(
        files=files.file_set.digest,
        dockerfile=artifact.docker.dockerfile,
        target=artifact.docker.target,
        no_cache=artifact.docker.no_cache,
        build_args=given_arguments(arguments, world),
        bases=_bases(names or run.engine_names, files, {requirement.image for requirement in artifact.requires}),
        required=keys,
    )
    return Prepared(inputs, files, {**required, **arguments})


def context_files(world: World, artifact: Artifact) -> ArtifactInputs:
    """What the build of an artifact reads from the disk. The legacy builder runs every stage, BuildKit the needed ones."""
    # a required image may be the base; which one it is then does not change what is read
    required = {requirement.alias: requirement.image for requirement in artifact.requires}
    given = {**required, **given_arguments(user_arguments(artifact, world), world)}
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


def _built(step: Step, prepared: Prepared, image: str, built_at: float) -> Built:
    return Built(_artifact(step).image, prepared.inputs.key, image, built_at, prepared.inputs.values)


def _artifact(step: Step) -> Artifact:
    assert step.artifact is not None
    return step.artifact


def labels(config: str, artifact: str, key: str) -> dict[str, str]:
    return {LABEL_CONFIG: config, LABEL_ARTIFACT: artifact, LABEL_KEY: key}


def undo(world: World, record: Record) -> Result:
    """Remove the image that a record made, once no name is left on it. Raises InUse, and keeps the record."""
    effect = record.effect
    engine = world.open_engine(effect.details.get("address", {}))
    ours: list[EngineImage] = []
    if effect.made:
        found = engine.image(record.identity) if record.identity else None
        # a build that a crash cut off has no identity yet: its image is known by the labels that the build carried
        ours = [found] if found else engine.labelled(effect.details["labels"]) if not record.identity else []
    world.ledger.undoing(record)
    freed = 0
    for image in ours:
        if image.names:
            world.ledger.gone(record)
            return Kept(f"image {_short(image.id)} stays: {', '.join(image.names)} is a name that kfold did not give")
        if engine.remove(image.id):
            freed += image.size
            world.tell("line", f"deleted image {image.id}")
    if not _let_go(world, engine, record, list(effect.details.get("layers") or ())):
        raise InUse(f"a container of a build step of {effect.details['artifact']} is still there")
    return Undone(freed)


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
