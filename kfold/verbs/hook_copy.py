"""The copy of a deployment's hooks in the cluster, at the parent of its set: for who takes it back without this ledger.

Each hook that has an undo has a key of its own there, so that checkouts that write at the same time lose nothing of each
other. It is written before the hook runs and after it, and goes after the undo and before the ledger's record does. Who runs
the undo first takes a claim there, which only one of several can.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Copy, Effect, Record, is_moved
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectRef, UnknownKind
from kfold.stores.host import Host, this_host
from kfold.verbs import applyset
from kfold.verbs.applyset import HOOK, Parent
from kfold.verbs.hook_claim import claim_key, claim_of, read_claim, refuse_claimed
from kfold.verbs.hook_effects import TAKEN_BACK
from kfold.verbs.objects import ledger_name, reference, reference_of
from kfold.verbs.world import World

VERSION = 1
_COPIED = ("phase", "subject", "where", "command", "undo", "hook", "pod", "container", "containers", "folder", "variables",
           "environment", "cluster", "namespaces")  # fmt: skip
_ALWAYS = ("phase", "subject", "where", "command", "undo", "hook", "cluster")
_OF_STORE = {"host": ("folder", "variables", "environment"), "cluster": ("namespaces", "pod", "container")}
_LISTS: Mapping[str, type] = {"command": list, "undo": list, "environment": list, "namespaces": list, "variables": dict}
_SIGNATURE = "signature"
_ACCESS = ("context", "server", "kubeconfig", "target")


@dataclass(frozen=True)
class CopiedHook:
    """One hook as the parent has it. `ledger`, `host`, `host_name` and `project` say whose it is: what ran on a host can be
    undone there only, in the project's folder. `own`: this user's key on this machine signed it; without that nothing of it
    is run on this host, since others can write to the cluster. `at`: when it was recorded, seconds since the epoch."""

    effect: Effect
    key: str
    ledger: str
    host: str
    host_name: str
    project: str
    own: bool
    at: float


def to_text(record: Record, *, ledger: str, host: Host, project: str) -> str:
    """A record as the parent keeps it: what an undo needs anywhere, signed. Not the kubeconfig, whose path means nothing
    elsewhere."""
    effect = record.effect
    said = {
        "version": VERSION, "ledger": ledger, "host": host.id, "hostName": host.name, "project": project,
        "at": record.created, "ran": record.updated,
        "store": effect.store, "place": effect.place, "name": effect.name, "config": effect.config,
        "details": {key: effect.details[key] for key in _COPIED if key in effect.details},
    }  # fmt: skip
    return _json({**said, _SIGNATURE: host.sign(_json(said))})


def _json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, separators=(",", ":"), sort_keys=True)


def from_texts(texts: Mapping[str, str], access: Mapping[str, Any], host: Host) -> list[CopiedHook]:
    """The hooks among what a parent keeps, in the order in which they ran, as effects that lead to the cluster by `access`
    (context, server, kubeconfig, target).

    Raises ValueError for a text that this kfold does not understand: nothing of it may be taken for "no hooks".
    """
    found = [_from_text(key, text, access, host) for key, text in texts.items() if key.startswith(HOOK)]
    return sorted(found, key=lambda one: one.at)


def _from_text(key: str, text: str, access: Mapping[str, Any], this: Host) -> CopiedHook:
    try:
        said = json.loads(text)
        own = this.signed(_json({name: value for name, value in said.items() if name != _SIGNATURE}), said[_SIGNATURE])
        if said["version"] != VERSION:
            raise ValueError(f"version {said['version']} is not known")
        if said["store"] not in ("host", "cluster"):
            raise ValueError(f"it is damaged: store {said['store']!r}")
        told = {name: said["details"][name] for name in _COPIED if name in said["details"]}
        details = {**told, **access, "copy": key}
        for name in (*_ALWAYS, *_OF_STORE[said["store"]]):
            if not isinstance(details[name], _LISTS.get(name, str)):
                raise ValueError(f"it is damaged: {name} {details[name]!r}")
        effect = Effect(said["store"], "hook", str(said["place"]), str(said["name"]), str(said["config"]), details=details)
        ledger, host, host_name, project = (str(said[name]) for name in ("ledger", "host", "hostName", "project"))
        return CopiedHook(effect, key, ledger, host, host_name, project, own, float(said["at"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is damaged: {error!r}") from error


def copied_hooks(world: World, parent: Parent, access: Mapping[str, Any]) -> list[CopiedHook]:
    """The hooks that a parent keeps, oldest first. Raises KfoldError where somebody made them unreadable."""
    if not any(key.startswith(HOOK) for key in parent.data):
        return []
    try:
        return from_texts(parent.data, access, this_host(world.environment))
    except ValueError as error:
        raise KfoldError(
            f"a hook that configmap {parent.ref.name} in {parent.ref.namespace} keeps cannot be read: {error}",
            hint=f"Somebody edited it, or a newer kfold wrote it. Mend its keys `{HOOK}*`; what you take out is forgotten.",
        ) from None


@dataclass
class HookCopy:
    """The copy while it is written. `address` leads back to the cluster, as in every record of the set."""

    world: World
    cluster: ClusterStore
    parent: Parent
    address: Mapping[str, Any]
    _waiting: dict[str, str | None] = field(default_factory=dict)
    _claimed: dict[str, str] = field(default_factory=dict)

    def named(self, effect: Effect) -> Effect:
        """The effect with the key of its copy and the set that keeps it; a hook that runs again keeps its key."""
        known = self.world.ledger.find(effect)
        key = (known.effect.details.get("copy") if known else "") or f"{HOOK}{uuid.uuid4().hex[:16]}"
        return replace(effect, details={**effect.details, "copy": key, **self.place})

    @property
    def place(self) -> dict[str, str]:
        """How a record leads there."""
        return _at(self.parent)

    def keep(self, record: Record) -> None:
        """Let the copy say what the ledger does, with the next `write`."""
        key = record.effect.details["copy"]
        self._waiting |= {key: _text(self.world, record), claim_key(key): None}

    def refuse_claimed(self, effect: Effect) -> None:
        """Before a hook runs again: raise KfoldError where another run takes it back right now."""
        known = self.world.ledger.find(effect)
        key = known.effect.details.get("copy") if known else None
        if key and self.parent.state and (now := applyset.at(self.cluster, self.parent.ref, self.parent.id)):
            self._refuse_claimed(key, now)

    def begin(self, record: Record) -> None:
        """The hook is about to run: write that, and nothing if another run takes it back right now. Raises KfoldError."""
        before = dict(self._waiting)
        self.keep(record)
        texts, self._waiting = self._waiting, before
        for _ in range(applyset.ATTEMPTS):
            self._refuse_claimed(record.effect.details["copy"], self.parent)
            if self._write_alone(texts):
                break
            found = applyset.find(self.cluster, self.parent.config, self.parent.namespace)
            if found is None or found.ref != self.parent.ref:
                self.parent = applyset.put(self.world, self.cluster, self.parent, self.address, texts)
                break
            self.parent = applyset.merged(self.parent, found)
        else:
            raise self._written_by_others()
        self._waiting = {}

    def _refuse_claimed(self, key: str, parent: Parent, *, take_over: bool = False) -> None:
        refuse_claimed(self.world, read_claim(parent.data.get(claim_key(key))), take_over=take_over)

    def _write_alone(self, texts: Mapping[str, str | None]) -> bool:
        """Write that, unless others wrote the parent since it was read."""
        try:
            self.parent = applyset.put(self.world, self.cluster, self.parent, self.address, texts, alone=True)
            return True
        except ClusterError as error:
            if error.code != 409:
                raise
            return False

    def _written_by_others(self) -> KfoldError:
        name = self.parent.ref.name
        return KfoldError(f"configmap {name} is written by others all the time; run this again when they end")

    def claim(self, record: Record, *, take_over: bool = False) -> bool:
        """Before an undo runs: be the only one to run it. False: it was taken back from elsewhere, or forgotten.

        `take_over`: the claim of another machine's run is that of one that ended. Raises KfoldError where another run takes
        it back right now.
        """
        key = record.effect.details["copy"]
        for _ in range(applyset.ATTEMPTS):
            if key not in self.parent.data:
                return False
            self._claimed[key] = self.parent.data[key]
            if read_claim(self.parent.data.get(claim_key(key))).get("ledger") == self.world.ledger.identity:
                return True
            self._refuse_claimed(key, self.parent, take_over=take_over)
            if self._write_alone({claim_key(key): _json(claim_of(self.world))}):
                return True
            found = applyset.at(self.cluster, self.parent.ref, self.parent.id)
            if found is None:
                return False
            self.parent = found
        raise self._written_by_others()

    def let_go(self, record: Record) -> None:
        """The undo failed: whoever comes next may run it."""
        with suppress(KfoldError):  # a claim of a run that ended is no claim
            self._waiting[claim_key(record.effect.details["copy"])] = None
            self.write()

    def drop(self, record: Record) -> None:
        """The hook is taken back: its copy goes, unless the hook ran again since it was claimed."""
        key = record.effect.details["copy"]
        taken = self._claimed.get(key, self.parent.data.get(key))
        for _ in range(applyset.ATTEMPTS):
            if key not in self.parent.data:
                return
            texts = {claim_key(key): None, **({key: None} if self.parent.data[key] == taken else {})}
            if self._write_alone(texts):
                return
            found = applyset.at(self.cluster, self.parent.ref, self.parent.id)
            if found is None:
                return
            self.parent = found
        raise self._written_by_others()

    def names(self, record: Record) -> bool:
        """Whether the hook is kept there."""
        return record.effect.details["copy"] in self.parent.data

    def knew(self, record: Record) -> bool:
        """Whether this is the parent that the hook was written to, and the hook is not kept there any more."""
        written = self.parent.state is not None and self.parent.state.uid == record.effect.details["parentUid"]
        return written and not self.names(record)

    def write(self) -> None:
        """One request, where anything changed. Raises KfoldError."""
        texts, self._waiting = self._waiting, {}
        if texts:
            self.parent = applyset.put(self.world, self.cluster, self.parent, self.address, texts)


def find(world: World, cluster: ClusterStore, record: Record) -> HookCopy | None:
    """The copy of a hook's record, or what it was taken out of; None where it never had one, or its parent is not there."""
    details = record.effect.details
    if not details.get("copy") or not details.get("parent"):
        return None
    parent = applyset.at(cluster, reference_of(details["parent"]), details["set"])
    if parent is None or parent.state is None:
        return None
    copy = HookCopy(world, cluster, parent, {key: details[key] for key in _ACCESS})
    # one that others made anew never knew what was recorded here
    missing = record.effect.made and not copy.names(record) and parent.state.uid != details["parentUid"]
    return None if missing else copy


