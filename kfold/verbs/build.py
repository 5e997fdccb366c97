"""`build`, and its reverse: images in the engine.

An image is found again by its labels (config, artifact, content key), so a fresh clone builds nothing; a record or a name
says besides that kfold built it (`provenance.py`). What was found was not made by this record and is never removed by it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from kfold.errors import Abandoned, KfoldError
from kfold.ledger import Effect, Record
from kfold.plan import content_key
from kfold.plan.steps import Step, pushes
from kfold.plan.tags import by_time
from kfold.stores import file_stamp
from kfold.stores.engine_interface import (
    LABEL_APART,
    LABEL_ARTIFACT,
    LABEL_CONFIG,
    LABEL_KEY,
    STEP,
    BuildRequest,
    Engine,
    EngineError,
    EngineImage,
    InUse,
)
from kfold.verbs import build_hooks, several_platforms
from kfold.verbs import build_leftovers as leftovers
from kfold.verbs.build_inputs import Prepared, artifact_of, prepare
from kfold.verbs.build_inputs import stamp as stamp_of
from kfold.verbs.provenance import told_apart, unheard
from kfold.verbs.repository import created, key_tag, repository, tag_digest
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Built, Run, World

TRIES = 2
"""How often an artifact is built whose files change while the builder reads them."""
LATE = 60.0
"""Seconds for which an engine may still finish a build that did not end when it was asked to."""


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Built | None:
    """The image of the last run, if its inputs are what they were and the engine still has it."""
    prepared = prepare(run, step)
    run.scratch[step.name] = prepared
    if values.get("key") != prepared.inputs.key:
        return None
    parts = several_platforms.recalled(step, values)
    image, digest = str(values["image"]), str(values.get("digest", ""))
    built = replace(_built(step, prepared, image, float(values["built_at"]), digest), parts=parts)
    there = all(_is_there(run, step, one) for one in parts.values() or [built])
    return None if not there or build_hooks.closes(run, step) else built


def _is_there(run: Run, step: Step, built: Built) -> bool:
    """Whether the engine has the image still, or the registry, if it was found there."""
    if built.image:
        return run.engine_names.has(built.image)
    return pushes(step.config, run.facts) and registry_digest(run, step, built.key) == built.digest


def do(run: Run, step: Step) -> tuple[Built, dict[str, Any]]:
    """Find the image by its labels, or build it; again where the inputs changed while the builder read them."""
    prepared: Prepared = run.scratch.pop(step.name, None) or prepare(run, step)
    run.world.ledger.claim()
    leftovers.sweep(leftovers.scratch(run.world))
    if len(step.platforms) > 1:
        built = _found_remotely(run, step, prepared) or several_platforms.build(run, step, image_of)
    else:
        built = image_of(run, step, prepared)
    build_hooks.end(run, step, built)
    return built, {
        "key": built.key,
        "image": built.image,
        "digest": built.digest,
        "built_at": built.built_at,
        "inputs": dict(built.inputs),
        **several_platforms.remembered(built),
    }


def image_of(run: Run, step: Step, prepared: Prepared) -> Built:
    """The one image of a step for one platform at the most."""
    for _ in range(TRIES + build_hooks.may_begin(step)):
        built, prepared, changes = _attempt(run, step, prepared)
        if built is not None:
            break
    else:
        # Something never rests. It must not hold up everybody else, and no key may lie: this image gets a key of its own,
        # which no inputs have, so it serves this once and the next run builds anew.
        settled = {**prepared.inputs.values, "unsettled": uuid.uuid4().hex}
        prepared = replace(prepared, inputs=content_key.Inputs(settled))
        built, _, _ = _attempt(run, step, prepared, as_it_is=True)
        told = f"{_shown(step)}: what it is built from does not rest ({', '.join(changes[:3])}): built as it is"
        run.world.tell("warning", told, step.subject)
    assert built is not None
    return built


def _attempt(
    run: Run, step: Step, prepared: Prepared, *, as_it_is: bool = False
) -> tuple[Built | None, Prepared, list[str]]:
    """The image, if there is one that is true to its key; else the inputs as they are by now, and what changed.

    `as_it_is`: the key stands for no inputs, so any image is true to it."""
    world, engine = run.world, run.world.engine
    artifact = artifact_of(step)
    marks = labels(step.config.name, artifact.image, prepared.inputs.key)
    stamp = stamp_of(prepared, world, artifact)
    effect = Effect(
        store="engine",
        kind="image",
        place=engine.identity(),
        name=f"{artifact.image}@{prepared.inputs.key}",
        config=step.config.name,
        mark=prepared.inputs.key,
        details={
            "artifact": artifact.image,
            "labels": marks,
            "address": dict(engine.address()),
            "stamp": file_stamp.digest(stamp),
        },
    )
    known = world.ledger.find(effect)
    images = told_apart(world, engine, known, run.built_before(marks), effect.details["stamp"])
    if images.ours or images.others:
        found = [*images.ours, *images.others][0]
        if known and not images.ours:
            world.ledger.gone(known)  # ours went; this one is somebody else's work
        details = {**effect.details, **({"labels": known.effect.details["labels"]} if known and images.ours else {})}
        record = world.ledger.intend(replace(effect, made=False, details=details))
        world.ledger.done(record, found.id, size=found.size)
        world.tell("line", f" - {_shown(step)}: Found Locally", step.subject)
        built_at = datetime.fromisoformat(found.created).timestamp() if found.created else time.time()
        return _built(step, prepared, found.id, built_at), prepared, []
    layers = list(known.effect.details.get("layers") or ()) if known else []
    if not as_it_is and pushes(step.config, run.facts) and (elsewhere := _found_remotely(run, step, prepared)):
        if known and not layers:
            world.ledger.gone(known)  # it is not in the engine any more
        return elsewhere, prepared, []
    if known and not layers:
        world.ledger.gone(known)  # it is not in the engine any more; what is built now is ours, whoever made that one
    effect = leftovers.with_layers(_apart(effect) if images.strangers else effect, layers)
    return _build(run, step, prepared, effect, engine, None if as_it_is else stamp)


def _apart(effect: Effect) -> Effect:
    marks = {**effect.details["labels"], LABEL_APART: uuid.uuid4().hex}
    return replace(effect, details={**effect.details, "labels": marks})


def _found_remotely(run: Run, step: Step, prepared: Prepared) -> Built | None:
    """The image, where any machine has pushed one that was built from these inputs."""
    key = prepared.inputs.key
    digest = registry_digest(run, step, key)
    if not digest:
        return None
    artifact = artifact_of(step)
    where = repository(run, artifact)
    built_at = created(where, digest) if by_time(step.config.tag_policy) else time.time()
    run.world.tell("line", f" - {_shown(step)}: Found Remotely ({where.place}:{key_tag(key)})", step.subject)
    return _built(step, prepared, "", built_at, digest)


def registry_digest(run: Run, step: Step, key: str) -> str:
    """The digest of the image with this content key in the artifact's registry, "" for none."""
    return tag_digest(run, repository(run, artifact_of(step)), key_tag(key))


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Which inputs differ from those of the last run; nothing if it is the image that is gone."""
    prepared: Prepared = run.scratch.get(step.name) or prepare(run, step)
    if not values:
        return ["it was not built here yet"]
    return content_key.difference(values["inputs"], prepared.inputs.values)


def _build(
    run: Run, step: Step, prepared: Prepared, effect: Effect, engine: Engine, stamp: file_stamp.Stamp | None
) -> tuple[Built | None, Prepared, list[str]]:
    world, artifact = run.world, artifact_of(step)
    world.go_on()
    if build_hooks.begin(run, step, prepared):
        return None, prepare(run, step, engine.names()), ["hooks ran before it"]
    world.tell("heading", f"Building [{_shown(step)}]...", step.subject)
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
        scratch=leftovers.scratch(world),
        platform="".join(step.platforms),
    )
    record = world.ledger.intend(effect, anew=True)
    left_before = list(effect.details["layers"])
    layers = list(left_before)
    steps: list[str] = []
    shown = " ".join((step.subject, *step.platforms))

    def on_layer(layer: str) -> None:
        nonlocal record
        layers[:] = [one for one in layers if one not in steps]  # one at a time, and the engine removed the last one's
        layers.append(layer)
        steps[:] = [layer] if layer.startswith(STEP) else []
        record = world.ledger.intend(leftovers.with_layers(effect, layers))

    try:
        image = engine.build(request, lambda line: world.tell("output", line, shown), world.stop, on_layer)
    except Abandoned:
        world.ledger.intend(replace(record.effect, details={**record.effect.details, "abandoned": time.time()}))
        raise
    except KfoldError:
        # an engine that does not even answer this: the record stays, for `prune`
        with suppress(EngineError):
            if not engine.labelled(effect.details["labels"]):
                leftovers.let_go(world, engine, record, layers)
        raise
    prepared_again, changes = prepared, []
    try:
        if stamp is not None:
            prepared_again = prepare(run, step, engine.names())
            changes = file_stamp.changed(stamp, stamp_of(prepared_again, world, artifact))
            changes = changes or content_key.difference(prepared.inputs.values, prepared_again.inputs.values)
    except KfoldError:
        leftovers.discard(world, engine, record, image, layers)
        raise
    if changes:
        world.tell("line", f" - {_shown(step)}: built again, its inputs changed meanwhile", step.subject)
        leftovers.discard(world, engine, record, image, layers)
        return None, prepared_again, changes
    found = engine.image(image)
    build_hooks.owe(run, step, prepared.inputs.key)
    world.ledger.done(record, image, size=found.size if found else 0, layers=left_before)
    run.changed()
    world.tell("success", f"Build [{_shown(step)}] succeeded in {time.monotonic() - started:.1f} s", step.subject)
    return _built(step, prepared, image, time.time()), prepared, []


def _built(step: Step, prepared: Prepared, image: str, built_at: float, digest: str = "") -> Built:
    return Built(artifact_of(step).image, prepared.inputs.key, image, built_at, prepared.inputs.values, digest)


def _shown(step: Step) -> str:
    """What a person knows an image by that is built or found."""
    return " for ".join((artifact_of(step).image, *([", ".join(step.platforms)] if step.platforms else [])))


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
        ours = [found] if found else unheard(world, record, engine.labelled(effect.details["labels"]))
    # a clock that was set back since does not make it wait for longer
    if not ours and abs(time.time() - effect.details.get("abandoned", 0.0)) < LATE:
        stopped = f"the build of {effect.details['artifact']} that was stopped may not have ended in the engine yet"
        raise InUse(stopped, hint="Run this again in a minute.")
    world.ledger.undoing(record)
    freed = 0
    for image in ours:
        if image.names:
            world.ledger.gone(record)
            return Kept(f"image {_short(image.id)} stays: {', '.join(image.names)} is a name that kfold did not give")
        if engine.remove(image.id):
            freed += image.size
            world.tell("line", f"deleted image {image.id}")
    layers = list(effect.details.get("layers") or ())
    if held := leftovers.let_go(world, engine, record, layers, killed=effect.made and not ours and not record.identity):
        raise InUse(f"a build step of {effect.details['artifact']} is still there: {held}")
    return Undone(freed)


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
