"""Nodes in memory, for tests of what loads into them. The same contract suite runs on these and on real ones."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kfold.errors import KfoldError
from kfold.stores.engine_interface import EngineError
from kfold.stores.image_archive import MANIFEST
from kfold.stores.node_interface import (
    Contents,
    Entry,
    LoadRequest,
    Moved,
    Node,
    NodeError,
    NodeImage,
    NodeStopped,
    User,
    chains,
)


@dataclass
class _Held:
    """`configs`: manifest digest -> the image's ID and chain."""

    node: Node
    names: dict[str, Entry] = field(default_factory=dict)
    configs: dict[str, tuple[str, str]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    users: list[User] = field(default_factory=list)


class FakeNodes:
    """`fail`: method -> the error that its next calls raise. `cri`: images are named by their ID too."""

    platform = "linux/amd64"

    def __init__(self, *, cri: bool = True) -> None:
        self.fail: dict[str, KfoldError] = {}
        self.cri = cri
        self._held: dict[str, _Held] = {}
        self._images: dict[str, NodeImage] = {}
        self._mutex = threading.RLock()

    # what a test arranges

    def put_node(self, name: str, cluster: str, kind: str = "kind") -> Node:
        node = Node(name, hashlib.sha256(name.encode()).hexdigest(), kind, cluster, "running")
        self._held[node.id] = _Held(node)
        return node

    def put_image(self, image: NodeImage) -> None:
        """An image of the engine."""
        self._images[image.source] = image

    def put_user(self, id: str, user: User) -> None:
        self._held[id].users.append(user)

    def remove_user(self, id: str, user: User) -> None:
        self._held[id].users.remove(user)

    def stop(self, id: str, state: str = "exited") -> None:
        """Stop a node, or (`running`) start it again."""
        self._held[id].node = replace(self._held[id].node, state=state)

    def remove_node(self, id: str) -> None:
        del self._held[id]

    # the protocol

    def nodes(self, kind: str, cluster: str) -> list[Node]:
        self._may("nodes")
        return sorted(held.node for held in self._held.values() if (held.node.kind, held.node.cluster) == (kind, cluster))

    def node(self, id: str) -> Node | None:
        self._may("node")
        held = self._held.get(id)
        return held.node if held else None

    def look(self, id: str, manifests: Sequence[str] = (), *, blobs: bool = False) -> Contents:
        held = self._running("look", id)
        named = {entry.digest for name, entry in held.names.items() if name.startswith("sha256:")}
        configs = {digest: config for digest, (config, _) in held.configs.items() if digest in named or digest in manifests}
        snapshots = frozenset(chain for _, chain in held.configs.values())
        return Contents(dict(held.names), snapshots, self.platform, configs, {} if blobs else None)

    def users(self, id: str) -> list[User]:
        return list(self._running("users", id).users)

    def images(self, sources: Sequence[str]) -> list[NodeImage]:
        self._may("images")
        if missing := [source for source in sources if source not in self._images]:
            raise EngineError(f"the engine does not have an image that is to be loaded: {missing[0]}")
        return [self._images[source] for source in sources]

    def load(self, request: LoadRequest, stop: threading.Event) -> Moved:
        for id_, images in request.wanted.items():
            held = self._running("load", id_)
            for image in images:
                digest = f"sha256:{hashlib.sha256(image.id.encode()).hexdigest()}"
                held.configs[digest] = (image.id, chains(image.layers)[-1])
                for name in (image.name, *([image.id] if self.cri else [])):
                    held.names[name] = Entry(digest, MANIFEST)
                request.progress(image.size)
        sent = sum(image.size for images in request.wanted.values() for image in images)
        digests = {
            id_: {image.name: self._held[id_].names[image.name].digest for image in images}
            for id_, images in request.wanted.items()
        }
        return Moved(sent, "", digests)

    def remove(self, id: str, names: Sequence[str]) -> None:
        held = self._running("remove", id)
        for name in names:
            held.names.pop(name, None)
        self._collect(held)

    def keep(self, id: str, digest: str, kept: bool) -> None:
        held = self._running("keep", id)
        if kept:
            held.kept.add(digest)
        else:
            held.kept.discard(digest)
            self._collect(held)

    def point(self, id: str, name: str, entry: Entry) -> None:
        held = self._running("point", id)
        if entry.digest not in held.configs:
            raise NodeError(f"node {held.node.name}: {entry.digest}: not found")
        held.names[name] = entry
        if self.cri:
            held.names[held.configs[entry.digest][0]] = entry

    def end_load(self, id: str, mark: str) -> None:
        self._running("end_load", id)

    def _running(self, method: str, id: str) -> _Held:
        self._may(method)
        held = self._held.get(id)
        if held is None:
            raise NodeError(f"node {id[:12]} is gone")
        if held.node.state != "running":
            raise NodeStopped(f"node {held.node.name} does not run")
        return held

    def _may(self, method: str) -> None:
        if error := self.fail.get(method):
            raise error

    @staticmethod
    def _collect(held: _Held) -> None:
        """containerd's garbage collector."""
        needed: Iterable[str] = {entry.digest for entry in held.names.values()} | held.kept
        held.configs = {digest: config for digest, config in held.configs.items() if digest in needed}
