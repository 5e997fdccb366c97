"""Effects to record, and what a ledger says, in a form that compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfold.ledger import Effect, Ledger, Record


def effect(name: str = "web", **changes: Any) -> Effect:
    """An effect in the engine, such as `build` records it."""
    fields: dict[str, Any] = {"store": "engine", "kind": "image", "place": "engine-1", "name": name, "config": "shop"}
    return Effect(**{**fields, **changes})


def facts_of(path: Path) -> list[Record]:
    """What a process that opens the ledger anew finds in it."""
    ledger = Ledger(path)
    try:
        return ledger.records()
    finally:
        ledger.close()