def went_with_its_parent(world: World, cluster: ClusterStore, record: Record) -> bool:
    """Of a hook whose parent is not there: whether another checkout took both back. Not where somebody deleted all of the
    namespace; nor where, of one that ran here, the parent alone went: whoever takes a set back takes its objects, too."""
    details = record.effect.details
    if not details.get("parent"):
        return False
    parent = reference_of(details["parent"])
    namespace = cluster.get(ObjectRef("v1", "Namespace", "", parent.namespace))
    if namespace is None or namespace["metadata"].get("deletionTimestamp"):
        return False
    of_set = applyset.members_of_record(world, cluster, details["set"]) if record.effect.made else []
    return not any(_is_there(cluster, one) for one in of_set if one.effect.made)


def _is_there(cluster: ClusterStore, record: Record) -> bool:
    try:
        found = cluster.get(reference(record))
    except UnknownKind:  # its definition went, and all of its kind with it
        return False
    return found is not None and found["metadata"]["uid"] == record.identity


def renewed(world: World, cluster: ClusterStore, parent: Parent) -> Parent:
    """A parent that is to be written anew, with the hooks of its set that this ledger knows."""
    ours = applyset.hooks_of_record(world, cluster, parent.id)
    return replace(parent, data={**parent.data, **{one.effect.details["copy"]: _text(world, one) for one in ours}})


