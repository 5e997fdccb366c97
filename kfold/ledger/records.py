"""What the ledger holds: effects, and in which state each of them is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["intended", "done", "undoing"]
Store = Literal["engine", "node", "registry", "cluster", "host"]
Kind = Literal["image", "name", "tag", "manifest", "object", "set", "volume", "sandbox", "hook"]

Transition = Literal[
    "before-intended", "intended", "before-done", "done", "before-undoing", "undoing", "before-gone", "gone"
]
"""The moments at which a process can die and leave another ledger behind: before and after each commit."""


@dataclass(frozen=True)
class Effect:
    """One change in the world, as it is meant before it is made.

    `place`: which engine or cluster (an identity, not an address that may lead elsewhere tomorrow).
    `name`: the image's content key, the image name, or `apiVersion|kind|namespace|name`.
    `mark`: what the creating call itself carries, so that after a crash the thing is known as ours (image label,
    annotation).
    `before`: what was there before us under that name, so that it can be put back (None: nothing).
    `details`: whatever the reverse or a person needs (never a secret). `made`: False when it was found or adopted, not
    made; such an effect is never removed, only let go.
    """

    store: Store
    kind: Kind
    place: str
    name: str
    config: str
    mark: str = ""
    before: Any = None
    made: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """An effect in the ledger. `identity`: uid or image ID, empty until learned. Times in seconds since the epoch."""

    id: int
    effect: Effect
    state: State
    identity: str
    created: float
    updated: float

    def is_of(self, other: Record) -> bool:
        """Whether both speak of the same name in the same place."""
        ours, theirs = self.effect, other.effect
        return (ours.store, ours.kind, ours.place, ours.name) == (theirs.store, theirs.kind, theirs.place, theirs.name)

    def moved_on(self, other: Record) -> bool:
        """Whether what `other` speaks of was put here before this effect: a name that pointed at theirs points at ours."""
        before = self.effect.before
        digest = before.get("digest") if isinstance(before, Mapping) else before
        return self.effect.made and digest == other.identity and self.is_of(other)


def is_moved(record: Record) -> bool:
    """Whether a hook ran in a folder that is not the one of this ledger, where it may have been taken back since. `moved` in
    its details: where that folder's ledger was, and the folder's inode."""
    return bool(record.effect.details.get("moved"))
