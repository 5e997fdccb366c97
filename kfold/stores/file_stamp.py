"""Whether files were left alone for a while: their stat before and after. No file is read.

A content digest cannot tell this: a file that changed and changed back has the old digest, and whoever read it in
between has something else.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

Stamp = Mapping[str, tuple[int, ...]]
"""Path -> what its stat says. ctime is part of it: unlike mtime, no program can set it back."""


def stamp(context: Path, files: Iterable[str], more: Iterable[Path] = ()) -> Stamp:
    """The stamp of `files` (paths below `context`), of `more`, and of the directories that the files lie in.

    A directory shows what came and went meanwhile (an editor's swap file), and was copied in between.
    """
    root = os.fspath(context)
    found: dict[str, tuple[int, ...]] = {}
    folders = {root}
    for name in files:
        path = f"{root}/{name}"
        found[path] = _stat(path)
        folders.add(path.rpartition("/")[0])
    return found | {path: _stat(path) for path in (*folders, *(os.fspath(path) for path in more))}


def digest(taken: Stamp) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(repr(sorted(taken.items())).encode(errors="surrogateescape")).hexdigest()


def changed(before: Stamp, after: Stamp) -> list[str]:
    """The paths that are not as they were: files first, since a directory changes along with what is in it."""
    different = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    return sorted(different, key=lambda path: (Path(path).is_dir(), path))


def _stat(path: str) -> tuple[int, ...]:
    try:
        own = os.lstat(path)
        # what a link that a COPY names leads to is copied
        followed = Path(path).stat() if stat.S_ISLNK(own.st_mode) else own
    except OSError:
        return ()
    found = (own, followed) if followed is not own else (own,)
    return tuple(
        value
        for one in found
        for value in (one.st_mode, one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_dev, one.st_ino)
    )
