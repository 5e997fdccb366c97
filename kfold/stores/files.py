"""What an artifact's build reads, as one digest; with a memory, so that an unchanged file is never read twice.

The digest covers paths, kinds, the owner's execute bit, link targets and contents. It is the same after `touch`, under
another umask, and in a fresh clone.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.errors import ConfigError, Position, StoreError
from kfold.plan.dockerfile import BaseImage, Copy, Sources, parse, sources
from kfold.plan.dockerignore import NOTHING, Ignore
from kfold.state_folder import INODE
from kfold.stores.context import Entry, walk
from kfold.stores.file_memory import FileMemory, Identity

RACY_NS = 2_000_000_000
"""A file touched within this time before it was hashed could change again without a visible difference: coarse file
systems keep 2 s (FAT) or 1 s (older network ones). Its hash is used, but not remembered; git's "racily clean" rule."""

_FORMAT = 1


@dataclass(frozen=True)
class FileSet:
    """The files of one build: `digest` (64 hexadecimal digits), how many, how many bytes, and what to watch.

    `watch` holds directories (watch them whole) and files: a change outside of them changes nothing here.
    """

    digest: str
    files: int
    bytes: int
    watch: tuple[Path, ...]
    _listing: Callable[[], Mapping[str, str]] = field(repr=False, compare=False)

    @cached_property
    def listing(self) -> Mapping[str, str]:
        """Path below the context -> a short text that changes when the file does. Made when first asked for."""
        return self._listing()


@dataclass(frozen=True)
class ArtifactInputs:
    """All that the build of an artifact reads from the disk, and by which Dockerfile and ignore rules."""

    file_set: FileSet
    sources: Sources
    dockerfile_path: Path
    ignore: Ignore


class FileDigests:
    """Digests of file sets, with the memory in `database` (see `kfold.stores.file_memory`). May be used from threads."""

    def __init__(self, database: Path) -> None:
        """Opens or makes `database`.

        Raises:
            StoreError: the file cannot be written.
        """
        self._memory = FileMemory(database)

    def close(self) -> None:
        """Closes the memory. What was handed out stays valid."""
        self._memory.close()

    def __enter__(self) -> FileDigests:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def digest(
        self,
        context: Path,
        copies: Sequence[Copy],
        ignore: Ignore = NOTHING,
        *,
        extra: Mapping[str, Path] | None = None,
    ) -> FileSet:
        """The digest of all that `copies` read from `context`. `extra`: more files, by a name that stands for them.

        Raises:
            ConfigError: the context is no directory, a COPY matches nothing.
            StoreError: something cannot be read.
        """
        if not context.is_dir():
            missing = "is not a directory" if context.exists() else "does not exist"
            raise ConfigError(f"context {str(context)!r} {missing}", hint="Check `context` of the artifact.")
        started = time.time_ns()
        root = os.fspath(context.absolute())
        found = walk(Path(root), copies, ignore)
        more = [(name, _entry(name, path), os.fspath(path.absolute())) for name, path in sorted((extra or {}).items())]
        entries = found.entries
        tracked = [*entries, *(entry for _, entry, _ in more)]
        # Version 2 of the format writes equal values as equal bytes (later ones refer to shared objects).
        signature = hashlib.sha256(marshal.dumps(tracked, 2)).digest()
        key = _key(_FORMAT, root, _copies_key(copies), ignore.patterns, [path for _, _, path in more])
        watch = tuple(Path(root, top) for top in found.roots) + tuple(Path(path) for _, _, path in more)

        def listing() -> Mapping[str, str]:
            return {path: _short(text) for path, text in self._lines(root, entries, started)}

        stored = self._memory.file_set(key, signature)
        if stored is not None:
            text, files, size = stored
            return FileSet(text, files, size, watch, listing)
        whole = hashlib.sha256()
        for name, entry, path in more:
            try:
                content = self._content(path, entry, {}, started)
            except FileNotFoundError:
                raise _went(path) from None
            whole.update(f"extra {name}\0{content}\n".encode())
        lines = self._lines(root, entries, started)
        for path, text in lines:
            whole.update(f"{path}\0{text}\n".encode(errors="surrogateescape"))
        files = len(lines) + len(more)
        size = sum(entry[2] for entry in tracked)
        newest = max((*map(itemgetter(3), tracked), *map(itemgetter(4), tracked)), default=0)
        if newest < started - RACY_NS and len(lines) == len(entries):
            self._memory.remember_set(key, signature, whole.hexdigest(), files, size)
        return FileSet(whole.hexdigest(), files, size, watch, listing)

    def _lines(self, root: str, entries: Sequence[Entry], started: int) -> list[tuple[str, str]]:
        """For each entry that is still there, its path and a text that says what it is: hash or link target first."""
        known = self._memory.hashes(os.fsencode(root), [os.fsencode(f"{root}/{entry[0]}") for entry in entries])
        fresh: list[tuple[bytes, Identity, str]] = []
        lines: list[tuple[str, str]] = []
        for entry in entries:
            path, mode = f"{root}/{entry[0]}", entry[1]
            try:
                if stat.S_ISREG(mode):
                    text = self._content(path, entry, known, started, fresh)
                    text += f" {stat.S_IMODE(mode):o}" if stat.S_IMODE(mode) else ""
                elif stat.S_ISLNK(mode):
                    text = f"-> {_target(path)}"
                else:
                    text = "directory" if stat.S_ISDIR(mode) else f"special {mode:o}"
            except FileNotFoundError:
                continue
            lines.append((entry[0], text))
        self._memory.remember_hashes(fresh)
        return lines

    def _content(
        self,
        path: str,
        entry: Entry,
        known: Mapping[bytes, tuple[Any, ...]],
        started: int,
        fresh: list[tuple[bytes, Identity, str]] | None = None,
    ) -> str:
        """SHA-256 of a file's content, from memory if nothing about it changed.

        Raises:
            FileNotFoundError: it vanished.
            StoreError: it cannot be read.
        """
        identity = entry[2:]
        key = os.fsencode(path)
        row = known.get(key)
        if row is not None and row[:4] == identity:
            return str(row[4])
        try:
            with Path(path).open("rb", buffering=0) as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
                after = os.fstat(file.fileno())
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise StoreError(
                f"{path!r} cannot be read: {error.strerror}",
                hint="Change its permissions, or name it in the .dockerignore if the image does not need it.",
            ) from None
        still = identity == (after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino & INODE)
        if fresh is not None and still and max(entry[3], entry[4]) < started - RACY_NS:
            fresh.append((key, identity, content))
        return content


