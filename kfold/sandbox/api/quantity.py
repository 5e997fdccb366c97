"""Quantities ("100m", "1.5Gi", "2e3"): their value, the one way in which the server writes each, what containers ask for."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Any

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i)|([numkMGTPE]?))\Z")


def parse(text: object) -> Decimal:
    """The number of cores, bytes, … (k8s.io/apimachinery, resource.Quantity).

    Raises ValueError for what is no quantity, or one that no 64 bits hold (which the real server caps there).
    """
    found = _FORM.match(str(text))
    number, exponent, binary, decimal = found.groups() if found else ("", "", "", "")
    if not found or len(number) > 30 or abs(int((exponent or "e0")[1:])) > 30:
        raise ValueError(f"{text!r} is not a quantity")
    power = int(exponent[1:]) if exponent else _DECIMAL[decimal or ""]
    value = Decimal(number) * (Decimal(1024) ** _BINARY[binary] if binary else Decimal(10) ** power)
    if abs(value) >= 2**63:
        raise ValueError(f"{text!r} is too large")
    return value


def canonical(text: object) -> str:
    """As the server writes a resource list's entry: no fraction, the largest suffix, thousandths rounded up.

    0.5 becomes 500m, 1000m becomes 1, 1024Mi becomes 1Gi (SetDefaults_ResourceList rounds to thousandths, which
    makes a quantity forget how it was written).
    """
    value = parse(text).quantize(Decimal("0.001"), ROUND_CEILING)
    written = str(text)
    if written.endswith("i") and abs(value) >= 1024:
        number, power = int(value.to_integral_value(ROUND_CEILING)), 0
        while number % 1024 == 0 and power < 6:
            number, power = number // 1024, power + 1
        return f"{number}{next((name for name, of in _BINARY.items() if of == power), '')}"
    number, power = int(value * 1000), -3
    while number and number % 1000 == 0 and power < 18:
        number, power = number // 1000, power + 3
    if re.search(r"[eE][+-]?\d+\Z", written):
        return f"{number}e{power}" if power and number else str(number)
    return f"{number}{next(name for name, of in _DECIMAL.items() if of == power)}" if number else "0"


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
