"""What the real builder copies out of a context, beside what kfold says it reads."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

import pytest

from kfold.plan.dockerfile import BaseImage
from kfold.stores.files import FileDigests, artifact_inputs
from tests.engine import docker

pytestmark = pytest.mark.engine

TREE = (
    *("a.txt", "b.md", "run.sh", "src/main.go", "src/main_test.go", "src/deep/x.go", "src/deep/er/y.md"),
    *("docs/index.md", "docs/img/logo.png", "node_modules/m/index.js", ".git/HEAD", "web/node_modules/n.js", "[x].txt"),
    *("only-ignored/a.pyc", "only-ignored/sub/b.pyc", "spa ce/f", "caf\u00e9/f"),
)

CASES = {
    "everything": ("COPY . /out/", ""),
    "directories, empty ones too": ("COPY src docs /out/", "docs/*\n"),
    "ignored by name": ("COPY . /out/", ".git\nnode_modules\n**/*.md\n"),
    "anywhere": ("COPY . /out/", "**/node_modules\n**/*.pyc\n"),
    "exceptions": ("COPY . /out/", "*\n!src\nsrc/deep\n!src/deep/er/y.md\n"),
    "exceptions of files": ("COPY . /out/", "**/*.md\n!docs/index.md\n!README*\n"),
    "directory taken back": ("COPY . /out/", "docs\n!docs/img\n"),
    "comments and spaces": ("COPY . /out/", "# src\n  docs/  \n\n/web\n./a.txt\n"),
    "classes": ("COPY . /out/", "[ab].*\nsrc/m[^b]in.go\n?un.sh\n"),
    "stars": ("COPY . /out/", "**/deep/**\ndocs/**\nw*\n"),
    "escaped": ("COPY . /out/", "\\[x].txt\n"),
    "dockerfile ignored": ("COPY . /out/", "Dockerfile\n.dockerignore\n"),
    "wildcards": ("COPY *.md *.txt /out/", ""),
    "wildcards of directories": ("COPY s*/d* src/*.go /out/", ""),
    "classes in a copy": ("COPY [a-b].* [[]x].txt /out/", ""),
    "json with a space": ('COPY ["spa ce", "/out/"]', ""),
    "file and its directory": ("COPY src/main.go src /out/", ""),
    "argument": ("ARG D=src\nCOPY $D/main.go ${E:-docs}/ /out/", ""),
    "slashes": ("COPY /src/ ./docs/img/ /out/", ""),
    "a link's target": ("COPY to-main to-docs /out/", ""),
    "links inside": ("COPY links /out/", ""),
    "a pattern twice": ("COPY . /out/", "docs\n!docs/index.md\ndocs\n"),
    "exceptions anywhere": ("COPY . /out/", "*\n!**/main.go\n!**/[xy].*\n"),
    "no extra matches": ("COPY src /out/", "src/deep\n!src/deep/er\n"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty" / "below").mkdir(parents=True)
    (folder / "to-main").symlink_to("src/main.go")
    (folder / "to-docs").symlink_to("docs")
    (folder / "links").mkdir()
    (folder / "links" / "up").symlink_to("../a.txt")
    (folder / "links" / "nowhere").symlink_to("nothing")
    return folder


@pytest.fixture
def image(engine: str) -> Iterator[str]:
    name = f"kfold-test-files:{uuid.uuid4().hex[:12]}"
    yield name
    docker("rmi", name, check=False)


def built(folder: Path, image: str) -> dict[str, tarfile.TarInfo]:
    """What the engine's own build has below /out: files and links by their path, and directories that hold nothing."""
    docker("build", "-q", "-t", image, str(folder))
    container = docker("create", image, "none").strip()
    try:
        done = subprocess.run(["docker", "export", container], capture_output=True, check=True, timeout=60)
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        members = {member.name.rstrip("/"): member for member in archive if member.name.startswith("out/")}
    parents = {str(parent) for name in members for parent in PurePosixPath(name).parents}
    found = {name: member for name, member in members.items() if name not in parents or not member.isdir()}
    found.pop("out", None)
    return {name.removeprefix("out/"): member for name, member in found.items()}


@pytest.mark.parametrize("instruction,ignore", CASES.values(), ids=CASES.keys())
def test_the_listing_is_what_the_engine_copies(
    instruction: str, ignore: str, tree: Path, image: str, tmp_path: Path
) -> None:
    (tree / "Dockerfile").write_text(f"FROM scratch\n{instruction}\n")
    (tree / ".dockerignore").write_text(ignore)
    with FileDigests(tmp_path / "files.db") as digests:
        inputs = artifact_inputs(tree, "Dockerfile", {}, "", digests, folder=tmp_path)
        listing = inputs.file_set.listing
    assert listing, "nothing to compare"
    members = built(tree, image)
    assert members, "the engine copied nothing"
    # The engine drops the path in front of what is copied, so names are compared from their ends.
    ours = sorted(_seen(listing, tree, inputs.sources.copies[0].patterns))
    assert ours == sorted(members)


def test_the_onbuild_and_variables_of_a_base_image(tree: Path, image: str, tmp_path: Path, engine: str) -> None:
    base = f"{image}-base"
    (tree / "Dockerfile").write_text("FROM scratch\nENV FILE=b.md\nONBUILD COPY a.txt /out/\n")
    (tree / ".dockerignore").write_text("")
    docker("build", "-q", "-t", base, str(tree))
    try:
        config = json.loads(docker("image", "inspect", base))[0]["Config"]
        assert config["OnBuild"], "the base image has no trigger"
        environment = dict(entry.split("=", 1) for entry in config["Env"])
        known = {base: BaseImage(environment, config["OnBuild"])}
        (tree / "Dockerfile").write_text(f"FROM {base}\nCOPY $FILE /out/\n")
        with FileDigests(tmp_path / "files.db") as digests:
            inputs = artifact_inputs(tree, "Dockerfile", {}, "", digests, folder=tmp_path, base_image=known.get)
        assert sorted(inputs.file_set.listing) == sorted(built(tree, image)) == ["a.txt", "b.md"]
        docker("rmi", image)
    finally:
        docker("rmi", base)


def _seen(listing: object, tree: Path, patterns: tuple[str, ...]) -> set[str]:
    """Our paths as they land in /out: a directory's content, or a file, or what a link that is named leads to."""
    seen: set[str] = set()
    assert isinstance(listing, dict)
    for pattern in patterns:
        for match in [tree] if pattern == "." else sorted(tree.glob(pattern)):
            if match.is_dir():
                real = os.path.realpath(match)
                top = os.path.relpath(real, tree)
                prefix = "" if top == "." else f"{top}/"
                seen |= {path.removeprefix(prefix) for path in listing if path.startswith(prefix)}
                seen.discard("")
            elif os.path.relpath(os.path.realpath(match), tree) in listing:
                seen.add(match.name)
    return seen
