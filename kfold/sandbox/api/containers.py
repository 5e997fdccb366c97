"""What makes a container invalid beyond its types: handlers of probes and hooks, mounts, variables, names of ports."""

from __future__ import annotations

import re

from kfold.sandbox.api.documents import Object

Cause = tuple[str, str, str]

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*\Z")


def bad_handlers(container: Object, path: str, *, once: bool) -> list[Cause]:
    """Causes of probes and hooks, which have exactly one handler each.

    `once`: an init container that is no sidecar, which has neither probes nor hooks.
    """
    causes: list[Cause] = []
    if once:
        text = "Forbidden: may not be set for init containers without restartPolicy=Always"
        return [("FieldValueForbidden", f"{path}.{key}", text) for key in ("lifecycle", *PROBES) if key in container]
    for key in PROBES:
        if (probe := container.get(key)) is not None:
            causes.extend(_one_handler(probe, f"{path}.{key}", _PROBE_HANDLERS))
    for key in ("postStart", "preStop"):
        if (hook := (container.get("lifecycle") or {}).get(key)) is not None:
            causes.extend(_one_handler(hook, f"{path}.lifecycle.{key}", _HOOK_HANDLERS))
    return causes


def _one_handler(owner: Object, path: str, handlers: tuple[str, ...]) -> list[Cause]:
    found = [key for key in handlers if owner.get(key) is not None]
    if not found:
        return [("FieldValueRequired", path, "Required value: must specify a handler type")]
    text = "Forbidden: may not specify more than 1 handler type"
    return [("FieldValueForbidden", f"{path}.{key}", text) for key in found[1:]]


def bad_mounts(container: Object, path: str, volumes: set[str]) -> list[Cause]:
    """Causes of mounts: of a volume that is none of `volumes`, or where another one is mounted."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        where, place = f"{path}.volumeMounts[{index}]", mount.get("mountPath") or ""
        if mount.get("name") not in volumes:
            causes.append(("FieldValueNotFound", f"{where}.name", f'Not found: "{mount.get("name")}"'))
        if not place:
            causes.append(("FieldValueRequired", f"{where}.mountPath", "Required value"))
        elif place in seen:
            causes.append(("FieldValueInvalid", f"{where}.mountPath", f'Invalid value: "{place}": must be unique'))
        seen.add(place)
    return causes


def bad_value_from(variable: Object, path: str) -> list[Cause]:
    """Causes of a variable's `valueFrom`: without a source, with two, or beside a value."""
    source = variable.get("valueFrom")
    if source is None:
        return []
    if not source:
        listed = "`configMapKeyRef`, `fieldRef`, `fileKeyRef`, `resourceFieldRef` or `secretKeyRef`"
        why = f"must specify one of: {listed}"
    elif variable.get("value"):
        why = "may not be specified when `value` is not empty"
    elif len(source) > 1:
        why = "may not have more than one field specified at a time"
    else:
        return []
    return [("FieldValueInvalid", f"{path}.valueFrom", f'Invalid value: "": {why}')]


def bad_ports(container: Object, path: str) -> list[Cause]:
    """Causes of ports: numbers out of range, and names that are none or that are said twice."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, port in enumerate(container.get("ports") or []):
        where, number, name = f"{path}.ports[{index}]", port.get("containerPort") or 0, port.get("name")
        if not 1 <= number <= 65535:
            text = f"Invalid value: {number}: must be between 1 and 65535, inclusive"
            causes.append(("FieldValueInvalid", f"{where}.containerPort", text))
        if not name:
            continue
        if len(name) > 15:
            text = f'Invalid value: "{name}": must be no more than 15 characters'
            causes.append(("FieldValueInvalid", f"{where}.name", text))
        elif not _PORT_NAME.match(name):
            why = "must contain only lower case letters, digits and single hyphens between them, and at least one letter"
            causes.append(("FieldValueInvalid", f"{where}.name", f'Invalid value: "{name}": {why}'))
        elif name in seen:
            causes.append(("FieldValueDuplicate", f"{where}.name", f'Duplicate value: "{name}"'))
        seen.add(name)
    return causes
