"""Objects that several sets of kfold have among their manifests. One set made such an object; the others use it as it is,
and name it at their parents. Where the one that made it lets it go, the next one has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.plan.applyset import PART_OF
from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterError, ClusterStore, ObjectRef, ObjectState
from kfold.verbs import applyset
from kfold.verbs.applyset import Parent
from kfold.verbs.elsewhere import every_set
from kfold.verbs.objects import KEEP, reference
from kfold.verbs.world import World

HANDED = "kfold.dev/handed"
"""Annotation of a parent: the UID of what another set handed on to it last."""

KEY = "shared"
"""Where a parent names what its set uses and another one made: name in the ledger -> UID."""


def at_parent(parent: Parent, used: Mapping[str, str]) -> dict[str, str]:
    """The parent's data with what its set uses."""
    data = {key: text for key, text in parent.data.items() if key != KEY}
    return {**data, **({KEY: json.dumps(used, sort_keys=True)} if used else {})}


def used_by(parent: Parent) -> dict[str, str]:
    """The reverse of `at_parent`. Raises KfoldError where somebody made it unreadable."""
    try:
        return {str(name): str(uid) for name, uid in json.loads(parent.data.get(KEY, "{}")).items()}
    except (ValueError, AttributeError) as error:
        raise KfoldError(
            f"what configmap {parent.ref.name} in {parent.ref.namespace} says of shared objects cannot be read: {error}",
            hint=f"Somebody edited it. Mend its key `{KEY}`, or take the key out: then they go with whoever made them.",
        ) from None


def of_record(world: World, cluster: ClusterStore, set_id: str) -> dict[str, str]:
    """What the set uses and another one made: name in the ledger -> UID."""
    records = applyset.members_of_record(world, cluster, set_id)
    return {r.effect.name: r.identity for r in records if r.effect.mark and r.effect.details.get("shared")}


def hand_on(
    cluster: ClusterStore, records: Iterable[Record], there: Mapping[ObjectRef, ObjectState]
) -> dict[int, tuple[str, bool]]:
    """Make what other sets use, and is about to be deleted, a member of the first of these: by its label, by which that one
    finds it. Returns the number of a record -> whose it is now, in words; and whether that could not be done: it stays."""
    ours = [(record, state) for record in records if (state := there.get(reference(record))) and _is_member(record, state)]
    if not ours:
        return {}
    users: dict[str, Parent] = {}
    namespace = next((state.namespace for _, state in ours if state.namespace), applyset.ELSEWHERE)
    try:
        parents = every_set(cluster, namespace)
    except ClusterError as error:
        if error.code != 403:
            raise
        return {}  # who may read no list of ConfigMaps may delete their own all the same
    for parent in parents:
        with suppress(KfoldError):  # one that somebody made unreadable says nothing, and holds up nobody else
            for uid in used_by(parent).values():
                users.setdefault(uid, parent)
    found = {}
    for record, state in ours:
        user = users.get(state.uid)
        if user and user.id != record.effect.details["set"]:
            whose = f"{user.config} in namespace {user.namespace} uses it too"
            try:
                _relabel(cluster, state, str(record.effect.details["set"]), user)
                found[record.id] = f"{whose}, and has it from now on", False
            except ClusterError as error:
                if error.code != 404:
                    found[record.id] = f"{whose}, and could not be told so: {error.message}", True
    return found


def _relabel(cluster: ClusterStore, state: ObjectState, ours: str, user: Parent) -> None:
    """First the user's parent is written: a deletion of that set which is at its end looks again for what is in it."""
    assert user.state is not None
    told = [
        {"op": "test", "path": "/metadata/uid", "value": user.state.uid},
        {"op": "add", "path": f"/metadata/annotations/{HANDED.replace('/', '~1')}", "value": state.uid},
    ]
    where = f"/metadata/labels/{PART_OF.replace('/', '~1')}"
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": state.uid},
        {"op": "test", "path": where, "value": ours},
        {"op": "replace", "path": where, "value": user.id},
    ]
    cluster.patch(user.ref, told, manager=FIELD_MANAGER)
    cluster.patch(state.ref, operations, manager=FIELD_MANAGER)
    cluster.patch(user.ref, told, manager=FIELD_MANAGER)


def _is_member(record: Record, state: ObjectState) -> bool:
    member = record.effect.kind == "object" and record.effect.made and state.uid == record.identity
    kept = state.annotations.get(KEEP) == "true" or state.deletion_timestamp
    return member and not kept and state.labels.get(PART_OF) == record.effect.details.get("set")
