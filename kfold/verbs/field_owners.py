"""Whose a field is again after it was put back: metadata.managedFields, which may be written as `kubectl` itself does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfold.plan import managed_fields
from kfold.plan.managed_fields import Path
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef

RESTORER = "kfold-restored"
"""Whose field it is meanwhile, where it was nobody's before, or somebody's by an apply."""

_ATTEMPTS = 5

Owners = Mapping[Path, Sequence[Sequence[str]]]
"""Who owned which field: manager, operation, apiVersion."""


def hand_over(cluster: ClusterStore, ref: ObjectRef, uid: str, owners: Owners) -> None:
    """Give what was put back to who owned it by an apply: a write of ours makes its fields an Update's, and the next apply
    of the same manager would conflict with that."""

    def moved(obj: Mapping[str, Any], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        restored = managed_fields.owned(obj, RESTORER, "Update")
        homes = {path: those for path, those in owners.items() if path in restored}
        return managed_fields.handed_over(entries, RESTORER, homes) if homes else entries

    if owners:
        _rewrite_owners(cluster, ref, uid, moved)


def forget_restorer(cluster: ClusterStore, ref: ObjectRef, uid: str) -> None:
    """In the end, what nobody owned before is nobody's again: else whoever applies it next has a conflict with us."""

    def left(obj: Mapping[str, Any], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [entry for entry in entries if entry.get("manager") != RESTORER and entry.get("fieldsV1")]

    _rewrite_owners(cluster, ref, uid, left)


def _rewrite_owners(
    cluster: ClusterStore,
    ref: ObjectRef,
    uid: str,
    change: Callable[[Mapping[str, Any], list[dict[str, Any]]], list[dict[str, Any]]],
) -> None:
    """Write managedFields alone, as it was looked at; an empty list means to a server that nothing was said of it."""
    for attempt in range(_ATTEMPTS):
        found = cluster.get(ref)
        if found is None or found["metadata"]["uid"] != uid:
            return
        entries = found["metadata"].get("managedFields") or []
        after = change(found, entries)
        if after == entries:
            return
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/metadata/managedFields", "value": entries},
            {"op": "replace", "path": "/metadata/managedFields", "value": after or [{}]},
        ]
        try:
            cluster.patch(ref, operations, manager=RESTORER)
            return
        except ClusterError as error:
            if error.code != 422 or attempt == _ATTEMPTS - 1:
                raise
