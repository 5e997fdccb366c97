"""What a reverse came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Undone:
    """The effect is gone. `freed`: bytes of the images that went with it, whatever of them others share."""

    freed: int = 0


@dataclass(frozen=True)
class Kept:
    """The effect was let go, not removed: it is somebody else's now, or was there before us. `why` is for a person."""

    why: str


Result = Undone | Kept
