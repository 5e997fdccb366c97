"""Images into nodes: only the layers that a node lacks where the engine gives them singly, else whole images.

An engine gives single layers to a registry alone (`push_endpoint`). A layer that it has once pulled or pushed costs nothing
then; one that it only built is compressed first (27 s a GB), which is dearer than to move the whole image (`docker save`
into `ctr images import`, 19 s a GB, what kind does) when most of it is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kfold.errors import Interrupted, KfoldError
from kfold.stores import image_archive
from kfold.stores.image_archive import Blob
from kfold.stores.node_import import Import, copies
from kfold.stores.node_interface import Blob as NodeBlob
from kfold.stores.node_interface import Contents, LoadRequest, Moved, NodeError, NodeImage, chains
from kfold.stores.push_endpoint import Endpoint

if TYPE_CHECKING:
    from kfold.stores.nodes import ContainerNodes

CHUNK = 1 << 20
SMALL = 16_000_000
"""Bytes of layers that are always moved singly: compressing them takes less than half a second."""
SHARE = 0.6
"""Of an image's bytes; where more is missing, it is moved whole."""


@dataclass
class Pushed:
    """What an engine pushed of an image: its manifest and config, and each layer's digest at the endpoint, by uncompressed
    digest."""

    manifest: Blob
    config: Blob
    layers: dict[str, str] = field(default_factory=dict)


