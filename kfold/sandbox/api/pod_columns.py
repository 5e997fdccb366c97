"""What `kubectl get pods` says of a Pod: how many containers are ready, the state in one word, restarts."""

from __future__ import annotations

from kfold.sandbox.api.ages import age
from kfold.sandbox.api.documents import Object, at


def pod_reason(pod: Object) -> str:
    """The Status column: the phase, or what is wrong with the first container that is not well."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    if any(item.get("reason") == "SchedulingGated" for item in status.get("conditions") or []):
        reason = "SchedulingGated"
    sidecars = _sidecars(pod)
    initial = status.get("initContainerStatuses") or []
    for index, container in enumerate(initial):
        ended, waiting = at(container, "state", "terminated"), at(container, "state", "waiting")
        if (ended and ended.get("exitCode") == 0) or (container.get("name") in sidecars and container.get("started")):
            continue
        if ended:
            reason = "Init:" + (ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")
        elif waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            reason = "Init:" + waiting["reason"]
        else:
            reason = f"Init:{index}/{len(initial)}"
        break
    else:
        running = False
        for container in reversed(status.get("containerStatuses") or []):
            ended, waiting = at(container, "state", "terminated"), at(container, "state", "waiting")
            if waiting and waiting.get("reason"):
                reason = waiting["reason"]
            elif ended:
                reason = ended.get("reason") or f"ExitCode:{ended.get('exitCode')}"
            elif container.get("ready") and at(container, "state", "running") is not None:
                running = True
        if reason == "Completed" and running:
            reason = "Running" if _holds(pod, "Ready") else "NotReady"
    going = at(pod, "metadata", "deletionTimestamp") and status.get("phase") not in ("Succeeded", "Failed")
    return "Terminating" if going else reason


def _holds(pod: Object, condition: str) -> bool:
    found = at(pod, "status", "conditions") or []
    return any(item.get("type") == condition and item.get("status") == "True" for item in found)


def _sidecars(pod: Object) -> set[str]:
    """Names of the init containers that go on beside the containers."""
    return {item["name"] for item in at(pod, "spec", "initContainers") or [] if item.get("restartPolicy") == "Always"}


def restarts(pod: Object) -> str:
    """Of the containers and sidecars; of the init containers while they are not done."""
    sidecars, status = _sidecars(pod), pod.get("status") or {}
    done = _holds(pod, "Initialized")
    first = [item for item in status.get("initContainerStatuses") or [] if not done or item["name"] in sidecars]
    statuses = [*first, *(status.get("containerStatuses") or [])]
    number = sum(status.get("restartCount") or 0 for status in statuses)
    ended = [at(status, "lastState", "terminated", "finishedAt") for status in statuses]
    last = max((moment for moment in ended if moment), default=None)
    return f"{number} ({age(last)} ago)" if number and last else str(number)


def ready_containers(pod: Object) -> str:
    sidecars = _sidecars(pod)
    first = [item for item in at(pod, "status", "initContainerStatuses") or [] if item["name"] in sidecars]
    statuses = [*first, *(at(pod, "status", "containerStatuses") or [])]
    ready = sum(1 for status in statuses if status.get("ready"))
    return f"{ready}/{len(at(pod, 'spec', 'containers') or []) + len(sidecars)}"


def ready_gates(pod: Object) -> str:
    gates = [item.get("conditionType", "") for item in at(pod, "spec", "readinessGates") or []]
    return f"{sum(_holds(pod, gate) for gate in gates)}/{len(gates)}" if gates else "<none>"
