"""What makes a container invalid beyond its types: name and image, probes and hooks, mounts, variables, ports, resources."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api import formats, quantity
from kfold.sandbox.api.causes import Cause, duplicate, forbidden, invalid, negative, not_found, required, unsupported
from kfold.sandbox.api.documents import Object, at

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_PULL = ("Always", "IfNotPresent", "Never")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_VARIABLE = re.compile(r"[ -<>-~]+\Z")
_VARIABLE_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_LARGEST_ID = 2**31 - 1


def bad_container(container: Object, path: str, volumes: set[str]) -> list[Cause]:
    """Causes, but for those of probes and hooks (`bad_handlers`). `volumes` are the names of the Pod's."""
    causes = bad_label(container.get("name"), f"{path}.name")
    image = container.get("image") or ""
    if not image:
        causes.append(required(f"{path}.image"))
    elif image != image.strip():
        causes.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("imagePullPolicy")
    if policy and policy not in _PULL:
        causes.append(unsupported(f"{path}.imagePullPolicy", policy, _PULL))
    causes += _bad_mounts(container, path, volumes)
    causes += _bad_variables(container, path)
    causes += bad_resources(container.get("resources") or {}, f"{path}.resources")
    causes += _bad_ports(container, path)
    security = container.get("securityContext") or {}
    if security.get("privileged") and security.get("allowPrivilegeEscalation") is False:
        why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        causes.append(invalid(f"{path}.securityContext", security, why))
    return causes + bad_identities(security, f"{path}.securityContext")


def bad_label(name: Any, field: str) -> list[Cause]:
    """Causes for a name that has to be a DNS label."""
    return [invalid(field, name, why) for why in formats.label(name)] if name else [required(field)]


def bad_identities(security: Object, path: str) -> list[Cause]:
    """Causes for IDs of users and groups."""
    why = f"must be between 0 and {_LARGEST_ID}, inclusive"
    given = {key: security.get(key) for key in ("runAsUser", "runAsGroup", "fsGroup")}
    return [
        invalid(f"{path}.{key}", value, why)
        for key, value in given.items()
        if value is not None and not 0 <= value <= _LARGEST_ID
    ]


def bad_handlers(container: Object, path: str, *, once: bool) -> list[Cause]:
    """Causes of probes and hooks, which have exactly one handler each.

    `once`: an init container that is no sidecar, which has neither probes nor hooks.
    """
    causes: list[Cause] = []
    if once:
        why = "may not be set for init containers without restartPolicy=Always"
        return [forbidden(f"{path}.{key}", why) for key in ("lifecycle", *PROBES) if key in container]
    for key in PROBES:
        if (probe := container.get(key)) is not None:
            causes += _one_handler(probe, f"{path}.{key}", _PROBE_HANDLERS)
            for field in _PROBE_NUMBERS:
                causes += negative(f"{path}.{key}.{field}", probe.get(field))
            if key != "readinessProbe" and probe.get("successThreshold", 1) != 1:
                causes.append(invalid(f"{path}.{key}.successThreshold", probe["successThreshold"], "must be 1"))
    for key in ("postStart", "preStop"):
        if (hook := at(container, "lifecycle", key)) is not None:
            causes += _one_handler(hook, f"{path}.lifecycle.{key}", _HOOK_HANDLERS)
    return causes


def _one_handler(owner: Object, path: str, handlers: tuple[str, ...]) -> list[Cause]:
    found = [key for key in handlers if owner.get(key) is not None]
    if not found:
        return [required(path, "must specify a handler type")]
    causes = [forbidden(f"{path}.{key}", "may not specify more than 1 handler type") for key in found[1:]]
    handler = owner[found[0]]
    if found[0] in ("httpGet", "tcpSocket"):
        causes += bad_port(handler.get("port"), f"{path}.{found[0]}.port")
    if found[0] == "httpGet" and handler.get("scheme") not in ("HTTP", "HTTPS"):
        causes.append(unsupported(f"{path}.httpGet.scheme", handler.get("scheme"), ("HTTP", "HTTPS")))
    if found[0] == "exec" and not handler.get("command"):
        causes.append(required(f"{path}.exec.command"))
    return causes


def bad_port(port: Any, field: str) -> list[Cause]:
    """Causes for what is neither the number nor the name of a port."""
    found = formats.port_name(port) if isinstance(port, str) else formats.port_number(port or 0)
    return [invalid(field, port if isinstance(port, str) else port or 0, why) for why in found]


