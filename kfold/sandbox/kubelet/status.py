"""A Pod's `status` from what its containers do: a pure function. The rules are those of the kubelet (kubelet_pods.go).

Clients with strict models read what comes out of here, so fields that a real kubelet always sends are always there.
"""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import quantity
from kfold.sandbox.kubelet.runtime import Attempt, Container, Kind, Runtime, now

Json = dict[str, Any]


def pod_status(pod: Json, runtime: Runtime) -> Json:
    """The whole new status. Conditions keep the time of their last change, foreign conditions stay."""
    old: Json = pod.get("status") or {}
    phase = pod_phase(pod, runtime)
    status: Json = {
        **{key: old[key] for key in ("startTime", "nominatedNodeName") if key in old},
        "observedGeneration": pod["metadata"].get("generation", 1),  # KEP-5067, on by default since 1.34
        "phase": phase,
        "conditions": _conditions(pod, runtime, phase),
        "qosClass": old.get("qosClass") or quantity.quality_of_service(pod),
        "containerStatuses": [_container_status(container, runtime) for container in runtime.apps],
    }
    status.setdefault("startTime", now())
    if runtime.init:
        status["initContainerStatuses"] = [_container_status(container, runtime) for container in runtime.init]
    if runtime.ephemeral:
        status["ephemeralContainerStatuses"] = [_container_status(container, runtime) for container in runtime.ephemeral]
    if runtime.host_ip:
        status |= {"hostIP": runtime.host_ip, "hostIPs": [{"ip": runtime.host_ip}]}
    if runtime.ip:
        status |= {"podIP": runtime.ip, "podIPs": [{"ip": runtime.ip}]}
    if runtime.reason:
        status |= {"reason": runtime.reason, "message": runtime.message}
    return status


def pod_phase(pod: Json, runtime: Runtime) -> str:
    """Pending, Running, Succeeded or Failed (kubelet: getPhase)."""
    if runtime.reason == "DeadlineExceeded":
        return "Failed"
    if runtime.stopped:
        # a Pod that is deleted ends as its containers did, whatever its restart policy (KEP-3329)
        return "Succeeded" if runtime.initialized and all(container.succeeded for container in runtime.apps) else "Failed"
    policy = pod["spec"].get("restartPolicy") or "Always"
    if not runtime.initialized:
        failed = any(
            container.kind is Kind.INIT and container.done and not container.succeeded for container in runtime.init
        )
        if failed and policy == "Never":
            return "Failed"
        if not any(container.current for container in runtime.apps):
            return "Pending"
    counted = runtime.apps
    if any(not container.current for container in counted):
        return "Pending"
    if any(container.running for container in counted):
        return "Running"
    if any(container.kind is Kind.SIDECAR and container.running for container in runtime.init):
        return "Running"  # the Pod has ended when they have been ended too
    if policy == "Always" or any(container.waiting for container in counted):
        return "Running"
    if all(container.succeeded for container in counted):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _conditions(pod: Json, runtime: Runtime, phase: str) -> list[Json]:
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or []}
    finished = phase in ("Succeeded", "Failed")
    unready = [container.name for container in runtime.containers if _counts(container) and not container.ready]
    uninitialized = [container.name for container in runtime.init if not _initialized(container)]
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
    not_ready = (reason, "" if phase == "Succeeded" else _naming("unready status", unready))
    ready = not finished and not unready
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    closed = [gate for gate in gates if old.get(gate, {}).get("status") != "True"]
    pod_ready = ready and not closed
    gate_reason = not_ready
    if ready and closed:
        said = f'corresponding condition of pod readiness gate "{closed[0]}" does not exist.'
        gate_reason = ("ReadinessGatesNotReady", said)
    new = [
        _condition("PodReadyToStartContainers", bool(runtime.sandbox), ("", "")),
        _condition(
            "Initialized",
            not uninitialized,
            ("ContainersNotInitialized", _naming("incomplete status", uninitialized)),
            "PodCompleted" if phase == "Succeeded" else "",
        ),
        _condition("Ready", pod_ready, gate_reason),
        _condition("ContainersReady", ready, not_ready),
        old.get("PodScheduled") or _condition("PodScheduled", True, ("", "")),
    ]
    for condition in new:
        before = old.pop(condition["type"], None)
        same = before is not None and before.get("status") == condition["status"]
        condition["observedGeneration"] = pod["metadata"].get("generation", 1)
        condition["lastTransitionTime"] = before["lastTransitionTime"] if same and before else now()
    return new + list(old.values())


def _condition(kind: str, holds: bool, otherwise: tuple[str, str], reason: str = "") -> Json:
    condition: Json = {"type": kind, "status": "True" if holds else "False", "lastProbeTime": None}
    said = (reason, "") if holds else otherwise
    condition |= {key: text for key, text in zip(("reason", "message"), said, strict=True) if text}
    return condition


def _naming(what: str, names: list[str]) -> str:
    return f"containers with {what}: [{' '.join(names)}]" if names else ""


def _counts(container: Container) -> bool:
    return container.kind in (Kind.APP, Kind.SIDECAR)


def _initialized(container: Container) -> bool:
    return container.started if container.kind is Kind.SIDECAR else container.succeeded


def _container_status(container: Container, runtime: Runtime) -> Json:
    current = container.current
    status: Json = {
        "name": container.name,
        "state": _state(container, runtime),
        "lastState": _last_state(container),
        "ready": container.succeeded if container.kind is Kind.INIT else container.ready,
        "restartCount": current.number if current else 0,
        "image": current.image if current else container.spec.get("image", ""),
        "imageID": current.image_id if current else "",
        "started": container.started and container.running,
    }
    resources = container.spec.get("resources") or {}
    if resources and container.running:
        status["resources"] = resources
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
    if current and current.id:
        status["containerID"] = f"docker://{current.id}"
    return status


def _state(container: Container, runtime: Runtime) -> Json:
    if container.waiting:
        reason, message = container.waiting
        return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    if container.current is None:
        blocked = container.kind is Kind.APP and runtime.init and not runtime.initialized
        return {
            "waiting": {"reason": "PodInitializing" if blocked or _is_later(container, runtime) else "ContainerCreating"}
        }
    if container.current.running:
        return {"running": {"startedAt": container.current.started_at}}
    return {"terminated": _terminated(container.current)}


def _is_later(container: Container, runtime: Runtime) -> bool:
    """Whether an init container waits for an earlier one."""
    return container in runtime.init[1:] and bool(runtime.sandbox)


def _last_state(container: Container) -> Json:
    # While a restart is backed off, the run that ended is already the last one.
    last = container.current if container.waiting else container.previous
    if last is None or last.running:
        return {}
    return {"terminated": _terminated(last)}


def _terminated(attempt: Attempt) -> Json:
    ended: Json = {"exitCode": attempt.exit_code or 0, "reason": attempt.reason}
    if attempt.message:
        ended["message"] = attempt.message
    ended["startedAt"] = attempt.started_at or attempt.finished_at
    ended["finishedAt"] = attempt.finished_at
    if attempt.id:
        ended["containerID"] = f"docker://{attempt.id}"
    return ended
