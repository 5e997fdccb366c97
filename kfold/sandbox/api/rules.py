"""What each kind adds to storing (the real server's strategies).

Initial status, allocated values, validation, immutable fields.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from kfold.sandbox.api import errors, quantity
from kfold.sandbox.api.allocation import SERVICE_NETWORK, Allocator
from kfold.sandbox.api.defaults import apply_defaults
from kfold.sandbox.api.definitions import bad_definition
from kfold.sandbox.api.documents import Object, at, copied
from kfold.sandbox.api.immutability import immutable
from kfold.sandbox.api.resources import PODS, SERVICES, Resource
from kfold.sandbox.api.schema import Schema
from kfold.sandbox.api.selectors import selector_matches
from kfold.sandbox.api.validation import bad_data, bad_metadata, missing
from kfold.sandbox.api.workloads import bad_pod_spec

Cause = tuple[str, str, str]

_INITIAL_STATUS: dict[str, Object] = {
    "DaemonSet": {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0},
    "Ingress": {"loadBalancer": {}},
    "Namespace": {"phase": "Active"},
    "PersistentVolume": {"phase": "Pending"},
    "PersistentVolumeClaim": {"phase": "Pending"},
    "Pod": {"phase": "Pending"},
    "PodDisruptionBudget": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
    "ReplicaSet": {"replicas": 0},
    "ReplicationController": {"replicas": 0},
    "Service": {"loadBalancer": {}},
    "StatefulSet": {"replicas": 0, "availableReplicas": 0},
}
_WORKLOADS = ("DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet")


class KindRules:
    """The store's Rules.

    `services` gives the stored Services, to choose a cluster IP of `network` that none of them has.
    """

    def __init__(
        self,
        schema: Schema,
        services: Callable[[], Iterable[Object]] = tuple,
        network: ipaddress.IPv4Network = SERVICE_NETWORK,
    ) -> None:
        self.schema = schema
        self.allocator = Allocator(services, network)

    def on_create(self, resource: Resource, obj: Object) -> None:
        """Set initial status and defaults; raise ApiError 422 with every cause."""
        if "status" in resource.subresources and resource.kind != "Node":
            obj.pop("status", None)
            if not resource.custom:
                obj["status"] = copied(_INITIAL_STATUS.get(resource.kind, {}))
        _prepare(self.schema, resource, obj)
        if resource.kind == "Job" and not resource.custom and not at(obj, "spec", "manualSelector"):
            _select_job_pods(obj)
        if resource.key == SERVICES.key:
            self.allocator.allocate(obj)
        if resource.key == PODS.key:
            obj["status"]["qosClass"] = quantity.quality_of_service(obj)
        self._refuse(resource, obj, self._causes(resource, obj))

    def on_update(self, resource: Resource, obj: Object, old: Object, subresource: str) -> None:
        """Set defaults, keep allocated values; raise ApiError 422 with every cause, immutable fields among them."""
        if subresource == "status":
            self._refuse(resource, obj, resource.structure.causes(obj) if resource.structure else [])
            return
        if resource.key == SERVICES.key:
            self.allocator.keep(obj, old)
        _prepare(self.schema, resource, obj)
        if resource.key == SERVICES.key:
            self.allocator.allocate(obj)
        self._refuse(resource, obj, [*self._causes(resource, obj), *immutable(resource, obj, old)])

    def _causes(self, resource: Resource, obj: Object) -> list[Cause]:
        causes = bad_metadata(resource, obj["metadata"])
        if resource.structure:
            causes.extend(resource.structure.causes(obj))
        if resource.custom:
            return causes
        absent = missing(self.schema, resource, obj)
        causes.extend(absent)
        if not absent:
            # further checks read what is required
            causes.extend(_bad_spec(resource, obj))
        return causes

    @staticmethod
    def _refuse(resource: Resource, obj: Object, causes: list[Cause]) -> None:
        if causes:
            raise errors.invalid(resource, obj["metadata"].get("name") or "", causes)


def _prepare(schema: Schema, resource: Resource, obj: Object) -> None:
    if resource.structure:
        resource.structure.fill(obj)
    if resource.custom:
        return
    if resource.kind == "Secret" and isinstance(obj.get("stringData"), dict):
        data = obj.setdefault("data", {})
        for key, value in obj.pop("stringData").items():
            data[key] = base64.b64encode(str(value).encode()).decode()
    apply_defaults(schema.of(resource), obj)


def _select_job_pods(obj: Object) -> None:
    """A Job finds its Pods by its own UID; kubectl's `logs job/x` reads this selector."""
    uid, name = obj["metadata"]["uid"], obj["metadata"].get("name")
    labels = obj["spec"]["template"]["metadata"].setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    obj["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _bad_spec(resource: Resource, obj: Object) -> list[Cause]:
    spec: Any = obj.get("spec") or {}
    if resource.kind == "Pod":
        return bad_pod_spec(spec, "spec")
    if resource.kind in _WORKLOADS:
        return _bad_workload(resource, spec)
    if resource.key == SERVICES.key:
        return _bad_service(spec)
    if resource.kind in ("ConfigMap", "Secret"):
        return bad_data(resource, obj)
    if resource.kind == "CustomResourceDefinition":
        return bad_definition(obj)
    if resource.kind == "PersistentVolumeClaim":
        return _bad_claim(spec)
    if resource.kind == "CronJob":
        fields = spec["schedule"].split()
        if len(fields) != 5 and not spec["schedule"].startswith("@"):
            why = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
            return [("FieldValueInvalid", "spec.schedule", f'Invalid value: "{spec["schedule"]}": {why}')]
    return []


def _bad_claim(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    if not spec.get("accessModes"):
        text = "Required value: at least 1 access mode is required"
        causes.append(("FieldValueRequired", "spec.accessModes", text))
    if not at(spec, "resources", "requests", "storage"):
        causes.append(("FieldValueRequired", "spec.resources[storage]", "Required value"))
    return causes


def _bad_workload(resource: Resource, spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("replicas", "parallelism", "completions", "backoffLimit", "minReadySeconds", "revisionHistoryLimit"):
        if (spec.get(key) or 0) < 0:
            text = f"Invalid value: {spec[key]}: must be greater than or equal to 0"
            causes.append(("FieldValueInvalid", f"spec.{key}", text))
    template = spec["template"]
    labels = at(template, "metadata", "labels") or {}
    if not selector_matches(spec.get("selector"), labels) and not (resource.kind == "Job" and not spec.get("selector")):
        text = "Invalid value: `selector` does not match template `labels`"
        causes.append(("FieldValueInvalid", "spec.template.metadata.labels", text))
    if not (at(spec, "selector", "matchLabels") or at(spec, "selector", "matchExpressions")) and resource.kind != "Job":
        text = "Invalid value: {}: empty selector is invalid for deployment".replace("deployment", resource.kind.lower())
        causes.append(("FieldValueInvalid", "spec.selector", text))
    if not template.get("spec"):
        return [*causes, ("FieldValueRequired", "spec.template.spec.containers", "Required value")]
    strategy = spec.get("strategy") or {}
    if resource.kind == "Deployment" and strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        text = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        causes.append(("FieldValueForbidden", "spec.strategy.rollingUpdate", text))
    claims = [at(claim, "metadata", "name") or "" for claim in spec.get("volumeClaimTemplates") or []]
    causes.extend(bad_pod_spec(template["spec"], "spec.template.spec", claims))
    policy, allowed = template["spec"].get("restartPolicy"), ["Always"]
    if resource.kind == "Job":
        allowed = ["OnFailure", "Never"]
    if policy not in allowed:
        listed = ", ".join(f'"{value}"' for value in allowed)
        text = f'Unsupported value: "{policy}": supported values: {listed}'
        causes.append(("FieldValueNotSupported", "spec.template.spec.restartPolicy", text))
    return causes


def _bad_service(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    types = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec["type"] not in types:
        listed = ", ".join(f'"{value}"' for value in types)
        text = f'Unsupported value: "{spec["type"]}": supported values: {listed}'
        return [("FieldValueNotSupported", "spec.type", text)]
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        causes.append(("FieldValueRequired", "spec.externalName", "Required value"))
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(("FieldValueRequired", "spec.ports", "Required value"))
    for index, port in enumerate(ports):
        number = port.get("port") or 0
        if not 1 <= number <= 65535:
            text = f"Invalid value: {number}: must be between 1 and 65535, inclusive"
            causes.append(("FieldValueInvalid", f"spec.ports[{index}].port", text))
        if len(ports) > 1 and not port.get("name"):
            causes.append(("FieldValueRequired", f"spec.ports[{index}].name", "Required value"))
    return causes