def _bad_mounts(container: Object, path: str, volumes: set[str]) -> list[Cause]:
    """Causes of mounts: of a volume that is none of `volumes`, or where another one is mounted."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        where, place = f"{path}.volumeMounts[{index}]", mount.get("mountPath") or ""
        if not mount.get("name"):
            causes.append(required(f"{where}.name"))
        elif mount["name"] not in volumes:
            causes.append(not_found(f"{where}.name", mount["name"]))
        if not place:
            causes.append(required(f"{where}.mountPath"))
        elif place in seen:
            causes.append(invalid(f"{where}.mountPath", place, "must be unique"))
        seen.add(place)
        below = mount.get("subPath") or ""
        if below.startswith("/"):
            causes.append(invalid(f"{where}.subPath", below, "must be a relative path"))
        if ".." in below.split("/"):
            causes.append(invalid(f"{where}.subPath", below, "must not contain '..'"))
    return causes


def _bad_variables(container: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, variable in enumerate(container.get("env") or []):
        where, name = f"{path}.env[{index}]", variable.get("name") or ""
        if not name:
            causes.append(required(f"{where}.name"))
        elif not _VARIABLE.match(name):
            causes.append(invalid(f"{where}.name", name, _VARIABLE_TEXT))
        causes += _bad_value_from(variable, where)
    for index, source in enumerate(container.get("envFrom") or []):
        where = f"{path}.envFrom[{index}]"
        found = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        if not found:
            causes.append(invalid(where, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(found) > 1:
            causes.append(invalid(where, "", "may not have more than one field specified at a time"))
        causes += [required(f"{where}.{key}.name") for key in found if not source[key].get("name")]
    return causes


def _bad_value_from(variable: Object, path: str) -> list[Cause]:
    """Causes of a variable's `valueFrom`: without a source, with two, or beside a value."""
    source = variable.get("valueFrom")
    if source is None:
        return []
    causes: list[Cause] = []
    for key in ("configMapKeyRef", "secretKeyRef"):
        for field in ("name", "key"):
            if key in source and not source[key].get(field):
                causes.append(required(f"{path}.valueFrom.{key}.{field}"))
    if not source:
        listed = "`configMapKeyRef`, `fieldRef`, `fileKeyRef`, `resourceFieldRef` or `secretKeyRef`"
        causes.append(invalid(f"{path}.valueFrom", "", f"must specify one of: {listed}"))
    elif variable.get("value"):
        causes.append(invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty"))
    elif len(source) > 1:
        causes.append(invalid(f"{path}.valueFrom", "", "may not have more than one field specified at a time"))
    return causes


def bad_resources(resources: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    limits = resources.get("limits") or {}
    for kind in ("limits", "requests"):
        for key, value in (resources.get(kind) or {}).items():
            field = f"{path}.{kind}[{key}]"
            if "/" not in key and key not in _RESOURCES and not key.startswith("hugepages-"):
                causes.append(invalid(field, key, "must be a standard resource type or fully qualified"))
                causes.append(invalid(field, key, "must be a standard resource for containers"))
            if quantity.parse(value) < 0:
                causes.append(invalid(field, value, "must be greater than or equal to 0"))
    for key, value in (resources.get("requests") or {}).items():
        if key in limits and quantity.parse(value) > quantity.parse(limits[key]):
            why = f"must be less than or equal to {key} limit of {limits[key]}"
            causes.append(invalid(f"{path}.requests", value, why))
    return causes


def _bad_ports(container: Object, path: str) -> list[Cause]:
    """Causes of ports: numbers out of range, and names that are none or that are said twice."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, port in enumerate(container.get("ports") or []):
        where, number, name = f"{path}.ports[{index}]", port.get("containerPort") or 0, port.get("name")
        if name:
            found = [invalid(f"{where}.name", name, why) for why in formats.port_name(name)]
            causes += found or ([duplicate(f"{where}.name", name)] if name in seen else [])
            seen.add(name)
        if not number:
            causes.append(required(f"{where}.containerPort"))
        else:
            causes += bad_port(number, f"{where}.containerPort")
        if port.get("hostPort"):
            causes += bad_port(port["hostPort"], f"{where}.hostPort")
        if port.get("protocol") not in PROTOCOLS:
            causes.append(unsupported(f"{where}.protocol", port.get("protocol"), PROTOCOLS))
    return causes


def repeated(names: Iterable[tuple[str, Any]]) -> list[Cause]:
    """Causes for (field, value) pairs whose value came before."""
    seen: set[Any] = set()
    causes: list[Cause] = []
    for field, value in names:
        if value and value in seen:
            causes.append(duplicate(field, value))
        seen.add(value)
    return causes
