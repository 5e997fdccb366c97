"""What kfold asks of a registry: the protocol, its values and its errors. No I/O, no heavy import.

The words are those of the OCI Distribution Specification 1.1: a repository holds manifests by digest, and tags that name
them. An index is a manifest of manifests, one a platform.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kfold.errors import StoreError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MEDIA_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)
"""What a registry is asked for. It answers with what it has, never with a translation."""

STAND_IN = "dev.kfold.stand-in"
"""Annotation of the empty index that takes a tag from a manifest that must stay, for the moment before it is deleted."""


class RegistryError(StoreError):
    """The registry refused, failed, or does not answer. `code` is the HTTP status, 0 where there was none."""

    def __init__(self, message: str, *, hint: str = "", code: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class DeletionRefused(RegistryError):
    """This registry deletes nothing (405 UNSUPPORTED)."""


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry has it: its bytes are what the digest is of."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def data(self) -> dict[str, Any]:
        found = json.loads(self.content)
        return found if isinstance(found, dict) else {}

    @property
    def config(self) -> str:
        """The digest of the image's config, "" of an index. An engine without containerd's image store calls it the ID."""
        return str((self.data.get("config") or {}).get("digest") or "")

    @property
    def children(self) -> tuple[str, ...]:
        """The digests of an index's manifests."""
        return tuple(str(child.get("digest")) for child in self.data.get("manifests") or ())

    def is_of(self, image: str) -> bool:
        """Whether this is the image that an engine knows by that ID (with containerd's image store: by the digest)."""
        return image in (self.digest, self.config, *self.children)


class Registry(Protocol):
    """One registry. `repository` is a path (`team/web`), `reference` a tag or a digest. All methods may be called from
    several threads, and raise RegistryError. A stand-in that a killed run left under a tag counts as nothing there."""

    host: str

    def digest(self, repository: str, reference: str) -> str:
        """The digest of what is there, "" where nothing is. One HEAD."""
        ...

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """What is there, or None."""
        ...

    def put(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Put a manifest under a tag or its digest. What it refers to must be in the repository already."""
        ...

    def tags(self, repository: str) -> Sequence[str]:
        """All tags; none of a repository that is not there."""
        ...

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has a layer or config."""
        ...

    def blob(self, repository: str, digest: str) -> bytes:
        """The content of a small blob (an image's config)."""
        ...

    def upload(self, repository: str, content: bytes) -> str:
        """Upload a small blob; returns its digest."""
        ...

    def tags_of(self, repository: str, digest: str) -> Sequence[str]:
        """Every tag that names this digest, or an index with it. Asks for each tag: a registry has no other answer."""
        ...

    def remove_tag(self, repository: str, tag: str, *, keep: bool) -> bool:
        """Take a tag away and no other one. `keep`: its manifest stays, or goes where nothing else names it.

        A registry that deletes by digest only takes every tag of that digest: then the tag is first pointed at an empty
        manifest of its own. False if there was no such tag. Raises DeletionRefused, and has changed nothing then.
        """
        ...

    def client_environment(self, folder: Path) -> Mapping[str, str]:
        """Variables with which a docker client is logged in here as we are, and asks no credential helper of its own.

        `folder` exists, is empty, and stays as long as that client runs.
        """
        ...

    def refused_push(self, repository: str, output: Sequence[str]) -> RegistryError:
        """The error for an engine's push that failed, from the last lines that it printed."""
        ...

    def remove_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest, and with it every tag that names it. False if there was none. Raises DeletionRefused."""
        ...
