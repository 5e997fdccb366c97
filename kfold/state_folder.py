"""`.kfold/`, the project's memory: what lies where in it, and how it is made. Standard library only (doit loads this)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

NAME = ".kfold"

INODE = 2**63 - 1
"""What is kept of an inode number. Some file systems hash it over 64 bits; SQLite has 63."""


@dataclass(frozen=True)
class StateFolder:
    """The files below `.kfold/` of a project."""

    path: Path

    @property
    def ledger(self) -> Path:
        """What kfold made: the one file here that cannot be made again."""
        return self.path / "ledger.db"

    @property
    def results(self) -> Path:
        """doit's results. A cache."""
        return self.path / "results.db"

    @property
    def digests(self) -> Path:
        """Content digests of files by their stat. A cache."""
        return self.path / "digests.db"

    @property
    def cache(self) -> Path:
        """Configs that were found valid, discovery of clusters. Caches."""
        return self.path / "cache"


def journals() -> Path:
    """The user's folder of all ledgers' second copies: outside any project, so that a copy outlives its `.kfold/`."""
    from platformdirs import user_state_path  # 0.02 s, for runs that change something

    return user_state_path("kfold") / "ledgers"


def make(folder: Path) -> None:
    """Make the folder: for the user alone (0700), ignored by git without an edit of the user's own .gitignore."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if folder.name == NAME and not ignore.exists():
        ignore.write_text("*\n")


def keep_one(file: Path, text: str) -> None:
    """Keep `text` in the cache, in the place of all others of its kind (`config-<key>.json` of all `config-*.json`).

    In a project that kfold made nothing in yet, nothing is written; a cache that cannot be written (read-only, full) is
    done without.
    """
    if not file.parent.parent.is_dir():
        return
    with contextlib.suppress(OSError):
        make(file.parent)
        for old in file.parent.glob(f"{file.name.partition('-')[0]}-*{file.suffix}"):
            old.unlink(missing_ok=True)
        file.write_text(text)
