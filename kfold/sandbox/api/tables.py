"""What `kubectl get` prints: objects as a `Table`, whose columns the server chooses (pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.structural import column

Cells = list[Any]
Column = tuple[str, str, int]  # name, type, priority (1: only with -o wide)


def table(resource: Resource, objects: Iterable[Object], metadata: Object, include: str, *, header: bool = True) -> Object:
    """A meta.k8s.io/v1 Table. `include` says what each row carries: "None", "Metadata" (the default) or "Object"."""
    columns, cells = _custom(resource) if resource.custom else _BY_KIND.get(resource.kind, (_PLAIN, _plain))
    rows = []
    for obj in objects:
        row: Object = {"cells": [obj["metadata"]["name"], *cells(obj)]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    definitions = [
        {
            "name": name,
            "type": kind,
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": priority,
        }
        for name, kind, priority in [("Name", "string", 0), *columns]
    ]
    shown = definitions if header else []
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": shown,
        "rows": rows,
    }


def partial(obj: Object) -> Object:
    """PartialObjectMetadata: an object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def age(moment: str | None) -> str:
    """How long ago a timestamp was, as kubectl says it: 45s, 3m12s, 5h, 2d3h."""
    if not moment:
        return "<unknown>"
    try:
        then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    return duration((datetime.now(UTC) - then).total_seconds())


def duration(seconds: float) -> str:
    """apimachinery's `HumanDuration`: two units at most, the second one only while it says something."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def _age(obj: Object) -> str:
    return age(at(obj, "metadata", "creationTimestamp"))


_PLAIN: list[Column] = [("Age", "string", 0)]


def _plain(obj: Object) -> Cells:
    return [_age(obj)]


def _custom(resource: Resource) -> tuple[list[Column], Callable[[Object], Cells]]:
    """The columns that a definition asks for, or the age."""
    wanted = resource.structure.columns if resource.structure else []
    if not wanted:
        return _PLAIN, _plain

    def cell(obj: Object, entry: Object) -> Any:
        value = column(obj, entry["jsonPath"])
        return age(value) if entry.get("type") == "date" else value

    columns = [(entry["name"], entry.get("type", "string"), entry.get("priority", 0)) for entry in wanted]
    return columns, lambda obj: [cell(obj, entry) for entry in wanted]


def pod_reason(pod: Object) -> str:
    """The Status column: the phase, or what is wrong with the first container that is not well."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    initial = status.get("initContainerStatuses") or []
    for index, container in enumerate(initial):
        ended, waiting = at(container, "state", "terminated"), at(container, "state", "waiting")
        if ended and ended.get("exitCode") == 0:
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
            reason = "Running"
    return "Terminating" if at(pod, "metadata", "deletionTimestamp") else reason


def _pod(pod: Object) -> Cells:
    statuses = at(pod, "status", "containerStatuses") or []
    ready = sum(1 for status in statuses if status.get("ready"))
    restarts = sum(status.get("restartCount") or 0 for status in statuses)
    ended = [at(status, "lastState", "terminated", "finishedAt") for status in statuses]
    last = max((moment for moment in ended if moment), default=None)
    shown = f"{restarts} ({age(last)} ago)" if restarts and last else str(restarts)
    return [
        f"{ready}/{len(at(pod, 'spec', 'containers') or [])}",
        pod_reason(pod),
        shown,
        _age(pod),
        at(pod, "status", "podIP") or "<none>",
        at(pod, "spec", "nodeName") or "<none>",
        "<none>",
        "<none>",
    ]


def _images(obj: Object) -> tuple[str, str]:
    containers = at(obj, "spec", "template", "spec", "containers") or []
    return (
        ",".join(str(container.get("name")) for container in containers),
        ",".join(str(container.get("image")) for container in containers),
    )


