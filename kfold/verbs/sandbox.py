"""Starting the embedded cluster for a run that found no cluster at all, and its reverse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.stores import sandbox_process
from kfold.stores.cluster_interface import ClusterStore
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import World

OWN_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
"""What a sandbox has from the start."""

_HELD_KINDS = (
    ("apps/v1", "Deployment"),
    ("v1", "Pod"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
)
_SYSTEM_NAMES = frozenset({"kubernetes", "kube-root-ca.crt"})


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
        details={"environment": _home(world.environment), "kubeconfig": str(file)},
    )
    record = world.ledger.intend(effect)
    sandbox_process.up(world.environment)
    world.ledger.done(record, str(file))


def undo(world: World, record: Record) -> Result:
    """Stop it, unless somebody else put something into it meanwhile. Runs after our own objects are gone."""
    details = record.effect.details
    file = Path(details["kubeconfig"])
    if file.exists():
        foreign = _foreign(world.open_cluster("", (str(file),)))
        if foreign:
            world.ledger.gone(record)
            return Kept(
                f"the sandbox stays: it holds {foreign}, which kfold did not make (`kfold sandbox down` stops it)"
            )
    record = world.ledger.undoing(record)
    sandbox_process.down({**world.environment, **details["environment"]})
    world.ledger.gone(record)
    world.tell("line", " - embedded cluster stopped")
    return Undone()


def _foreign(cluster: ClusterStore) -> str:
    """Something in the sandbox that is not its own; empty if there is nothing, or if it does not answer any more."""
    try:
        for namespace in cluster.list_kind("v1", "Namespace"):
            if namespace.name not in OWN_NAMESPACES and not namespace.deletion_timestamp:
                return f"namespace {namespace.name}"
        for api_version, kind in _HELD_KINDS:
            for state in cluster.list_kind(api_version, kind):
                ours_to_ignore = state.name in _SYSTEM_NAMES or state.namespace.startswith("kube-")
                if not ours_to_ignore and not state.deletion_timestamp:
                    return f"{kind.lower()} {state.name}"
    except KfoldError:
        return ""
    return ""


def is_up(kubeconfig: tuple[str, ...]) -> bool:
    """Whether a sandbox still has its kubeconfig: `down` takes that away with everything else of it."""
    return all(Path(file).exists() for file in kubeconfig)
