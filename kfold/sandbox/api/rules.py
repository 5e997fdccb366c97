"""What each kind adds to storing (the real server's strategies).

Initial status, allocated values, validation, immutable fields.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable

from kfold.sandbox.api import errors, quantity
from kfold.sandbox.api.allocation import SERVICE_NETWORK, Allocator
from kfold.sandbox.api.causes import Cause, forbidden
from kfold.sandbox.api.defaults import apply_defaults
from kfold.sandbox.api.documents import Object, at, copied
from kfold.sandbox.api.immutability import immutable
from kfold.sandbox.api.metadata import bad_metadata
from kfold.sandbox.api.resources import PODS, SERVICES, Resource
from kfold.sandbox.api.schema import Schema
from kfold.sandbox.api.specs import bad_spec
from kfold.sandbox.api.validation import missing

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
        causes = self._causes(resource, obj)
        if resource.key == PODS.key and obj["spec"].get("ephemeralContainers"):
            causes.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
        self._refuse(resource, obj, causes)

    def on_update(self, resource: Resource, obj: Object, old: Object, subresource: str) -> None:
        """Set defaults, keep allocated values; raise ApiError 422 with every cause, immutable fields among them."""
        if subresource == "status":
            self._refuse(resource, obj, resource.structure.causes(obj, old) if resource.structure else [])
            return
        if resource.key == SERVICES.key:
            self.allocator.keep(obj, old)
        _prepare(self.schema, resource, obj)
        if resource.key == SERVICES.key:
            self.allocator.allocate(obj)
        self._refuse(resource, obj, [*self._causes(resource, obj, old), *immutable(resource, obj, old, subresource)])

    def _causes(self, resource: Resource, obj: Object, old: Object | None = None) -> list[Cause]:
        causes = bad_metadata(resource, obj["metadata"])
        if resource.structure:
            causes.extend(resource.structure.causes(obj, old))
        if resource.custom:
            return causes
        causes.extend(missing(self.schema, resource, obj))
        known = {field for _, field, _ in causes}
        # what is missing by the schema is not said again
        return causes + [cause for cause in bad_spec(resource, obj) if cause[1] not in known]

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
    """A Job finds its Pods by its own UID; kubectl's `logs job/x` reads this selector.

    One that a client gives stays beside it: validation says that it may not be there.
    """
    uid, name = obj["metadata"]["uid"], obj["metadata"].get("name")
    labels = obj["spec"]["template"]["metadata"].setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    selector = obj["spec"].setdefault("selector", {})
    selector.setdefault("matchLabels", {})["batch.kubernetes.io/controller-uid"] = uid
