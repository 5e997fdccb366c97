"""Is an object stable? Pure decisions over what the API shows.

The rules are those of `kubectl rollout status` (polymorphichelpers/rollout_status.go) for Deployment, StatefulSet and
DaemonSet, kstatus (cli-utils) for everything else, and pod_health's for the Pods behind a workload: a new Pod that can
never become ready fails its workload at once. Pods of an older template never count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kfold.stores.cluster_interface import ObjectRef
from kfold.stores.kinds import BUILTIN, group_of
from kfold.verbs.pod_health import LogSource, Object, PodHealth, State, condition, find_condition, pod_health

_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Verdict:
    """`reason` says what it waits for or why it failed; "" only where there is nothing to say.

    `pods` are the new Pods that are not ready, the most telling first. `logs_wanted` names the container whose last
    lines explain a failure, and `image` the image that cannot be pulled or run.
    """

    state: State
    reason: str = ""
    pods: tuple[PodHealth, ...] = ()
    logs_wanted: LogSource | None = None
    container: str = ""
    image: str = ""
    exit_code: int | None = None


def verdict(
    obj: Object, pods: Sequence[Object] = (), events: Sequence[Object] = (), *, replica_sets: Sequence[Object] = ()
) -> Verdict:
    """Judges one object.

    `pods`, `events` and `replica_sets` may be those of a whole namespace: what belongs to `obj` is found by owner
    references. Without `replica_sets` a Deployment's new Pods are told from the old ones by their images and age, which
    a change of, say, an environment variable alone can mislead for a moment.
    """
    if obj["metadata"].get("deletionTimestamp"):
        return Verdict("pending", "is being deleted")
    group, kind = group_of(str(obj.get("apiVersion"))), str(obj.get("kind"))
    rule = _RULES.get((group, kind))
    if rule is None:
        return Verdict("ready") if (obj.get("apiVersion"), kind) in BUILTIN else _custom(obj)
    if kind == "Pod":
        if _is_unseen_pod(obj):
            return Verdict("pending", "waiting for its containers to run the new image")
        return _from_pod(pod_health(obj, events))
    if _is_unseen(obj):
        return Verdict("pending", "waiting for the cluster to take notice of the change")
    mine = own_pods(obj, pods, replica_sets)
    unready = sorted(
        (health for health in (pod_health(pod, events) for pod in mine) if health.state != "ready"),
        key=lambda health: (health.state != "failed", -health.rank, health.pod),
    )
    return rule(obj, unready)


def own_pods(obj: Object, pods: Iterable[Object], replica_sets: Iterable[Object] = ()) -> list[Object]:
    """The Pods that a workload made from its present template and that are not being deleted."""
    living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if obj["kind"] == "Deployment":
        return _deployment_pods(obj, living, list(replica_sets))
    mine = [pod for pod in living if _owner(pod).get("uid") == obj["metadata"]["uid"]]
    if obj["kind"] == "StatefulSet":
        revision = _status(obj).get("updateRevision")
        return [pod for pod in mine if not revision or _label(pod, "controller-revision-hash") in ("", revision)]
    if obj["kind"] == "DaemonSet":
        return _newest_group(mine, "controller-revision-hash")
    return mine


def _deployment_pods(obj: Object, pods: list[Object], replica_sets: list[Object]) -> list[Object]:
    mine = [rs for rs in replica_sets if _owner(rs).get("uid") == obj["metadata"]["uid"]]
    if mine:
        wanted = _annotation(obj, _REVISION)
        newest = max(mine, key=lambda rs: (_annotation(rs, _REVISION) == wanted, int(_annotation(rs, _REVISION) or 0)))
        return [pod for pod in pods if _owner(pod).get("uid") == newest["metadata"]["uid"]]
    # without its ReplicaSets: they are named DEPLOYMENT-HASH, and their Pods carry the hash as a label
    name = obj["metadata"]["name"]
    named = [
        pod
        for pod in pods
        if _owner(pod).get("kind") == "ReplicaSet"
        and _owner(pod).get("name") == f"{name}-{_label(pod, 'pod-template-hash')}"
    ]
    images = _images(((obj.get("spec") or {}).get("template") or {}).get("spec"))
    same = [pod for pod in named if images <= _images(pod.get("spec"))]
    return _newest_group(same, "pod-template-hash")


def _newest_group(pods: list[Object], label: str) -> list[Object]:
    """The Pods of the revision that has the youngest Pod."""
    if not pods:
        return []
    youngest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))
    return [pod for pod in pods if _label(pod, label) == _label(youngest, label)]


# --- one rule a kind: the object and its new Pods that are not ready -> verdict -------------------------------------


def _deployment(obj: Object, unready: list[PodHealth]) -> Verdict:
    wanted, status = _replicas(obj), _status(obj)
    updated, available = _count(status, "updatedReplicas"), _count(status, "availableReplicas")
    progressing = find_condition(obj, "Progressing") or {}
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        why = unready[0].reason if unready else str(progressing.get("message") or "")
        return _blame("failed", f"exceeded its progress deadline: {why}", unready)
    if unready and unready[0].state == "failed":
        return _blame("failed", "", unready)
    if updated < wanted:
        failure = find_condition(obj, "ReplicaFailure")
        if failure is not None and failure.get("status") == "True":
            return Verdict("pending", f"no Pod can be made: {failure.get('message')}")
        if (obj.get("spec") or {}).get("paused"):
            return Verdict("pending", "is paused: `kubectl rollout resume` lets it go on")
        return _blame("pending", f"{updated} out of {wanted} new replicas have been updated", unready)
    if _count(status, "replicas") > updated:
        # the old Pods' own state never counts, only that they still run
        left = _count(status, "replicas") - updated
        return _blame("pending", f"{left} old replicas are pending termination", unready)
    if available < updated:
        return _blame("pending", f"{available} of {updated} updated replicas are available", unready)
    return Verdict("ready")


def _stateful_set(obj: Object, unready: list[PodHealth]) -> Verdict:
    strategy = (obj.get("spec") or {}).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Verdict("ready", "its Pods change when they are deleted (OnDelete)")
    wanted, status = _replicas(obj), _status(obj)
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if unready and unready[0].state == "failed":
        return _blame("failed", "", unready)
    ready, updated = _count(status, "readyReplicas"), _count(status, "updatedReplicas")
    if ready < wanted:
        return _blame("pending", f"{ready} of {wanted} Pods are ready", unready)
    if updated < wanted - partition:
        return _blame("pending", f"{updated} of {wanted - partition} Pods have been updated", unready)
    return Verdict("ready")


def _daemon_set(obj: Object, unready: list[PodHealth]) -> Verdict:
    strategy = (obj.get("spec") or {}).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Verdict("ready", "its Pods change when they are deleted (OnDelete)")
    status = _status(obj)
    wanted, updated = _count(status, "desiredNumberScheduled"), _count(status, "updatedNumberScheduled")
    if unready and unready[0].state == "failed":
        return _blame("failed", "", unready)
    if updated < wanted:
        return _blame("pending", f"{updated} out of {wanted} new Pods have been updated", unready)
    if _count(status, "numberAvailable") < wanted:
        return _blame("pending", f"{_count(status, 'numberAvailable')} of {wanted} updated Pods are available", unready)
    return Verdict("ready", "" if wanted else "no node wants one of its Pods")


def _replica_set(obj: Object, unready: list[PodHealth]) -> Verdict:
    wanted, available = _replicas(obj), _count(_status(obj), "availableReplicas")
    if unready and unready[0].state == "failed":
        return _blame("failed", "", unready)
    if available < wanted:
        return _blame("pending", f"{available} of {wanted} replicas are available", unready)
    return Verdict("ready")


def _job(obj: Object, unready: list[PodHealth]) -> Verdict:
    if condition(obj, "Complete") == "True":
        return Verdict("ready")
    failed = find_condition(obj, "Failed")
    if failed is not None and failed.get("status") == "True":
        said = ": ".join(filter(None, (failed.get("reason"), failed.get("message"))))
        return _blame("failed", said or "it says no more", unready)
    if (obj.get("spec") or {}).get("suspend"):
        return Verdict("ready", "is suspended: its manifest asks for that")
    # one Pod that fails is not the end: the Job makes another (backoffLimit). One that cannot even start never will.
    stuck = [health for health in unready if health.state == "failed" and health.exit_code is None]
    if stuck:
        return _blame("failed", "", stuck)
    status, completions = _status(obj), (obj.get("spec") or {}).get("completions")
    done = _count(status, "succeeded")
    progress = f"{done} of {completions} completions" if completions else "has not completed yet"
    return _blame("pending", progress, unready)


def _definition(obj: Object, _: list[PodHealth]) -> Verdict:
    names = find_condition(obj, "NamesAccepted") or {}
    if names.get("status") == "False":
        return Verdict("failed", f"its names are taken: {names.get('message')}")
    if condition(obj, "Established") != "True":
        return Verdict("pending", "is not established yet")
    return Verdict("ready")


def _pod(obj: Object, _: list[PodHealth]) -> Verdict:
    return _from_pod(pod_health(obj))


_Rule = Callable[[Object, list[PodHealth]], Verdict]
_RULES: Mapping[tuple[str, str], _Rule] = {
    ("", "Pod"): _pod,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}


def is_judged(ref: ObjectRef) -> bool:
    """Whether `verdict` can say anything but "ready" about objects of this kind, so that they are worth asking for."""
    return (group_of(ref.api_version), ref.kind) in _RULES or (ref.api_version, ref.kind) not in BUILTIN


def _custom(obj: Object) -> Verdict:
    """kstatus for kinds that it does not know: Reconciling, Stalled and Ready; without conditions it is current."""
    status = _status(obj)
    observed = status.get("observedGeneration")
    if observed is not None and observed != obj["metadata"].get("generation"):
        return Verdict("pending", "waiting for its controller to take notice of the change")
    stalled = find_condition(obj, "Stalled") or {}
    if stalled.get("status") == "True":
        return Verdict("failed", str(stalled.get("message") or stalled.get("reason") or "is stalled"))
    reconciling, ready = find_condition(obj, "Reconciling") or {}, find_condition(obj, "Ready")
    if reconciling.get("status") == "True":
        return Verdict("pending", str(reconciling.get("message") or reconciling.get("reason") or "is reconciling"))
    if ready is not None and ready.get("status") != "True":
        return Verdict("pending", str(ready.get("message") or ready.get("reason") or "is not ready"))
    return Verdict("ready")


def _blame(state: State, reason: str, unready: list[PodHealth]) -> Verdict:
    """A verdict with the most telling Pod: its reason is the workload's where that has none of its own."""
    first = unready[0] if unready else PodHealth("", "pending")
    return Verdict(
        state,
        reason or f"pod/{first.pod}: {first.reason}",
        tuple(unready),
        first.logs_wanted,
        first.container,
        first.image,
        first.exit_code,
    )


