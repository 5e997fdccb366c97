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
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from kfold.errors import ConfigError, StoreError
from kfold.plan.dockerfile import EVERYTHING, Copy
from kfold.plan.dockerignore import Ignore, State
from kfold.plan.glob import component, has_wildcard
from kfold.state_folder import INODE

LINK_LIMIT = 40
"""Links on the way to one path before it counts as a loop (Linux's own limit)."""

_KEPT_BITS = stat.S_IXUSR | stat.S_ISUID | stat.S_ISGID
"""Mode bits that count. The others follow the umask of whoever cloned, and git does not keep them."""


Entry = tuple[str, int, int, int, int, int]
"""One path of a context: where below it, kind and kept mode bits, size in bytes, mtime and ctime in ns, inode.

A plain tuple: a context may have 100,000 of them, and a class of its own would double the time of a walk."""


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
    watched: dict[str, None] = {}
    matches = [(copy, _matches(root, copy, watched)) for copy in copies]
    entries: list[Entry] = []
    for top in _topmost(match for copy, matched in matches if not copy.excludes for match in matched):
        _below(root, top, ignore, entries)
    for copy, matched in matches:
        if copy.excludes:
            entries = list({*entries, *_partly(root, copy, matched, ignore)})
    entries.sort()
    entries = _without_filled(entries)
    for copy, matched in matches:
        _require(root, copy, matched, entries)
    return Walk(entries, tuple(_topmost(watched)))


def _partly(root: str, copy: Copy, matched: list[str], ignore: Ignore) -> Iterator[Entry]:
    """What a COPY with `--exclude` reads: its patterns count from the copied path."""
    excluded = Ignore(copy.excludes, where=copy.position)
    for match in matched:
        entries: list[Entry] = []
        _below(root, match, ignore, entries)
        for entry in entries:
            if not excluded.matches(posixpath.relpath(entry[0], match) if match else entry[0]):
                yield entry


def _require(root: str, copy: Copy, matched: list[str], entries: list[Entry]) -> None:
    """Refuses an instruction that would find nothing, before a builder is asked (the words are Skaffold's)."""

    def is_seen(match: str) -> bool:
        return match == "" or bool(copy.excludes) or _holds(entries, match) or _holds(entries, f"{match}/", inside=True)

    seen = [match for match in matched if is_seen(match)]
    literal = [pattern for pattern in copy.patterns if not has_wildcard(pattern) and pattern != EVERYTHING]
    missing = [pattern for pattern in literal if _resolve(root, pattern, set()) not in seen]
    if missing or not seen:
        hint = "Paths count from the artifact's context."
        if matched and not seen:
            hint = "It is there, but the ignore file (.dockerignore) keeps it out."
        raise ConfigError(
            f"file pattern [{' '.join(missing or copy.patterns)}] must match at least one file",
            where=copy.position,
            hint=hint,
        )


def _holds(entries: list[Entry], path: str, *, inside: bool = False) -> bool:
    """Whether the sorted `entries` have `path`, or (`inside`) a path that starts with it."""
    index = bisect_left(entries, path, key=itemgetter(0))
    return index < len(entries) and (entries[index][0].startswith(path) if inside else entries[index][0] == path)


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


def _below(root: str, top: str, ignore: Ignore, found: list[Entry]) -> None:
    """Adds the entry `top`, or, if it is a directory, all below it; an empty directory is an entry of its own."""
    state, ignored, parts = ignore.root, False, top.split("/") if top else []
    for count in range(1, len(parts) + 1):
        ignored, state = ignore.step("/".join(parts[:count]), state)
    try:
        status = os.lstat(_join(root, top))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(_join(root, top), error) from None
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        if not ignored or ignore.may_contain_exception_below(top):
            _tree(root, top, ignored, state, ignore, found)
    elif not ignored and not stat.S_ISSOCK(mode):
        found.append((top, _kept(mode), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & INODE))


def _tree(root: str, top: str, ignored: bool, state: State, ignore: Ignore, found: list[Entry]) -> None:
    stack = [(top, ignored, state)]
    add, no_pattern, is_socket = found.append, not ignore, stat.S_ISSOCK
    while stack:
        directory, ignored, above = stack.pop()
        prefix = f"{directory}/" if directory else ""
        empty = True
        # Nearly every path matches no pattern at all, and that is one question to one expression.
        may_match = None if any(above) else ignore.may_match
        for item in _scan(_join(root, directory)):
            path = prefix + item.name
            if no_pattern or (may_match is not None and not may_match(path)):
                skip, below = False, above
            else:
                skip, below = ignore.step(path, above)
            if item.is_dir(follow_symlinks=False):
                if not skip or ignore.may_contain_exception_below(path):
                    stack.append((path, skip, below))
                empty = empty and skip
            elif not skip:
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                mode = status.st_mode
                if is_socket(mode):
                    continue
                empty = False
                # 0o100644 under any umask: the common case without a call.
                kept = mode & ~0o777 if mode & 0o137100 == 0o100000 else _kept(mode)
                add((path, kept, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & INODE))
        if empty and not ignored and directory:
            add((directory, stat.S_IFDIR, 0, 0, 0, 0))


def _scan(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as items:
            return list(items)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(directory, error) from None


def _kept(mode: int) -> int:
    return stat.S_IFMT(mode) | (mode & _KEPT_BITS if stat.S_ISREG(mode) else 0)


def _without_filled(entries: list[Entry]) -> list[Entry]:
    """Drops directories that looked empty because what they hold lies in an ignored one with exceptions."""
    if stat.S_IFDIR not in map(itemgetter(1), entries):
        return entries
    return [entry for entry in entries if entry[1] != stat.S_IFDIR or not _holds(entries, f"{entry[0]}/", inside=True)]


def _join(root: str, path: str) -> str:
    return f"{root}/{path}" if path else root


def _unreadable(path: str, error: OSError) -> StoreError:
    return StoreError(
        f"{path!r} of the build context cannot be read: {error.strerror}",
        hint="Change its permissions, or name it in the .dockerignore if the image does not need it.",
    )
