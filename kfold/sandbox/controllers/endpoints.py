"""EndpointSlices (and the older Endpoints): which Pods are behind a Service, and whether they are ready."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES, Resource
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet import names

Json = dict[str, Any]

MANAGED_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGED_BY, MIRRORED_BY = "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"


class EndpointsController(Controller):
    """One slice for each Service with a selector (a real one splits at 100 addresses)."""

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == SERVICES.key:
            return [objects.place(obj)]
        if resource.key == ENDPOINTS.key:
            service = self._store.peek(SERVICES, *objects.place(obj))
            return [objects.place(obj)] if service and not service["spec"].get("selector") else []
        if resource.key == PODS.key:
            seen = [entry for entry in (obj, old) if entry]
            return [
                objects.place(service)
                for service in self._store.peek_all(SERVICES, obj["metadata"]["namespace"])
                if any(names.selects(service, entry) for entry in seen)
            ]
        return []

    def sync(self, key: Key) -> float | None:
        service = self._store.peek(SERVICES, *key)
        slice_name = f"{key[1]}-endpoints"
        if service is None:
            # the slices are the garbage collector's; Endpoints have no owner reference, on a real cluster neither
            self._store.remove(ENDPOINTS, *key)
            return None
        if service["metadata"].get("deletionTimestamp"):
            return None
        if not service["spec"].get("selector"):
            self._mirror(service)
            return None
        pods = [
            pod
            for pod in self._store.peek_all(PODS, key[0])
            if names.selects(service, pod)
            and (pod.get("status") or {}).get("podIP")
            and objects.phase(pod) not in ("Succeeded", "Failed")
        ]
        self._put(ENDPOINTSLICES, slice_name, _slice(service, slice_name, pods))
        self._put(ENDPOINTS, key[1], _endpoints(service, pods))
        return None

    def _mirror(self, service: Json) -> None:
        """A slice for each subset of Endpoints that somebody wrote for a Service without a selector (KEP-752)."""
        metadata = service["metadata"]
        namespace, name = objects.place(service)
        endpoints = self._store.peek(ENDPOINTS, namespace, name) or {}
        wanted = {}
        for number, subset in enumerate(endpoints.get("subsets") or []):
            found = _empty_slice(service, f"{name}-mirrored-{number}", MIRRORED_BY)
            found["ports"] = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or []]
            found["endpoints"] = [
                {"addresses": [entry["ip"]], "conditions": {"ready": ready}}
                for key, ready in (("addresses", True), ("notReadyAddresses", False))
                for entry in subset.get(key) or []
            ]
            wanted[found["metadata"]["name"]] = found
        for old in self._store.peek_all(ENDPOINTSLICES, namespace):
            labels = old["metadata"].get("labels") or {}
            mine = (labels.get(names.SERVICE_NAME), labels.get(MANAGED_LABEL)) == (metadata["name"], MIRRORED_BY)
            if mine and old["metadata"]["name"] not in wanted:
                self._store.remove(ENDPOINTSLICES, namespace, old["metadata"]["name"])
        for slice_name, entry in wanted.items():
            self._put(ENDPOINTSLICES, slice_name, entry)

    def _put(self, resource: Resource, name: str, wanted: Json) -> None:
        namespace = wanted["metadata"]["namespace"]
        try:
            current = self._store.get(resource, namespace, name)
        except ApiError:
            self._store.create(resource, wanted)
            return
        current["metadata"]["labels"] = {**(current["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
        self._store.update(resource, {**wanted, "metadata": current["metadata"]})


def _ready(service: Json, pod: Json) -> bool:
    ready = objects.is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
    return ready or bool(service["spec"].get("publishNotReadyAddresses"))


def target_port(port: Json, pod: Json) -> int | None:
    """The number of a Service port in a Pod: its targetPort, which may be the name of a container's port."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int) or str(target).isdigit():
        return int(target)
    for container in pod["spec"]["containers"]:
        for declared in container.get("ports") or []:
            if declared.get("name") == target:
                return int(declared["containerPort"])
    return None


def _ports(service: Json, pods: list[Json], *, names_required: bool) -> list[Json]:
    found = []
    for port in service["spec"].get("ports") or []:
        number = next((value for pod in pods if (value := target_port(port, pod))), None)
        if number is None and pods:
            continue
        entry: Json = {"port": number or port["port"], "protocol": port.get("protocol", "TCP")}
        if port.get("name") or names_required:
            entry["name"] = port.get("name", "")
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        found.append(entry)
    return found


def _target(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {"kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}


def _slice(service: Json, name: str, pods: list[Json]) -> Json:
    metadata = service["metadata"]
    endpoints = []
    for pod in pods:
        serving = objects.is_ready(pod)
        going = bool(pod["metadata"].get("deletionTimestamp"))
        endpoint: Json = {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": _ready(service, pod), "serving": serving, "terminating": going},
            "nodeName": pod["spec"].get("nodeName", ""),
            "targetRef": _target(pod),
        }
        if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == metadata["name"]:
            endpoint["hostname"] = pod["spec"]["hostname"]
        endpoints.append(endpoint)
    found = _empty_slice(service, name, MANAGED_BY)
    return {**found, "endpoints": endpoints, "ports": _ports(service, pods, names_required=True)}


def _empty_slice(service: Json, name: str, manager: str) -> Json:
    metadata = service["metadata"]
    labels = {**(metadata.get("labels") or {}), names.SERVICE_NAME: metadata["name"], MANAGED_LABEL: manager}
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [objects.owner_reference(service)],
        },
        "addressType": "IPv4",
    }


def _endpoints(service: Json, pods: list[Json]) -> Json:
    metadata = service["metadata"]

    def addresses(ready: bool) -> list[Json]:
        return [
            {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", ""), "targetRef": _target(pod)}
            for pod in pods
            if _ready(service, pod) == ready and not pod["metadata"].get("deletionTimestamp")
        ]

    subset: Json = {"ports": _ports(service, pods, names_required=False)}
    subset |= {
        key: found for key, found in (("addresses", addresses(True)), ("notReadyAddresses", addresses(False))) if found
    }
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": metadata.get("labels") or {},
        },
        "subsets": [subset] if len(subset) > 1 else [],
    }
