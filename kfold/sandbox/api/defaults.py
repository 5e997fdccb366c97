"""What the server fills in: the defaults that clients read back and rely on.

They belong to types, so they hold wherever a type stands: a probe's in Pods and in all templates. Values are those of the
real server's `SetDefaults_*` functions (pkg/apis/*/v1/defaults.go).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kfold.sandbox.api import quantity
from kfold.sandbox.api.documents import Object, at, copied
from kfold.sandbox.api.schema import Node

_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resources": {}}
_MODE = {"defaultMode": 0o644}
_SPEC: Object = {"spec": {}}
_RBAC = "rbac.authorization.k8s.io"

_VALUES: dict[str, Object] = {
    "apiextensions.v1.CustomResourceDefinitionSpec": {"conversion": {"strategy": "None"}},
    "apps.v1.DaemonSet": _SPEC,
    "apps.v1.DaemonSetSpec": {"template": {}, "revisionHistoryLimit": 10, "updateStrategy": {}},
    "apps.v1.DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "apps.v1.Deployment": _SPEC,
    "apps.v1.DeploymentSpec": {
        "template": {}, "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {},
    },
    "apps.v1.DeploymentStrategy": {"type": "RollingUpdate"},
    "apps.v1.ReplicaSet": _SPEC,
    "apps.v1.ReplicaSetSpec": {"template": {}, "replicas": 1},
    "apps.v1.StatefulSet": _SPEC,
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    "apps.v1.StatefulSetSpec": {
        "template": {}, "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
        "updateStrategy": {}, "persistentVolumeClaimRetentionPolicy": {},
    },
    "apps.v1.StatefulSetUpdateStrategy": {"type": "RollingUpdate"},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {
        "minReplicas": 1,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
        ],
    },
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
    },
    "batch.v1.Job": _SPEC,
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "core.v1.ConfigMapVolumeSource": _MODE,
    "core.v1.Container": _CONTAINER,
    "core.v1.EndpointPort": {"protocol": "TCP"},
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.DownwardAPIVolumeSource": _MODE,
    "core.v1.EphemeralContainer": _CONTAINER,
    "core.v1.HTTPGetAction": {"scheme": "HTTP", "path": "/"},
    "core.v1.HostPathVolumeSource": {"type": ""},
    "core.v1.Namespace": _SPEC,
    "core.v1.NamespaceSpec": {"finalizers": ["kubernetes"]},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.PersistentVolumeClaim": _SPEC,
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.v1.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "core.v1.Pod": _SPEC,
    "core.v1.PodSpec": {
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler", "securityContext": {},
    },
    "core.v1.PodTemplateSpec": {"metadata": {}},
    "core.v1.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "core.v1.ProjectedVolumeSource": _MODE,
    "core.v1.Secret": {"type": "Opaque"},
    "core.v1.SecretVolumeSource": _MODE,
    "core.v1.Service": _SPEC,
    "core.v1.ServicePort": {"protocol": "TCP"},
    "core.v1.ServiceSpec": {"type": "ClusterIP", "sessionAffinity": "None"},
    "discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    "networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "rbac.v1.RoleRef": {"apiGroup": _RBAC},
    "scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
}  # fmt: skip
"""By type (as in merge_keys.json), what is set where nothing is said."""


def apply_defaults(node: Node, obj: Object) -> None:
    """Fill in, in place, what the object leaves out. Running it again changes nothing."""
    if node.form == "struct":
        _set(obj, **_VALUES.get(node.type_name, {}))
        if fill := _BY_TYPE.get(node.type_name):
            fill(obj)
    for key, value in obj.items():
        child = node.child(key)
        if child is None or child.form in ("scalar", "any"):
            continue
        for below in value if isinstance(value, list) else [value]:
            if isinstance(below, dict):
                apply_defaults(child.item if child.form == "list" else child, below)


def _set(target: Object, **values: Any) -> None:
    """An empty text is none where there is a default: clients in Go send the fields that they do not set."""
    for key, value in values.items():
        if target.get(key) is None or (target[key] == "" and isinstance(value, str)):
            target[key] = copied(value)


def _resources(resources: Object) -> None:
    """Resource lists are read back in canonical form."""
    for entries in (resources.get("limits"), resources.get("requests")):
        if isinstance(entries, dict):
            entries.update({name: quantity.canonical(value) for name, value in entries.items()})


def _container(container: Object) -> None:
    image = str(container.get("image") or "")
    name = image.rpartition("/")[2]
    latest = "@" not in image and (":" not in name or name.endswith(":latest"))
    if image:
        _set(container, imagePullPolicy="Always" if latest else "IfNotPresent")


def _volume(volume: Object) -> None:
    if not [key for key in volume if key != "name"]:
        volume["emptyDir"] = {}


def _pod_spec(spec: Object) -> None:
    if spec.get("serviceAccountName"):
        _set(spec, serviceAccount=spec["serviceAccountName"])


def _pod(obj: Object) -> None:
    spec = obj["spec"]
    _set(spec, enableServiceLinks=True, serviceAccountName="default", tolerations=[])
    _set(spec, preemptionPolicy="PreemptLowerPriority", priority=0)
    _tolerate_node_problems(spec["tolerations"])
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or []:
            resources = container.get("resources") or {}
            for name, limit in (resources.get("limits") or {}).items():
                resources.setdefault("requests", {}).setdefault(name, limit)


def _tolerate_node_problems(tolerations: list[Object]) -> None:
    """What the admission plugin DefaultTolerationSeconds adds: a Pod outlives trouble of its node for five minutes."""
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        known = (
            entry.get("key") in (None, "", key) and entry.get("effect") in (None, "", "NoExecute") for entry in tolerations
        )
        if not any(known):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def _rolling(**values: Any) -> Callable[[Object], None]:
    """A strategy whose type is RollingUpdate has `rollingUpdate` with these values."""

    def fill(strategy: Object) -> None:
        if strategy["type"] == "RollingUpdate":
            _set(strategy, rollingUpdate={})
            _set(strategy["rollingUpdate"], **values)

    return fill


def _stateful_set(spec: Object) -> None:
    for claim in spec.get("volumeClaimTemplates") or []:
        _set(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})


def _job(obj: Object) -> None:
    """Not of a CronJob's template; the selector is made when the Job is created."""
    spec = obj["spec"]
    endless = spec.get("backoffLimitPerIndex") is not None  # each index has its own limit
    limit = 2**31 - 1 if endless else 6
    _set(spec, template={}, backoffLimit=limit, completionMode="NonIndexed", suspend=False)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _set(spec, parallelism=1, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")


def _service(spec: Object) -> None:
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        _set(spec, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10800}})
    if spec["type"] == "ExternalName":
        return
    _set(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)


