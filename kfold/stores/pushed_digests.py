"""Which digest an image got in a repository when this user pushed it: kept after the push is taken back. A cache.

An engine works the digest out while it pushes. Known before, it tells whether the registry has that manifest already; the
layers and config of one that was deleted tell nothing, they stay until the registry collects its garbage.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

LIMIT = 1000
"""Files (of 71 bytes); the oldest go."""


def _file(place: str, image: str) -> Path:
    from platformdirs import user_cache_path  # 0.02 s, for runs that push

    name = hashlib.sha256(f"{place}\n{image}".encode()).hexdigest()[:32]
    return user_cache_path("kfold") / "pushed-digests" / name


def recall(place: str, image: str) -> str:
    """The digest that `image` had in the repository `place` at its last push; "" where that is not known."""
    try:
        return _file(place, image).read_text()
    except OSError:
        return ""


def remember(place: str, image: str, digest: str) -> None:
    """Keep it. A cache that cannot be written is done without."""
    file = _file(place, image)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(digest)
        kept = sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime)
        for old in kept[:-LIMIT]:
            old.unlink()
