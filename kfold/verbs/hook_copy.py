"""The copy of a deployment's hooks in the cluster, at the parent of its set: for who takes it back without this ledger.

Each hook that has an undo has a key of its own there, so that checkouts that write at the same time lose nothing of each
other. It is written before the hook runs and after it, and goes after the undo and before the ledger's record does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.stores.cluster_interface import ClusterStore, ObjectRef
from kfold.stores.host import Host, this_host
from kfold.verbs import applyset
from kfold.verbs.applyset import HOOK, Parent
from kfold.verbs.objects import reference
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
        "at": record.created, "store": effect.store, "place": effect.place, "name": effect.name, "config": effect.config,
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

    def named(self, effect: Effect) -> Effect:
        """The effect with the key of its copy and the set that keeps it; a hook that runs again keeps its key."""
        known = self.world.ledger.find(effect)
        key = (known.effect.details.get("copy") if known else "") or f"{HOOK}{uuid.uuid4().hex[:16]}"
        return replace(effect, details={**effect.details, "copy": key, "set": self.parent.id})

    def keep(self, record: Record) -> None:
        """Let the copy say what the ledger does, with the next `write`."""
        self._waiting[record.effect.details["copy"]] = to_text(
            record,
            ledger=self.world.ledger.identity,
            host=this_host(self.world.environment),
            project=str(self.world.folder.absolute()),
        )

    def drop(self, record: Record) -> None:
        """The hook is taken back: its copy goes."""
        if self.names(record):
            self._waiting[record.effect.details["copy"]] = None
            self.write()

    def names(self, record: Record) -> bool:
        """Whether the hook is kept there."""
        return record.effect.details.get("copy", "") in self.parent.data

    def write(self) -> None:
        """One request, where anything changed. Raises KfoldError."""
        texts, self._waiting = self._waiting, {}
        if texts:
            self.parent = applyset.put(self.world, self.cluster, self.parent, self.address, texts)


def find(world: World, cluster: ClusterStore, record: Record) -> HookCopy | None:
    """The copy that a hook's record is in; None where it never had one, or the parent is not there."""
    set_id = record.effect.details.get("set", "")
    parent = applyset.current(world, cluster, set_id) if set_id else None
    if parent is None:
        return None
    return HookCopy(world, cluster, parent, {key: record.effect.details[key] for key in _ACCESS})


def was_taken_back(world: World, cluster: ClusterStore, record: Record) -> bool:
    """Whether another checkout took a hook back: its copy went, though what held it was not deleted as a whole."""
    details = record.effect.details
    copy = find(world, cluster, record)
    if copy:
        return bool(details.get("copy")) and not copy.names(record)
    parents = [
        reference(one) for one in world.ledger.records("cluster", "set")
        if one.effect.details["set"] == details.get("set") and one.effect.place == details["cluster"]
    ]  # fmt: skip
    if not parents or not details.get("copy"):
        return False
    namespace = cluster.get(ObjectRef("v1", "Namespace", "", parents[0].namespace))
    return namespace is not None and not namespace["metadata"].get("deletionTimestamp")


def recall_hooks(world: World, place: str, parent: Parent, access: Mapping[str, Any]) -> None:
    """Record the hooks that a parent in the cluster `place` (its UID) keeps and this ledger does not know.

    Those of this project's own folder on this machine, whose ledger is gone, are this project's own again. All others are
    recorded as found: they are taken back here where that can be, as long as the parent keeps them.
    """
    found = copied_hooks(world, parent, {key: access[key] for key in _ACCESS})
    if not found:
        return
    project = str(world.folder.absolute())
    # in a copy of a project's folder the hook is known by the ledger that was copied, too: one hook, one undo
    known = {record.effect.details.get("copy") for record in world.ledger.records() if record.effect.kind == "hook"}
    others = {copy.identity for copy in world.ledger.others() if copy.project != world.folder.absolute()}
    for one in found:
        effect = replace(one.effect, details={**one.effect.details, "set": parent.id})
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
        if one.key not in known and world.ledger.find(effect) is None:
            record = world.ledger.intend(effect)
            if effect.details["hook"] == "done":
                world.ledger.done(record, "ran")


def leave_word(world: World, record: Record) -> bool:
    """Tell the ledger that a hook came from that it was taken back, where that ledger is on this machine. Drops the
    record then."""
    ledger = record.effect.details.get("ledger")
    heir = next((copy for copy in world.ledger.others() if copy.identity == ledger), None) if ledger else None
    if heir is None:
        return False
    theirs = replace(record.effect, name=record.effect.name.removesuffix(f"|{ledger}"))
    world.ledger.bequeath(replace(record, effect=theirs), heir)
    return True