def _text(world: World, record: Record) -> str:
    project = str(world.folder.absolute())
    return to_text(record, ledger=world.ledger.identity, host=this_host(world.environment), project=project)


def _at(parent: Parent) -> dict[str, str]:
    """How a hook's record leads to its copy. The UID tells whether the parent is the one that it was written to."""
    return {"set": parent.id, "parent": ledger_name(parent.ref), "parentUid": parent.state.uid if parent.state else ""}


def recall_hooks(world: World, place: str, parent: Parent, access: Mapping[str, Any]) -> None:
    """Record the hooks that a parent in the cluster `place` (its UID) keeps and this ledger does not know, and what became
    of those that it found there earlier.

    Those of this project's own folder on this machine, whose ledger is gone, are this project's own again. All others are
    recorded as found: they are taken back here where that can be, as long as the parent keeps them.
    """
    found = copied_hooks(world, parent, {key: access[key] for key in _ACCESS})
    if not found:
        return
    project = str(world.folder.absolute())
    known = {record.effect.details.get("copy"): record for record in world.ledger.records(kind="hook")}
    others = {copy.identity for copy in world.ledger.others() if copy.project != world.folder.absolute()}
    for one in found:
        effect = replace(one.effect, details={**one.effect.details, **_at(parent)})
        ours = one.own and (one.ledger == world.ledger.identity or (one.project == project and one.ledger not in others))
        if not ours:
            host = one.host if one.own else ""
            whose: dict[str, Any] = {"ledger": one.ledger, "host": host, "hostName": one.host_name, "project": one.project}
            name = f"{effect.name}|{one.ledger}"
            if not one.own:
                # whoever wrote it may not choose where we act with our rights
                whose["namespaces"] = [parent.namespace] if parent.namespace in effect.details.get("namespaces", ()) else []
            effect = replace(effect, name=name, made=False, details={**effect.details, **whose})
        if not one.own and effect.store == "cluster":
            effect = replace(effect, place=place, details={**effect.details, "cluster": place})
        record = known.get(one.key)
        if record and (record.effect.made or _says(record, effect) or record.effect.details["hook"] == TAKEN_BACK):
            continue
        if record is None and world.ledger.find(effect):
            continue
        now = world.ledger.intend(effect)
        if effect.details["hook"] == "done":
            now = world.ledger.done(now, "ran")
        if record and record.id != now.id:
            world.ledger.gone(record)


def _says(record: Record, effect: Effect) -> bool:
    return record.effect.name == effect.name and dict(record.effect.details) == dict(effect.details)


def leave_word(world: World, record: Record) -> bool:
    """Tell the ledger that a hook came from that it was taken back, where that ledger is on this machine, and those that
    know it from before this folder was moved. Drops the record then."""
    ledger = record.effect.details.get("ledger", "")
    theirs = replace(record, effect=replace(record.effect, name=record.effect.name.removesuffix(f"|{ledger}")))

    def knows(copy: Copy) -> bool:
        return copy.identity == ledger or any(is_moved(one) and one.is_of(theirs) for one in copy.records)

    heirs = [copy for copy in world.ledger.others() if knows(copy)]
    if heirs:
        world.ledger.bequeath(theirs, *heirs)
    return bool(heirs)
