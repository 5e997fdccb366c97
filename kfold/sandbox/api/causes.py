"""Causes of a refusal, worded as the real server's (k8s.io/apimachinery, util/validation/field)."""

from __future__ import annotations

import json
from collections.abc import Iterable

Cause = tuple[str, str, str]
"""Reason, field path, text."""


def _shown(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, why: str = "") -> Cause:
    return "FieldValueRequired", field, f"Required value: {why}" if why else "Required value"


def invalid(field: str, value: object, why: str) -> Cause:
    return "FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {why}"


def forbidden(field: str, why: str) -> Cause:
    return "FieldValueForbidden", field, f"Forbidden: {why}"


def unsupported(field: str, value: object, allowed: Iterable[str]) -> Cause:
    listed = ", ".join(f'"{name}"' for name in allowed)
    return "FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {listed}"


def duplicate(field: str, value: object) -> Cause:
    return "FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}"


def not_found(field: str, value: object) -> Cause:
    return "FieldValueNotFound", field, f"Not found: {_shown(value)}"


def too_long(field: str, most: int) -> Cause:
    return "FieldValueTooLong", field, f"Too long: may not be more than {most} bytes"


def negative(field: str, value: object) -> list[Cause]:
    """A cause for a number below zero."""
    below = isinstance(value, int) and value < 0
    return [invalid(field, value, "must be greater than or equal to 0")] if below else []
