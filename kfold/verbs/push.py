"""`push`, and its reverse: images in registries.

Two tags a push: the one of the tag policy, and one derived from the content key, by which any machine finds the image again
and does not build it. An image that the registry has is tagged there and not sent. Manifests get `name:tag@digest`.

Effects: a `tag` (identity: the digest it names), and a `manifest` where the engine put one. The engine puts manifest and tag
in one call and the digest is known after it: until then the tag's record stands for both, and the image's ID is its mark.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.reference import as_nodes_know_it, split_tag
from kfold.plan.steps import Step
from kfold.stores import pushed_digests
from kfold.stores.engine_interface import PushFailed
from kfold.stores.registry_interface import Manifest, Registry
from kfold.verbs import build_leftovers as leftovers
from kfold.verbs.build_inputs import artifact_of
from kfold.verbs.repository import Repository, key_tag, recorded, repository, tag_digest
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Built, Run, Tagged, World

ANY = "any"
"""Whatever manifest comes of a push is new to the registry."""

PAUSES = (1.0, 4.0)
"""Seconds before a push is tried again that failed for a cause that may pass. (The engine tries each layer five times.)"""

_PASSING = ("toomanyrequests", "too many requests", "http status: 429", "http status: 5", ": eof", "connection reset",
            "i/o timeout", "tls handshake timeout", "connection refused")  # fmt: skip


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
    for record in world.ledger.records("registry", "tag"):
        if record.effect.place == where.place and record.effect.name in (tag, key_tag(built.key)):
            _settle(world, where.registry, where.path, record)
    manifest = _there(where, built, tag)
    if manifest is None:
        manifest = _send(run, step, where, tag)
        world.tell("line", f" - {tagged.names[0]}: pushed", step.subject)
    else:
        world.tell("line", f" - {tagged.names[0]}: the registry has it", step.subject)
    for name in (key_tag(built.key), tag):
        _name(run, step, where, name, manifest)
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


def _there(where: Repository, built: Built, tag: str) -> Manifest | None:
    """The manifest that the registry has of this image, under one of the two tags that it would get."""
    if built.digest:
        found = where.registry.manifest(where.path, built.digest)
        if found is None:
            raise KfoldError(f"{where.place}@{built.digest} went while it was used", hint="Run this again.")
        return found
    for name in (key_tag(built.key), tag):
        found = where.registry.manifest(where.path, name)
        if found is not None and found.is_of(built.image):
            return found
    return None


def _send(run: Run, step: Step, where: Repository, tag: str) -> Manifest:
    """Have the engine push the image under its tag."""
    world, registry = run.world, where.registry
    built, tagged = _outcomes(run, step)
    world.go_on()
    name = tagged.names[0]
    world.tell("heading", f"Pushing [{name}]...", step.subject)
    current = registry.digest(where.path, tag)
    effect = _effect(step, where, tag, current, built.image, fresh=_fresh(where, built.image))
    record = _intend(world, effect, current)
    digest = _engine_push(run, step, where, name)
    manifest = registry.manifest(where.path, digest)
    if manifest is None:
        raise KfoldError(f"{where.place}@{digest} was pushed, and is not there", hint="Run this again.")
    _record_manifests(world, record, manifest)
    world.ledger.done(record, digest, ours=[digest])
    run.changed()
    return manifest


def _fresh(where: Repository, image: str) -> str:
    """Which manifest of this image would be new, and so ours to delete: ANY, a certain digest, or "" for none.

    A manifest needs its config, so without that there is none. With it there may be one that has no tag, or none any more:
    only the digest tells, which an engine without containerd's image store works out while it pushes.
    """
    registry, path = where.registry, where.path
    if registry.has_blob(path, image):
        expected = pushed_digests.recall(where.place, image)
        return "" if not expected or registry.digest(path, expected) else expected
    # asked for a config as if it were a manifest, docker-registry 2.8 answers with 500
    return "" if registry.digest(path, image) else ANY


def _engine_push(run: Run, step: Step, where: Repository, name: str) -> str:
    """`docker push`, tried again where the trouble may pass. Raises RegistryError in the registry's words."""
    world = run.world
    for pause in (*PAUSES, None):
        folder = Path(tempfile.mkdtemp(prefix=leftovers.prefix(), dir=leftovers.scratch(world)))
        try:
            environment = where.registry.client_environment(folder)
            return world.engine.push(name, lambda line: world.tell("output", line, step.subject), world.stop, environment)
        except PushFailed as error:
            text = "\n".join(error.output).lower()
            if pause is None or not any(words in text for words in _PASSING):
                raise where.registry.refused_push(where.path, error.output) from error
            world.tell("warning", f"{error.message}: tried again in {pause:g} s", step.subject)
            world.stop.wait(pause)
            world.go_on()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError("the last pause is None")


