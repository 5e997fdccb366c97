"""Objects that were there before us: what an apply of ours overrides in them is remembered, and put back by the reverse.

Which fields an apply would own is asked of the server itself (a dry run), so lists and defaults are its own. The old
values are kept before the first write: in the ledger and at the set's parent; those of Secrets in a Secret beside the
parent, and nowhere else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan import managed_fields
from kfold.plan.applyset import ID, PART_OF
from kfold.plan.managed_fields import MISSING, Path
from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterError, ClusterStore, ObjectRef, ObjectState, object_state
from kfold.verbs.applyset import Parent
from kfold.verbs.field_owners import RESTORER, forget_restorer, hand_over
from kfold.verbs.objects import INTENT, as_served, ledger_name, noun, reference, reference_of
from kfold.verbs.world import World

KEY = "adopted"
"""Where the parent keeps what was overridden, and in which objects."""

_ATTEMPTS = 5

Overridden = Mapping[str, Any]
"""One field: `path`, its `old` value, and the `manager` under whose name it is put back; then `owners`, if it was theirs in
another way than by an Update of that manager. `absent`: it was not there, and goes with the fields beside it: a default of
a value of ours may not stand beside the old one (`strategy.rollingUpdate`). Plain data, as it is kept. Of a Secret's field
ledger and parent have the path alone: without `old` its value is not known."""


@dataclass(frozen=True)
class Adopted:
    """An object that was there before: its UID, and the fields that we override."""

    uid: str
    fields: tuple[Overridden, ...]


def claimed_by(state: ObjectState, set_id: str) -> str:
    """Which other tool says that an object is its own; empty if none does."""
    ours = managed_fields.owned(state.raw, FIELD_MANAGER)
    release = state.annotations.get("meta.helm.sh/release-name")
    # charts that were rendered to manifests say so, too: then the annotation is ours
    if release and ("f:metadata", "f:annotations", "f:meta.helm.sh/release-name") not in ours:
        return f"Helm release {release}"
    other = state.labels.get(PART_OF)
    if other and other != set_id:
        return f"another set ({other})"
    return ""


def is_foreign_set(state: ObjectState, set_id: str) -> bool:
    """Whether it belongs to a set that is no kfold's: kfold's own members carry an intent's mark."""
    return state.labels.get(PART_OF, set_id) != set_id and INTENT not in state.annotations


def overridden(live: ObjectState, would: ObjectState, before: Iterable[Overridden] = ()) -> tuple[Overridden, ...]:
    """What an apply overrides, given the object before it and after it. What was remembered before stays remembered, as
    long as the field is still ours."""
    wanted = managed_fields.owned(would.raw, FIELD_MANAGER)
    held = managed_fields.owned(live.raw, FIELD_MANAGER)
    # of a field of a Secret the parent knows the path alone: not ours yet, where a run was killed before its value was kept
    sure = (one for one in before if "old" in one or one.get("absent") or tuple(one["path"]) in held)
    known = {tuple(one["path"]): one for one in sure}
    found = [one for path, one in known.items() if path in wanted or one.get("absent")]
    for path in sorted(wanted - held - known.keys()):
        old = managed_fields.value_at(live.raw, path)
        had = managed_fields.owning(live.raw, path, but=FIELD_MANAGER)
        # a field that nobody owns (the object is older than field management, or was restored without it) would go with
        # our own ownership, even where our value is the old one
        if old is not MISSING and (not had or old != managed_fields.value_at(would.raw, path)):
            by_update = had[0][0] if len(had) == 1 and had[0][1] == "Update" else ""
            owners = {} if by_update or not had else {"owners": had}
            found.append({"path": list(path), "old": old, "manager": by_update or RESTORER, **owners})
    for above in sorted({tuple(one["path"][:-1]) for one in found if one["path"][0] == "f:spec" and "old" in one}):
        before_it, after_it = managed_fields.value_at(live.raw, above), managed_fields.value_at(would.raw, above)
        if isinstance(before_it, dict) and isinstance(after_it, dict):
            found += [{"path": [*above, f"f:{key}"], "absent": True} for key in sorted(after_it.keys() - before_it.keys())]
    return tuple(found)


