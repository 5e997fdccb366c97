"""What makes a Service invalid beyond its types (ValidateService of pkg/apis/core/validation)."""

from __future__ import annotations

from kfold.sandbox.api import formats
from kfold.sandbox.api.causes import Cause, duplicate, forbidden, invalid, required, unsupported
from kfold.sandbox.api.containers import PROTOCOLS, bad_label, bad_port
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.metadata import bad_labels

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def bad_service(obj: Object) -> list[Cause]:
    spec: Object = obj.get("spec") or {}
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    causes: list[Cause] = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        causes.append(required("spec.ports"))
    if headless and kind in ("LoadBalancer", "NodePort"):
        causes.append(invalid("spec.clusterIPs[0]", ["None"], f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        causes += _bad_external_name(spec)
    causes += _bad_ports(spec)
    causes += bad_labels(spec.get("selector"), "spec.selector")
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        causes.append(unsupported("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None")))
    if kind not in _TYPES:
        causes.append(unsupported("spec.type", kind, _TYPES))
    policy = spec.get("externalTrafficPolicy")
    if policy and (kind == "ExternalName" or (kind == "ClusterIP" and not spec.get("externalIPs"))):
        why = "may only be set for externally-accessible services"
        causes.append(invalid("spec.externalTrafficPolicy", policy, why))
    for key in ("externalTrafficPolicy", "internalTrafficPolicy"):
        if spec.get(key) and spec[key] not in ("Cluster", "Local"):
            causes.append(unsupported(f"spec.{key}", spec[key], ("Cluster", "Local")))
    if spec.get("ipFamilyPolicy") == "RequireDualStack":
        why = "this cluster is not configured for dual-stack services"
        causes.append(invalid("spec.ipFamilyPolicy", "RequireDualStack", why))
    return causes


def _bad_external_name(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    if spec.get("clusterIP"):
        causes.append(forbidden("spec.clusterIP", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*causes, required("spec.externalName")]
    return causes + [invalid("spec.externalName", spec["externalName"], why) for why in formats.subdomain(name)]


def _bad_ports(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    ports = spec.get("ports") or []
    names: set[str] = set()
    places: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        field, name, number = f"spec.ports[{index}]", port.get("name") or "", port.get("port") or 0
        if name:
            found = bad_label(name, f"{field}.name")
            causes += found or ([duplicate(f"{field}.name", name)] if name in names else [])
            names.add(name)
        elif len(ports) > 1:
            causes.append(required(f"{field}.name"))
        causes += bad_port(number, f"{field}.port")
        if port.get("protocol") not in PROTOCOLS:
            causes.append(unsupported(f"{field}.protocol", port.get("protocol"), PROTOCOLS))
        causes += bad_port(port.get("targetPort", number), f"{field}.targetPort") if number else []
        if port.get("nodePort") and spec.get("type") == "ClusterIP":
            causes.append(forbidden(f"{field}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        place = (port.get("protocol"), number)
        if place in places:
            causes.append(duplicate(field, {"Protocol": port.get("protocol"), "Port": number}))
        places.add(place)
    return causes
