"""Sets in the current cluster that this ledger does not know of: deployed from another folder or another machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kfold.errors import KfoldError
from kfold.plan.applyset import CONFIG, format_kinds
from kfold.plan.facts import Target
from kfold.stores.cluster_interface import ClusterError, ClusterStore
from kfold.verbs import applyset
from kfold.verbs.applyset import Parent
from kfold.verbs.world import World

ANSWER = 5.0
"""Seconds that the cluster has to answer `status`."""


Sets = Sequence[tuple[str, str]] | None
"""(config name, effective namespace) of each; None: of all configs, where nobody knows which one is meant."""


def unknown_sets(world: World, target: Target, sets: Sets) -> list[tuple[ClusterStore, Parent]]:
    """The parents of those sets that are there and not in the ledger. Raises KfoldError where the cluster cannot tell."""
    if target.refusal or sets == []:
        return []
    cluster = world.open_cluster(target.context, target.kubeconfig)
    if sets is None:
        found: list[Parent | None] = [*every_set(cluster, target.namespace)]
    else:
        found = [applyset.find(cluster, config, namespace) for config, namespace in sets]
    return [
        (cluster, parent)
        for parent in found
        if parent and not applyset.recorded(world, cluster, parent.config, parent.namespace)
    ]


def every_set(cluster: ClusterStore, namespace: str) -> list[Parent]:
    """The parents of all configs; where looking over all namespaces is forbidden, those in the two where one may lie."""
    try:
        found = cluster.list_kind("v1", "ConfigMap", label_selector=CONFIG)
    except ClusterError as error:
        if error.code != 403:
            raise
        found = cluster.list_kind("v1", "ConfigMap", namespace, label_selector=CONFIG)
        if namespace != applyset.ELSEWHERE:
            with suppress(ClusterError):  # who may work in one namespace alone has no set whose parent lies in another
                found += cluster.list_kind("v1", "ConfigMap", applyset.ELSEWHERE, label_selector=CONFIG)
    parents = [(state, applyset.read(state)) for state in found]
    return [parent for state, parent in parents if applyset.is_parent(state, parent.config, parent.namespace)]


def refuse_unnamed(world: World, target: Target, unread: KfoldError) -> None:
    """Raises KfoldError where the cluster has sets that this ledger does not know, and the project's config, which cannot
    be read, would tell whether one is its own; also where the cluster cannot tell."""
    try:
        found = [parent for _, parent in unknown_sets(world, target, None)]
    except KfoldError as error:
        raise KfoldError(f"whether anything is deployed cannot be told: {error.message}", hint=error.hint) from error
    if found:
        told = "".join(f"\n - {_named(parent)}" for parent in found)
        raise KfoldError(
            f"{unread.message}\nNothing is recorded here, and without the config nobody knows which of these "
            f"deployments in context {target.context} is this project's:{told}",
            where=unread.where,
            hint="Mend the config, or take back by name what is this project's.",
        )


def _named(parent: Parent) -> str:
    """The command that takes a set back where there is no config."""
    return f"`doit delete --name {parent.config} namespace={parent.namespace}`"


def look_elsewhere(world: World, target: Target, sets: Sets) -> list[dict[str, Any]]:
    """The same as plain data, for `status`: a cluster that fails or is silent has nothing to tell here."""
    found: list[dict[str, Any]] = []

    def ask() -> None:
        try:
            unknown = unknown_sets(world, target, sets)
        except KfoldError:
            return  # the records of that cluster are told as unknown, with the reason
        for cluster, parent in unknown:
            kinds = format_kinds(parent.kinds)
            command = _named(parent) if sets is None else "`doit delete`"
            place = {"command": command, "context": cluster.identity().context, "namespace": parent.namespace}
            found.append({"config": parent.config, "kinds": kinds, "parent": str(parent.ref), **place})

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER)
    return list(found)