def _probe(probe: Object) -> None:
    for key, value in _VALUES["core.v1.Probe"].items():
        probe[key] = probe[key] or value  # 0 is what clients in Go send for nothing


def _service_port(port: Object) -> None:
    if port.get("targetPort") in (None, "", 0):
        port["targetPort"] = port.get("port")
    if port.get("nodePort") == 0:
        del port["nodePort"]


def _network_policy(spec: Object) -> None:
    _set(spec, policyTypes=["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _namespace(obj: Object) -> None:
    obj.setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name")


def _subject(subject: Object) -> None:
    if subject.get("kind") != "ServiceAccount":
        _set(subject, apiGroup=_RBAC)


def _definition(spec: Object) -> None:
    if kind := at(spec, "names", "kind"):
        _set(spec["names"], singular=str(kind).lower(), listKind=f"{kind}List")


_BY_TYPE: dict[str, Callable[[Object], None]] = {
    "apiextensions.v1.CustomResourceDefinitionSpec": _definition,
    "apps.v1.DaemonSetUpdateStrategy": _rolling(maxUnavailable=1, maxSurge=0),
    "apps.v1.DeploymentStrategy": _rolling(maxUnavailable="25%", maxSurge="25%"),
    "apps.v1.StatefulSetSpec": _stateful_set,
    "apps.v1.StatefulSetUpdateStrategy": _rolling(partition=0),
    "batch.v1.Job": _job,
    "core.v1.Container": _container,
    "core.v1.EphemeralContainer": _container,
    "core.v1.Namespace": _namespace,
    "core.v1.Pod": _pod,
    "core.v1.PodSpec": _pod_spec,
    "core.v1.ResourceRequirements": _resources,
    "core.v1.Probe": _probe,
    "core.v1.ServicePort": _service_port,
    "core.v1.ServiceSpec": _service,
    "core.v1.Volume": _volume,
    "core.v1.VolumeResourceRequirements": _resources,
    "networking.v1.NetworkPolicySpec": _network_policy,
    "rbac.v1.Subject": _subject,
}
"""By type, what depends on what is said."""
