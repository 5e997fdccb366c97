"""What `push` writes into a registry: images, sent by the engine, and tags; each with its record.

Effects: a `tag` (identity: the digest it names), and a `manifest` where one came that was not there. The engine puts
manifest and tag in one call and the digest is known after it: until then the tag's record stands for both, and the image's
ID is its mark.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.reference import split_tag
from kfold.plan.steps import Step
from kfold.stores import pushed_digests
from kfold.stores.engine_interface import InUse, PushFailed
from kfold.stores.registry_interface import Manifest, Registry, RegistryError
from kfold.verbs import build_leftovers as leftovers
from kfold.verbs.build_inputs import artifact_of
from kfold.verbs.repository import Repository, key_tag
from kfold.verbs.world import Built, Run, World

ANY = "any"
"""Whatever manifest comes of a push is new to the registry."""

PAUSES = (1.0, 4.0)
"""Seconds before a push is tried again that failed for a cause that may pass. (The engine tries each layer five times.)"""

LATE = 60.0
"""Seconds for which a registry may still take in a manifest whose sender is gone."""

_LAYER = re.compile(r"([0-9a-f]{12}): (.+)")
_LAYER_ENDED = ("Pushed", "Layer already exists", "Mounted from")
"""How the engine tells of a layer that the registry has by then. After the last one it sends the manifest."""

_PASSING = ("toomanyrequests", "too many requests", "http status: 429", "http status: 5", ": eof", "connection reset",
            "i/o timeout", "tls handshake timeout", "connection refused")  # fmt: skip


def there(where: Repository, built: Built, tag: str) -> Manifest | None:
    """The manifest that the registry has of this image, under one of the two tags that it would get."""
    if built.digest:
        found = where.registry.manifest(where.path, built.digest)
        if found is None:
            raise KfoldError(f"{where.place}@{built.digest} went while it was used", hint="Run this again.")
        return found
    for name in dict.fromkeys((key_tag(built.key), tag)):
        found = where.registry.manifest(where.path, name)
        if found is not None and found.is_of(built.image):
            return found
    return None


def send(run: Run, step: Step, where: Repository, built: Built, name: str) -> Manifest:
    """Have the engine push the image under a name that it has there."""
    world, registry = run.world, where.registry
    tag = split_tag(name)[1]
    world.go_on()
    world.tell("heading", f"Pushing [{name}]...", step.subject)
    current = registry.digest(where.path, tag)
    effect = _effect(step, where, tag, current, built.image, fresh=_fresh(where, built.image))
    record = _intend(world, effect, current)
    digest = _engine_push(run, step, where, name, record)
    manifest = registry.manifest(where.path, digest)
    if manifest is None:
        raise KfoldError(f"{where.place}@{digest} was pushed, and is not there", hint="Run this again.")
    record_manifests(world, record, manifest)
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


def _engine_push(run: Run, step: Step, where: Repository, name: str, record: Record) -> str:
    """`docker push`, tried again where the trouble may pass. Raises RegistryError in the registry's words."""
    world = run.world
    under_way: set[str] = set()

    def hear(line: str) -> None:
        world.tell("output", line, step.subject)
        if layer := _LAYER.match(line):
            ended = layer[2].startswith(_LAYER_ENDED)
            (under_way.discard if ended else under_way.add)(layer[1])
            if ended and not under_way:
                world.ledger.note(record, sent=time.time())  # the manifest comes next

    for pause in (*PAUSES, None):
        folder = Path(tempfile.mkdtemp(prefix=leftovers.prefix(), dir=leftovers.scratch(world)))
        try:
            environment = where.registry.client_environment(folder)
            return world.engine.push(name, hear, world.stop, environment)
        except PushFailed as error:
            world.ledger.note(record)
            text = "\n".join(error.output).lower()
            if pause is None or not any(words in text for words in _PASSING):
                raise where.registry.refused_push(where.path, error.output) from error
            world.tell("warning", f"{error.message}: tried again in {pause:g} s", step.subject)
            world.stop.wait(pause)
            world.go_on()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError("the last pause is None")


