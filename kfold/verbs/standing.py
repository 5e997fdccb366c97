"""Whether an object is the one that the ledger speaks of, and as we left it."""

from __future__ import annotations

from kfold.ledger import Record
from kfold.stores.cluster_interface import ObjectState
from kfold.verbs.objects import APPLIED, INTENT


def stands(record: Record, current: ObjectState, wanted: str) -> bool:
    """Whether the object is the one that we left, and says what is wanted."""
    return (
        record.state == "done"
        and record.identity == current.uid
        and current.deletion_timestamp is None
        and record.effect.details.get("hash") == wanted
        and record.effect.details.get("fields") == current.manager_hash
        and current.annotations.get(APPLIED) == wanted[:16]
    )


def is_ours(record: Record, current: ObjectState | None) -> bool:
    """Whether the name still holds what the record speaks of. An intent that never got its answer is known by its mark."""
    if current is None:
        return record.state == "intended" and not record.identity
    if record.identity:
        return current.uid == record.identity
    return bool(record.effect.mark) and current.annotations.get(INTENT) == record.effect.mark
