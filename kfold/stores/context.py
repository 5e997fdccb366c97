"""Walks a build context: which files, links and empty directories the COPY instructions of a Dockerfile see.

A walk never reads a file. It follows no link, except for a path that a COPY names itself, as BuildKit does; and no link
leads out of the context.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kfold.errors import ConfigError, StoreError
from kfold.plan.dockerfile import EVERYTHING, Copy
from kfold.plan.dockerignore import Ignore, State
from kfold.plan.glob import component, has_wildcard

LINK_LIMIT = 40
"""Links on the way to one path before it counts as a loop (Linux's own limit)."""

_KEPT_BITS = stat.S_IXUSR | stat.S_ISUID | stat.S_ISGID
"""Mode bits that count. The others follow the umask of whoever cloned, and git does not keep them."""


class Entry(NamedTuple):
    """One path of a context: its path below it, kind and kept mode bits, and what its cached hash is known by."""

    path: str
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Walk(NamedTuple):
    """The entries by path, and the roots (below the context, "" is itself) in which a new file could belong to them."""

    entries: list[Entry]
    roots: tuple[str, ...]


def walk(context: Path, copies: Sequence[Copy], ignore: Ignore) -> Walk:
    """All that `copies` read from `context`, sorted by path, without what `ignore` keeps out.

    Sockets are left out, as builders do. A file that vanishes meanwhile was never there.

    Raises:
        ConfigError: a COPY matches nothing, or its path is a loop of links.
        StoreError: a directory cannot be read.
    """
    root = os.fspath(context)
    found: dict[str, Entry] = {}
    plain: dict[str, None] = {}
    watched: dict[str, None] = {}
    for copy in copies:
        matches = _matches(root, copy, watched)
        if copy.excludes:
            for match in matches:
                found.update((entry.path, entry) for entry in _without(_below(root, match, ignore), match, copy))
        else:
            plain.update(dict.fromkeys(matches))
        _require(root, copy, matches, ignore)
    if "" in plain and not found:
        entries = list(_below(root, "", ignore))
    else:
        for top in _topmost(plain):
            found.update((entry.path, entry) for entry in _below(root, top, ignore))
        entries = list(found.values())
    entries.sort()
    return Walk(_without_filled(entries), tuple(_topmost(watched)))


def _require(root: str, copy: Copy, matches: list[str], ignore: Ignore) -> None:
    """Refuses an instruction that would find nothing, before a builder is asked (the words are Skaffold's)."""
    seen = [match for match in matches if match == "" or any(True for _ in _below(root, match, ignore))]
    literal = [pattern for pattern in copy.patterns if not has_wildcard(pattern) and pattern != EVERYTHING]
    missing = [pattern for pattern in literal if not _resolves_to(root, pattern, seen)]
    if missing or not seen:
        patterns = " ".join(missing or copy.patterns)
        hint = "Paths count from the artifact's context."
        if matches and not seen:
            hint = "It is there, but the ignore file (.dockerignore) keeps it out."
        raise ConfigError(f"file pattern [{patterns}] must match at least one file", where=copy.position, hint=hint)


def _resolves_to(root: str, pattern: str, seen: list[str]) -> bool:
    resolved = _resolve(root, pattern, set())
    return resolved is not None and resolved in seen


def _topmost(paths: Iterable[str]) -> list[str]:
    """`paths` without those that lie below another one."""
    kept: list[str] = []
    for path in sorted(paths, key=lambda path: path.split("/")):
        if path == "":
            return [""]
        if not kept or not f"{path}/".startswith(f"{kept[-1]}/"):
            kept.append(path)
    return kept


def _matches(root: str, copy: Copy, watched: dict[str, None]) -> list[str]:
    """The paths that an instruction names, links on the way included. Adds the places worth watching."""
    matches: dict[str, None] = {}
    for pattern in copy.patterns:
        if pattern == EVERYTHING:
            matches[""] = watched[""] = None
            continue
        literal = posixpath.dirname(re.split(r"[*?\[\\]", pattern, maxsplit=1)[0]) if has_wildcard(pattern) else pattern
        watched[literal] = None
        for candidate in _candidates(root, pattern, copy) if has_wildcard(pattern) else [pattern]:
            links: set[str] = set()
            try:
                resolved = _resolve(root, candidate, links)
            except RecursionError:
                raise ConfigError(
                    f"{candidate!r} of the build context is a loop of symbolic links", where=copy.position
                ) from None
            if resolved is not None:
                matches[resolved] = None
                matches.update(dict.fromkeys(sorted(links)))
                watched[resolved] = None
    return list(matches)


def _candidates(root: str, pattern: str, copy: Copy) -> list[str]:
    found = [""]
    for part in pattern.split("/"):
        if not has_wildcard(part):
            found = [_join(path, part) for path in found]
            continue
        try:
            expression = component(part)
        except ValueError as error:
            raise ConfigError(str(error), where=copy.position) from None
        found = [
            _join(path, entry.name)
            for path in found
            for entry in _scan(_join(root, _resolve(root, path, set()) or path))
            if expression.fullmatch(entry.name)
        ]
    return sorted(path for path in found if os.path.lexists(_join(root, path)))


def _resolve(root: str, path: str, links: set[str]) -> str | None:
    """`path` with its links followed as if `root` were `/`; None where it leads nowhere. Adds the links to `links`.

    Raises:
        RecursionError: more than `LINK_LIMIT` links.
    """
    parts = path.split("/")[::-1] if path else []
    done: list[str] = []
    followed = 0
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        here = "/".join(done)
        try:
            status = os.lstat(_join(root, here))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(_join(root, here), error) from None
        if stat.S_ISLNK(status.st_mode):
            followed += 1
            if followed > LINK_LIMIT:
                raise RecursionError
            links.add(here)
            target = os.fspath(Path(root, here).readlink())
            done = [] if target.startswith("/") else done[:-1]
            parts.extend(reversed(target.split("/")))
    return "/".join(done)


def _without(entries: Iterable[Entry], match: str, copy: Copy) -> Iterator[Entry]:
    """`entries` without what `--exclude` names, counted from the copied path."""
    excluded = Ignore(copy.excludes, where=copy.position)
    for entry in entries:
        if not excluded.matches(os.path.relpath(entry.path, match) if match else entry.path):
            yield entry


def _below(root: str, top: str, ignore: Ignore) -> Iterator[Entry]:
    """The entry `top`, or, if it is a directory, all below it; an empty directory is an entry of its own."""
    state, ignored, parts = ignore.root, False, top.split("/") if top else []
    for count in range(1, len(parts) + 1):
        ignored, state = ignore.step("/".join(parts[:count]), state)
    try:
        status = os.lstat(_join(root, top))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(_join(root, top), error) from None
    if not stat.S_ISDIR(status.st_mode):
        if not ignored and not stat.S_ISSOCK(status.st_mode):
            yield _entry(top, status)
    elif not ignored or ignore.may_contain_exception_below(top):
        yield from _tree(root, top, ignored, state, ignore)


def _tree(root: str, top: str, ignored: bool, state: State, ignore: Ignore) -> Iterator[Entry]:
    filtering = bool(ignore)
    stack = [(top, ignored, state)]
    while stack:
        directory, ignored, above = stack.pop()
        prefix = f"{directory}/" if directory else ""
        empty = True
        for item in _scan(_join(root, directory)):
            path = prefix + item.name
            skip, below = ignore.step(path, above) if filtering else (False, above)
            if item.is_dir(follow_symlinks=False):
                if not skip or ignore.may_contain_exception_below(path):
                    stack.append((path, skip, below))
                empty = empty and skip
            elif not skip:
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISSOCK(status.st_mode):
                    empty = False
                    yield _entry(path, status)
        if empty and not ignored and directory:
            yield Entry(directory, stat.S_IFDIR, 0, 0, 0, 0)


def _scan(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as items:
            return list(items)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(directory, error) from None


def _entry(path: str, status: os.stat_result) -> Entry:
    mode = status.st_mode
    kept = stat.S_IFMT(mode) | (mode & _KEPT_BITS if stat.S_ISREG(mode) else 0)
    return Entry(path, kept, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _without_filled(entries: list[Entry]) -> list[Entry]:
    """Drops directories that looked empty because what they hold lies in an ignored one with exceptions."""
    if not any(entry.mode == stat.S_IFDIR for entry in entries):
        return entries
    paths = [entry.path for entry in entries]

    def filled(path: str) -> bool:
        index = bisect_left(paths, f"{path}/")
        return index < len(paths) and paths[index].startswith(f"{path}/")

    return [entry for entry in entries if entry.mode != stat.S_IFDIR or not filled(entry.path)]


def _join(root: str, path: str) -> str:
    return f"{root}/{path}" if path else root


def _unreadable(path: str, error: OSError) -> StoreError:
    return StoreError(
        f"{path!r} of the build context cannot be read: {error.strerror}",
        hint="Change its permissions, or name it in the .dockerignore if the image does not need it.",
    )
