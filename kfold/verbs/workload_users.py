"""What in the clusters that are deployed to names an image, whether a Pod of it runs or not: the next one would need it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kfold.errors import ConfigError, KfoldError
from kfold.ledger import Record
from kfold.plan.facts import Target
from kfold.plan.reference import parse
from kfold.stores.cluster_interface import ClusterError, ClusterStore, ObjectState, UnknownKind
from kfold.verbs import sandbox
from kfold.verbs.objects import PARALLEL, noun, reference
from kfold.verbs.world import World

_KINDS = (
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
    ("batch/v1", "CronJob"), ("batch/v1", "Job"), ("v1", "ReplicationController"), ("v1", "Pod"),
)  # fmt: skip


def workload_users(
    world: World, records: Iterable[Record], target: Target | None = None
) -> dict[tuple[str, str], str]:
    """(engine, image ID) -> a workload of a known cluster that names the image; the engine is "" for one that only a node
    or a registry has.

    Known are those that something is recorded of, or was until this process deleted it, and the current one (`target`).
    Raises KfoldError where one of the former does not answer: it may need them all.
    """
    names = _names(records)
    users: dict[tuple[str, str], str] = {}
    if not names:
        return users
    for cluster, known in _clusters(world):
        _look(cluster, known, names, users)
    try:
        if target and (other := _current(world, target)):
            _look(other, [], names, users)
    except KfoldError as error:
        # what was never deployed to may be away for good: no reason to keep everything
        world.tell("warning", f"{error.message}; nothing is recorded as deployed there")
    return users


def _look(
    cluster: ClusterStore,
    known: list[Record],
    names: Mapping[str, set[tuple[str, str]]],
    users: dict[tuple[str, str], str],
) -> None:
    """Add what one cluster uses to `users`."""
    ours = {record.identity for record in known}
    states, whole = _workloads(cluster, known)
    there = {state.uid for state in states}
    for state in states:
        if _is_over(state, ours) or _is_orphan(state, there, whole):
            continue
        for image in _images(state):
            for owner in names.get(_normal(image), ()):
                users.setdefault(owner, f"{noun(state.ref)} in {state.namespace} (context {cluster.identity().context})")


def _names(records: Iterable[Record]) -> dict[str, set[tuple[str, str]]]:
    """Reference -> the images that it names, by our records."""
    records = list(records)
    engines: dict[str, set[str]] = {}
    for record in records:
        if record.effect.kind == "image":
            engines.setdefault(record.identity, set()).add(record.effect.place)
    found: dict[str, set[tuple[str, str]]] = {}
    for record in records:
        effect = record.effect
        if effect.kind == "image":
            continue
        image = record.identity if effect.store == "engine" else str(effect.details.get("image") or record.identity)
        names = [effect.name]
        if effect.store == "registry":
            places = (effect.place, *effect.details.get("known_as", ()))
            names = [f"{place}@{record.identity}" for place in places]  # our manifests get the digest
            if effect.kind == "tag":
                names += [f"{place}:{effect.name}" for place in places]  # others may name the tag
        for one in names:
            found.setdefault(_normal(one), set()).update((place, image) for place in engines.get(image, {""}))
    return found


def _normal(text: str) -> str:
    """A reference as it is compared: by its digest where it has one, else by its tag."""
    try:
        one = parse(text)
    except ConfigError:
        return text
    return f"{one.name}@{one.digest}" if one.digest else f"{one.name}:{one.tag or 'latest'}"


def _clusters(world: World) -> Iterator[tuple[ClusterStore, list[Record]]]:
    places: dict[str, list[Record]] = {}
    for record in world.ledger.records("cluster"):
        if record.effect.kind in ("object", "set"):
            places.setdefault(record.effect.place, []).append(record)
    for place, details in {**world.deleted_from, **{one: known[0].effect.details for one, known in places.items()}}.items():
        context, files = str(details["context"]), tuple(details["kubeconfig"])
        if sandbox.is_recorded(details) and not sandbox.is_up(files):
            continue  # it is gone, and all that it held
        try:
            cluster = world.open_cluster(context, files)
            there = cluster.identity().uid
        except KfoldError as error:
            raise _cannot_tell(context, error.message) from error
        if there == place:
            yield cluster, places.get(place, [])
        elif not sandbox.is_recorded(details):
            raise _cannot_tell(context, "the context leads to another cluster now")


def _current(world: World, target: Target) -> ClusterStore | None:
    """The current cluster, unless it is asked anyhow, or none. Raises KfoldError where it does not answer."""
    gone = sandbox.is_recorded({"target": target.kind, "context": target.context}) and not sandbox.is_up(target.kubeconfig)
    if not target.context or gone:
        return None
    try:
        cluster = world.open_cluster(target.context, target.kubeconfig)
        place = cluster.identity().uid
    except KfoldError as error:
        raise _cannot_tell(target.context, error.message) from error
    known = {record.effect.place for record in world.ledger.records("cluster") if record.effect.kind in ("object", "set")}
    return None if place in known | {*world.deleted_from} else cluster


def _cannot_tell(context: str, why: str) -> KfoldError:
    return KfoldError(
        f"whether what is deployed to context {context} uses images cannot be told: {why}",
        hint="Run this again when it answers; or, if that cluster is gone for good, `doit delete --forget` first.",
    )


def _workloads(cluster: ClusterStore, known: Iterable[Record]) -> tuple[list[ObjectState], set[tuple[str, str]]]:
    """All of the cluster, and the kinds of which these are all; of the namespaces that were deployed to, for who may not
    look at more."""
    namespaces = sorted({reference(record).namespace for record in known} - {""})
    whole: set[tuple[str, str]] = set()

    def ask(kind: tuple[str, str]) -> list[ObjectState]:
        try:
            found = cluster.list_kind(*kind)
            whole.add(kind)
            return found
        except UnknownKind:
            return []
        except ClusterError as error:
            if error.code != 403:
                raise
        return [state for namespace in namespaces for state in cluster.list_kind(*kind, namespace)]

    try:
        with ThreadPoolExecutor(PARALLEL) as pool:
            lists = list(pool.map(ask, _KINDS))
    except ClusterError as error:
        raise _cannot_tell(cluster.identity().context, error.message) from error
    return [state for states in lists for state in states], whole


def _is_orphan(state: ObjectState, there: set[str], whole: set[tuple[str, str]]) -> bool:
    """Whether all its owners are gone: the garbage collector takes it, some time after them."""
    owners = (state.raw.get("metadata") or {}).get("ownerReferences") or ()
    gone = ((one.get("apiVersion"), one.get("kind")) in whole and one.get("uid") not in there for one in owners)
    return bool(owners) and all(gone)


def _is_over(state: ObjectState, ours: set[str]) -> bool:
    """Whether it will start nothing any more: it ended, goes, or is the history of a Deployment of ours."""
    status: Mapping[str, Any] = state.raw.get("status") or {}
    if state.deletion_timestamp or status.get("phase") in ("Succeeded", "Failed"):
        return True
    if state.kind == "Job":
        conditions = status.get("conditions") or ()
        return any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)
    if state.kind == "ReplicaSet" and not (state.raw.get("spec") or {}).get("replicas"):
        owners = (state.raw.get("metadata") or {}).get("ownerReferences") or ()
        return any(owner.get("uid") in ours for owner in owners)
    return False


def _images(state: ObjectState) -> Iterator[str]:
    spec: Mapping[str, Any] = state.raw.get("spec") or {}
    if state.kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if state.kind != "Pod":
        spec = (spec.get("template") or {}).get("spec") or {}
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for one in spec.get(key) or ():
            yield str(one.get("image") or "")
