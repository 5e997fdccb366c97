"""The fake registry and the fake nodes beside the fake engine, kept in files: they survive the process that is killed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kfold.plan.reference import parse, split_tag
from kfold.stores.engine_interface import EngineError, PushFailed
from kfold.stores.fake_engine import FakeEngine
from kfold.stores.fake_nodes import FakeNodes
from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.node_interface import LoadRequest, Moved, NodeError, NodeImage
from kfold.stores.registry_interface import DOCKER_MANIFEST, Manifest, RegistryError

HOST = "registry.test:5000"
CLUSTER = "lab"


class Kept:
    """A fake whose fields (`kept`) are read from a file before each call and written to it after it, under a lock."""

    def __init__(self, path: Path, make: Callable[[], Any], kept: Sequence[str]) -> None:
        self._path, self._make, self._kept = path, make, kept

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._make(), name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            with self._path.with_name(f"{self._path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                fake = self._make()
                if self._path.exists():
                    vars(fake).update(pickle.loads(self._path.read_bytes()))
                try:
                    return getattr(fake, name)(*arguments, **options)
                finally:
                    draft = self._path.with_name(f"{self._path.name}.new")
                    draft.write_bytes(pickle.dumps({field: vars(fake)[field] for field in self._kept}))
                    draft.replace(self._path)

        return call


class _Registry(FakeRegistry):
    """One that an engine pushes to."""

    def receive(self, repository: str, tag: str, image: str) -> str:
        """What an engine puts there: config and manifest in one call. Returns the digest."""
        if any(method == "receive" for method, _ in self._failures):
            self._failures = []
            raise RegistryError("it is told to fail")
        self._blobs.setdefault(repository, {})[image] = b"{}"
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": image, "size": 2}
        data = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": []}
        manifest = Manifest(DOCKER_MANIFEST, json.dumps(data).encode())
        self.put(repository, tag, manifest)
        return manifest.digest

    def will_fail(self, method: str) -> None:
        """The next call of `method`; none where that is ""."""
        self._failures = [(method, RegistryError("it is told to fail", code=500))] if method else []

    def snapshot(self) -> Any:
        """Tags and manifests; what they are made of is the garbage collector's."""
        tags = {f"{path}:{tag}": digest for path, tags in self._tags.items() for tag, digest in tags.items()}
        return {"tags": tags, "manifests": sorted(f"{path}@{one}" for path, all_ in self._manifests.items() for one in all_)}


class _Nodes(FakeNodes):
    """One node, which is fed from the engine."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__()
        self._engine = engine
        self.put_node(f"{CLUSTER}-control-plane", CLUSTER)

    def images(self, sources: Sequence[str]) -> list[NodeImage]:
        found = []
        for source in sources:
            image = self._engine.image(source)
            if image is None:
                raise EngineError(f"the engine does not have an image that is to be loaded: {source}")
            layer = f"sha256:{hashlib.sha256(image.id.encode()).hexdigest()}"
            found.append(NodeImage(str(parse(source)), source, image.id, (layer,), image.size, image.platform))
        return found

    def load(self, request: LoadRequest, stop: threading.Event) -> Moved:
        """By names that are lent for it, as a real engine needs them."""
        images = dict.fromkeys(image.id for images in request.wanted.values() for image in images)
        names = {f"127.0.0.1:1/lent:{number}": image for number, image in enumerate(images)}
        with ExitStack() as stack:
            stack.enter_context(request.lend(names))
            return super().load(request, stop)

    def will_fail(self, method: str) -> None:
        """All calls of `method`; none where that is ""."""
        self.fail = {method: NodeError("it is told to fail")} if method else {}

    def snapshot(self) -> Any:
        return [{"names": held.names, "configs": held.configs, "kept": held.kept} for held in self._held.values()]


class PushingEngine(FakeEngine):
    """A fake engine that pushes to the fake registry beside it."""

    def push(
        self, name: str, on_line: Callable[[str], None], stop: threading.Event, environment: Mapping[str, str]
    ) -> str:
        repository, tag = split_tag(name)
        image = self.image(name)
        if image is None:
            raise PushFailed(f"the engine could not push {name}: it is not there")
        try:
            return str(registry(self.path.parent).receive(repository.partition("/")[2], tag, image.id))
        except RegistryError as error:
            raise PushFailed(f"the engine could not push {name}", output=(error.message,)) from error


def registry(folder: Path) -> Kept:
    return Kept(folder / "registry", lambda: _Registry(HOST), ("_manifests", "_tags", "_blobs", "_failures"))


def nodes(folder: Path, engine: FakeEngine) -> Kept:
    return Kept(folder / "nodes", lambda: _Nodes(engine), ("_held", "fail"))
