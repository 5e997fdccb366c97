"""Where in which registry the images of an artifact lie, and the tag by which one is found again by its content key."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kfold.config.model import Artifact
from kfold.errors import ConfigError
from kfold.ledger import Record
from kfold.plan.facts import Facts
from kfold.plan.reference import (
    DEFAULT_DOMAIN,
    OFFICIAL,
    artifact_name,
    as_nodes_know_it,
    in_default_repo,
    parse,
    split_tag,
)
from kfold.stores.engine_interface import shown_name
from kfold.stores.registry_interface import Registry
from kfold.verbs.world import Run, World

SIDE_BY_SIDE = 16
"""Questions to registries under way at once."""
NEWEST = 2
"""How many tags of each artifact are asked for ahead: those of its last push, by policy and by content key."""


@dataclass(frozen=True)
class Repository:
    """A repository of a registry. `place` is what the ledger calls it: `host/path`.

    `in_cluster`: what the nodes of the cluster call it, and so manifests, where that is another name.
    """

    registry: Registry
    path: str
    insecure: bool
    in_cluster: str = ""

    @property
    def place(self) -> str:
        return f"{self.registry.host}/{self.path}"


def key_tag(key: str) -> str:
    """The tag of the image that was built from inputs with this content key."""
    return f"kfold-{key}"


def image_name(artifact: Artifact, facts: Facts) -> str:
    """The name, without tag, that an artifact's image gets in engines and registries."""
    written = artifact_name(artifact.image)
    return shown_name(in_default_repo(written, facts.default_repo, multi_level=facts.multi_level_repo))


def repository(run: Run, artifact: Artifact) -> Repository:
    """Where an artifact's images are pushed. Raises ConfigError for a name that leads to nobody's own repository."""
    reference = parse(split_tag(image_name(artifact, run.facts))[0], where=artifact.position)
    if reference.domain == DEFAULT_DOMAIN and reference.path.startswith(f"{OFFICIAL}/"):
        raise ConfigError(
            f"{artifact.image} would be pushed to Docker Hub's official images: its name has no registry",
            where=artifact.position,
            hint="Write `image: HOST/NAME`, or name a registry for all: `kfold config set default-repo HOST`.",
        )
    insecure = reference.domain in run.facts.insecure_registries
    known_as = ""
    if announced := run.facts.target.registry:
        known_as = as_nodes_know_it(reference.name, announced.host, announced.in_cluster)
    in_cluster = "" if known_as == reference.name else known_as
    return Repository(run.world.open_registry(reference.domain, insecure), reference.path, insecure, in_cluster)


def recorded(world: World, record: Record) -> Repository:
    """The repository of a record."""
    host, _, path = record.effect.place.partition("/")
    insecure = bool(record.effect.details.get("insecure"))
    return Repository(world.open_registry(host, insecure), path, insecure)


def tag_digest(run: Run, where: Repository, tag: str) -> str:
    """The digest that a tag names, "" for none. What earlier runs pushed is asked for all at once. Raises RegistryError."""
    asked: dict[tuple[str, str], Future[str]] | None = run.scratch.get("registry tags")
    if asked is None:
        asked = run.scratch["registry tags"] = _ask_ahead(run)
    ahead = asked.pop((where.place, tag), None)
    return ahead.result() if ahead else where.registry.digest(where.path, tag)


def created(where: Repository, digest: str) -> float:
    """When an image of the registry was made, in seconds since the epoch: the moment that a tag by time names."""
    manifest = where.registry.manifest(where.path, digest)
    if manifest is not None and manifest.children:
        manifest = where.registry.manifest(where.path, manifest.children[0])
    if manifest is None or not manifest.config:
        return time.time()
    try:
        text = str(json.loads(where.registry.blob(where.path, manifest.config))["created"])
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, KeyError, TypeError):
        return time.time()  # some builders leave it out


def _ask_ahead(run: Run) -> dict[tuple[str, str], Future[str]]:
    newest: dict[tuple[str, Any], list[Record]] = {}
    for record in sorted(run.world.ledger.records("registry", "tag"), key=lambda record: record.updated, reverse=True):
        newest.setdefault((record.effect.place, record.effect.details.get("artifact")), []).append(record)
    pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="kfold-registry")
    asked = {}
    for records in newest.values():
        for record in records[:NEWEST]:
            where = recorded(run.world, record)
            asked[where.place, record.effect.name] = pool.submit(where.registry.digest, where.path, record.effect.name)
    pool.shutdown(wait=False)
    return asked
