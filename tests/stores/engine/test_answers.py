"""containerd's image store (the default since Docker 29): its answers, recorded from Docker Engine 28.5.2 and buildx 0.29.

There an image's ID is the digest of its manifest, not of its config, and every name has a `RepoDigest`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfold.stores.engine import DockerEngine, _told_ids
from kfold.stores.engine_answers import image_of, names_of

MANIFEST = "sha256:3a74e7666d5f091302e87895c5a169b757016ff48f8e078b8540bbbaa5e81725"
CONFIG = "sha256:a63ac9e91a6347f7a4ad079ebec3ed2878f4915d15b6294aff7b351440f92e65"
BASE = "sha256:06bb0359bcaf59f9bcf260a8f3c653da5fe9780de97aeda547d69732e61a25d8"
PULLED = "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1"
DESCRIPTOR = {
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "digest": MANIFEST,
    "size": 695,
    "annotations": {"config.digest": CONFIG},
}
LISTED = [
    {
        "Containers": 0, "Created": 1795333046, "Id": MANIFEST, "Labels": {"a": "b"}, "ParentId": "", "RepoDigests": [],
        "RepoTags": [], "Descriptor": DESCRIPTOR, "SharedSize": -1, "Size": 3100349,
    },
    {
        "Containers": 0, "Created": 1795333044, "Id": BASE, "Labels": None, "ParentId": "",
        "RepoDigests": [f"rec-other@{BASE}"], "RepoTags": ["rec-base:1", "rec-other:1"], "SharedSize": -1, "Size": 3091434,
    },
]  # fmt: skip
INSPECTED = {
    "Id": MANIFEST,
    "RepoTags": ["web:1", f"web:{MANIFEST[7:]}"],
    "RepoDigests": [f"web@{MANIFEST}"],
    "Parent": "",
    "Comment": "buildkit.dockerfile.v0",
    "Created": "2026-11-22T07:37:26.164835384Z",
    "Architecture": "amd64",
    "Os": "linux",
    "Size": 1085117,
    "GraphDriver": {"Data": None, "Name": "overlayfs"},
    "RootFS": {"Type": "layers", "Layers": ["sha256:a1", "sha256:43"]},
    "Descriptor": DESCRIPTOR,
    "Config": {"Cmd": ["sh"], "Labels": {"a": "b"}, "OnBuild": None},
}


def test_what_was_only_built_is_not_taken_for_pulled() -> None:
    """Its ID must be an input of what is made from it: its name says nothing about what it is."""
    names = names_of(LISTED)
    assert names.ids == {"rec-base:1": BASE, "rec-other:1": BASE}
    assert names.pulled == frozenset() and names.unnamed == {MANIFEST} and names.has(MANIFEST)
    classic = {"Id": CONFIG, "RepoTags": ["web:1", "own:1"], "RepoDigests": [f"web@{PULLED}"]}
    assert names_of([classic]).pulled == {"web:1"}


def test_an_image_is_known_by_its_manifests_digest() -> None:
    image = image_of(INSPECTED)
    assert (image.id, image.pulled, image.platform, image.layers) == (MANIFEST, False, "linux/amd64", 2)
    assert image.names == ("web:1", f"web:{MANIFEST[7:]}")


def test_what_buildx_says_that_it_made(tmp_path: Path) -> None:
    """`--iidfile` names the config, by which that store knows no image; the metadata names the manifest."""
    told, metadata = tmp_path / "image-id", tmp_path / "metadata"
    told.write_text(CONFIG)
    assert _told_ids(told, metadata) == [CONFIG], "the legacy builder writes no metadata"
    metadata.write_text(json.dumps({"containerimage.config.digest": CONFIG, "containerimage.digest": MANIFEST}))
    assert _told_ids(told, metadata) == [CONFIG, MANIFEST]


CLIENT = """\
#!/bin/sh
case "$*" in
    *dangling=true*--quiet*|*--quiet*dangling=true*) echo {manifest};;
    *dangling=true*) printf '<none>:<none>\\t{manifest}\\t<none>\\n';;
    *--quiet*) echo {base};;
    "image ls"*) printf 'rec-base:1\\t{base}\\t{base}\\npulled:1\\t{config}\\t{pulled}\\n';;
    "image inspect"*) cat {inspected};;
    *) echo "the double knows no docker $*" >&2; exit 1;;
esac
"""
"""Docker's client since version 29: `image ls` leaves out what has no name."""


def test_a_client_that_lists_names_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine has no socket here (minikube's), the client is asked."""
    client = tmp_path / "docker"
    inspected = tmp_path / "inspected.json"
    inspected.write_text(json.dumps([INSPECTED, {**INSPECTED, "Id": BASE, "RepoTags": ["rec-base:1"]}]))
    client.write_text(CLIENT.format(manifest=MANIFEST, base=BASE, config=CONFIG, pulled=PULLED, inspected=inspected))
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    engine = DockerEngine({"DOCKER_HOST": "tcp://127.0.0.1:9"})
    names = engine.names()
    assert names.ids == {"rec-base:1": BASE, "pulled:1": CONFIG}
    assert names.pulled == {"pulled:1"} and names.unnamed == {MANIFEST}
    assert {image.id for image in engine.labelled({"a": "b"})} == {MANIFEST, BASE}
