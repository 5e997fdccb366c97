"""What another checkout of this user has too, and so is left to it: it inherits what is needed to take it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kfold.ledger import Record
from kfold.ledger.journal import Copy


def heir(record: Record, beside: Iterable[Record], others: Iterable[Copy]) -> Copy | None:
    """The project that takes it over. `beside`: the other records of the same image."""
    beside = list(beside)
    return next((copy for copy in others if takes_over(record, beside, copy.records)), None)


def takes_over(record: Record, beside: Iterable[Record], theirs: Iterable[Record]) -> Record | None:
    """The record as the ledger with the records `theirs` will have it; None where that has nothing to do with it.

    It has the same thing, not on its way out: it is still needed there. Or it moved the name from our image to its own: what
    the name pointed at before us is for that one to put back. Or, of a manifest, it has one of its tags.
    """
    if not record.effect.made or not record.identity:
        return None
    for other in theirs:
        if other.is_of(record):
            # in a node it is not only the name that is held
            moved = record.effect.store != "node" and other.state == "done" and other.moved_on(record)
            if moved or _has(other, record.identity):
                return record
        if record.effect.kind == "manifest" and any(_is_tag_of(one, record, other) for one in beside):
            # which image it is of, as they know it: that is what their records go together by
            details = {**record.effect.details, "image": other.effect.details["image"]}
            return replace(record, effect=replace(record.effect, details=details))
    return None


def _is_tag_of(tag: Record, manifest: Record, other: Record) -> bool:
    """Whether both ledgers have this tag of that manifest, or of an index that it is in."""
    ours, theirs = tag.effect, manifest.effect
    pushed = (ours.kind, ours.place) == ("tag", theirs.place) and (ours.mark == theirs.mark or tag.identity == theirs.name)
    return pushed and other.is_of(tag) and _has(other, tag.identity)


def _has(other: Record, identity: str) -> bool:
    return other.identity == identity and other.state != "undoing"