def _selector(selector: Any) -> str:
    labels = (selector or {}).get("matchLabels", {}) if isinstance(selector, dict) else {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def _deployment(obj: Object) -> Cells:
    status, wanted = obj.get("status") or {}, at(obj, "spec", "replicas") or 0
    ready = f"{status.get('readyReplicas', 0)}/{wanted}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [ready, *counts, _age(obj), *_images(obj), _selector(at(obj, "spec", "selector"))]


def _replica_set(obj: Object) -> Cells:
    status = obj.get("status") or {}
    counts = [at(obj, "spec", "replicas") or 0, status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [*counts, _age(obj), *_images(obj), _selector(at(obj, "spec", "selector"))]


def _stateful_set(obj: Object) -> Cells:
    return [f"{at(obj, 'status', 'readyReplicas') or 0}/{at(obj, 'spec', 'replicas') or 0}", _age(obj), *_images(obj)]


def _daemon_set(obj: Object) -> Cells:
    status = obj.get("status") or {}
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    selector = at(obj, "spec", "template", "spec", "nodeSelector") or {}
    shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "<none>"
    counts = [status.get(name, 0) for name in names]
    return [*counts, shown, _age(obj), *_images(obj), _selector(at(obj, "spec", "selector"))]


def _job(obj: Object) -> Cells:
    status, wanted = obj.get("status") or {}, at(obj, "spec", "completions")
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or []}
    state = "Running"
    for name, shown in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if conditions.get(name) == "True":
            state = shown
            break
    if at(obj, "metadata", "deletionTimestamp"):
        state = "Terminating"
    done = status.get("succeeded", 0)
    parallel = at(obj, "spec", "parallelism") or 0
    completions = f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    took = ""
    if status.get("startTime"):
        start = datetime.fromisoformat(status["startTime"].replace("Z", "+00:00"))
        end = status.get("completionTime")
        until = datetime.fromisoformat(end.replace("Z", "+00:00")) if end else datetime.now(UTC)
        took = duration((until - start).total_seconds())
    return [state, completions, took, _age(obj), *_images(obj), _selector(at(obj, "spec", "selector"))]


def _service(obj: Object) -> Cells:
    spec = obj.get("spec") or {}
    ports = []
    for port in spec.get("ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{port.get('protocol')}")
    external = "<pending>" if spec.get("type") == "LoadBalancer" else "<none>"
    external = spec.get("externalName") or ",".join(spec.get("externalIPs") or []) or external
    address = spec.get("clusterIP") or "<none>"
    selector = _selector({"matchLabels": spec.get("selector") or {}})
    return [spec.get("type"), address, external, ",".join(ports) or "<none>", _age(obj), selector]


def _node(obj: Object) -> Cells:
    status = obj.get("status") or {}
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or []}
    info = status.get("nodeInfo") or {}
    addresses = {item.get("type"): item.get("address") for item in status.get("addresses") or []}
    roles = [
        key.rpartition("/")[2] for key in at(obj, "metadata", "labels") or {} if key.startswith("node-role.kubernetes.io/")
    ]
    return [
        "Ready" if conditions.get("Ready") == "True" else "NotReady",
        ",".join(sorted(roles)) or "<none>",
        _age(obj),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"),
        "<none>",
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _event(obj: Object) -> Cells:
    about = obj.get("involvedObject") or {}
    return [
        age(obj.get("lastTimestamp") or obj.get("eventTime") or at(obj, "metadata", "creationTimestamp")),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        str(obj.get("message", "")).strip(),
    ]


def _count(obj: Object) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _wide_images() -> list[Column]:
    return [("Containers", "string", 1), ("Images", "string", 1)]


def _texts(*names: str) -> list[Column]:
    return [(name, "string", 0) for name in names]


_SELECTOR: Column = ("Selector", "string", 1)
_BY_KIND: dict[str, tuple[list[Column], Callable[[Object], Cells]]] = {
    "ConfigMap": ([("Data", "integer", 0), ("Age", "string", 0)], lambda obj: [_count(obj), _age(obj)]),
    "DaemonSet": (
        [(name, "integer", 0) for name in ("Desired", "Current", "Ready", "Up-to-date", "Available")]
        + [*_texts("Node Selector", "Age"), *_wide_images(), _SELECTOR],
        _daemon_set,
    ),
    "Deployment": (
        [
            ("Ready", "string", 0), ("Up-to-date", "integer", 0), ("Available", "integer", 0), ("Age", "string", 0),
            *_wide_images(), _SELECTOR,
        ],
        _deployment,
    ),
    "Event": (_texts("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    "Job": ([*_texts("Status", "Completions", "Duration", "Age"), *_wide_images(), _SELECTOR], _job),
    "Namespace": (_texts("Status", "Age"), lambda obj: [at(obj, "status", "phase") or "", _age(obj)]),
    "Node": (
        [
            *_texts("Status", "Roles", "Age", "Version"),
            *((name, "string", 1) for name in (
                "Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")),
        ],
        _node,
    ),
    "Pod": (
        [
            *_texts("Ready", "Status", "Restarts", "Age"),
            *((name, "string", 1) for name in ("IP", "Node", "Nominated Node", "Readiness Gates")),
        ],
        _pod,
    ),
    "ReplicaSet": (
        [(name, "integer", 0) for name in ("Desired", "Current", "Ready")]
        + [("Age", "string", 0), *_wide_images(), _SELECTOR],
        _replica_set,
    ),
    "Secret": (
        [("Type", "string", 0), ("Data", "integer", 0), ("Age", "string", 0)],
        lambda obj: [obj.get("type", ""), _count(obj), _age(obj)],
    ),
    "Service": ([*_texts("Type", "Cluster-IP", "External-IP", "Port(s)", "Age"), _SELECTOR], _service),
    "StatefulSet": ([*_texts("Ready", "Age"), *_wide_images()], _stateful_set),
}  # fmt: skip
