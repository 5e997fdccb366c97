"""Times as kubectl's tables tell them: how long ago, and how long."""

from __future__ import annotations

from datetime import UTC, datetime


def age(moment: str | None) -> str:
    """How long ago a timestamp was, as kubectl says it: 45s, 3m12s, 5h, 2d3h."""
    if not moment:
        return "<unknown>"
    try:
        then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    return duration((datetime.now(UTC) - then).total_seconds())


def duration(seconds: float) -> str:
    """apimachinery's `HumanDuration`: two units at most, the second one only while it says something."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"
