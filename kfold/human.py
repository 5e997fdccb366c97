"""Sizes and durations as a person reads them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes as a person reads them, powers of 1000 as docker prints them: `1.2 GB`."""
    if count < 999.5:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:  # what is more would be printed as 1000.0
            return f"{count:.1f} {unit}"
    count /= 1000
    return f"{count:.1f} TB"


def age(seconds: float) -> str:
    """A duration as a person reads it: `5 s`, `3 min`, `2 h`, `4 d`."""
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{max(0, seconds) / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
