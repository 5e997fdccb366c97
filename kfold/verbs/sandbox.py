"""Starting the embedded cluster for a run that found no cluster at all, and its reverse."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.stores import sandbox_process
from kfold.stores.cluster_interface import ClusterStore, ObjectState, UnknownKind
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import World

OWN = frozenset(
    {
        *(("Namespace", "", name) for name in ("default", "kube-system", "kube-public", "kube-node-lease")),
        *((kind, "default", "kubernetes") for kind in ("Service", "Endpoints", "EndpointSlice")),
        *((kind, "kube-system", "kube-dns") for kind in ("Service", "Endpoints", "EndpointSlice")),
        *(("PriorityClass", "", f"system-{name}-critical") for name in ("cluster", "node")),
        ("StorageClass", "", "standard"),
    }
)
"""(kind, namespace, name) of what a sandbox has from the start."""

CONTEXT = "kfold-sandbox"
"""The name of the default sandbox's context, and how those of the others begin."""

OWN_NAMES = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
"""(kind, name) of what the cluster itself puts into every namespace."""

OWN_KINDS = frozenset({"Node", "Event"})
"""Kinds of which the cluster makes every object: its node registers itself, and events tell of other objects."""


def _home(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: environment[key] for key in ("KFOLD_SANDBOX_HOME",) if key in environment}


def start(world: World) -> None:
    """Start it, recorded first, so that a crash in between leaves nothing running that nobody knows of."""
    world.tell("heading", "No kube context: starting the embedded cluster (`kfold sandbox`)...")
    world.ledger.claim()
    file = sandbox_process.kubeconfig(world.environment)
    effect = Effect(
        store="host",
        kind="sandbox",
        place="host",
        name=str(file.parent),
        config="",
        mark=uuid.uuid4().hex,
        details={"environment": _home(world.environment), "kubeconfig": str(file)},
    )
    if known := world.ledger.find(effect):
        effect = replace(effect, mark=known.effect.mark)  # what a killed run began may be up by now
    record = world.ledger.intend(effect)
    sandbox_process.up(world.environment, effect.mark)
    world.ledger.done(record, str(file))


def undo(world: World, record: Record) -> Result:
    """Stop it, unless somebody else started it, or put something into it meanwhile. Runs after our own objects are gone.

    Raises KfoldError, the sandbox and its record kept, where what it holds cannot be asked while its process lives.
    """
    details = record.effect.details
    environment = {**world.environment, **details["environment"]}
    file = Path(details["kubeconfig"])
    if is_theirs(record, environment):
        world.ledger.gone(record)
        return Kept("the sandbox stays: somebody else started it (`kfold sandbox down` stops it)")
    # one whose process is dead answers nobody, and holds what nobody can reach
    if file.exists() and sandbox_process.runs(environment):
        try:
            found = foreign(world.open_cluster("", (str(file),)))
        except KfoldError as error:
            raise KfoldError(
                f"the embedded cluster stays, because what it holds cannot be told: {error.message}",
                hint="`doit delete` tries again; `kfold sandbox down` stops it with all that it holds.",
            ) from None
        if found:
            world.ledger.gone(record)
            return Kept(f"the sandbox stays: it holds {found}, which kfold did not make (`kfold sandbox down` stops it)")
    record = world.ledger.undoing(record)
    sandbox_process.down(environment)
    world.ledger.gone(record)
    world.tell("line", " - embedded cluster stopped")
    return Undone()


def is_theirs(record: Record, environment: Mapping[str, str]) -> bool:
    """Whether the sandbox that is there is not the one that was started: of a run that was killed before it started any, or
    after that one was stopped."""
    there = Path(record.effect.details["kubeconfig"]).parent.exists()
    return there and bool(record.effect.mark) and sandbox_process.mark(environment) != record.effect.mark


def foreign(cluster: ClusterStore) -> str:
    """One object of any kind that is not the sandbox's own, nor about to go; empty if there is none. Raises KfoldError."""
    objects: dict[str, ObjectState] = {}
    for api_version, kind in cluster.served_kinds():
        try:
            objects |= {state.uid: state for state in cluster.list_kind(api_version, kind)}
        except UnknownKind:
            continue  # its definition was deleted just now, and every object of it with the definition
    found = [state.ref for state in objects.values() if not _is_own(state) and _stays(state, objects, frozenset())]
    # a namespace, a Deployment says more than what is in it
    return str(min(found, key=lambda ref: (ref.kind != "Namespace", _OUTER.get(ref.kind, 1), ref))) if found else ""


_OUTER = {"Deployment": 0, "StatefulSet": 0, "DaemonSet": 0, "CronJob": 0, "ReplicaSet": 2, "Pod": 3}


def _is_own(state: ObjectState) -> bool:
    if state.kind in OWN_KINDS or (state.kind, state.name) in OWN_NAMES:
        return True
    if state.kind == "PersistentVolume":
        # provisioned for a claim, and gone after it: the claim counts
        claim = (state.raw.get("spec") or {}).get("claimRef") or {}
        return state.name == f"pvc-{claim.get('uid')}"
    return (state.kind, state.namespace, state.name) in OWN


def _stays(state: ObjectState, objects: Mapping[str, ObjectState], seen: frozenset[str]) -> bool:
    """Whether nobody deletes it: neither a person nor, as its owners go, the garbage collector."""
    if state.deletion_timestamp or state.uid in seen:
        return False
    owners = [str(one.get("uid")) for one in (state.raw.get("metadata") or {}).get("ownerReferences") or ()]
    seen |= {state.uid}
    return not owners or any(uid in objects and _stays(objects[uid], objects, seen) for uid in owners)


def is_recorded(details: Mapping[str, Any]) -> bool:
    """Whether a record is of a sandbox under its own name. A context of another name that led to one may lead anywhere by
    now, and what it led to may still be there."""
    return details.get("target") == "sandbox" and str(details["context"]).startswith(CONTEXT)


def is_up(kubeconfig: tuple[str, ...]) -> bool:
    """Whether a sandbox still has its kubeconfig: `down` takes that away with everything else of it."""
    return all(Path(file).exists() for file in kubeconfig)
