"""The cluster's own record of a deployment: the parent of an ApplySet, widened before an apply and narrowed after it.

A set is (config name, effective namespace). Its members carry the set's label, its parent says where to look for them;
so a deployment can be taken back from a machine that has a kubeconfig and the config's name, and no ledger. The parent
is an effect like any other: recorded before it is written, and deleted when nothing of the set is left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan import applyset
from kfold.plan.applyset import GroupKind
from kfold.stores.cluster_interface import (
    ClusterError,
    ClusterStore,
    FieldConflict,
    ObjectRef,
    ObjectState,
    UnknownKind,
    object_state,
)
from kfold.verbs.hook_effects import TAKEN_BACK
from kfold.verbs.objects import APPLIED, PARALLEL, group_kind, ledger_name, reference
from kfold.verbs.world import World

ELSEWHERE = "default"
"""Where the parent lies if the effective namespace is not there yet, or is ours: it must outlive that one."""

HOOK = "hook-"
"""What begins the keys under which a parent keeps its hooks, one each (`hook_copy.py`)."""

CLAIM = "undoing-"
"""What stands for `HOOK` in the key under which a parent keeps who takes a hook back."""

MEMBERS = "kfold.dev/members"
"""Annotation of the parent: a hash of the members' names, so that another checkout's deploy of other objects is seen."""

FILE = "file"
"""In the details of a set's record: the config file that deployed it, as seen from the project's folder."""

ATTEMPTS = 5
"""Writes of a parent that another checkout changes at the same time."""


@dataclass(frozen=True)
class Parent:
    """The parent of a set, as the cluster has it; `state` None: it is not there yet. `data`: what is kept beside."""

    config: str
    namespace: str
    ref: ObjectRef
    state: ObjectState | None = None
    kinds: frozenset[GroupKind] = frozenset()
    namespaces: frozenset[str] = frozenset()
    members: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=dict)
    """`data` as the cluster had it when it was read or written last: what we changed since is told from it."""
    met: bool = False
    """Whether another checkout wrote it while we did: the set may have members that this ledger does not know."""

    @property
    def id(self) -> str:
        return applyset.set_id(self.ref.name, self.ref.namespace)


# --- finding -----------------------------------------------------------------------------------------------------------


def find(cluster: ClusterStore, config: str, namespace: str) -> Parent | None:
    """The parent of a set, by its labels in all namespaces; where that is forbidden, in the two where it can lie."""
    try:
        found = cluster.list_kind("v1", "ConfigMap", label_selector=applyset.selector(config, namespace))
    except ClusterError as error:
        if error.code != 403:
            raise
        found = [state for state in _of_both(cluster, config, namespace) if state.labels.get(applyset.CONFIG) == config]
    parents = [read(state) for state in found if is_parent(state, config, namespace)]
    return min(parents, key=lambda parent: parent.ref.namespace != namespace) if parents else None


def _of_both(cluster: ClusterStore, config: str, namespace: str) -> Iterator[ObjectState]:
    for place in dict.fromkeys((namespace, ELSEWHERE)):
        try:
            found = cluster.get(ObjectRef("v1", "ConfigMap", place, applyset.parent_name(config, namespace)))
        except ClusterError as error:
            if error.code == 403 and place != namespace:
                continue  # who may work in one namespace alone has no set whose parent lies in another
            raise
        if found:
            yield object_state(found)


def is_parent(state: ObjectState, config: str, namespace: str) -> bool:
    """Whether a ConfigMap is the parent that it says: a copy in another namespace has an ID that is not its own."""
    return (
        state.name == applyset.parent_name(config, namespace)
        and state.labels.get(applyset.ID) == applyset.set_id(state.name, state.namespace)
        and applyset.is_ours(state.annotations)
    )


def read(state: ObjectState) -> Parent:
    """A parent from its object."""
    data = dict(state.raw.get("data") or {})
    return Parent(
        config=state.labels.get(applyset.CONFIG, ""),
        namespace=state.labels.get(applyset.NAMESPACE, ""),
        ref=state.ref,
        state=state,
        kinds=applyset.parse_kinds(state.annotations.get(applyset.KINDS, "")),
        namespaces=applyset.parse_namespaces(state.annotations.get(applyset.NAMESPACES, "")),
        members=state.annotations.get(MEMBERS, ""),
        data=data,
        base=data,
    )


def at(cluster: ClusterStore, ref: ObjectRef, set_id: str) -> Parent | None:
    """The parent of a set, as it is now; None where it is not there."""
    found = cluster.get(ref)
    parent = read(object_state(found)) if found else None
    there = parent and parent.state and parent.id == set_id and is_parent(parent.state, parent.config, parent.namespace)
    return parent if there else None


def keeps_hooks(data: Mapping[str, str]) -> bool:
    """Whether a parent keeps hooks that are not taken back yet. It stays as long as it does."""
    return any(key.startswith(HOOK) for key in data)


def new(world: World, cluster: ClusterStore, config: str, namespace: str) -> Parent:
    """The parent that is yet to be written: in the effective namespace if that was there before us."""
    name = applyset.parent_name(config, namespace)
    return Parent(config, namespace, ObjectRef("v1", "ConfigMap", _home(world, cluster, namespace), name))


def _home(world: World, cluster: ClusterStore, namespace: str) -> str:
    ref = ObjectRef("v1", "Namespace", "", namespace)
    place = cluster.identity().uid
    if any(r.effect.place == place and r.effect.name == ledger_name(ref) and r.effect.made for r in _objects(world)):
        return ELSEWHERE
    try:
        found = cluster.get(ref)
    except ClusterError as error:
        if error.code == 403:
            return namespace  # who may not look at namespaces works in one that was there
        raise
    metadata = (found or {}).get("metadata") or {}
    ours = applyset.PART_OF in (metadata.get("labels") or {}) or metadata.get("deletionTimestamp")
    return ELSEWHERE if found is None or ours else namespace


def recorded(world: World, cluster: ClusterStore, config: str, namespace: str) -> Record | None:
    """The ledger's record of a set."""
    place = cluster.identity().uid
    for record in world.ledger.records("cluster", "set"):
        details = record.effect.details
        if reference(record).kind != "ConfigMap":
            continue
        if (record.effect.place, record.effect.config, details["namespace"]) == (place, config, namespace):
            return record
    return None


