"""The columns of the built-in kinds, as data: what each is called, and where in the object its cell is.

They are those of the real server (pkg/printers/internalversion/printers.go of 1.37). Kinds that are not listed have NAME and
AGE; those that the real server leaves to its default printer have NAME and CREATED AT.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from kfold.sandbox.api import cells
from kfold.sandbox.api.ages import age
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.pod_columns import pod_reason, ready_containers, ready_gates, restarts

Cell = Callable[[Object], Any]
Column = tuple[str, str, int, Cell]
"""Name, type, priority (1: only with -o wide), and what makes the cell."""

_EMPTY = {"#": 0, "?": "<none>", "~": "<unknown>", "!": "<unset>", "/": "N/A", "%": False}


@cache
def columns_of(kind: str) -> tuple[Column, ...]:
    """The columns of a built-in kind; of "" those that any kind has."""
    entries = _COLUMNS.get(kind) or (_AGE,)
    named = any(name.lstrip("*") == "Name" for name, _ in entries)
    return tuple(_column(name, what) for name, what in (entries if named else (_NAME, *entries)))


def _column(name: str, what: Cell | str) -> Column:
    sign = "#" if name.startswith("#") else what[0] if isinstance(what, str) else ""
    kind = {"#": "integer", "%": "boolean", ":": "date"}.get(sign, "string")
    return name.lstrip("*#"), kind, int(name.startswith("*")), lambda obj: _cell(obj, what)


def _cell(obj: Object, what: Cell | str) -> Any:
    """What a function makes of the object, or the value at a path; a sign before the path says what an empty one is.

    "@": a time, told as an age. ":": a time as it is.
    """
    if not isinstance(what, str):
        return what(obj)
    value = at(obj, *what.lstrip("#?~!/%@:").split("."))
    if what[0] == "@":
        return age(value)
    if value is None or value == "":
        return _EMPTY.get(what[0], "")
    if what[0] in "!/":
        return str(value)
    return len(value) if isinstance(value, list | dict) else value


_NAME: tuple[str, Cell | str] = ("Name", "metadata.name")
_AGE: tuple[str, Cell | str] = ("Age", "@metadata.creationTimestamp")
_CREATED = (("Created At", ":metadata.creationTimestamp"),)
_WIDE = (("*Containers", cells.of_containers("name")), ("*Images", cells.of_containers("image")))
_SELECTED = (*_WIDE, ("*Selector", cells.selector("spec", "selector")))
_REPLICAS = (("#Desired", "#spec.replicas"), ("#Current", "#status.replicas"), ("#Ready", "#status.readyReplicas"))
_WEBHOOKS = (("#Webhooks", "#webhooks"), _AGE)
_BINDING = (
    ("Role", cells.joined("/", "roleRef.kind", "roleRef.name")), _AGE, ("*Users", cells.subjects("User")),
    ("*Groups", cells.subjects("Group")), ("*ServiceAccounts", cells.subjects("ServiceAccount")),
)  # fmt: skip
_INFO = "status.nodeInfo."
_COLUMNS: dict[str, tuple[tuple[str, Cell | str], ...]] = {
    "CertificateSigningRequest": (
        _AGE, ("SignerName", "?spec.signerName"), ("Requestor", "spec.username"),
        ("RequestedDuration", cells.requested_duration), ("Condition", cells.request_state),
    ),
    "ClusterRole": _CREATED,
    "ClusterRoleBinding": _BINDING,
    "ConfigMap": (("#Data", cells.count), _AGE),
    "ControllerRevision": (("Controller", cells.controller), ("Revision", "#revision"), _AGE),
    "CronJob": (
        ("Schedule", "spec.schedule"), ("Timezone", "?spec.timeZone"), ("Suspend", cells.suspended),
        ("#Active", "#status.active"), ("Last Schedule", cells.last_schedule), _AGE,
        ("*Containers", cells.of_containers("name", job=True)), ("*Images", cells.of_containers("image", job=True)),
        ("*Selector", cells.selector("spec", "jobTemplate", "spec", "selector")),
    ),
    "CSINode": (("#Drivers", "#spec.drivers"), _AGE),
    "CustomResourceDefinition": _CREATED,
    "DaemonSet": (
        ("#Desired", "#status.desiredNumberScheduled"), ("#Current", "#status.currentNumberScheduled"),
        ("#Ready", "#status.numberReady"), ("#Up-to-date", "#status.updatedNumberScheduled"),
        ("#Available", "#status.numberAvailable"),
        ("Node Selector", cells.labels("spec", "template", "spec", "nodeSelector")), _AGE, *_SELECTED,
    ),
    "Deployment": (
        ("Ready", cells.ready_replicas), ("Up-to-date", "#status.updatedReplicas"),
        ("Available", "#status.availableReplicas"), _AGE, *_SELECTED,
    ),
    "Endpoints": (("Endpoints", cells.endpoints), _AGE),
    "EndpointSlice": (
        ("AddressType", "addressType"), ("Ports", cells.slice_ports), ("Endpoints", cells.slice_addresses), _AGE,
    ),
    "Event": (
        ("Last Seen", cells.last_seen), ("Type", "type"), ("Reason", "reason"), ("Object", cells.about),
        ("*Subobject", "involvedObject.fieldPath"), ("*Source", cells.event_source), ("Message", cells.message),
        ("*First Seen", cells.first_seen), ("*Count", cells.times), ("*Name", "metadata.name"),
    ),
    "HorizontalPodAutoscaler": (
        ("Reference", cells.joined("/", "spec.scaleTargetRef.kind", "spec.scaleTargetRef.name")),
        ("Targets", cells.metrics), ("MinPods", "!spec.minReplicas"), ("MaxPods", "#spec.maxReplicas"),
        ("Replicas", "#status.currentReplicas"), _AGE,
    ),
    "Ingress": (
        ("Class", "?spec.ingressClassName"), ("Hosts", cells.hosts), ("Address", cells.balancer),
        ("Ports", lambda obj: "80, 443" if at(obj, "spec", "tls") else "80"), _AGE,
    ),
    "IngressClass": (("Controller", "spec.controller"), ("Parameters", cells.parameters), _AGE),
    "Job": (("Status", cells.job_state), ("Completions", cells.completions), ("Duration", cells.took), _AGE, *_SELECTED),
    "Lease": (("Holder", "spec.holderIdentity"), _AGE),
    "LimitRange": _CREATED,
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "Namespace": (("Status", "status.phase"), _AGE),
    "NetworkPolicy": (("Pod-Selector", cells.selector("spec", "podSelector")), _AGE),
    "Node": (
        ("Status", cells.node_state), ("Roles", cells.roles), _AGE, ("Version", _INFO + "kubeletVersion"),
        ("*Internal-IP", cells.address("InternalIP")), ("*External-IP", cells.address("ExternalIP")),
        ("*OS-Image", f"~{_INFO}osImage"), ("*Kernel-Version", f"~{_INFO}kernelVersion"),
        ("*Container-Runtime", f"~{_INFO}containerRuntimeVersion"),
    ),
    "PersistentVolume": (
        ("Capacity", "spec.capacity.storage"), ("Access Modes", cells.modes("spec", "accessModes")),
        ("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"), ("Status", cells.unless_going),
        ("Claim", cells.joined("/", "spec.claimRef.namespace", "spec.claimRef.name")),
        ("StorageClass", "spec.storageClassName"), ("VolumeAttributesClass", "!spec.volumeAttributesClassName"),
        ("Reason", "status.reason"), _AGE, ("*VolumeMode", "!spec.volumeMode"),
    ),
    "PersistentVolumeClaim": (
        ("Status", cells.unless_going), ("Volume", "spec.volumeName"), ("Capacity", "status.capacity.storage"),
        ("Access Modes", cells.modes("status", "accessModes")), ("StorageClass", "spec.storageClassName"),
        ("VolumeAttributesClass", "!spec.volumeAttributesClassName"), _AGE, ("*VolumeMode", "!spec.volumeMode"),
    ),
    "Pod": (
        ("Ready", ready_containers), ("Status", pod_reason), ("Restarts", restarts), _AGE, ("*IP", "?status.podIP"),
        ("*Node", "?spec.nodeName"), ("*Nominated Node", "?status.nominatedNodeName"), ("*Readiness Gates", ready_gates),
    ),
    "PodDisruptionBudget": (
        ("Min Available", "/spec.minAvailable"), ("Max Unavailable", "/spec.maxUnavailable"),
        ("#Allowed Disruptions", "#status.disruptionsAllowed"), _AGE,
    ),
    "PodTemplate": (
        ("Containers", cells.of_containers("name", below=("template", "spec"))),
        ("Images", cells.of_containers("image", below=("template", "spec"))),
        ("Pod Labels", cells.labels("template", "metadata", "labels")),
    ),
    "PriorityClass": (
        ("#Value", "#value"), ("Global-Default", "%globalDefault"), _AGE, ("PreemptionPolicy", "preemptionPolicy"),
    ),
    "ReplicaSet": (*_REPLICAS, _AGE, *_SELECTED),
    "ReplicationController": (*_REPLICAS, _AGE, *_WIDE, ("*Selector", cells.labels("spec", "selector"))),
    "ResourceClaim": (("State", cells.claim_state), _AGE),
    "ResourceQuota": (("Request", cells.quota(limits=False)), ("Limit", cells.quota(limits=True)), _AGE),
    "ResourceSlice": (("Node", "spec.nodeName"), ("Driver", "spec.driver"), ("Pool", "spec.pool.name"), _AGE),
    "Role": _CREATED,
    "RoleBinding": _BINDING,
    "RuntimeClass": (("Handler", "handler"), _AGE),
    "Secret": (("Type", "type"), ("#Data", "#data"), _AGE),
    "Service": (
        ("Type", "spec.type"), ("Cluster-IP", "?spec.clusterIP"), ("External-IP", cells.external), ("Port(s)", cells.ports),
        _AGE, ("*Selector", cells.labels("spec", "selector")),
    ),
    "ServiceAccount": (("Secrets", "#secrets"), _AGE),
    "StatefulSet": (("Ready", cells.ready_replicas), _AGE, *_WIDE),
    "StorageClass": (
        ("Name", cells.class_name), ("Provisioner", "provisioner"), ("ReclaimPolicy", "reclaimPolicy"),
        ("VolumeBindingMode", "volumeBindingMode"), ("AllowVolumeExpansion", "%allowVolumeExpansion"), _AGE,
    ),
    "ValidatingAdmissionPolicy": (("#Validations", "#spec.validations"), ("ParamKind", cells.param_kind), _AGE),
    "ValidatingWebhookConfiguration": _WEBHOOKS,
    "VolumeAttachment": (
        ("Attacher", "spec.attacher"), ("PV", "spec.source.persistentVolumeName"), ("Node", "spec.nodeName"),
        ("Attached", "%status.attached"), _AGE,
    ),
    "VolumeAttributesClass": (("DriverName", "driverName"), _AGE),
}  # fmt: skip
"""By kind, the columns after the name: "*" only with -o wide, "#" a number. A kind that says itself where its name stands
has it there."""
