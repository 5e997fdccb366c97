"""`tag` and its reverse: names in the engine.

Two names a build: `name:<tag>` by the tag policy, for people, and `name:<image ID>`, which manifests get because it can
never mean another image. A name that pointed elsewhere before us is pointed back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.steps import Step
from kfold.plan.tags import TagFacts, tag
from kfold.stores import priming
from kfold.verbs.repository import image_name, key_tag
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Built, Run, Tagged, World


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Tagged | None:
    """Both names point at the built image, and the tag policy still says the same."""
    wanted, _ = run.scratch[step.name] = _wanted(run, step)
    if list(wanted.names) != values.get("names") or wanted.reference != values.get("reference"):
        return None
    moved = any(run.engine_names.ids.get(name) != image for name, image in wanted.images.items())
    return None if moved else wanted


def do(run: Run, step: Step) -> tuple[Tagged, dict[str, Any]]:
    """Point the names at the image, remembering what they pointed at before."""
    world, engine = run.world, run.world.engine
    wanted, warning = run.scratch.pop(step.name, None) or _wanted(run, step)
    world.ledger.claim()
    # an image that was found in its registry is tagged there, by `push`
    for name, image in wanted.images.items():
        current = run.engine_names.ids.get(name)
        if current != image:  # asked again: it may have moved while this run built, by the prune of another checkout
            there = engine.image(name)
            current = there.id if there else None
        effect = Effect(
            store="engine",
            kind="name",
            place=engine.identity(),
            name=name,
            config=step.config.name,
            before=current,
            made=current != image,
            details={"artifact": wanted.artifact, "ours": [image], "address": dict(engine.address())},
        )
        known = world.ledger.find(effect)
        if known is not None and known.state == "done" and known.identity == image == current:
            continue
        if known is not None and current not in (known.effect.before, *known.effect.details["ours"]):
            # somebody moved or removed it since: that is what must come back now
            world.ledger.moved_by_others(known, known.effect.details["ours"])
            known = None
        # until the name is seen to have moved, either of the two images may be what it points at
        ours = [*(known.effect.details["ours"] if known else []), image]
        record = world.ledger.intend(_with_ours(effect, ours))
        if current != image:
            world.go_on()
            engine.tag(image, name)
            run.engine_names.ids[name] = image
            run.changed()
        world.ledger.done(record, image, ours=[image])
    if warning:
        world.tell("warning", warning, step.subject)
    world.tell("line", f" - {wanted.artifact} -> {wanted.names[0]}", step.subject)
    return wanted, {"names": list(wanted.names), "reference": wanted.reference}


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Names that changed, and names that point elsewhere."""
    wanted, _ = _wanted(run, step)
    if not values:
        return ["it was not named here yet"]
    new = [f"the name is {name} now" for name in wanted.names if name not in values["names"]]
    if not wanted.images:
        return new or ["the image is in the registry alone now"]
    ids = run.engine_names.ids
    return new or [f"{name} points elsewhere" for name, image in wanted.images.items() if ids.get(name) != image]


def _with_ours(effect: Effect, ours: list[str]) -> Effect:
    return replace(effect, details={**effect.details, "ours": list(dict.fromkeys(ours))})


def _built(run: Run, step: Step) -> Built:
    built: Built = run.outcome(step.needs[0], Built)
    return built


def _wanted(run: Run, step: Step) -> tuple[Tagged, str]:
    return wanted(run, step, _built(run, step))


def wanted(run: Run, step: Step, built: Built) -> tuple[Tagged, str]:
    """The names that the tag policy gives to a built image, and what is to be said about them."""
    world = run.world
    assert step.artifact is not None
    context = world.folder / step.artifact.context
    facts = TagFacts(
        git=lambda variant, ignore: run.git.ref(context, variant, ignore),
        environment=world.environment,
        built_at=datetime.fromtimestamp(built.built_at).astimezone(),
        input_digest=lambda: built.key,
    )
    chosen = tag(step.config.tag_policy, step.artifact, facts)
    name = image_name(step.artifact, run.facts)
    parts = {platform: _one(name, part, f"{name}:{key_tag(part.key)}") for platform, part in built.parts.items()}
    if not parts:
        reference, images = _one(name, built, f"{name}:{chosen.value}")
    else:
        # the engine has one image for a name, and that is this machine's: what a pull of the index would bring
        own = run.facts.host if run.facts.host in parts else next(iter(parts))
        reference = parts[own][0]
        images = {f"{name}:{chosen.value}": built.parts[own].image} if built.parts[own].image else {}
        for _, names in parts.values():
            images |= names
    tagged = Tagged(
        artifact=step.artifact.image,
        reference=reference,
        names=tuple(dict.fromkeys([f"{name}:{chosen.value}", *images])),
        images=images,
        parts={platform: part for platform, (part, _) in parts.items()},
    )
    return tagged, chosen.warning


def _one(name: str, built: Built, tagged: str) -> tuple[str, dict[str, str]]:
    """How one image is referred to, and its names in the engine: `tagged`, and the one by its ID."""
    if built.digest:
        return f"{tagged}@{built.digest}", {}
    by_id = f"{name}:{built.image.removeprefix('sha256:')}"
    return by_id, {tagged: built.image, by_id: built.image}


def undo(world: World, record: Record) -> Result:
    """Take the name away, or point it back. A name that points at somebody else's image now is left alone."""
    effect = record.effect
    engine = world.open_engine(effect.details.get("address", {}))
    world.ledger.undoing(record)
    if process := effect.details.get("priming"):
        priming.end(process)  # it would take the name away itself, some time
    current = engine.image(effect.name)
    result: Result = Undone()
    if current is not None and current.id == effect.before:
        result = Kept(f"{effect.name} stays: it points where it did before")
    elif current is not None and current.id not in effect.details["ours"]:
        result = Kept(f"{effect.name} stays: it points at another image now")
    elif current is not None and effect.before and engine.image(effect.before):
        engine.tag(effect.before, effect.name)
        world.tell("line", f"pointed {effect.name} back at {effect.before}")
    elif current is not None:
        if not engine.remove(effect.name):
            raise KfoldError(f"{effect.name} vanished while it was removed", hint="Run this again.")
        world.tell("line", f"untagged image {effect.name}")
        # the last name takes the image with it, unless another image was made from it
        if current.names == (effect.name,) and engine.image(current.id) is None:
            world.tell("line", f"deleted image {current.id}")
            result = Undone(current.size)
    world.ledger.gone(record)
    return result
