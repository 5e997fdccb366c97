"""Quantities ("100m", "1.5Gi", "2e3"): their value, and the one way in which the server writes each."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i)|([numkMGTPE]?))\Z")


def parse(text: object) -> Decimal:
    """The number of cores, bytes, … Raises ValueError for what is no quantity (k8s.io/apimachinery, resource.Quantity)."""
    found = _FORM.match(str(text).strip())
    if not found:
        raise ValueError(f"{text!r} is not a quantity")
    number, exponent, binary, decimal = found.groups()
    if exponent:
        return Decimal(number) * Decimal(10) ** int(exponent[1:])
    return Decimal(number) * (Decimal(1024) ** _BINARY[binary] if binary else Decimal(10) ** _DECIMAL[decimal])


def canonical(text: object) -> str:
    """As the server writes a resource list's entry: no fraction, the largest suffix, thousandths rounded up.

    0.5 becomes 500m, 1000m becomes 1, 1024Mi becomes 1Gi (SetDefaults_ResourceList rounds to thousandths, which
    makes a quantity forget how it was written).
    """
    value = parse(text).quantize(Decimal("0.001"), ROUND_CEILING)
    written = str(text).strip()
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
