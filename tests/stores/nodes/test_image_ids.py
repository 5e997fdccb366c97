"""What is loaded from containerd's image store: the engine knows an image by its manifest's digest, a node's CRI by its
config's."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
import threading
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kfold.ledger import Effect, Record
from kfold.stores.image_archive import CONFIG, LAYER, NAME
from kfold.stores.node_interface import Blob, Contents, Entry, LoadRequest, Moved, NodeImage, chains
from kfold.stores.node_loading import Loading
from kfold.stores.nodes import ContainerNodes
from kfold.stores.push_endpoint import Endpoint
from kfold.verbs import load

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


LAYERS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
CONTENT = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": LAYERS}}).encode()
SENT = (b"base, compressed", b"changed, compressed")
DOCUMENT = json.dumps({
    "schemaVersion": 2, "mediaType": DOCKER,
    "config": {"mediaType": CONFIG, "digest": digest(CONTENT), "size": len(CONTENT)},
    "layers": [{"mediaType": f"{LAYER}+gzip", "digest": digest(one), "size": len(one)} for one in SENT],
}).encode()  # fmt: skip
IMAGE = NodeImage("docker.io/library/web:1", "web:1", digest(DOCUMENT), LAYERS, 1000, "linux/amd64")
THERE = Entry(IMAGE.id, DOCKER)


def holding(names: Mapping[str, Entry], **more: Any) -> Contents:
    configs = {entry.digest: name for name, entry in names.items() if name.startswith("sha256:")}
    return Contents(names, frozenset(chains(LAYERS)), "linux/amd64", configs, **more)


def test_an_image_is_there_under_its_manifests_digest() -> None:
    assert holding({IMAGE.name: THERE}).has(IMAGE)
    assert holding({IMAGE.name: THERE, digest(CONTENT): THERE}).has(IMAGE)
    other = Entry("sha256:" + "c" * 64, DOCKER)
    assert not holding({IMAGE.name: other, digest(CONTENT): THERE}).has(IMAGE), "the name points at another image"
    # what `docker save` gave of an image with an attestation: an index, and its digest is the engine's ID
    index = Entry("sha256:" + "d" * 64, INDEX)
    whole = NodeImage(IMAGE.name, IMAGE.source, index.digest, LAYERS, 1000, "linux/amd64")
    assert holding({IMAGE.name: index, digest(CONTENT): index}).has(whole)


@pytest.mark.parametrize("theirs", [False, True])
def test_the_names_that_the_cri_made_go_too(theirs: bool) -> None:
    """It names an image by its config, of which the engine's ID says nothing."""
    names = {IMAGE.name: THERE, digest(CONTENT): THERE, f"docker.io/library/web@{IMAGE.id}": THERE}
    if theirs:
        names["docker.io/library/theirs:1"] = THERE
    effect = Effect("node", "name", "e/c", IMAGE.name, "shop", details={"image": IMAGE.id, "derived": True})
    record = Record(1, effect, "done", IMAGE.id, 0, 0)
    going = load._going(record, IMAGE.id, holding(names))
    assert going == ([IMAGE.name] if theirs else list(names))
    assert load._ours(Record(1, effect, "intended", "", 0, 0), THERE, holding(names))


def test_who_tries_tls_first_is_answered_in_http() -> None:
    """Go tells by the first five bytes, and the engine then speaks HTTP."""
    with Endpoint(None) as endpoint:
        for last in (b"x", b"\n"):
            with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as client:
                client.sendall(b"\x16\x03\x01\x02\x00\x01" + last)
                assert client.recv(5) == b"HTTP/"
        answer = urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/v2/", timeout=10)
        assert answer.status == 200


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    """It was pushed to."""
    made = Endpoint(tmp_path, [IMAGE.id], 1)
    assert made.asked(digest(CONTENT)), "nobody knows yet that this is a config"
    made.configs.add(digest(CONTENT))
    assert not made.asked(digest(CONTENT)), "and then it is to be sent"
    for _ in range(2):
        made.begin()
    assert not made.surplus.is_set(), "the config is one upload more than the layer"
    for content in (CONTENT, SENT[1]):
        made.path(digest(content)).write_bytes(content)
        made.blobs[digest(content)] = len(content)
    made.manifests["0"] = DOCUMENT
    made._server.server_close()
    return made


@pytest.mark.parametrize("blob", [None, Blob(digest(SENT[0]), len(SENT[0]), True), Blob(LAYERS[0], 1000, False)])
def test_in_a_node_it_keeps_its_id(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, blob: Blob | None) -> None:
    """Unless the node has a layer in another form: then the manifest has to name that."""
    contents = holding({}, blobs={LAYERS[0]: blob} if blob else {})
    request = LoadRequest({"node": [IMAGE]}, {"node": contents}, "", lambda names: None, lambda size: None)  # type: ignore[arg-type,return-value]
    loading = Loading(ContainerNodes({}), request, threading.Event())
    archives: dict[str, bytes] = {}

    def take(given: Mapping[str, Iterable[bytes]], whole: str) -> Moved:
        archives.update({id_: b"".join(parts) for id_, parts in given.items()})
        return Moved(0, whole, {})

    monkeypatch.setattr(loading, "_import", take)
    loading._layers(endpoint, {IMAGE.source: loading._read(endpoint, "0")})
    with tarfile.open(fileobj=io.BytesIO(archives["node"])) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    (named,) = json.loads(files["index.json"])["manifests"]
    assert named["annotations"] == {NAME: IMAGE.name}
    document = json.loads(files[f"blobs/sha256/{named['digest'][7:]}"])
    assert document["config"]["digest"] == digest(CONTENT)
    if blob is not None and not blob.compressed:
        assert named["digest"] != IMAGE.id and document["layers"][0]["digest"] == LAYERS[0]
    else:
        assert (named["digest"], named["mediaType"]) == (IMAGE.id, DOCKER)
