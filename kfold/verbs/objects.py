"""How `deploy` and `delete` speak of one object: its marks, its name in the ledger, its name for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from kfold.ledger import Record
from kfold.plan.facts import Target
from kfold.stores.cluster_interface import ClusterStore, ObjectRef, ObjectState, UnknownKind

T = TypeVar("T")

INTENT = "kfold.dev/intent"
"""Annotation: the mark of the intent that created an object. It tells ours from one that came first, after a crash."""

APPLIED = "kfold.dev/applied"
"""Annotation: hash of the manifest that was applied last, so that another checkout's apply is seen for what it is."""

ADOPTED = "kfold.dev/adopted"
"""Annotation: the ID of the set that took the object over, which was there before."""

KEEP = "kfold.dev/keep"
"""Annotation of the user's: "true" keeps the object, whatever deletes the rest."""

PARALLEL = 8
"""Requests under way at once. More gain nothing on one API server (measured: 100 applies, 4 to 32 threads)."""


def ledger_name(ref: ObjectRef) -> str:
    """The object's name in the ledger."""
    return "|".join((ref.api_version, ref.kind, ref.namespace, ref.name))


def reference(record: Record) -> ObjectRef:
    """The object that a record speaks of."""
    return reference_of(record.effect.name)


def reference_of(name: str) -> ObjectRef:
    """The object with that name in the ledger. Names of roles may have a `|` themselves."""
    return ObjectRef(*name.split("|", 3))


def is_namespace(ref: ObjectRef) -> bool:
    """Whether it is a Namespace of Kubernetes' own: other groups have kinds of that name, too."""
    return group_kind(ref) == ("", "Namespace")


def is_definition(ref: ObjectRef) -> bool:
    """Whether it is a CustomResourceDefinition."""
    return group_kind(ref) == ("apiextensions.k8s.io", "CustomResourceDefinition")


def noun(ref: ObjectRef) -> str:
    """As kubectl prints it: `pod "web"`, `deployment.apps "web"`."""
    group = ref.api_version.rpartition("/")[0]
    return f'{ref.kind.lower()}{f".{group}" if group else ""} "{ref.name}"'


def present(cluster: ClusterStore, refs: Iterable[ObjectRef]) -> dict[ObjectRef, ObjectState]:
    """Those of the objects that exist, by one list a kind and namespace, side by side.

    A kind that the cluster serves in no version has no objects. Any other failure is raised: an error is never an empty set.
    """
    wanted = set(refs)
    groups = sorted({replace(ref, name="") for ref in wanted})

    def ask(group: ObjectRef) -> list[ObjectState]:
        try:
            return as_served(cluster, group, lambda ref: cluster.list_kind(ref.api_version, ref.kind, ref.namespace or None))
        except UnknownKind:
            return []

    if len(groups) == 1:  # no thread for the common small case
        lists = [ask(groups[0])]
    else:
        with ThreadPoolExecutor(max(1, min(PARALLEL, len(groups)))) as pool:
            lists = list(pool.map(ask, groups))
    found = {
        replace(group, namespace=state.namespace, name=state.name): state
        for group, states in zip(groups, lists, strict=True)
        for state in states
    }
    return {ref: state for ref, state in found.items() if ref in wanted}


def as_served(cluster: ClusterStore, ref: ObjectRef, ask: Callable[[ObjectRef], T]) -> T:
    """The answer to a question about an object in the version that is recorded or, where the cluster does not serve that any
    more, in one that it does serve: the object is the same. Raises UnknownKind where it serves none."""
    asked = set()
    while True:
        try:
            return ask(ref)
        except UnknownKind:
            asked.add(ref.api_version)
            # from memory this may be one that is not served any more either: the store forgets it when it is asked
            version = cluster.version_of(*group_kind(ref))
            if version in asked:
                raise
            ref = replace(ref, api_version=version)


def group_kind(ref: ObjectRef) -> tuple[str, str]:
    """(group, kind): what an object is, in whatever version it is asked for."""
    return ref.api_version.rpartition("/")[0], ref.kind


def same(ref: ObjectRef) -> tuple[str, str, str, str]:
    """What is equal for two references to one object, in whatever version each asks for it."""
    return (*group_kind(ref), ref.namespace, ref.name)


def address(cluster: ClusterStore, target: Target) -> dict[str, Any]:
    """How a record leads back to its cluster: context, kubeconfig files, and what kind of cluster it is."""
    identity = cluster.identity()
    return {
        "context": identity.context,
        "server": identity.server,
        "kubeconfig": list(target.kubeconfig),
        "target": target.kind,
    }
