"""What kfold asks of a cluster's nodes that are containers of an engine: the protocol, its values and errors. No I/O."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from kfold.errors import StoreError


class NodeError(StoreError):
    """A node refused, failed, or does not answer. Says which one."""


class NodeStopped(NodeError):
    """The node's container is there and does not run, or its containerd does not: what it holds cannot be told."""


@dataclass(frozen=True, order=True)
class Node:
    """A node of a cluster, as a container. `id`: the container's. `name`: the container's and the Node object's.

    `kind`: "kind" or "k3d"; `cluster`: the name that kind or k3d gave it. `state`: the container's (docker: running, exited,
    paused, …).
    """

    name: str
    id: str
    kind: str
    cluster: str
    state: str


@dataclass(frozen=True)
class Entry:
    """What a name in a node's containerd points at: a manifest (or an index), by digest and media type."""

    digest: str
    media_type: str


@dataclass(frozen=True)
class User:
    """A container in a node: `image` is the name that it was made from; `running`: it has a process."""

    id: str
    image: str
    running: bool


@dataclass(frozen=True)
class Blob:
    """A layer as a node has it: the digest and size of the blob, and whether it is compressed."""

    digest: str
    size: int
    compressed: bool


@dataclass(frozen=True)
class Contents:
    """What a node holds at one moment, in containerd's namespace `k8s.io`.

    `names`: every name of an image. `snapshots`: the chain IDs of what is unpacked. `platform`: `linux/amd64`.
    `configs`: manifest digest -> config digest (the image ID), for those manifests of which it is known. `blobs`: a layer's
    uncompressed digest -> its blob, None where that was not asked.
    """

    names: Mapping[str, Entry]
    snapshots: frozenset[str]
    platform: str
    configs: Mapping[str, str] = field(default_factory=dict)
    blobs: Mapping[str, Blob] | None = None

    def has(self, image: NodeImage) -> bool:
        """Whether the name is there, points at this very image, and the image is unpacked: what a Pod needs to start."""
        entry = self.names.get(image.name)
        return entry is not None and image.chain in self.snapshots and self.is_of(entry, image.id)

    def is_of(self, entry: Entry, image: str) -> bool:
        """Whether a name points at the image that an engine knows by that ID: its config's digest, or its manifest's."""
        return image in (entry.digest, self.configs.get(entry.digest)) or self.names.get(image) == entry


@dataclass(frozen=True)
class NodeImage:
    """An image of the engine that nodes are to have. `name`: as containerd names it (`docker.io/library/web:1`).

    `source`: its name in the engine. `id`: the engine's, `sha256:…` of its config or manifest. `layers`: the digests of its
    uncompressed layers, the lowest first. `size`: bytes in the engine. `platform`: `linux/amd64`.
    """

    name: str
    source: str
    id: str
    layers: tuple[str, ...]
    size: int
    platform: str

    @property
    def chain(self) -> str:
        """The snapshot of all its layers."""
        return chains(self.layers)[-1] if self.layers else ""


def chains(layers: Sequence[str]) -> list[str]:
    """The chain ID after each layer: what containerd names the snapshot of it and all below (OCI image spec, ChainID).

    >>> chains(["sha256:a"])
    ['sha256:a']
    """
    found: list[str] = []
    for layer in layers:
        whole = hashlib.sha256(f"{found[-1]} {layer}".encode()).hexdigest() if found else ""
        found.append(f"sha256:{whole}" if found else layer)
    return found


@dataclass(frozen=True)
class Moved:
    """How a load went. `sent`: bytes that went into the nodes, all together. `whole`: why whole images were moved, and not
    only the layers that a node lacked; "" where it was those. `digests`: node ID -> name -> what it points at now.
    """

    sent: int
    whole: str
    digests: Mapping[str, Mapping[str, str]]


Progress = Callable[[int], None]
"""Hears how many bytes more went into a node; from any thread."""

Lend = Callable[[Mapping[str, str]], AbstractContextManager[None]]
"""Gives images of the engine names (name -> image ID) for as long as it is entered. The engine pushes by name only."""


@dataclass(frozen=True)
class LoadRequest:
    """`wanted`: the container of a node -> the images for it. `contents`: what each of these nodes holds (with `blobs`).
    `mark` (hexadecimal) is in the environment of all that is started in a node for this load, for `end_load`."""

    wanted: Mapping[str, Sequence[NodeImage]]
    contents: Mapping[str, Contents]
    mark: str
    lend: Lend
    progress: Progress


class Nodes(Protocol):
    """The nodes that are containers of one engine. All methods may be called from several threads; all raise NodeError."""

    def nodes(self, kind: str, cluster: str) -> list[Node]:
        """The nodes of a cluster that run Pods, by name, whatever their state. Load balancers and registries are none."""
        ...

    def node(self, id: str) -> Node | None:
        """A node by its container, or None where that is gone."""
        ...

    def look(self, id: str, manifests: Sequence[str] = (), *, blobs: bool = False) -> Contents:
        """What the node of this container holds, by one question. `manifests`: digests whose config is to be learned where
        containerd's names do not tell it. `blobs`: those too."""
        ...

    def users(self, id: str) -> list[User]:
        """The containers in the node."""
        ...

    def images(self, sources: Sequence[str]) -> list[NodeImage]:
        """These images of the engine, by name there. Raises EngineError where one is not there."""
        ...

    def load(self, request: LoadRequest, stop: threading.Event) -> Moved:
        """Bring to each node the images that it lacks, all nodes side by side. Raises NodeError naming each that failed."""
        ...

    def remove(self, id: str, names: Sequence[str]) -> None:
        """Take names away; what no name needs any more goes too. One that is not there is no error."""
        ...

    def keep(self, id: str, digest: str, kept: bool) -> None:
        """Hold what a manifest names against containerd's garbage collector, or let it go again."""
        ...

    def point(self, id: str, name: str, entry: Entry) -> None:
        """Point a name at a manifest that the node has."""
        ...

    def end_load(self, id: str, mark: str) -> None:
        """Wait until what a killed process's load with this mark still does in the node has ended; see that it does."""
        ...
