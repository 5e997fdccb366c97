"""The arithmetic of a Deployment's rollout: sizes and status as pure functions.

Rules of k8s.io/kubernetes/pkg/controller/deployment (util, rolling.go, progress.go).
"""

from __future__ import annotations

import time
from typing import Any

from kfold.sandbox.controllers import objects
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]


def replicas_of(deployment: Json) -> int:
    return int(deployment["spec"].get("replicas", 1))


def limits(deployment: Json) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers of Pods; where both come out as 0, one may be unavailable."""
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0, replicas_of(deployment)
    rolling, total = strategy.get("rollingUpdate") or {}, replicas_of(deployment)
    most = objects.scaled_value(rolling.get("maxSurge", "25%"), total, up=True)
    unavailable = objects.scaled_value(rolling.get("maxUnavailable", "25%"), total, up=False)
    if most == 0 and unavailable == 0:
        unavailable = 1
    return most, min(unavailable, total)


def surge(deployment: Json) -> int:
    return limits(deployment)[0]


def new_size(deployment: Json, new: Json, old: list[Json]) -> int:
    """How many replicas the new ReplicaSet should have now."""
    wanted, current = replicas_of(deployment), new["spec"]["replicas"]
    if current >= wanted:
        return wanted
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        return wanted
    total = current + sum(entry["spec"]["replicas"] for entry in old)
    room = wanted + surge(deployment) - total
    return int(current + min(max(room, 0), wanted - current))


def shrink_old(deployment: Json, new: Json, old: list[Json]) -> list[tuple[Json, int]]:
    """(ReplicaSet, new size) of those earlier ones that can become smaller without too few Pods being available."""
    least = replicas_of(deployment) - limits(deployment)[1]
    sizes = {entry["metadata"]["name"]: entry["spec"]["replicas"] for entry in old}
    unavailable_new = new["spec"]["replicas"] - _available(new)
    room = sum(sizes.values()) + new["spec"]["replicas"] - least - unavailable_new
    by_age = sorted(old, key=lambda entry: entry["metadata"]["creationTimestamp"])
    for entry in by_age:  # Pods that do not work go first
        if room <= 0:
            break
        sick = min(room, sizes[entry["metadata"]["name"]] - _available(entry))
        if sick > 0:
            sizes[entry["metadata"]["name"]] -= sick
            room -= sick
    spare = min(room, sum(_available(entry) for entry in [*old, new]) - least)
    for entry in by_age:
        if spare <= 0:
            break
        less = min(spare, sizes[entry["metadata"]["name"]])
        sizes[entry["metadata"]["name"]] -= less
        spare -= less
    return [
        (entry, sizes[entry["metadata"]["name"]])
        for entry in by_age
        if sizes[entry["metadata"]["name"]] != entry["spec"]["replicas"]
    ]


def _available(entry: Json) -> int:
    return min(int((entry.get("status") or {}).get("availableReplicas", 0)), int(entry["spec"]["replicas"]))


def _sum(sets: list[Json], field: str) -> int:
    return sum((entry.get("status") or {}).get(field, 0) for entry in sets)


def status(deployment: Json, new: Json | None, sets: list[Json], moment: str) -> tuple[Json, float | None]:
    """(the Deployment's new status, seconds until the progress deadline has to be looked at again)."""
    old: Json = deployment.get("status") or {}
    wanted = replicas_of(deployment)
    available = _sum(sets, "availableReplicas")
    counts = {
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum([new], "replicas") if new else 0,
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(entry["spec"]["replicas"] for entry in sets) - available),
    }
    conditions = list(old.get("conditions") or [])
    enough = available >= wanted - limits(deployment)[1]
    if enough:
        held = condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = "Deployment does not have minimum availability."
        held = condition("Available", "False", "MinimumReplicasUnavailable", said)
    conditions = objects.set_condition(conditions, held)
    conditions, again = _progress(deployment, new, counts, old, conditions, moment)
    conditions = _failure(new, conditions)
    result: Json = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    result |= {name: value for name, value in counts.items() if value}  # the real server leaves zeros out
    result["conditions"] = conditions
    if old.get("collisionCount"):
        result["collisionCount"] = old["collisionCount"]
    return result, again


def _progress(
    deployment: Json, new: Json | None, counts: Json, old: Json, conditions: list[Json], moment: str
) -> tuple[list[Json], float | None]:
    deadline = deployment["spec"].get("progressDeadlineSeconds", 600)
    current = next((entry for entry in conditions if entry["type"] == "Progressing"), None)
    finished = counts["replicas"] == counts["updatedReplicas"] and (current or {}).get("reason") == "NewReplicaSetAvailable"
    if deployment["spec"].get("paused") or deployment["metadata"].get("deletionTimestamp"):
        return conditions, None
    wanted = replicas_of(deployment)
    named = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if not finished:
        if counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted:
            said = f"{named} has successfully progressed."
            entry = condition("Progressing", "True", "NewReplicaSetAvailable", said)
            return objects.set_condition(conditions, entry), None
        if _moves(counts, old):
            entry = condition("Progressing", "True", "ReplicaSetUpdated", f"{named} is progressing.", moment)
            held = current or entry
            if current and current["status"] == "True":
                entry["lastTransitionTime"] = held["lastTransitionTime"]
            rest = [item for item in conditions if item["type"] != "Progressing"]
            return [*rest, entry], float(deadline)
    if current is None or current["reason"] == "NewReplicaSetAvailable" or current["status"] == "False":
        return conditions, None
    left = objects.seconds(current["lastUpdateTime"]) + deadline - time.time()
    if left > 0:
        return conditions, left
    entry = condition("Progressing", "False", "ProgressDeadlineExceeded", f"{named} has timed out progressing.")
    return objects.set_condition(conditions, entry), None


def _moves(counts: Json, old: Json) -> bool:
    """Whether the rollout came closer to its end since the last status."""

    def earlier(status: Json) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    return any(
        counts[name] > old.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
    ) or earlier(counts) < earlier(old)


def _failure(new: Json | None, conditions: list[Json]) -> list[Json]:
    """Pods that cannot be created (ReplicaFailure) are the Deployment's failure too."""
    rest = [entry for entry in conditions if entry["type"] != "ReplicaFailure"]
    failed = objects.condition(new, "ReplicaFailure") if new else {}
    if not failed:
        return rest
    return [*rest, condition("ReplicaFailure", failed["status"], failed["reason"], failed["message"])]


def condition(kind: str, status: str, reason: str, message: str, moment: str = "") -> Json:
    """A Deployment's condition as of now."""
    moment = moment or now()
    times = {"lastUpdateTime": moment, "lastTransitionTime": moment}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}
