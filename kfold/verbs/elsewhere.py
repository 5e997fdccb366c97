"""Sets in the current cluster that this ledger does not know of: deployed from another folder or another machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from kfold.errors import KfoldError
from kfold.plan.applyset import format_kinds
from kfold.plan.facts import Target
from kfold.stores.cluster_interface import ClusterStore
from kfold.verbs import applyset
from kfold.verbs.applyset import Parent
from kfold.verbs.world import World

ANSWER = 5.0
"""Seconds that the cluster has to answer `status`."""


def unknown_sets(world: World, target: Target, sets: Sequence[tuple[str, str]]) -> list[tuple[ClusterStore, Parent]]:
    """The parents of those sets (config name, effective namespace) that are there and not in the ledger.

    Raises KfoldError where the cluster cannot tell.
    """
    if target.refusal or not sets:
        return []
    cluster = world.open_cluster(target.context, target.kubeconfig)
    found = [applyset.find(cluster, config, namespace) for config, namespace in sets]
    return [
        (cluster, parent)
        for parent in found
        if parent and not applyset.recorded(world, cluster, parent.config, parent.namespace)
    ]


def look_elsewhere(world: World, target: Target, sets: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The same as plain data, for `status`: a cluster that fails or is silent has nothing to tell here."""
    found: list[dict[str, Any]] = []

    def ask() -> None:
        try:
            unknown = unknown_sets(world, target, sets)
        except KfoldError:
            return  # the records of that cluster are told as unknown, with the reason
        for cluster, parent in unknown:
            kinds = format_kinds(parent.kinds)
            place = {"context": cluster.identity().context, "namespace": parent.namespace}
            found.append({"config": parent.config, "kinds": kinds, "parent": str(parent.ref), **place})

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER)
    return list(found)