def is_wanted(one: Overridden, wanted: Iterable[Path]) -> bool:
    """Whether a field is among these; one that was absent, also with what is in it."""
    path = tuple(one["path"])
    return any(other[: len(path)] == path if one.get("absent") else other == path for other in wanted)


def put_back(cluster: ClusterStore, ref: ObjectRef, uid: str, fields: Sequence[Overridden]) -> tuple[list[str], list[str]]:
    """Give fields their old values where ours still stand. Returns (put back, changed by somebody since), as text.

    Each patch tests the UID and the values that it replaces, so nothing that was changed in between is overwritten. Raises
    KfoldError, after all others were put back, for those whose old value is not known: there ours stays.
    """
    for attempt in range(_ATTEMPTS):
        found = cluster.get(ref)
        if found is None or found["metadata"]["uid"] != uid:
            return [], []
        live = object_state(found)
        mine = managed_fields.owned(live.raw, FIELD_MANAGER)
        by_manager: dict[str, list[tuple[Path, Any]]] = {}
        changed = []
        lost = []
        alone: set[Path] = set()
        added = [tuple(one["path"]) for one in fields if one.get("absent")]
        for one in fields:
            if one.get("absent"):
                continue
            path = tuple(one["path"])
            now = managed_fields.value_at(live.raw, path)
            others = managed_fields.owners(live.raw, path, but=FIELD_MANAGER)
            if "old" not in one:
                if now is not MISSING and path in mine and not others:
                    lost.append(managed_fields.shown(path))
            elif now == one["old"]:
                alone |= {path} if path in mine and not others else set()
            elif now is MISSING or path not in mine or others:
                changed.append(managed_fields.shown(path))
            else:
                by_manager.setdefault(one["manager"], []).append((path, one["old"]))
        try:
            if alone and _owned_by_others(live.raw):
                cluster.patch(ref, _disowning(live, frozenset(alone)), manager=RESTORER)
            for manager, values in by_manager.items():
                cluster.patch(ref, _operations(live, values, added), manager=manager)
        except ClusterError as error:
            if error.code != 422 or attempt == _ATTEMPTS - 1:
                raise
            continue
        hand_over(cluster, ref, uid, {tuple(one["path"]): one["owners"] for one in fields if one.get("owners")})
        if lost:
            raise KfoldError(
                f"what {', '.join(lost)} of {noun(ref)} was before is not known any more: the Secret that kept it was"
                " deleted by somebody. Set it yourself (`kubectl edit`), then run this again"
            )
        return [managed_fields.shown(path) for values in by_manager.values() for path, _ in values], changed
    return [], []


def _operations(live: ObjectState, values: Sequence[tuple[Path, Any]], added: Iterable[Path]) -> list[dict[str, Any]]:
    """`added`: what was not there before, and goes in the same patch as what stands beside it."""
    operations: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": live.uid}]
    for path, old in values:
        where = managed_fields.pointer(live.raw, path)
        operations.append({"op": "test", "path": where, "value": managed_fields.value_at(live.raw, path)})
        operations.append({"op": "replace", "path": where, "value": old})
    beside = {path[:-1] for path, _ in values}
    for path in added:
        now = managed_fields.value_at(live.raw, path)
        if path[:-1] in beside and now is not MISSING and not managed_fields.has_owner(live.raw, path, but=FIELD_MANAGER):
            where = managed_fields.pointer(live.raw, path)
            operations += [{"op": "test", "path": where, "value": now}, {"op": "remove", "path": where}]
    return operations