def members(cluster: ClusterStore, parent: Parent) -> list[ObjectState]:
    """Every object with the set's label, by one list a kind and namespace. A kind that is not served has no objects.

    Any other failure is raised: an error is never an empty set.
    """
    selector = f"{applyset.PART_OF}={parent.id}"
    places = sorted({parent.ref.namespace, *parent.namespaces})

    def ask(kind: GroupKind) -> list[ObjectState]:
        for attempt in (1, 2):  # a version that was kept in memory, and is not served any more, is asked for again
            try:
                version = cluster.version_of(*kind)
                where: list[str | None] = [*places] if cluster.is_namespaced(version, kind[1]) else [None]
                return [s for place in where for s in cluster.list_kind(version, kind[1], place, label_selector=selector)]
            except UnknownKind:
                if attempt == 2:
                    return []
        return []

    with ThreadPoolExecutor(PARALLEL) as pool:
        return [state for found in pool.map(ask, sorted(parent.kinds)) for state in found]


# --- writing -----------------------------------------------------------------------------------------------------------


def widen(
    world: World, cluster: ClusterStore, parent: Parent, address: Mapping[str, Any], refs: Iterable[ObjectRef]
) -> Parent:
    """Before an apply: the parent names the kinds and namespaces of all that was and of all that is to be."""
    wanted = list(refs)
    return _write(
        world,
        cluster,
        replace(
            parent,
            kinds=parent.kinds | {group_kind(ref) for ref in wanted},
            namespaces=parent.namespaces | _other_namespaces(parent, wanted),
        ),
        address,
    )


