"""An index over the images of an artifact, one a platform: pushed one by one, then named together.

An engine makes and pushes one image at a time (docker driver). Each gets the tag of its own content key. That stays: by it
the image for that platform is found again, and taking a tag away is what many registries refuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kfold.config.platforms import NoPlatform, parse
from kfold.errors import KfoldError
from kfold.plan.reference import split_tag
from kfold.plan.steps import Step
from kfold.stores.registry_interface import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, Manifest
from kfold.verbs.registry_writes import manifest_effect, point, put, send, there
from kfold.verbs.repository import Repository, key_tag
from kfold.verbs.world import Built, Run


def put_index(run: Run, step: Step, where: Repository, built: Built, name: str) -> Manifest:
    """Push what the registry lacks of the images, then put the index under its two tags. `name`: with the policy's tag."""
    world = run.world
    repository, tag = split_tag(name)
    children: dict[str, Manifest] = {}
    for platform, part in built.parts.items():
        part_tag = key_tag(part.key)
        manifest = there(where, part, part_tag)
        told = "the registry has it" if manifest else "pushed"
        manifest = manifest or send(run, step, where, part, f"{repository}:{part_tag}")
        world.tell("line", f" - {name} for {platform}: {told}", step.subject)
        point(run, step, where, part_tag, manifest, image=part.image or manifest.digest)
        children[platform] = manifest
    made = index(children)
    _put(run, step, where, made, built.key)
    for one in (key_tag(built.key), tag):
        point(run, step, where, one, made, image=made.digest, whole=built.key)
    world.tell("line", f" - {name}: the index of {', '.join(built.parts)}", step.subject)
    return made


def _put(run: Run, step: Step, where: Repository, made: Manifest, whole: str) -> None:
    """The index by its digest, unless it is there: then somebody else has it, or an earlier run, which recorded it."""
    world, registry = run.world, where.registry
    effect = manifest_effect(step, where, made.digest, whole=whole)
    record = world.ledger.find(effect)
    there = registry.digest(where.path, made.digest)
    if not there:
        world.go_on()
        record = world.ledger.intend(effect)
        put(world, where, made.digest, made, record)
        run.changed()
    if record is not None:
        world.ledger.done(record, made.digest)


def index(children: Mapping[str, Manifest]) -> Manifest:
    """The index of these images: Docker's list where all are Docker's manifests, else OCI's. Equal images, equal bytes."""
    entries = [_entry(platform, manifest) for platform, manifest in sorted(children.items())]
    kind = DOCKER_LIST if all(entry["mediaType"] == DOCKER_MANIFEST for entry in entries) else OCI_INDEX
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    return Manifest(kind, json.dumps(document, indent=2).encode())


def _entry(platform: str, manifest: Manifest) -> dict[str, Any]:
    """The descriptor of one image. What the engine pushed may be an index itself (containerd's image store)."""
    system, architecture, variant = [*platform.split("/"), ""][:3]
    described = {"architecture": architecture, "os": system, **({"variant": variant} if variant else {})}
    if not manifest.children:
        size = len(manifest.content)
        return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size, "platform": described}
    for entry in manifest.data["manifests"]:
        if _is_for(platform, entry.get("platform") or {}):
            return {**{key: entry[key] for key in ("mediaType", "digest", "size")}, "platform": described}
    raise KfoldError(f"what was pushed for {platform} has no image for it ({manifest.digest})")


def _is_for(platform: str, described: Mapping[str, Any]) -> bool:
    try:
        words = [str(described[key]) for key in ("os", "architecture", "variant") if described.get(key)]
        return platform == parse("/".join(words))
    except NoPlatform:
        return False  # an attestation is for "unknown/unknown"