def _disowning(live: ObjectState, paths: frozenset[Path]) -> list[dict[str, Any]]:
    """Take fields out of our entry, their values as they are. managedFields may be written, as `kubectl` itself does."""
    metadata = live.raw["metadata"]
    operations: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": live.uid}]
    for index, entry in enumerate(metadata["managedFields"]):
        if (entry["manager"], entry["operation"], entry.get("subresource")) == (FIELD_MANAGER, "Apply", None):
            where = f"/metadata/managedFields/{index}/fieldsV1"
            left = managed_fields.without(entry["fieldsV1"], paths)
            operations.append({"op": "test", "path": where, "value": entry["fieldsV1"]})
            operations.append({"op": "replace", "path": where, "value": left})
            # under somebody's name: what nobody owns goes with the last owned field beside it
            mine = {**entry, "manager": RESTORER, "operation": "Update", "fieldsV1": managed_fields.tree(paths)}
            operations.append({"op": "add", "path": "/metadata/managedFields/-", "value": mine})
    return operations


def _owned_by_others(obj: Mapping[str, Any]) -> bool:
    entries = (obj.get("metadata") or {}).get("managedFields") or ()
    return any(entry["manager"] not in (FIELD_MANAGER, RESTORER) for entry in entries)


def _drop(cluster: ClusterStore, ref: ObjectRef, uid: str, fields: Sequence[Overridden]) -> None:
    """Take exactly our fields out: by an empty apply, as ever.

    Where nobody owns anything in the object (it is older than field management, or was restored without it), that would
    take along whatever stands beside a field of ours: there, ours are removed one by one.
    """
    found = cluster.get(ref)
    if found is None or found["metadata"]["uid"] != uid:
        return
    if _owned_by_others(found):
        metadata = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
        cluster.apply({"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}, uid=uid)
        return
    old = {tuple(one["path"]) for one in fields if not one.get("absent")}
    going = managed_fields.owned(found, FIELD_MANAGER) - old
    operations: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": uid}]
    operations += [{"op": "remove", "path": where} for where in managed_fields.removals(found, going)]
    entries = found["metadata"].get("managedFields") or []
    for index in reversed([n for n, entry in enumerate(entries) if entry["manager"] == FIELD_MANAGER]):
        operations.append({"op": "replace", "path": f"/metadata/managedFields/{index}/fieldsV1", "value": {}})
    cluster.patch(ref, operations, manager=RESTORER)


# --- what is kept in the cluster ---------------------------------------------------------------------------------------


def is_secret(ref: ObjectRef) -> bool:
    """Whether an object's values may be kept in a Secret only."""
    return (ref.api_version, ref.kind) == ("v1", "Secret")


def outside(ref: ObjectRef, fields: Iterable[Overridden]) -> list[Overridden]:
    """What ledger and parent keep of the fields: of Secrets which ones, so that a loss of their values is seen."""
    return [{"path": one["path"]} if is_secret(ref) else one for one in fields]


def with_values(fields: Iterable[Overridden], kept: Iterable[Overridden]) -> list[Overridden]:
    """The fields of a Secret, with what the Secret beside the parent keeps of them."""
    known = {tuple(one["path"]): one for one in kept}
    return list({**{tuple(one["path"]): one for one in fields}, **known}.values())


def at_parent(adopted: Mapping[ObjectRef, Adopted]) -> str | None:
    """What the parent says of the adopted objects: the values of Secrets left out."""
    kept = {
        ledger_name(ref): {"uid": one.uid, "fields": outside(ref, one.fields)}
        for ref, one in sorted(adopted.items())
    }
    return json.dumps(kept, sort_keys=True) if kept else None


def from_parent(parent: Parent) -> dict[ObjectRef, Adopted]:
    """The reverse of `at_parent`. Raises KfoldError where somebody made it unreadable."""
    try:
        kept: dict[str, Any] = json.loads(parent.data.get(KEY, "{}"))
        return {
            reference_of(name): Adopted(str(one["uid"]), tuple(one["fields"])) for name, one in kept.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KfoldError(
            f"what configmap {parent.ref.name} in {parent.ref.namespace} says of adopted objects cannot be read: {error}",
            hint=f"Somebody edited it. Mend its key `{KEY}`, or take the key out: then those objects stay as they are.",
        ) from None


def beside(parent: ObjectRef) -> ObjectRef:
    """The Secret beside a parent, which keeps what we overrode in Secrets."""
    return ObjectRef("v1", "Secret", parent.namespace, parent.name)


def kept_secrets(cluster: ClusterStore, parent: ObjectRef) -> dict[str, list[Overridden]]:
    """Ledger name of a Secret -> its overridden fields."""
    found = cluster.get(beside(parent))
    text = ((found or {}).get("data") or {}).get(KEY)
    kept: dict[str, list[Overridden]] = json.loads(base64.b64decode(text)) if text else {}
    return kept


def keep_secrets(
    world: World, cluster: ClusterStore, parent: Parent, details: Mapping[str, Any], adopted: Mapping[ObjectRef, Adopted]
) -> None:
    """Write the Secret beside the parent, where there is something for it."""
    fields = {ledger_name(ref): [f for f in one.fields if "old" in f] for ref, one in adopted.items() if is_secret(ref)}
    kept = {name: known for name, known in fields.items() if known}
    if not kept or kept == kept_secrets(cluster, parent.ref):
        return
    ref = beside(parent.ref)
    record = world.ledger.intend(_effect_beside(cluster, parent, details))
    text = base64.b64encode(json.dumps(kept, sort_keys=True).encode()).decode()
    metadata = {"name": ref.name, "namespace": ref.namespace, "annotations": {ID: parent.id}}
    state = cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {KEY: text}}, force=True)
    world.ledger.done(record, state.uid)


def record_beside(world: World, cluster: ClusterStore, parent: Parent, details: Mapping[str, Any]) -> None:
    """Take the Secret beside a parent that another checkout wrote into the ledger."""
    found = cluster.get(beside(parent.ref))
    if found and (found["metadata"].get("annotations") or {}).get(ID) == parent.id:
        world.ledger.done(world.ledger.intend(_effect_beside(cluster, parent, details)), found["metadata"]["uid"])


def _effect_beside(cluster: ClusterStore, parent: Parent, details: Mapping[str, Any]) -> Effect:
    details = {**details, "namespace": parent.namespace, "set": parent.id}
    place, name = cluster.identity().uid, ledger_name(beside(parent.ref))
    return Effect("cluster", "set", place, name, parent.config, details=details)


# --- the reverse -------------------------------------------------------------------------------------------------------


def let_go(world: World, cluster: ClusterStore, record: Record) -> str:
    """Take out of an object that was there before what is ours: the old values come back where ours still stand, then an
    empty apply drops exactly our fields. Returns how it was left, in words; empty if it is not there any more.

    Where another set of kfold made it or took it over, "ours" are that one's: then nothing is taken out.
    """
    ref, found = as_served(cluster, reference(record), lambda ref: (ref, cluster.get(ref)))
    uid = str(((found or {}).get("metadata") or {}).get("uid") or "")
    record = world.ledger.undoing(record)
    told = ""
    if found is not None and (uid == record.identity or not record.identity):
        told = "it was there before"
        if not (record.effect.mark or record.effect.details.get("shared")):
            fields = record.effect.details.get("overridden") or []
            if is_secret(ref):
                fields = with_values(fields, _secret_fields(cluster, record))
            back, changed = put_back(cluster, ref, uid, fields)
            _drop(cluster, ref, uid, fields)
            forget_restorer(cluster, ref, uid)
            told += f", and has its old {', '.join(back)} back" if back else ""
            told += f"; {', '.join(changed)} was changed since by somebody else and stays as it is" if changed else ""
        world.tell("line", f" - {noun(ref)} stays: {told}")
    world.ledger.gone(record)
    return told


def _secret_fields(cluster: ClusterStore, record: Record) -> list[Overridden]:
    parent = record.effect.details.get("parent")
    if not parent:
        return []
    return kept_secrets(cluster, reference_of(parent)).get(record.effect.name, [])