def narrow(world: World, cluster: ClusterStore, parent: Parent, address: Mapping[str, Any]) -> Parent:
    """After an apply and all deletions that follow from it: the parent names what there is."""
    records = members_of_record(world, cluster, parent.id)
    # what another set made may be handed on to this one
    made = [reference(record) for record in records if record.effect.made or record.effect.details.get("shared")]
    names = sorted(record.effect.name for record in records)
    return _write(
        world,
        cluster,
        replace(
            parent,
            kinds=frozenset(group_kind(ref) for ref in made),
            namespaces=_other_namespaces(parent, made),
            members=hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16],
        ),
        address,
    )


def put(
    world: World, cluster: ClusterStore, parent: Parent, address: Mapping[str, Any], texts: Mapping[str, str | None],
    *, alone: bool = False,
) -> Parent:
    """Keep texts at the parent by their keys (None takes one away), for who takes the deployment back without a ledger.

    `alone`: only where nobody else wrote the parent since it was read (ClusterError 409)."""
    data = {k: v for k, v in {**parent.data, **texts}.items() if v is not None}
    return _write(world, cluster, replace(parent, data=data), address, alone=alone)


def _other_namespaces(parent: Parent, refs: Iterable[ObjectRef]) -> frozenset[str]:
    return frozenset(ref.namespace for ref in refs if ref.namespace not in ("", parent.ref.namespace))


def _write(
    world: World, cluster: ClusterStore, parent: Parent, address: Mapping[str, Any], *, alone: bool = False
) -> Parent:
    """Write the parent where it differs. Another checkout's write in between is seen, and what that one added stays; so a
    new one is created first, which only one of two can. `alone`: that write is an error instead (409)."""
    for _ in range(ATTEMPTS):
        manifest, digest = _manifest(parent)
        known = recorded(world, cluster, parent.config, parent.namespace)
        file = known.effect.details.get(FILE, "") if known else ""
        if parent.state and known and _is_written(known, parent.state, digest) and address.get(FILE, file) == file:
            return parent
        details = {FILE: file, **address, "namespace": parent.namespace, "set": parent.id, "hash": digest}
        record = world.ledger.intend(_effect(cluster, parent, details))
        state = parent.state
        try:
            state = state or cluster.create(_beginning(manifest))
            manifest["metadata"]["resourceVersion"] = state.resource_version
            # by force: the hints are ours alone, and one that somebody edited would hide objects
            state = cluster.apply(manifest, uid=state.uid, force=True)
        except FieldConflict:
            raise
        except ClusterError as error:
            if error.code != 409 or alone:
                if 400 <= error.code < 500 and state is None:
                    world.ledger.gone(record)
                raise
            now = find(cluster, parent.config, parent.namespace)
            parent = merged(parent, now) if now else _anew(world, cluster, parent)
            continue
        world.ledger.done(record, state.uid, fields=state.manager_hash)
        return replace(parent, state=state, base=parent.data)
    if parent.state is None:
        raise KfoldError(
            f"configmap {parent.ref.name} in {parent.ref.namespace} is there, but it is not the record of what is deployed",
            hint="Its name is the one that kfold needs: rename or delete it.",
        )
    raise KfoldError(
        f"configmap {parent.ref.name} in {parent.ref.namespace}, the record of what is deployed, is written by others all"
        " the time",
        hint="Another run deploys the same config into the same namespace. Run this again when it is done.",
    )


