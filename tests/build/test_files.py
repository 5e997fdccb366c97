"""The digest of what a build reads, on real files: what changes it, what does not, and what is refused."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kfold.errors import ConfigError, KfoldError, Position, StoreError
from kfold.stores.files import ArtifactInputs, FileDigests, artifact_inputs

Read = Callable[..., ArtifactInputs]


@pytest.fixture
def digests(tmp_path: Path) -> Iterator[FileDigests]:
    with FileDigests(tmp_path / "state" / "files.db") as opened:
        yield opened


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context with a bit of everything; its Dockerfile copies all of it."""
    folder = tmp_path / "context"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "empty").mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / "README.md").write_text("read me\n")
    (folder / "src" / "main.go").write_text("package main\n")
    (folder / "src" / "deep" / "data").write_bytes(b"\0\xff" * 1000)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/main.go")
    return folder


@pytest.fixture
def read(context: Path, digests: FileDigests) -> Read:
    def inputs(folder: Path = context, dockerfile: str = "Dockerfile", target: str = "", **options: bool) -> ArtifactInputs:
        return artifact_inputs(folder, dockerfile, {}, target, digests, folder=context.parent, **options)

    return inputs


def age(folder: Path, seconds: int = 60) -> None:
    """Makes all files of `folder` look older. Their ctime stays: no program can set it."""
    moment = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment), follow_symlinks=False)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def test_the_listing_names_everything_that_is_copied(read: Read) -> None:
    found = read().file_set
    assert set(found.listing) == {
        *("Dockerfile", "README.md", "link", "run.sh"),
        *("src/deep/data", "src/empty", "src/main.go"),
    }
    assert found.listing["link"] == "-> src/main.go"
    assert found.listing["src/empty"] == "directory"
    # One more than listed: the Dockerfile counts by itself, and as a copied file.
    assert (found.files, len(found.digest)) == (8, 64)
    assert found.bytes > 2000


def test_touch_umask_and_order_change_nothing(read: Read, context: Path, tmp_path: Path) -> None:
    digest = read().file_set.digest
    for path in context.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o077)
            path.touch()
    assert read().file_set.digest == digest
    other = tmp_path / "elsewhere" / "copy"
    shutil.copytree(context, other, symlinks=True)
    assert read(other).file_set.digest == digest


def test_a_fresh_clone_has_the_same_digest(read: Read, context: Path, tmp_path: Path) -> None:
    (context / "src" / "empty").rmdir()
    (context / ".dockerignore").write_text(".git\n")
    git(context, "init", "-q")
    git(context, "add", ".")
    git(context, "commit", "-qm", "all")
    old = os.umask(0o077)
    try:
        git(tmp_path, "clone", "-q", str(context), "clone")
    finally:
        os.umask(old)
    assert (tmp_path / "clone" / "README.md").stat().st_mode != (context / "README.md").stat().st_mode
    assert read(tmp_path / "clone").file_set.digest == read().file_set.digest


