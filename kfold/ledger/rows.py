"""Records as rows of the ledger's table, and back."""

from __future__ import annotations

import json
from typing import Any

from kfold.ledger.records import Effect, Record

COLUMNS = "id, store, kind, place, name, config, mark, before, made, details, state, identity, created, updated"


def row(effect: Effect) -> tuple[Any, ...]:
    """What the table keeps of an effect: the columns from `store` to `details`."""
    return (
        effect.store, effect.kind, effect.place, effect.name, effect.config, effect.mark,
        json.dumps(effect.before), int(effect.made), json.dumps(dict(effect.details)),
    )  # fmt: skip


def of_row(values: tuple[Any, ...]) -> Record:
    """A record from all columns. Raises ValueError, TypeError."""
    id_, store, kind, place, name, config, mark, before, made, details, state, identity, created, updated = values
    effect = Effect(
        store=store,
        kind=kind,
        place=place,
        name=name,
        config=config,
        mark=mark,
        before=json.loads(before),
        made=bool(made),
        details=json.loads(details),
    )
    return Record(id_, effect, state, identity, created, updated)