def artifact_inputs(
    context: Path,
    dockerfile: str,
    build_args: Mapping[str, str | None],
    target: str,
    digests: FileDigests,
    *,
    folder: Path,
    all_stages: bool = False,
    base_image: Callable[[str], BaseImage | None] | None = None,
    where: Position | None = None,
) -> ArtifactInputs:
    """What building `dockerfile` in `context` reads. `folder` is the config's; `where` the artifact's place in it.

    The Dockerfile is `<context>/<dockerfile>` if that exists, else counted from `folder` (Skaffold: from the working
    directory). `<dockerfile>.dockerignore` beats `<context>/.dockerignore`. The Dockerfile's text always counts, an
    ignore file only by its effect. `all_stages`: for the legacy builder; `base_image`: what is known of a base image
    (both as in `kfold.plan.dockerfile.sources`).

    Raises:
        ConfigError: no such context or Dockerfile, or one that cannot be built.
        StoreError: something cannot be read.
    """
    if not context.is_dir():
        missing = "is not a directory" if context.exists() else "does not exist"
        raise ConfigError(f"context {str(context)!r} {missing}", where=where, hint="Check `context` of the artifact.")
    path = next((found for found in (context / dockerfile, folder / dockerfile) if found.is_file()), None)
    if path is None:
        raise ConfigError(
            f"Dockerfile {dockerfile!r} is neither in the context {str(context)!r} nor in {str(folder)!r}",
            where=where,
            hint="Check `dockerfile` and `context` of the artifact.",
        )
    parsed = parse(_text(path), file=str(path))
    read = sources(parsed, build_args, target, all_stages=all_stages, base_image=base_image)
    ignore = _ignore(path, context)
    file_set = digests.digest(context, read.copies, ignore, extra={"Dockerfile": path})
    return ArtifactInputs(file_set, read, path, ignore)


OWN_STATE = f"**/{state_folder.NAME}"
"""The ignore pattern of kfold's own folder: a `COPY . .` would take it in, and never be up to date again."""


def _ignore(dockerfile: Path, context: Path) -> Ignore:
    for path in (Path(f"{dockerfile}.dockerignore"), context / ".dockerignore"):
        if path.is_file():
            return Ignore([*Ignore.parse(_text(path), file=str(path)).patterns, OWN_STATE])
    return Ignore([OWN_STATE])


def _text(path: Path) -> str:
    try:
        # Neither file has a declared encoding; what is no UTF-8 passes through unchanged.
        return path.read_bytes().decode(errors="surrogateescape")
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error.strerror}") from None


def _target(link: str) -> Path:
    try:
        return Path(link).readlink()
    except OSError:
        # It was a link a moment ago.
        raise FileNotFoundError(link) from None


def _entry(name: str, path: Path) -> Entry:
    try:
        status = path.stat()
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    return (name, 0, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & INODE)


def _went(path: str) -> StoreError:
    return StoreError(f"{path!r} went while it was read", hint="Run this again when it is back.")


def _short(text: str) -> str:
    """12 digits of a hash, and what follows it; a link's target as it is."""
    return text if text.startswith("-> ") else re.sub(r"^([0-9a-f]{12})[0-9a-f]{52}", r"\1", text)


def _key(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).digest()


def _copies_key(copies: Sequence[Copy]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(copy.patterns, copy.excludes) for copy in copies]