def _from_pod(health: PodHealth) -> Verdict:
    return Verdict(
        health.state,
        health.reason,
        () if health.state == "ready" else (health,),
        health.logs_wanted,
        health.container,
        health.image,
        health.exit_code,
    )


def _is_unseen(obj: Object) -> bool:
    """The controller has not looked at this generation yet: its status is about an older one. Jobs do not tell."""
    if obj["kind"] in ("Job", "CustomResourceDefinition"):
        return False
    return int(_status(obj).get("observedGeneration") or 0) < int(obj["metadata"].get("generation") or 0)


def _is_unseen_pod(pod: Object) -> bool:
    """A changed Pod whose status is still about its old containers, which are ready.

    The kubelet tells the generation that it has looked at (KEP-5067, from 1.33), but may do so before it has stopped the
    old container. So an image that is named by its ID has to be the one that the status names too.
    """
    metadata, status = pod["metadata"], _status(pod)
    generation = int(metadata.get("generation") or 1)
    if generation < 2:
        return False
    if "observedGeneration" in status and int(status["observedGeneration"]) < generation:
        return True
    running = {str(one.get("name")): one for one in status.get("containerStatuses") or ()}
    for container in (pod.get("spec") or {}).get("containers") or ():
        identity = str(container.get("image") or "").rpartition(":")[2]
        shown = running.get(str(container.get("name")))
        # a runtime may show another name of the same image, but then its ID
        named = f"{shown.get('image')} {shown.get('imageID')}" if shown else identity
        if re.fullmatch("[0-9a-f]{64}", identity) and identity not in named:
            return True
    return False


def _status(obj: Object) -> Object:
    return obj.get("status") or {}


def _count(status: Object, name: str) -> int:
    return int(status.get(name) or 0)


def _replicas(obj: Object) -> int:
    replicas = (obj.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def _owner(obj: Object) -> Object:
    """The controller's owner reference."""
    owners: Sequence[Object] = obj["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})


def _label(obj: Object, name: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(name) or "")


def _annotation(obj: Object, name: str) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(name) or "")


def _images(spec: Object | None) -> set[tuple[str, str]]:
    containers: Sequence[Object] = (spec or {}).get("containers") or ()
    return {(str(container.get("name")), str(container.get("image"))) for container in containers}
