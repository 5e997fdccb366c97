"""What `kubectl get` prints: objects as a `Table`, whose columns the server chooses (pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.structural import column

Cell = Callable[[Object], Any]


def table(resource: Resource, objects: Iterable[Object], metadata: Object, include: str, *, header: bool = True) -> Object:
    """A meta.k8s.io/v1 Table. `include` says what each row carries: "None", "Metadata" (the default) or "Object"."""
    if resource.structure and resource.structure.columns:
        columns = [_defined(entry) for entry in resource.structure.columns]
    else:
        columns = [_column(*entry) for entry in (_COLUMNS.get(resource.kind, ()) if not resource.custom else ()) or (_AGE,)]
    rows = []
    for obj in objects:
        row: Object = {"cells": [obj["metadata"]["name"], *(cell(obj) for _, _, _, cell in columns)]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    named = [("Name", "string", 0), *((name, kind, priority) for name, kind, priority, _ in columns)]
    definitions = [
        {"name": name, "type": kind, "format": "name" if name == "Name" else "", "description": "", "priority": priority}
        for name, kind, priority in named
    ]
    shown = definitions if header else []
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": shown,
        "rows": rows,
    }


def _column(name: str, what: Cell | str) -> tuple[str, str, int, Cell]:
    """Name, type, priority (1: only with -o wide), and what makes the cells."""
    number = name.startswith("#") or (isinstance(what, str) and what.startswith("#"))
    return name.lstrip("*#"), "integer" if number else "string", int(name.startswith("*")), lambda obj: _cell(obj, what)


def _defined(entry: Object) -> tuple[str, str, int, Cell]:
    """A column that a CustomResourceDefinition asks for."""

    def cell(obj: Object) -> Any:
        value = column(obj, entry["jsonPath"])
        return age(value) if entry.get("type") == "date" else value

    return entry["name"], entry.get("type", "string"), entry.get("priority", 0), cell


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
            reason = "Running"
    return "Terminating" if at(pod, "metadata", "deletionTimestamp") else reason


def _sidecars(pod: Object) -> set[str]:
    """Names of the init containers that go on beside the containers."""
    return {item["name"] for item in at(pod, "spec", "initContainers") or [] if item.get("restartPolicy") == "Always"}


def _restarts(pod: Object) -> str:
    """Of the containers and sidecars; of the init containers while they are not done."""
    sidecars, status = _sidecars(pod), pod.get("status") or {}
    done = any(item.get("type") == "Initialized" and item["status"] == "True" for item in status.get("conditions") or [])
    first = [item for item in status.get("initContainerStatuses") or [] if not done or item["name"] in sidecars]
    statuses = [*first, *(status.get("containerStatuses") or [])]
    restarts = sum(status.get("restartCount") or 0 for status in statuses)
    ended = [at(status, "lastState", "terminated", "finishedAt") for status in statuses]
    last = max((moment for moment in ended if moment), default=None)
    return f"{restarts} ({age(last)} ago)" if restarts and last else str(restarts)


def _ready_containers(pod: Object) -> str:
    sidecars = _sidecars(pod)
    first = [item for item in at(pod, "status", "initContainerStatuses") or [] if item["name"] in sidecars]
    statuses = [*first, *(at(pod, "status", "containerStatuses") or [])]
    ready = sum(1 for status in statuses if status.get("ready"))
    return f"{ready}/{len(at(pod, 'spec', 'containers') or []) + len(sidecars)}"


def _ready_replicas(obj: Object) -> str:
    return f"{at(obj, 'status', 'readyReplicas') or 0}/{at(obj, 'spec', 'replicas') or 0}"


def _of_containers(field: str) -> Cell:
    return lambda obj: ",".join(str(one.get(field)) for one in at(obj, "spec", "template", "spec", "containers") or [])


def _labels(*path: str) -> Cell:
    return lambda obj: ",".join(f"{key}={value}" for key, value in sorted((at(obj, *path) or {}).items())) or "<none>"


def _modes(claim: Object) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(short.get(mode, mode) for mode in at(claim, "status", "accessModes") or [])


def _job_state(obj: Object) -> str:
    if at(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    holds = {item.get("type") for item in at(obj, "status", "conditions") or [] if item.get("status") == "True"}
    return next((name for name in ("Complete", "Failed", "Suspended") if name in holds), "Running")


def _completions(obj: Object) -> str:
    done, wanted = at(obj, "status", "succeeded") or 0, at(obj, "spec", "completions")
    parallel = at(obj, "spec", "parallelism") or 0
    return f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _took(obj: Object) -> str:
    started, ended = at(obj, "status", "startTime"), at(obj, "status", "completionTime")
    if not started:
        return ""
    start = datetime.fromisoformat(started.replace("Z", "+00:00"))
    until = datetime.fromisoformat(ended.replace("Z", "+00:00")) if ended else datetime.now(UTC)
    return duration((until - start).total_seconds())


def _external(obj: Object) -> str:
    spec = obj.get("spec") or {}
    pending = "<pending>" if spec.get("type") == "LoadBalancer" else "<none>"
    return spec.get("externalName") or ",".join(spec.get("externalIPs") or []) or pending


def _ports(obj: Object) -> str:
    ports = []
    for port in at(obj, "spec", "ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{port.get('protocol')}")
    return ",".join(ports) or "<none>"


def _node_state(obj: Object) -> str:
    conditions = {item.get("type"): item.get("status") for item in at(obj, "status", "conditions") or []}
    state = "Ready" if conditions.get("Ready") == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if at(obj, "spec", "unschedulable") else state


def _roles(obj: Object) -> str:
    labels = at(obj, "metadata", "labels") or {}
    roles = [key.rpartition("/")[2] for key in labels if key.startswith("node-role.kubernetes.io/")]
    return ",".join(sorted(roles)) or "<none>"


def _address(kind: str) -> Cell:
    def address(obj: Object) -> str:
        addresses = {item.get("type"): item.get("address") for item in at(obj, "status", "addresses") or []}
        return addresses.get(kind) or "<none>"

    return address


def _event_age(obj: Object) -> str:
    return age(obj.get("lastTimestamp") or obj.get("eventTime") or at(obj, "metadata", "creationTimestamp"))


def _about(obj: Object) -> str:
    about = obj.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _count(obj: Object) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _cell(obj: Object, what: Cell | str) -> Any:
    """What a function makes of the object, or the value at a path; "#", "?" and "~" before it say what is empty."""
    if not isinstance(what, str):
        return what(obj)
    value = at(obj, *what.lstrip("#?~").split("."))
    return value or {"#": 0, "?": "<none>", "~": "<unknown>"}.get(what[0], "")


_AGE: tuple[str, Cell] = ("Age", _age)
_WIDE = (("*Containers", _of_containers("name")), ("*Images", _of_containers("image")))
_SELECTED = (*_WIDE, ("*Selector", _labels("spec", "selector", "matchLabels")))
_INFO = "status.nodeInfo."
_COLUMNS: dict[str, tuple[tuple[str, Cell | str], ...]] = {
    "ConfigMap": (("#Data", _count), _AGE),
    "DaemonSet": (
        ("Desired", "#status.desiredNumberScheduled"), ("Current", "#status.currentNumberScheduled"),
        ("Ready", "#status.numberReady"), ("Up-to-date", "#status.updatedNumberScheduled"),
        ("Available", "#status.numberAvailable"), ("Node Selector", _labels("spec", "template", "spec", "nodeSelector")),
        _AGE, *_SELECTED,
    ),
    "Deployment": (
        ("Ready", _ready_replicas), ("Up-to-date", "#status.updatedReplicas"),
        ("Available", "#status.availableReplicas"), _AGE, *_SELECTED,
    ),
    "Event": (
        ("Last Seen", _event_age), ("Type", "type"), ("Reason", "reason"), ("Object", _about),
        ("Message", lambda obj: str(obj.get("message", "")).strip()),
    ),
    "Job": (("Status", _job_state), ("Completions", _completions), ("Duration", _took), _AGE, *_SELECTED),
    "Namespace": (("Status", "status.phase"), _AGE),
    "Node": (
        ("Status", _node_state), ("Roles", _roles), _AGE, ("Version", _INFO + "kubeletVersion"),
        ("*Internal-IP", _address("InternalIP")), ("*External-IP", _address("ExternalIP")),
        ("*OS-Image", f"~{_INFO}osImage"), ("*Kernel-Version", f"~{_INFO}kernelVersion"),
        ("*Container-Runtime", f"~{_INFO}containerRuntimeVersion"),
    ),
    "PersistentVolumeClaim": (
        ("Status", "status.phase"), ("Volume", "spec.volumeName"), ("Capacity", "status.capacity.storage"),
        ("Access Modes", _modes), ("StorageClass", "spec.storageClassName"),
        ("VolumeAttributesClass", lambda obj: at(obj, "spec", "volumeAttributesClassName") or "<unset>"), _AGE,
        ("*VolumeMode", "spec.volumeMode"),
    ),
    "Pod": (
        ("Ready", _ready_containers), ("Status", pod_reason), ("Restarts", _restarts), _AGE, ("*IP", "?status.podIP"),
        ("*Node", "?spec.nodeName"), ("*Nominated Node", "?status.nominatedNodeName"),
        ("*Readiness Gates", lambda _: "<none>"),
    ),
    "ReplicaSet": (
        ("Desired", "#spec.replicas"), ("Current", "#status.replicas"), ("Ready", "#status.readyReplicas"), _AGE, *_SELECTED,
    ),
    "Secret": (("Type", "type"), ("#Data", _count), _AGE),
    "Service": (
        ("Type", "spec.type"), ("Cluster-IP", "?spec.clusterIP"), ("External-IP", _external), ("Port(s)", _ports), _AGE,
        ("*Selector", _labels("spec", "selector")),
    ),
    "StatefulSet": (("Ready", _ready_replicas), _AGE, *_WIDE),
}  # fmt: skip
"""By kind, the columns after the name: "*" only with -o wide, "#" (or the path's) a number."""