def _beginning(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a parent is created with: what it is known by, which never changes."""
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {applyset.TOOLING: metadata["annotations"][applyset.TOOLING]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def _anew(world: World, cluster: ClusterStore, ours: Parent) -> Parent:
    """A parent that went since we looked: whoever deleted it took back the hooks that it kept, but not those of this ledger
    nor what we changed since."""
    known = {record.effect.details["copy"] for record in hooks_of_record(world, cluster, ours.id)}
    data = {
        key: text
        for key, text in ours.data.items()
        if key in known or ours.base.get(key) != text or not key.startswith((HOOK, CLAIM))
    }
    return replace(ours, ref=new(world, cluster, ours.config, ours.namespace).ref, state=None, data=data, base={})


def merged(ours: Parent, now: Parent) -> Parent:
    """What the other one wrote, and over it what we changed since we looked."""
    kept = {key: text for key, text in now.data.items() if key in ours.data or key not in ours.base}
    changed = {key: text for key, text in ours.data.items() if ours.base.get(key) != text}
    return replace(
        ours,
        state=now.state,
        kinds=ours.kinds | now.kinds,
        namespaces=ours.namespaces | now.namespaces,
        data={**kept, **changed},
        base=now.data,
        met=True,
    )


def _manifest(parent: Parent) -> tuple[dict[str, Any], str]:
    """The parent as it is sent, and the hash of what it says."""
    annotations = applyset.hints(parent.kinds, parent.namespaces)
    if parent.members:
        annotations[MEMBERS] = parent.members
    labels = applyset.parent_labels(parent.config, parent.namespace, parent.id)
    digest = hashlib.sha256(json.dumps([labels, annotations, dict(parent.data)], sort_keys=True).encode()).hexdigest()
    metadata = {"name": parent.ref.name, "namespace": parent.ref.namespace, "labels": labels}
    metadata["annotations"] = {**annotations, APPLIED: digest[:16]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(parent.data)}, digest


def _is_written(known: Record, state: ObjectState, digest: str) -> bool:
    return (
        known.state == "done"
        and known.identity == state.uid
        and not state.deletion_timestamp
        and state.annotations.get(APPLIED) == digest[:16]
        and known.effect.details.get("fields") == state.manager_hash
    )


def _effect(cluster: ClusterStore, parent: Parent, details: Mapping[str, Any]) -> Effect:
    place = cluster.identity().uid
    return Effect("cluster", "set", place, ledger_name(parent.ref), parent.config, details=details)


# --- the ledger --------------------------------------------------------------------------------------------------------


def record_parent(world: World, cluster: ClusterStore, parent: Parent, address: Mapping[str, Any]) -> None:
    """Take a parent that another checkout wrote into the ledger."""
    assert parent.state is not None
    known = recorded(world, cluster, parent.config, parent.namespace)
    if known and known.identity == parent.state.uid:
        return
    details = {**address, "namespace": parent.namespace, "set": parent.id}
    details["hash"] = parent.state.annotations.get(APPLIED, "")
    # never without a record in between: the config that names the set may be gone by the next run
    record = world.ledger.intend(_effect(cluster, parent, details), anew=True)
    world.ledger.done(record, parent.state.uid, fields=parent.state.manager_hash)
    if known and known.id != record.id:
        world.ledger.gone(known)


def is_of(record: Record, found: Mapping[str, Any]) -> bool:
    """Whether an object is the parent that a record of a set speaks of."""
    return is_parent(object_state(found), record.effect.config, record.effect.details["namespace"])


def members_of_record(world: World, cluster: ClusterStore, set_id: str) -> list[Record]:
    """What the ledger knows of a set, adopted objects too."""
    place = cluster.identity().uid
    return [r for r in _objects(world) if r.effect.place == place and r.effect.details.get("set") == set_id]


def hooks_of_record(world: World, cluster: ClusterStore, set_id: str) -> list[Record]:
    """This project's own hooks that its ledger knows of a set, and that are not taken back. The ID of a set is the same in
    every cluster."""
    place = cluster.identity().uid
    of_set = [r for r in world.ledger.records(kind="hook") if r.effect.details.get("set") == set_id]
    ours = [r for r in of_set if r.effect.made and r.effect.details["hook"] != TAKEN_BACK]
    return [r for r in ours if r.effect.details.get("cluster") == place and r.effect.details.get("copy")]


def _objects(world: World) -> list[Record]:
    return world.ledger.records("cluster", "object")