def _name(run: Run, step: Step, where: Repository, tag: str, manifest: Manifest) -> None:
    """Point a tag at a manifest that the registry has, remembering what it pointed at before."""
    world, registry = run.world, where.registry
    built, _ = _outcomes(run, step)
    digest = manifest.digest
    current = registry.digest(where.path, tag)
    effect = _effect(step, where, tag, current, built.image or digest, made=current != digest)
    known = world.ledger.find(effect)
    if known is not None and known.state == "done" and known.identity == digest == current:
        return
    record = _intend(world, effect, current, digest)
    if current != digest:
        world.go_on()
        registry.put(where.path, tag, manifest)
        run.changed()
    world.ledger.done(record, digest, ours=[digest])


def _effect(
    step: Step, where: Repository, tag: str, before: str, image: str, *, made: bool = True, fresh: str = ""
) -> Effect:
    return Effect(
        store="registry",
        kind="tag",
        place=where.place,
        name=tag,
        config=step.config.name,
        mark=image,
        before=before or None,
        made=made,
        details={
            "artifact": artifact_of(step).image,
            "image": image,
            "ours": [],
            "fresh": fresh,
            "insecure": where.insecure,
        },
    )


def _intend(world: World, effect: Effect, current: str, wanted: str = "") -> Record:
    """The record of a tag that is about to move. One that somebody moved since our last time begins anew."""
    known = world.ledger.find(effect)
    ours: list[str] = []
    if known is not None:
        ours = list(known.effect.details["ours"])
        if current not in (known.effect.before or "", wanted, *ours):
            world.ledger.gone(known)
            ours = []
        elif known.state == "intended" and known.effect.details.get("image") == effect.details["image"]:
            effect = replace(effect, details={**effect.details, "fresh": known.effect.details.get("fresh", "")})
    ours = list(dict.fromkeys([*ours, *([wanted] if wanted else [])]))
    return world.ledger.intend(replace(effect, details={**effect.details, "ours": ours}))


def _record_manifests(world: World, tag: Record, manifest: Manifest) -> None:
    """The manifest that came with a tag, and what is in it. They are there already: these only get records of their own."""
    pushed_digests.remember(tag.effect.place, tag.effect.details["image"], manifest.digest)
    if tag.effect.details["fresh"] not in (ANY, manifest.digest):
        return
    for digest in (manifest.digest, *manifest.children):
        details = {**tag.effect.details, "ours": [digest]}
        effect = replace(tag.effect, kind="manifest", name=digest, before=None, made=True, details=details)
        if world.ledger.find(effect) is None:
            world.ledger.done(world.ledger.intend(effect), digest)


def _settle(world: World, registry: Registry, path: str, record: Record) -> Record:
    """Learn what a push came to that was cut off: the tag names our image by now, or it does not."""
    effect = record.effect
    if record.state != "intended":
        return record
    found = registry.manifest(path, effect.name)
    if found is None or not found.is_of(effect.details["image"]) or found.digest == effect.before:
        return record
    _record_manifests(world, record, found)
    return world.ledger.done(record, found.digest, ours=[found.digest])


# --- the reverse: unpush


def undo_tag(world: World, record: Record) -> Result:
    """Take a tag away, or point it back. One that names somebody else's image now is left alone. Raises DeletionRefused."""
    where = recorded(world, record)
    registry, path = where.registry, where.path
    cut_off = record.state == "intended"
    record = _settle(world, registry, path, record)
    effect = record.effect
    world.ledger.undoing(record)
    shown = f"{where.place}:{effect.name}"
    current = registry.digest(path, effect.name)
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
    world.ledger.undoing(record)
    result: Result = Undone()
    if registry.digest(path, digest):
        if tags := registry.tags_of(path, digest):
            result = Kept(f"{where.place}@{digest} stays: {', '.join(tags)} is a tag that kfold did not give")
        else:
            registry.remove_manifest(path, digest)
            world.tell("line", f"deleted {where.place}@{digest}")
    world.ledger.gone(record)
    return result
