"""What makes a Pod's spec invalid beyond its types: names, images, mounts, ports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kfold.sandbox.api import quantity
from kfold.sandbox.api.containers import bad_handlers, bad_mounts, bad_ports, bad_value_from
from kfold.sandbox.api.documents import Object

Cause = tuple[str, str, str]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_VARIABLE = re.compile(r"[ -<>-~]+\Z")
_POLICIES = ("Always", "OnFailure", "Never")
_PULL = ("Always", "IfNotPresent", "Never")


def bad_pod_spec(spec: Object, path: str, claims: Iterable[str] = ()) -> list[Cause]:
    """Causes with their field paths, below `path` ("spec", or a template's "spec.template.spec").

    `claims`: names of a StatefulSet's volumeClaimTemplates, which its Pods have as volumes.
    """
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(("FieldValueRequired", f"{path}.containers", "Required value"))
    if spec.get("restartPolicy") not in _POLICIES:
        causes.append(_unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), _POLICIES))
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or []):
        name = volume.get("name", "")
        where = f"{path}.volumes[{index}].name"
        if name in volumes:
            causes.append(("FieldValueDuplicate", where, f'Duplicate value: "{name}"'))
        volumes.add(name)
        text = "Forbidden: may not specify more than 1 volume type"
        sources = [key for key in volume if key != "name"]
        causes.extend(("FieldValueForbidden", f"{path}.volumes[{index}].{key}", text) for key in sources[1:])
    volumes.update(claims)
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            where = f"{path}.{kind}[{index}]"
            causes.extend(_bad_container(container, where, volumes))
            once = kind == "initContainers" and container.get("restartPolicy") != "Always"
            causes.extend(bad_handlers(container, where, once=once))
            name = container.get("name", "")
            if name in seen:
                causes.append(("FieldValueDuplicate", f"{where}.name", f'Duplicate value: "{name}"'))
            seen.add(name)
    return causes


def _unsupported(field: str, value: object, allowed: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{name}"' for name in allowed)
    return ("FieldValueNotSupported", field, f'Unsupported value: "{value}": supported values: {listed}')


def _bad_container(container: Object, path: str, volumes: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name", "")
    if not _LABEL.match(name) or len(name) > 63:
        rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
        text = f'Invalid value: "{name}": {rule}'
        causes.append(("FieldValueInvalid", f"{path}.name", text))
    image = container.get("image") or ""
    if not image:
        causes.append(("FieldValueRequired", f"{path}.image", "Required value"))
    elif image != image.strip():
        text = f'Invalid value: "{image}": must not have leading or trailing whitespace'
        causes.append(("FieldValueInvalid", f"{path}.image", text))
    policy = container.get("imagePullPolicy")
    if policy and policy not in _PULL:
        causes.append(_unsupported(f"{path}.imagePullPolicy", policy, _PULL))
    causes.extend(bad_mounts(container, path, volumes))
    for index, variable in enumerate(container.get("env") or []):
        if not _VARIABLE.match(variable.get("name") or ""):
            rule = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            text = f'Invalid value: "{variable.get("name")}": {rule}'
            causes.append(("FieldValueInvalid", f"{path}.env[{index}].name", text))
        causes.extend(bad_value_from(variable, f"{path}.env[{index}]"))
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    for key, value in (resources.get("requests") or {}).items():
        if key in limits and quantity.parse(value) > quantity.parse(limits[key]):
            text = f'Invalid value: "{value}": must be less than or equal to {key} limit of {limits[key]}'
            causes.append(("FieldValueInvalid", f"{path}.resources.requests", text))
    causes.extend(bad_ports(container, path))
    return causes
