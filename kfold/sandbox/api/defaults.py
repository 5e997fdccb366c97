"""What the server fills in: the defaults of each kind that clients read back and rely on.

Values are those of the real server's `SetDefaults_*` functions (pkg/apis/*/v1/defaults.go).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kfold.sandbox.api import quantity
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fill in, in place, what the object leaves out. Running it again changes nothing."""
    fill = _BY_KIND.get(resource.kind)
    if fill and not resource.custom:
        fill(obj)


def _set(target: Object, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def pod_spec(spec: Object) -> None:
    """The part that Pods and all Pod templates share."""
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    _set(spec, schedulerName="default-scheduler", securityContext={})
    if spec.get("serviceAccountName"):
        _set(spec, serviceAccount=spec["serviceAccountName"])
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or []:
            _container(container)
    for volume in spec.get("volumes") or []:
        _volume(volume)


def _resources(of: Object) -> None:
    """Resource lists are read back in canonical form."""
    for kind in ("limits", "requests"):
        entries = at(of, "resources", kind)
        if isinstance(entries, dict):
            entries.update({name: quantity.canonical(value) for name, value in entries.items()})


def _container(container: Object) -> None:
    image = str(container.get("image") or "")
    name = image.rpartition("/")[2]
    latest = "@" not in image and (":" not in name or name.endswith(":latest"))
    if image:
        _set(container, imagePullPolicy="Always" if latest else "IfNotPresent")
    _set(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File", resources={})
    _resources(container)
    for port in container.get("ports") or []:
        _set(port, protocol="TCP")
    for variable in container.get("env") or []:
        reference = at(variable, "valueFrom", "fieldRef")
        if isinstance(reference, dict):
            _set(reference, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe:
            _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if probe.get("httpGet"):
                _set(probe["httpGet"], scheme="HTTP", path="/")
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and hook.get("httpGet"):
            _set(hook["httpGet"], scheme="HTTP", path="/")


def _volume(volume: Object) -> None:
    sources = [key for key in volume if key != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(volume.get(kind), dict):
            _set(volume[kind], defaultMode=0o644)
    if isinstance(volume.get("hostPath"), dict):
        _set(volume["hostPath"], type="")


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    _set(spec, enableServiceLinks=True, serviceAccountName="default", serviceAccount="default")
    _set(spec, preemptionPolicy="PreemptLowerPriority", priority=0)
    _tolerate_node_problems(spec.setdefault("tolerations", []))
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


def _template(obj: Object) -> None:
    template = obj.setdefault("spec", {}).setdefault("template", {})
    template.setdefault("metadata", {})
    if isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def _deployment(obj: Object) -> None:
    _template(obj)
    spec = obj["spec"]
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    strategy = spec["strategy"]
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy, rollingUpdate={})
        _set(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: Object) -> None:
    _template(obj)
    _set(obj["spec"], replicas=1)


def _stateful_set(obj: Object) -> None:
    _template(obj)
    spec = obj["spec"]
    _set(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    _set(spec, persistentVolumeClaimRetentionPolicy={})
    _set(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"], rollingUpdate={})
        _set(spec["updateStrategy"]["rollingUpdate"], partition=0)
    for claim in spec.get("volumeClaimTemplates") or []:
        _set(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _claim(claim)


def _daemon_set(obj: Object) -> None:
    _template(obj)
    spec = obj["spec"]
    _set(spec, revisionHistoryLimit=10, updateStrategy={})
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"], rollingUpdate={})
        _set(spec["updateStrategy"]["rollingUpdate"], maxUnavailable=1, maxSurge=0)


def job_spec(spec: Object) -> None:
    """Defaults of a Job's spec, which a CronJob's template has too; the selector is made when the Job is created."""
    _set(spec, backoffLimit=6, completionMode="NonIndexed", suspend=False, manualSelector=None)
    if spec.get("manualSelector") is None:
        spec.pop("manualSelector", None)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _set(spec, parallelism=1, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    if isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def _job(obj: Object) -> None:
    job_spec(obj.setdefault("spec", {}))


def _cron_job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = at(spec, "jobTemplate", "spec")
    if isinstance(template, dict):
        inner = at(template, "template", "spec")
        if isinstance(inner, dict):
            pod_spec(inner)


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _set(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or []:
        _set(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] == "ExternalName":
        return
    _set(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)


def _secret(obj: Object) -> None:
    _set(obj, type="Opaque")


def _claim(obj: Object) -> None:
    _set(obj.setdefault("spec", {}), volumeMode="Filesystem")
    _resources(obj["spec"])


def _namespace(obj: Object) -> None:
    obj.setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name")
    _set(obj.setdefault("spec", {}), finalizers=["kubernetes"])


def _role_binding(obj: Object) -> None:
    group = "rbac.authorization.k8s.io"
    if isinstance(obj.get("roleRef"), dict):
        _set(obj["roleRef"], apiGroup=group)
    for subject in obj.get("subjects") or []:
        _set(subject, apiGroup="" if subject.get("kind") == "ServiceAccount" else group)
        if not subject["apiGroup"]:
            del subject["apiGroup"]


def _ingress(obj: Object) -> None:
    for rule in at(obj, "spec", "rules") or []:
        for path in at(rule, "http", "paths") or []:
            _set(path, pathType="ImplementationSpecific")


def _storage_class(obj: Object) -> None:
    _set(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _definition(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _set(spec, conversion={"strategy": "None"})
    names = spec.get("names")
    if isinstance(names, dict) and names.get("kind"):
        _set(names, singular=str(names["kind"]).lower(), listKind=f"{names['kind']}List")


_BY_KIND: dict[str, Callable[[Object], None]] = {
    "ClusterRoleBinding": _role_binding,
    "CronJob": _cron_job,
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Ingress": _ingress,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "RoleBinding": _role_binding,
    "Secret": _secret,
    "Service": _service,
    "StatefulSet": _stateful_set,
    "StorageClass": _storage_class,
}
