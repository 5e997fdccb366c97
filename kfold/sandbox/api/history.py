"""The last events of the store, which watches replay and earlier lists are made from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource

HISTORY = 4096
"""How many events are kept for watches that resume; older ones get 410 and list anew."""


@dataclass(frozen=True)
class Event:
    """One committed change. `type` is ADDED, MODIFIED or DELETED; `old` is the object before it (None when added)."""

    revision: int
    type: str
    resource: Resource
    obj: Object
    old: Object | None


class History:
    """The events since `oldest`: a watch can resume from that revision or a later one."""

    def __init__(self, revision: int) -> None:
        self.oldest = revision
        self._events: deque[Event] = deque(maxlen=HISTORY)

    def add(self, event: Event) -> None:
        if len(self._events) == HISTORY:
            self.oldest = self._events[0].revision
        self._events.append(event)

    def after(self, revision: int, resource: Resource) -> Iterator[Event]:
        """The kept events of a kind after a revision. Raises ApiError 410 if some of them are no longer kept."""
        if revision < self.oldest:
            raise errors.expired(f"too old resource version: {revision} ({self.oldest})")
        return (event for event in list(self._events) if event.revision > revision and event.resource.key == resource.key)

    def forget(self, revision: int) -> None:
        """No watch resumes from before that revision."""
        self._events.clear()
        self.oldest = revision