def point(run: Run, step: Step, where: Repository, tag: str, manifest: Manifest, *, image: str, whole: str = "") -> None:
    """Point a tag at a manifest that the registry has, remembering what it pointed at before. `image`: its ID.

    `whole`: the content key of the images that an index is over.
    """
    world, registry = run.world, where.registry
    digest = manifest.digest
    current = registry.digest(where.path, tag)
    effect = _effect(step, where, tag, current, image, made=current != digest, whole=whole)
    known = world.ledger.find(effect)
    if known is not None and known.state == "done" and known.identity == digest == current:
        world.ledger.done(known, digest, known_as=_known_as(effect, known))  # what is current is the newest, for `prune`
        return
    record = _intend(world, effect, current, digest)
    if current != digest:
        world.go_on()
        put(world, where, tag, manifest, record)
        run.changed()
    world.ledger.done(record, digest, ours=[digest])


def put(world: World, where: Repository, reference: str, manifest: Manifest, record: Record) -> None:
    """Put a manifest under a tag or its digest. Raises RegistryError."""
    world.ledger.note(record, sent=time.time())
    try:
        where.registry.put(where.path, reference, manifest)
    except RegistryError:
        world.ledger.note(record)
        raise


def refuse_late(record: Record) -> None:
    """Raises InUse where a manifest that a killed or stopped run had sent may still come."""
    # a clock that was set back since does not make it wait for longer
    if record.state == "intended" and abs(time.time() - record.effect.details.get("sent", 0.0)) < LATE:
        told = "the push that was cut off may not have ended in the registry yet"
        raise InUse(told, hint="Run this again in a minute.")


def _effect(
    step: Step,
    where: Repository,
    tag: str,
    before: str,
    image: str,
    *,
    made: bool = True,
    fresh: str = "",
    whole: str = "",
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
            "known_as": [where.in_cluster] if where.in_cluster else [],
            **({"whole": whole} if whole else {}),
        },
    )


def manifest_effect(step: Step, where: Repository, digest: str, *, whole: str) -> Effect:
    """A manifest that kfold puts itself: its digest is known before."""
    effect = _effect(step, where, digest, "", digest, whole=whole)
    return replace(effect, kind="manifest", details={**effect.details, "ours": [digest]})


def _intend(world: World, effect: Effect, current: str, wanted: str = "") -> Record:
    """The record of a tag that is about to move. One that somebody moved since our last time begins anew."""
    known = world.ledger.find(effect)
    ours: list[str] = []
    if known is not None:
        ours = list(known.effect.details["ours"])
        if current not in (known.effect.before or "", wanted, *ours):
            world.ledger.moved_by_others(known, ours)
            ours = []
        elif known.state == "intended" and known.effect.details.get("image") == effect.details["image"]:
            effect = replace(effect, details={**effect.details, "fresh": known.effect.details.get("fresh", "")})
    ours = list(dict.fromkeys([*ours, *([wanted] if wanted else [])]))
    details = {**effect.details, "ours": ours, "known_as": _known_as(effect, known)}
    return world.ledger.intend(replace(effect, details=details))


def _known_as(effect: Effect, known: Record | None) -> list[str]:
    """The names that nodes have for the repository, those of clusters that were pushed for before included."""
    before = known.effect.details.get("known_as", ()) if known else ()
    return list(dict.fromkeys([*before, *effect.details["known_as"]]))


def record_manifests(world: World, tag: Record, manifest: Manifest) -> None:
    """The manifest that came with a tag, and what is in it. They are there already: these only get records of their own."""
    pushed_digests.remember(tag.effect.place, tag.effect.details["image"], manifest.digest)
    if tag.effect.details["fresh"] not in (ANY, manifest.digest):
        return
    for digest in (manifest.digest, *manifest.children):
        details = {**tag.effect.details, "ours": [digest]}
        effect = replace(tag.effect, kind="manifest", name=digest, before=None, made=True, details=details)
        if world.ledger.find(effect) is None:
            world.ledger.done(world.ledger.intend(effect), digest)


def settle(world: World, registry: Registry, path: str, record: Record) -> Record:
    """Learn what a push came to that was cut off: the tag names our image by now, or it does not."""
    effect = record.effect
    if record.state != "intended":
        return record
    found = registry.manifest(path, effect.name)
    if found is None or not found.is_of(effect.details["image"]) or found.digest == effect.before:
        return record
    record_manifests(world, record, found)
    return world.ledger.done(record, found.digest, ours=[found.digest])
