"""What the loop watches, and whether a change there means anything."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kfold.errors import KfoldError
from kfold.planning import plan
from kfold.session import Session
from kfold.state_folder import NAME
from kfold.stores.manifest_files import find
from kfold.verbs.build_inputs import context_files
from kfold.verbs.render import manifests_digest

DEBOUNCE = 60
"""Milliseconds in which changes are gathered at the most (an editor's save is several). Never longer, so that a file
that keeps changing holds nothing up (Skaffold waits for silence, and then never builds)."""
STEP = 5
"""Milliseconds of silence that end the gathering early."""
CHECK_STOP = 200
"""Milliseconds between two looks at whether to stop, and whether the watched folders are still the same ones."""
LOOK_AGAIN = 5.0
"""Seconds after which the inputs are looked at although nothing was heard: kernels drop events when many come at once, and
some file systems (network, shared with a virtual machine) have none."""
SETTLED = 0.3
"""Seconds of rest that are waited for where a manifest went or became smaller. A save cuts a file before it writes it, and a
checkout takes a folder away before it brings the next one; what is deployed must not go for that."""
EMPTIED = 5.0
"""Seconds of rest where a manifest has nothing in it any more: a shell cuts the file at the start of `generator > file`."""
LONGEST = 10.0
"""Seconds that are waited at the most, whatever goes on."""
MODIFIED = 2
"""watchfiles' number for a change that neither adds nor takes away (`watchfiles.Change.modified`)."""


@dataclass(frozen=True)
class Inputs:
    """`fingerprint` changes when a run would do something; `folders` whole, and single `files`, are what to watch.
    `manifests`: their sizes in bytes. `whole`: they were all found (a config may be broken)."""

    fingerprint: str
    folders: frozenset[Path]
    files: frozenset[Path]
    manifests: Mapping[Path, int] = field(default_factory=dict)
    whole: bool = True

    def less_than(self, earlier: Inputs) -> bool:
        """Whether a manifest went since, or became smaller."""
        return any(self.manifests.get(path, -1) < size for path, size in earlier.manifests.items())

    def emptied(self, earlier: Inputs) -> bool:
        return any(size and self.manifests.get(path) == 0 for path, size in earlier.manifests.items())


def settled_inputs(session: Session, earlier: Inputs | None) -> Inputs:
    """The inputs; where manifests became less, as they are once they rest."""
    now = _over_errors(inputs(session), earlier)
    if earlier is None or not now.less_than(earlier):
        return now
    began = moved = time.monotonic()
    while not session.stop.wait(SETTLED / 3):
        before, now = now, _over_errors(inputs(session), earlier)
        at = time.monotonic()
        if now.manifests != before.manifests:
            moved = at
        rest = EMPTIED if now.emptied(earlier) else SETTLED
        if not now.less_than(earlier) or at - moved >= rest or at - began >= LONGEST:
            break
    return now


def _over_errors(now: Inputs, earlier: Inputs | None) -> Inputs:
    """What could not be found is not known to be gone."""
    return now if now.whole or earlier is None else replace(now, manifests=earlier.manifests)


def inputs(session: Session) -> Inputs:
    """Everything that a run reads: config, manifests, the files of each artifact. An error is an input too: its message
    changes when the file is mended."""
    config = session.config_file()
    files: set[Path] = {session.folder / "kfold.yaml", *([config] if config else [])}
    folders: set[Path] = set()
    parts: list[str] = []
    manifests: dict[Path, int] = {}
    whole = True
    try:
        compiled = plan(session)
        parts.append(repr(compiled.configs))
        for one in compiled.configs:
            folders |= {_existing(session.folder / _literal(source.path)) for source in one.manifests}
            found_manifests = {session.folder / path for path in find(session.folder, one.manifests)}
            files |= found_manifests
            manifests |= {path: _size(path) for path in found_manifests}
            parts.append(manifests_digest(session.folder, one))
            for artifact in one.artifacts:
                try:
                    found = context_files(session.world, artifact)
                except KfoldError as error:
                    parts.append(str(error))
                    folders.add(_existing(session.folder / artifact.context))
                    continue
                parts.append(found.file_set.digest)
                for path in found.file_set.watch:
                    (folders if path.is_dir() else files).add(path)
    except KfoldError as error:
        parts.append(str(error))
        whole = False
    return Inputs("\n".join(parts), frozenset(folders), frozenset(files), manifests, whole)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _literal(pattern: str) -> str:
    """The part of a glob before its first wildcard, down to a folder."""
    head = pattern
    for mark in "*?[":
        head = head.split(mark, 1)[0]
    return head if head == pattern else os.path.dirname(head)  # noqa: PTH120


def _existing(path: Path) -> Path:
    while not path.is_dir():
        path = path.parent
    return path


class Watcher:
    """Tells when something changes below folders or in files, until it is closed. Changes add up between two looks.

    The kernel watches inodes, not names: a folder that is renamed away and made anew (a checkout, a generator, an atomic
    swap) leaves a watch on what is not there any more. Such a watcher is `stale`, says so as a change, and is to be made
    anew.
    """

    def __init__(self, folders: Iterable[Path], files: Iterable[Path], stop: threading.Event) -> None:
        self._changes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._end = threading.Event()
        self._stop = stop
        whole = {folder for folder in folders if folder.is_dir()}
        # a file is watched by its folder: editors write another file and rename it over the first
        wanted = {file for file in files if not any(folder in file.parents for folder in whole)}
        beside = {file.parent for file in wanted}
        # taken before the watches stand: a swap in between shows as a difference
        self._roots = {folder: _inode(folder) for folder in {*folders, *beside}}
        self._replaced = threading.Event()
        self._start(sorted(whole), True, None)
        # the parents tell of roots that come back with their old inode number, which file systems give out again at once
        around = {root.parent for root in self._roots}
        self._start(sorted({path for path in beside | around if path.is_dir()}), False, wanted)

    def _start(self, paths: list[Path], recursive: bool, only: set[Path] | None) -> None:
        if not paths:
            return
        # the watch must stand before this returns, or a save in between is lost
        ready = threading.Event()
        threading.Thread(target=self._watch, args=(paths, recursive, only, ready), daemon=True).start()
        ready.wait(5)

    def _watch(self, paths: list[Path], recursive: bool, only: set[Path] | None, ready: threading.Event) -> None:
        from watchfiles._rust_notify import RustNotify

        with RustNotify([str(path) for path in paths], False, False, 300, recursive, True) as notify:
            ready.set()
            while not self._end.is_set():
                found = notify.watch(DEBOUNCE, STEP, CHECK_STOP, self._end)
                if isinstance(found, str):
                    continue
                for change, name in found:
                    path = Path(name)
                    if path in self._roots and change != MODIFIED:
                        self._replaced.set()
                    elif not _meant(name) or (only is not None and path not in only):
                        continue
                    self._changes.put(name)

    def wait(self) -> bool:
        """Wait for a change, or for the time to look again. False when the loop is to end."""
        begin = time.monotonic()
        while not self._stop.is_set():
            try:
                self._changes.get(timeout=CHECK_STOP / 1000)
            except queue.Empty:
                if self.stale() or time.monotonic() - begin > LOOK_AGAIN:
                    return True
                continue
            while not self._changes.empty():
                self._changes.get()
            return True
        return False

    def stale(self) -> bool:
        """Whether a watched folder vanished, came, or is another one by now: then this watcher misses changes."""
        return self._replaced.is_set() or any(_inode(path) != inode for path, inode in self._roots.items())

    def close(self) -> None:
        self._end.set()


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _meant(name: str) -> bool:
    parts = Path(name).parts
    return NAME not in parts and ".git" not in parts
