"""A corner of a Docker Engine that others may use as well: all images that were made from one base image of our own.

Every image of a test begins with the base's file system layer, which no other image has. So what a build left without a
name and without a label is seen too, and what others do at the same time is not.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine import EngineState, ask_engine, docker, wait_until


@dataclass(frozen=True)
class Lab:
    """`base`: the name of the base image, `image` its ID, `layer` its layer, `token` a word that is in no name but ours."""

    base: str
    image: str
    layer: str
    token: str

    def state(self) -> EngineState:
        """What the engine holds of ours: images by ID (nameless and intermediate ones too), names, containers."""
        images, names = set(), set()
        for listed in ask_engine("/images/json", all="1"):
            image = ask_engine(f"/images/{listed['Id']}/json")
            if image is None:
                continue  # others' images come and go
            ours = [name for name in image["RepoTags"] or () if self.token in name]
            if ours or (image["RootFS"].get("Layers") or [""])[0] == self.layer:
                images.add(image["Id"])
                names |= {f"{name} = {image['Id']}" for name in image["RepoTags"] or ()}
        containers = {
            f"{container['Names'][0].removeprefix('/')} ({container['Id']})"
            for container in ask_engine("/containers/json", all="1")
            if container["ImageID"] in images
        }
        return EngineState(frozenset(containers), frozenset(images), frozenset(names))

    def names(self) -> dict[str, str]:
        """Name -> image ID."""
        return dict(line.split(" = ") for line in self.state().names)

    def container(self, image: str, *command: str, running: bool) -> str:
        """A container of an image: one that sleeps, or one that was created and never started. Returns its name."""
        name = f"{self.token}-{uuid.uuid4().hex[:8]}"
        verb = ["run", "-d", "--init"] if running else ["create"]
        docker(*verb, "--network", "none", "--name", name, image, *(command or ("sleep", "600")))
        return name

    def remove_container(self, name: str) -> None:
        """Ours, so by force."""
        docker("rm", "-f", name)

    def export(self, image: str) -> dict[str, tarfile.TarInfo]:
        """What an image has below /out, by path."""
        container = docker("create", image, "none").strip()
        try:
            done = subprocess.run(["docker", "export", container], capture_output=True, check=True, timeout=60)
        finally:
            docker("rm", container)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return {entry.name.removeprefix("out/").rstrip("/"): entry for entry in archive if entry.name.startswith("out/")}

    def text(self, image: str, path: str) -> str:
        """A file of an image."""
        return docker("run", "--rm", "--network", "none", image, "cat", path)

    def sweep(self, before: EngineState) -> None:
        """Remove what came since `before`: after a test that failed the next one must find a clean corner."""

        def swept() -> bool:
            now = self.state()
            for container in now.containers - before.containers:
                docker("rm", "-f", container.split()[0], check=False)  # the engine may be at it already
            for name in now.names - before.names:
                docker("rmi", name.split(" = ")[0], check=False)
            for image in self.state().images - before.images:
                docker("rmi", image, check=False)  # a parent goes after its children
            return self.state().images <= before.images

        wait_until(swept, "the engine to be swept", tell=lambda: str(before.difference(self.state())))


@contextmanager
def lab() -> Iterator[Lab]:
    """Make the base image, and remove it in the end; not by force: what still stands on it was left behind, and shows."""
    token = f"kfold-lab-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    base = f"{token}-base:1"
    subprocess.run(
        ["docker", "import", "--change", "ENV PATH=/bin", "--change", 'CMD ["sh"]', "-", base],
        input=_root(token),
        check=True,
        capture_output=True,
        timeout=60,
    )
    (inspected,) = json.loads(docker("image", "inspect", base))
    made = Lab(base, inspected["Id"], inspected["RootFS"]["Layers"][0], token)
    assert made.state().images == {made.image}, "the base image is not seen"
    try:
        yield made
    finally:
        docker("rmi", base)
        left = made.state()
        assert left == EngineState(), left


def _root(token: str) -> bytes:
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    programs = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(name: str, mode: int, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))

        add("bin/busybox", 0o755, busybox.read_bytes())
        add("token", 0o644, token.encode())
        for program in sorted(set(programs) - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{program}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()


def require_builder(name: str) -> None:
    """Skip where there is no buildx for `buildkit`."""
    if name == "buildkit":
        done = subprocess.run(["docker", "buildx", "version"], capture_output=True, timeout=30)
        if done.returncode:
            pytest.skip("docker's buildx plug-in is not installed")
