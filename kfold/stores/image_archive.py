"""An OCI archive for `ctr images import` that holds less than the images it names: what the node has is left out.

containerd unpacks onto the snapshots that it has (by chain ID), and reads from an archive only what it lacks.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME = "io.containerd.image.name"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Blob:
    """A piece of content: its digest, its size, and where it is (None: the node has it, and it is left out)."""

    digest: str
    size: int
    content: bytes | Path | None = None

    @classmethod
    def of(cls, content: bytes) -> Blob:
        return cls(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), content)

    def read(self) -> Iterator[bytes]:
        """Its bytes, in parts."""
        if isinstance(self.content, bytes):
            yield self.content
        elif self.content is not None:
            with self.content.open("rb") as file:
                while data := file.read(CHUNK):
                    yield data


def manifest(config: Blob, layers: Sequence[tuple[Blob, bool]]) -> Blob:
    """The manifest of an image. `layers`, the lowest first, each with whether it is compressed (gzip)."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, config),
        "layers": [_descriptor(f"{LAYER}+gzip" if compressed else LAYER, layer) for layer, compressed in layers],
    }
    return Blob.of(json.dumps(document, separators=(",", ":")).encode())


def _descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def archive(names: Mapping[str, tuple[Blob, str]], blobs: Sequence[Blob]) -> Iterator[bytes]:
    """The archive, in parts. `names`: full name -> its manifest and that one's media type. Blobs without content are left
    out. Cut off anywhere before its end it is no archive, and nothing is named."""
    yield from _file("oci-layout", Blob.of(b'{"imageLayoutVersion":"1.0.0"}'))
    given = {blob.digest: blob for blob in blobs if blob.content is not None}
    for digest, blob in given.items():
        yield from _file(f"blobs/sha256/{digest.removeprefix('sha256:')}", blob)
    index = {
        "schemaVersion": 2,
        "manifests": [
            {**_descriptor(media_type, named), "annotations": {NAME: name}} for name, (named, media_type) in names.items()
        ],
    }
    yield from _file("index.json", Blob.of(json.dumps(index).encode()))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(name: str, blob: Blob) -> Iterator[bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = blob.size, 0o644
    yield entry.tobuf(tarfile.GNU_FORMAT)
    yield from blob.read()
    yield bytes(-blob.size % tarfile.BLOCKSIZE)


def media_type(document: Blob) -> str:
    """What a manifest says that it is."""
    return str(json.loads(b"".join(document.read())).get("mediaType") or MANIFEST)


def uncompressed_layers(config: bytes) -> list[str]:
    """The digests of an image's layers, the lowest first, from its config."""
    found = json.loads(config)["rootfs"].get("diff_ids") or []
    return [str(digest) for digest in found]


def layer_digests(document: bytes) -> tuple[str, list[str]]:
    """A manifest's config and layers, by digest, the lowest layer first. Raises KeyError for what is no manifest."""
    found: dict[str, Any] = json.loads(document)
    return str(found["config"]["digest"]), [str(layer["digest"]) for layer in found["layers"]]
