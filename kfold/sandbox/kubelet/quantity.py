"""Kubernetes quantities ("100m", "1.5Gi", "2e3") as exact numbers."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


def parse(text: object) -> Decimal:
    """The number of cores, bytes, … Raises ValueError for what is no quantity (k8s.io/apimachinery, resource.Quantity)."""
    written = str(text).strip()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if suffix and written.endswith(suffix):
            number, factor = written[: -len(suffix)], SUFFIXES[suffix]
            break
    else:
        number, factor = written, Decimal(1)
    try:
        return Decimal(number) * factor
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a quantity") from error


def amount(container: dict[str, Any], kind: str, resource: str) -> Decimal | None:
    """What a container's `resources` say: `kind` is "limits" or "requests". A request defaults to its limit."""
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(resource)
    return None if value is None else parse(value)


def quality_of_service(pod: dict[str, Any]) -> str:
    """The Pod's QoS class, by the rules of k8s.io/kubernetes/pkg/apis/core/v1/helper/qos."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    pairs = [
        (amount(container, "requests", resource), amount(container, "limits", resource))
        for container in containers
        for resource in ("cpu", "memory")
    ]
    if all(not request and not limit for request, limit in pairs):
        return "BestEffort"
    if all(limit and request == limit for request, limit in pairs):
        return "Guaranteed"
    return "Burstable"