class Loading:
    """One load, of several images into several nodes."""

    def __init__(self, nodes: ContainerNodes, request: LoadRequest, stop: threading.Event) -> None:
        self._nodes = nodes
        self._request = request
        self._stop = stop
        self._images = {image.source: image for images in request.wanted.values() for image in images}

    def run(self) -> Moved:
        lacking = {
            image.source: [
                layer
                for id_, images in self._request.wanted.items()
                if image in images
                for layer in _lacks(self._request.contents[id_], image)
            ]
            for image in self._images.values()
        }
        whole = self._whole(lacking)
        with tempfile.TemporaryDirectory(prefix=f"kfold-load-{os.getpid()}-") as folder:
            if not whole:
                configs = [image.id for image in self._images.values()]
                layers = {layer for layers in lacking.values() for layer in layers}
                # what is small may be compressed once: then the engine knows it
                limit = None if self._total() <= SMALL else len(layers)
                with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
                    endpoint = stack.enter_context(Endpoint(Path(folder), configs, limit))
                    whole, pushed = self._push(endpoint, lacking, stack)
                    if not whole:
                        # what was lent is given back meanwhile
                        given_back = pool.submit(stack.close)
                        moved = self._layers(endpoint, pushed)
                        given_back.result()
                        return moved
        return self._save(whole)

    # which way

    def _whole(self, lacking: Mapping[str, Sequence[str]]) -> str:
        """Why the images are to be moved whole; "" where single layers are cheaper."""
        missing = sum(self._estimate(self._images[source], len(set(layers))) for source, layers in lacking.items())
        if missing <= max(SMALL, SHARE * self._total()) or self._keeps_compressed():
            return ""
        return "most of it is new to the node"

    def _total(self) -> int:
        return sum(image.size for image in self._images.values())

    def _estimate(self, image: NodeImage, missing: int) -> int:
        """About how many bytes so many of an image's uppermost layers have. (An image's history has no sum of layers.)"""
        if missing >= len(image.layers) or image.size <= SMALL:
            return image.size if missing else 0
        history = ("image", "history", "--human=false", "--format", "{{.Size}}", image.source)
        sizes = [int(line) for line in self._nodes.docker(*history).split() if line != "0"]
        return sum(sizes[:missing])

    def _keeps_compressed(self) -> bool:
        """Whether the engine has its images in containerd's store: compressed, as they came or as they go."""
        return "io.containerd.snapshotter" in self._nodes.docker("info", "--format", "{{json .DriverStatus}}")

    # single layers

    def _push(
        self, endpoint: Endpoint, lacking: Mapping[str, Sequence[str]], lent: ExitStack
    ) -> tuple[str, dict[str, Pushed]]:
        """Have the engine push what is lacking. Why it does not work, or what came. `lent` gives names back in the end."""
        with tempfile.TemporaryDirectory(prefix=f"kfold-docker-{os.getpid()}-") as folder:
            names = {source: endpoint.name(str(number)) for number, source in enumerate(self._images)}
            lent.enter_context(self._request.lend({names[source]: image.id for source, image in self._images.items()}))
            environment = {**self._nodes.environment, "DOCKER_CONFIG": without_logins(Path(folder))}
            for _ in range(3):
                problem = self._push_all(endpoint, list(names.values()), environment)
                if problem:
                    return problem, {}
                try:
                    pushed = {source: self._read(endpoint, str(number)) for number, source in enumerate(names)}
                except KeyError:
                    return "the engine has an index of several", {}
                configs = {one.config.digest for one in pushed.values()}
                absent = {one.layers.get(layer, "") for source, one in pushed.items() for layer in lacking[source]}
                absent -= endpoint.blobs.keys()
                if not absent and configs <= endpoint.blobs.keys():
                    return "", pushed
                # containerd's image store has another ID than the config's digest
                endpoint.configs |= configs
                # the engine took our word for a layer that it knows by digest, and which the node lacks all the same
                endpoint.absent |= absent
        return "the engine did not send all its layers", {}

    def _push_all(self, endpoint: Endpoint, names: Sequence[str], environment: Mapping[str, str]) -> str:
        children = [
            subprocess.Popen(
                ["docker", "push", "--quiet", name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
                text=True,
                start_new_session=True,
            )
            for name in names
        ]
        problem = ""
        try:
            for child in children:
                while child.poll() is None:
                    if self._stop.is_set():
                        raise Interrupted("stopped while images were loaded")
                    if endpoint.surplus.wait(0.005):
                        return "the engine does not know the digests of its layers yet"
        finally:
            for child in children:
                child.kill()
                assert child.stderr is not None
                with child.stderr:
                    said = child.stderr.read().strip()
                if child.wait() and said:
                    problem = f"the engine cannot push to this machine: {said.splitlines()[-1]}"
        return problem

    @staticmethod
    def _read(endpoint: Endpoint, tag: str) -> Pushed:
        manifest = Blob.of(endpoint.manifests[tag])
        digest, layers = image_archive.layer_digests(endpoint.manifests[tag])
        if digest not in endpoint.blobs:
            return Pushed(manifest, Blob(digest, 0))
        content = endpoint.path(digest).read_bytes()
        uncompressed = image_archive.uncompressed_layers(content)
        return Pushed(manifest, Blob.of(content), dict(zip(uncompressed, layers, strict=True)))

    def _layers(self, endpoint: Endpoint, pushed: Mapping[str, Pushed]) -> Moved:
        def archive(id: str) -> Iterable[bytes]:
            names: dict[str, tuple[Blob, str]] = {}
            blobs: list[Blob] = []
            for image in self._request.wanted[id]:
                one = pushed[image.source]
                there = self._request.contents[id].blobs or {}
                layers = [_layer(endpoint, there.get(layer), one.layers[layer]) for layer in image.layers]
                named, kind = image_archive.manifest(one.config, layers), image_archive.MANIFEST
                own = [one.layers[layer] for layer in image.layers] == [blob.digest for blob, _ in layers]
                if own and one.manifest.digest == image.id:
                    # containerd's image store: in the node, too, the image is to have the ID that the engine knows it by
                    named, kind = one.manifest, image_archive.media_type(one.manifest)
                names[image.name] = (named, kind)
                blobs += [one.config, named, *(blob for blob, _ in layers)]
            return image_archive.archive(names, blobs)

        return self._import({id_: archive(id_) for id_ in self._request.wanted}, "")

    # whole images

    def _save(self, why: str) -> Moved:
        """`docker save` of the images, once for all nodes that lack the same ones."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for id_, images in self._request.wanted.items():
            groups.setdefault(tuple(image.source for image in images), []).append(id_)
        sent = 0
        digests: dict[str, Mapping[str, str]] = {}
        for sources, ids in groups.items():
            with tempfile.TemporaryFile("w+") as errors:
                child = subprocess.Popen(
                    ["docker", "save", *sources],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **self._nodes.environment},
                    start_new_session=True,
                )
                assert child.stdout is not None
                try:
                    with child.stdout as stream:
                        moved = self._import(copies(lambda stream=stream: stream.read1(CHUNK), ids), why)  # type: ignore[misc]
                except NodeError:
                    child.kill()
                    child.wait()
                    errors.seek(0)
                    if said := errors.read().strip():
                        raise NodeError(f"the engine cannot give the images: {said.splitlines()[-1]}") from None
                    raise
                finally:
                    child.kill()
                    child.wait()
            sent += moved.sent
            digests |= moved.digests
        return Moved(sent, why, digests)

    def _import(self, archives: Mapping[str, Iterable[bytes]], whole: str) -> Moved:
        """All nodes side by side."""
        count = 0
        mutex = threading.Lock()

        def heard(size: int) -> None:
            nonlocal count
            with mutex:
                count += size
            self._request.progress(size)

        def one(id: str) -> Mapping[str, str] | KfoldError:
            names = [image.name for image in self._request.wanted[id]]
            try:
                found = Import(self._nodes, id, names, self._request.mark).run(archives[id], heard, self._stop)
            except KfoldError as error:
                return error
            return {name: entry.digest for name, entry in found.items() if name in names}

        with ThreadPoolExecutor(len(archives)) as pool:
            ended = dict(zip(archives, pool.map(one, archives), strict=True))
        failed = [error for error in ended.values() if isinstance(error, KfoldError)]
        for error in failed:
            if len(failed) == 1 or isinstance(error, Interrupted):
                raise error
        if failed:
            raise NodeError("\n".join(error.message for error in failed), hint=failed[0].hint)
        return Moved(count, whole, {id_: names for id_, names in ended.items() if not isinstance(names, KfoldError)})


def _lacks(contents: Contents, image: NodeImage) -> list[str]:
    """The layers that the archive must bring: neither unpacked on those below it, nor there as a blob."""
    unpacked = zip(image.layers, chains(image.layers), strict=True)
    blobs = contents.blobs or {}
    return [layer for layer, chain in unpacked if chain not in contents.snapshots and layer not in blobs]


def _layer(endpoint: Endpoint, there: NodeBlob | None, pushed: str) -> tuple[Blob, bool]:
    """A layer's blob for one node, and whether it is compressed: the one that it has, else the one that was sent.

    The node may have unpacked a layer and dropped its blob (kind's nodes do). It is then named by the digest that
    registries know it by, and is not needed.
    """
    if there:
        return Blob(there.digest, there.size), there.compressed
    if pushed in endpoint.blobs:
        return Blob(pushed, endpoint.blobs[pushed], endpoint.path(pushed)), True
    return Blob(pushed, 0), True


def without_logins(folder: Path) -> str:
    """A docker configuration folder like the user's, but without logins: for what needs none. (Some helpers take 3 s.)"""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    settings: dict[str, object] = {}
    with suppress(OSError, ValueError):
        settings = json.loads((own / "config.json").read_text())
    kept = {key: value for key, value in settings.items() if key in ("currentContext", "HttpHeaders")}
    (folder / "config.json").write_text(json.dumps(kept))
    for name in ("contexts", "ca.pem", "cert.pem", "key.pem"):
        if (own / name).exists():
            (folder / name).symlink_to(own / name)
    return str(folder)
