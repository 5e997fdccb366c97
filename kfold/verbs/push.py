"""`push`, and its reverse: images in registries.

Two tags a push: the one of the tag policy, and one derived from the content key, by which any machine finds the image again
and does not build it. An image that the registry has is tagged there and not sent. Manifests get `name:tag@digest`. Of
several platforms each image is pushed under the tag of its own content key, and an index over them gets the two tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kfold.ledger import Record
from kfold.plan.reference import as_nodes_know_it, split_tag
from kfold.plan.steps import Step
from kfold.stores.engine_interface import InUse
from kfold.verbs import build_leftovers as leftovers
from kfold.verbs.build_inputs import artifact_of
from kfold.verbs.image_index import put_index
from kfold.verbs.registry_writes import point, refuse_late, send, settle, there
from kfold.verbs.repository import Repository, key_tag, recorded, repository, tag_digest
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Built, Run, Tagged, World


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Tagged | None:
    """The registry still has, under the tag, what was pushed the last time."""
    built, tagged = _outcomes(run, step)
    same = values.get("digest") == built.digest if built.digest else values.get("image") == built.image
    if not values or not same:
        return None
    if values.get("name") != tagged.names[0] or values.get("key") != built.key:
        return None
    where = repository(run, artifact_of(step))
    if tag_digest(run, where, split_tag(tagged.names[0])[1]) != values["digest"]:
        return None
    return _pushed(run, tagged, str(values["digest"]))


def do(run: Run, step: Step) -> tuple[Tagged, dict[str, Any]]:
    """Send the image, unless the registry has it; then tag it there."""
    world = run.world
    built, tagged = _outcomes(run, step)
    where = repository(run, artifact_of(step))
    tag = split_tag(tagged.names[0])[1]
    world.ledger.claim()
    leftovers.sweep(leftovers.scratch(world))
    settled = {tag, *(key_tag(one.key) for one in (built, *built.parts.values()))}
    for record in world.ledger.records("registry", "tag"):
        if record.effect.place == where.place and record.effect.name in settled:
            settle(world, where.registry, where.path, record)
    name = tagged.names[0]
    if built.parts:
        digest = put_index(run, step, where, built, name).digest
    else:
        manifest = there(where, built, tag)
        told = "the registry has it" if manifest else "pushed"
        manifest = manifest or send(run, step, where, built, name)
        world.tell("line", f" - {name}: {told}", step.subject)
        for one in (key_tag(built.key), tag):
            point(run, step, where, one, manifest, image=built.image or manifest.digest)
        digest = manifest.digest
    values = {"name": tagged.names[0], "key": built.key, "image": built.image, "digest": digest}
    return _pushed(run, tagged, digest), values


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Another image, another name; else the tag in the registry is not what it was."""
    built, tagged = _outcomes(run, step)
    if not values:
        return ["it was not pushed here yet"]
    if values.get("name") != tagged.names[0]:
        return [f"the name is {tagged.names[0]} now"]
    same = values.get("digest") == built.digest if built.digest else values.get("image") == built.image
    return [f"{tagged.names[0]} is not there, or names another image"] if same else ["the image is another one"]


def check(run: Run, steps: Iterable[Step]) -> None:
    """One question to each registry, before anything is built. Raises KfoldError: a name, login or registry that fails."""
    places = [repository(run, artifact_of(step)) for step in steps]
    for where in {place.registry.host: place for place in places}.values():
        where.registry.digest(where.path, "latest")


def _outcomes(run: Run, step: Step) -> tuple[Built, Tagged]:
    (need,) = step.needs
    return run.outcome(need.replace("tag:", "build:", 1), Built), run.outcome(need, Tagged)


def _pushed(run: Run, tagged: Tagged, digest: str) -> Tagged:
    name = tagged.names[0]
    if announced := run.facts.target.registry:
        name = as_nodes_know_it(name, announced.host, announced.in_cluster)
    return replace(tagged, reference=f"{name}@{digest}")


# --- the reverse: unpush


def undo_tag(world: World, record: Record) -> Result:
    """Take a tag away, or point it back. One that names somebody else's image now is left alone. Raises DeletionRefused."""
    where = recorded(world, record)
    registry, path = where.registry, where.path
    cut_off = record.state == "intended"
    record = settle(world, registry, path, record)
    effect = record.effect
    current = registry.digest(path, effect.name)
    if current not in effect.details["ours"]:
        refuse_late(record)
    world.ledger.undoing(record)
    shown = f"{where.place}:{effect.name}"
    result: Result = Undone()
    if not current:
        registry.remove_tag(path, effect.name, keep=True)  # what a killed run put in its place
    elif current == effect.before:
        result = Kept(f"{shown} stays: it names what it did before")
    elif current not in effect.details["ours"]:
        result = Kept(f"{shown} stays: it names another image now")
    elif effect.before and (old := registry.manifest(path, effect.before)):
        registry.put(path, effect.name, old)
        world.tell("line", f"pointed {shown} back at {effect.before}")
    else:
        registry.remove_tag(path, effect.name, keep=not _is_ours(world, where, current))
        world.tell("line", f"removed {shown}")
    world.ledger.gone(record)
    for one in world.ledger.records("registry", "manifest") if cut_off else ():
        if one.effect.place == effect.place and one.effect.mark == effect.mark:
            undo_manifest(world, one)  # it may be known since a moment ago only
    return result


def _is_ours(world: World, where: Repository, digest: str) -> bool:
    """Whether this ledger says that kfold put that manifest there."""
    return any(
        one.effect.place == where.place and one.effect.name == digest and one.effect.made
        for one in world.ledger.records("registry", "manifest")
    )


def undo_manifest(world: World, record: Record) -> Result:
    """Delete a manifest once no tag names it. Its layers are the registry's garbage collector's."""
    where = recorded(world, record)
    registry, path = where.registry, where.path
    digest = record.effect.name
    present = registry.digest(path, digest)
    if not present:
        refuse_late(record)
    world.ledger.undoing(record)
    result: Result = Undone()
    if present:
        tags = registry.tags_of(path, digest)
        records = world.ledger.records("registry", "tag")
        if ours := [one.effect.name for one in records if one.effect.place == where.place and one.effect.name in tags]:
            raise InUse(f"{where.place}:{ours[0]}, which kfold pushed too, needs it")  # an index that goes after this one
        if tags:
            result = Kept(f"{where.place}@{digest} stays: {', '.join(tags)} is a tag that kfold did not give")
        else:
            registry.remove_manifest(path, digest)
            world.tell("line", f"deleted {where.place}@{digest}")
    world.ledger.gone(record)
    return result