CHANGES: dict[str, Callable[[Path], object]] = {
    "content of the same size": lambda folder: (folder / "src/main.go").write_text("package niam\n"),
    "new file": lambda folder: (folder / "new").touch(),
    "file gone": lambda folder: (folder / "README.md").unlink(),
    "renamed": lambda folder: (folder / "README.md").rename(folder / "README"),
    "moved": lambda folder: (folder / "README.md").rename(folder / "src" / "README.md"),
    "executable": lambda folder: (folder / "README.md").chmod(0o744),
    "no longer executable": lambda folder: (folder / "run.sh").chmod(0o644),
    "setuid": lambda folder: (folder / "run.sh").chmod(0o4755),
    "link leads elsewhere": lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("src/deep")),
    "link became a file": lambda folder: ((folder / "link").unlink(), (folder / "link").write_text("src/main.go")),
    "empty directory": lambda folder: (folder / "src" / "empty2").mkdir(),
    "empty directory gone": lambda folder: (folder / "src" / "empty").rmdir(),
    "empty directory became a file": lambda folder: ((folder / "src/empty").rmdir(), (folder / "src/empty").touch()),
    "Dockerfile": lambda folder: (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /x\n"),
    "ignore file": lambda folder: (folder / ".dockerignore").write_text("README.md\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("remembered", [False, True], ids=["new", "remembered"])
def test_what_an_image_would_show_changes_the_digest(
    change: Callable[[Path], object], remembered: bool, read: Read, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if remembered:
        monkeypatch.setattr("kfold.stores.files.RACY_NS", -(10**18))
    before = read().file_set.digest
    assert read().file_set.digest == before
    change(context)
    assert read().file_set.digest != before


def test_what_is_not_copied_does_not_count(read: Read, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch AS a\nCOPY README.md /\nFROM scratch\nCOPY src/*.go run.sh /\n")
    digest = read().file_set.digest
    assert set(read().file_set.listing) == {"src/main.go", "run.sh"}
    (context / "README.md").write_text("other")
    (context / "src" / "deep" / "data").unlink()
    assert read().file_set.digest == digest
    (context / "src" / "more.go").touch()
    assert read().file_set.digest != digest
    assert set(read(all_stages=True).file_set.listing) == {"README.md", "src/main.go", "src/more.go", "run.sh"}
    assert set(read(target="a").file_set.listing) == {"README.md"}


def test_the_dockerfile_counts_even_if_ignored_and_wherever_it_is(read: Read, context: Path, tmp_path: Path) -> None:
    (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    before = read().file_set
    assert "Dockerfile" not in before.listing and ".dockerignore" not in before.listing
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /x\n")
    assert read().file_set.digest != before.digest
    (tmp_path / "outside.Dockerfile").write_text("FROM scratch\nCOPY README.md /\n")
    found = read(dockerfile="outside.Dockerfile")
    assert found.dockerfile_path == tmp_path / "outside.Dockerfile"
    assert set(found.file_set.listing) == {"README.md"}


def test_the_ignore_file_of_the_dockerfile_beats_that_of_the_context(read: Read, context: Path) -> None:
    (context / ".dockerignore").write_text("src\n")
    assert "src/main.go" not in read().file_set.listing
    (context / "Dockerfile.dockerignore").write_text("README.md\n")
    listing = read().file_set.listing
    assert "src/main.go" in listing and "README.md" not in listing


def test_exceptions_are_found_below_ignored_directories(read: Read, context: Path) -> None:
    (context / ".dockerignore").write_text("*\n!src/deep/data\n!**/main.go\n")
    assert set(read().file_set.listing) == {"src/deep/data", "src/main.go"}
    (context / ".dockerignore").write_text("*\n!**/main.go\n")
    assert set(read().file_set.listing) == {"src/main.go"}
    # A kept directory whose files are all ignored is an empty directory of the image.
    (context / ".dockerignore").write_text("**/data\nDockerfile*\n.dockerignore\nREADME.md\nrun.sh\nlink\n")
    assert read().file_set.listing == {
        "src/deep": "directory",
        "src/empty": "directory",
        "src/main.go": read().file_set.listing["src/main.go"],
    }


def test_excludes_of_an_instruction(read: Read, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY --exclude=deep --exclude=*.md src /\nCOPY README.md /\n")
    assert set(read().file_set.listing) == {"src/main.go", "src/empty", "README.md"}


def test_a_link_that_a_copy_names_is_followed_inside_the_context(read: Read, context: Path) -> None:
    (context / "current").symlink_to("/src")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY current/deep link /\n")
    before = read().file_set
    assert {"src/deep/data", "src/main.go", "link", "current"} <= set(before.listing)
    (context / "src" / "main.go").write_text("other")
    assert read().file_set.digest != before.digest
    (context / "away").symlink_to("../../../../etc/hostname")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY away /\n")
    with pytest.raises(ConfigError, match=r"\[away\] must match"):
        read()


def test_what_to_watch(read: Read, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY src/*/data README.md /\n")
    assert set(read().file_set.watch) == {context / "src", context / "README.md", context / "Dockerfile"}
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . src /\n")
    assert set(read().file_set.watch) == {context, context / "Dockerfile"}


def message(read: Callable[[], object]) -> KfoldError:
    with pytest.raises(KfoldError) as caught:
        read()
    assert "\n" in str(caught.value), "an error says what to do next"
    return caught.value


@pytest.mark.parametrize(
    "pattern", ["nope", "nope*", "src/nope README.md", "src/*/*/nope", "README.md/x", "[a", "src/empty/*"]
)
def test_a_copy_of_nothing_is_refused_with_its_line(pattern: str, read: Read, context: Path) -> None:
    (context / "Dockerfile").write_text(f"FROM scratch\n\nCOPY {pattern} /\n")
    with pytest.raises(ConfigError) as caught:
        read()
    assert caught.value.where == Position(str(context / "Dockerfile"), 3)
    if pattern != "[a":
        wanted = pattern.split()[0]
        assert caught.value.message == f"file pattern [{wanted}] must match at least one file"


def test_a_copy_of_what_is_ignored_says_so(read: Read, context: Path) -> None:
    (context / ".dockerignore").write_text("README.md\n")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY README.md /\n")
    assert ".dockerignore" in message(read).hint


def test_missing_context_and_dockerfile(context: Path, tmp_path: Path, digests: FileDigests) -> None:
    where = Position("kfold.yaml", 7, 3)

    def read(folder: Path, dockerfile: str = "Dockerfile") -> object:
        return artifact_inputs(folder, dockerfile, {}, "", digests, folder=tmp_path, where=where)

    assert message(lambda: read(tmp_path / "no")).message.endswith("does not exist")
    assert message(lambda: read(context / "README.md")).message.endswith("is not a directory")
    missing = message(lambda: read(context, "Other"))
    assert "'Other'" in missing.message and missing.where == where
    assert "'src'" in message(lambda: read(context, "src")).message


def test_a_loop_of_links(read: Read, context: Path) -> None:
    (context / "a").symlink_to("b")
    (context / "b").symlink_to("a")
    (context / "self").symlink_to(".")
    # Inside of what is copied a loop is just two links.
    assert {"a", "b", "self"} <= set(read().file_set.listing)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    with pytest.raises(ConfigError, match="loop of symbolic links"):
        read()


def test_sockets_are_left_out_and_pipes_are_not_read(read: Read, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read().file_set.digest
    monkeypatch.chdir(context)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("server.sock")
        assert read().file_set.digest == before
    os.mkfifo(context / "pipe")
    found = read().file_set
    assert found.digest != before
    assert found.listing["pipe"].startswith("special")


def test_names_that_are_no_text(read: Read, context: Path) -> None:
    before = read().file_set.digest
    name = os.fsdecode(b"caf\xe9\n")
    (context / name).write_text("x")
    found = read().file_set
    assert found.digest != before
    assert name in found.listing
    # Again, with the hashes remembered under such a name.
    assert read().file_set.digest == found.digest


UNREADABLE = """
import os, sys
from pathlib import Path
from kfold.errors import KfoldError
from kfold.stores.files import FileDigests, artifact_inputs
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
with FileDigests(Path(sys.argv[1])) as digests:
    for dockerfile in sys.argv[2:]:
        try:
            artifact_inputs(Path.cwd(), dockerfile, {}, "", digests, folder=Path.cwd())
        except KfoldError as error:
            print(error)
"""


def test_what_cannot_be_read_is_named() -> None:
    """Root reads everything, so a child without root's rights looks; in a folder that it may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "secret").write_text("x")
        (folder / "closed").mkdir()
        (folder / "of-file").write_text("FROM scratch\nCOPY secret /\n")
        (folder / "of-directory").write_text("FROM scratch\nCOPY closed /\n")
        (folder / "itself").touch()
        for closed in ("secret", "closed", "itself"):
            (folder / closed).chmod(0)
        folder.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", UNREADABLE, folder / "files.db", "of-file", "of-directory", "itself"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        (folder / "closed").chmod(0o700)
    assert f"'{folder}/secret' cannot be read: Permission denied" in done.stdout, done.stderr
    assert f"'{folder}/closed' of the build context cannot be read: Permission denied" in done.stdout
    assert f"'{folder}/itself' cannot be read: Permission denied" in done.stdout


def test_a_file_that_vanishes_while_it_is_walked(read: Read, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real race, made certain: the file goes when the walk is done and before it is read."""
    import kfold.stores.files as files

    without = context.parent / "without"
    shutil.copytree(context, without, symlinks=True)
    (without / "README.md").unlink()
    expected = read(without).file_set
    real = files.walk

    def walk(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        (context / "README.md").unlink()
        return found

    monkeypatch.setattr(files, "walk", walk)
    found = read().file_set
    assert (found.digest, found.files) == (expected.digest, expected.files)


def rewrite_hashes(database: Path) -> int:
    """Makes the remembered hashes recognisable: whoever uses them does not read the files."""
    with sqlite3.connect(database) as connection:
        count = connection.execute("UPDATE files SET digest = ?", ("f" * 64,)).rowcount
        connection.execute("DELETE FROM sets")
    connection.close()
    return count


def test_unchanged_files_are_not_read_again(
    read: Read, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfold.stores.files.RACY_NS", -(10**18))
    first = read().file_set
    assert rewrite_hashes(tmp_path / "state" / "files.db") == 5
    second = read().file_set
    assert second.digest != first.digest
    assert second.listing["README.md"] == "f" * 12
    (context / "README.md").write_text("changed")
    third = read().file_set.listing
    assert third["README.md"] != "f" * 12 and third["src/main.go"] == "f" * 12


def test_a_file_that_was_just_written_is_not_remembered(read: Read, tmp_path: Path) -> None:
    read()
    database = tmp_path / "state" / "files.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM sets").fetchone() == (0,)
    connection.close()
    assert rewrite_hashes(database) == 0


def test_a_change_that_keeps_size_and_time_is_seen(read: Read, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfold.stores.files.RACY_NS", -(10**18))
    age(context)
    before = read().file_set.digest
    status = (context / "README.md").stat()
    (context / "README.md").write_text("rEAD ME\n")
    os.utime(context / "README.md", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (context / "README.md").stat().st_mtime_ns == status.st_mtime_ns
    assert read().file_set.digest != before


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 4000], ids=["empty", "text", "torn"])
def test_a_broken_memory_is_made_anew(content: bytes, context: Path, tmp_path: Path) -> None:
    database = tmp_path / "other" / "files.db"
    database.parent.mkdir()
    database.write_bytes(content)
    with FileDigests(database) as broken, FileDigests(tmp_path / "sound.db") as sound:
        one = artifact_inputs(context, "Dockerfile", {}, "", broken, folder=tmp_path).file_set
        other = artifact_inputs(context, "Dockerfile", {}, "", sound, folder=tmp_path).file_set
        assert one.digest == other.digest


def test_a_memory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        FileDigests(tmp_path / "file" / "files.db")


def test_another_process_that_holds_the_memory_does_not_change_the_answer(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfold.stores.files.RACY_NS", -(10**18))
    with sqlite3.connect(tmp_path / "state" / "files.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        digest = read().file_set.digest
        other.execute("ROLLBACK")
    other.close()
    assert read().file_set.digest == digest


def test_many_threads_agree(read: Read) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read().file_set.digest, range(40)))
    assert len(set(found)) == 1
