"""A container's environment, and what $(NAME) stands for in its command: pure functions of the Pod and of a lookup."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING
from typing import Any

from kfold.sandbox.api import quantity

Json = dict[str, Any]
Lookup = Callable[[str, str], Json | None]
"""("configmap" or "secret", name) -> the object in the Pod's namespace, or None."""


class ConfigurationError(Exception):
    """The container cannot be configured yet: a ConfigMap, Secret or key it names is not there."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME); `$$` is a dollar sign, and a name that is not known stays as it is written.

    Rules of k8s.io/kubernetes/third_party/forked/golang/expansion.
    """
    return re.sub(
        r"\$\$|\$\(([^)]*)\)",
        lambda match: "$" if match[0] == "$$" else variables.get(match[1], match[0]),
        text,
    )


def data_of(kind: str, found: Json) -> dict[str, bytes]:
    """All keys of a ConfigMap or Secret as bytes."""
    if kind == "secret":
        return {key: base64.b64decode(value or "") for key, value in (found.get("data") or {}).items()}
    values = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return values | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


def environment(pod: Json, container: Json, lookup: Lookup, defaults: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that the Pod gives to the container, in order. `defaults` (Service addresses) come first.

    `pod` carries the status that the field references ask for (podIP, hostIP).
    Raises ConfigurationError, in the kubelet's words.
    """
    result: dict[str, str] = dict(defaults or {})
    for source in container.get("envFrom") or []:
        for kind, field in (("configmap", "configMapRef"), ("secret", "secretRef")):
            if reference := source.get(field):
                result.update(_all_of(kind, reference, source.get("prefix") or "", lookup))
    for variable in container.get("env") or []:
        source = variable.get("valueFrom")
        if source:
            value = _value_from(source, pod, container, lookup)
            if value is None:
                continue
        else:
            value = expand(variable.get("value") or "", result)
        result[variable["name"]] = value
    return result


def _all_of(kind: str, reference: Json, prefix: str, lookup: Lookup) -> dict[str, str]:
    found = lookup(kind, reference.get("name", ""))
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigurationError(f'{kind} "{reference.get("name", "")}" not found')
    return {prefix + key: value.decode(errors="replace") for key, value in sorted(data_of(kind, found).items())}


def _value_from(source: Json, pod: Json, container: Json, lookup: Lookup) -> str | None:
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return resource_field(pod, container, reference)
    for kind, name, key in (("configmap", "ConfigMap", "configMapKeyRef"), ("secret", "Secret", "secretKeyRef")):
        if reference := source.get(key):
            found = lookup(kind, reference.get("name", ""))
            if found is None:
                if reference.get("optional"):
                    return None
                raise ConfigurationError(f'{kind} "{reference.get("name", "")}" not found')
            values = data_of(kind, found)
            if reference["key"] not in values:
                if reference.get("optional"):
                    return None
                owner = f"{pod['metadata']['namespace']}/{reference.get('name', '')}"
                raise ConfigurationError(f"couldn't find key {reference['key']} in {name} {owner}")
            return values[reference["key"]].decode(errors="replace")
    raise ConfigurationError(f"valueFrom has no source that the sandbox has: {', '.join(source)}")


def field(pod: Json, path: str) -> str:
    """A field of the Pod by the downward API's path. Raises ConfigurationError for one that it does not offer."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['([^']*)'\]", path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = metadata.get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(values.items()))
    fields: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: metadata["name"],
        "metadata.namespace": lambda: metadata["namespace"],
        "metadata.uid": lambda: metadata["uid"],
        "spec.nodeName": lambda: spec.get("nodeName", ""),
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName") or "default",
        "status.podIP": lambda: status.get("podIP", ""),
        "status.podIPs": lambda: ",".join(entry["ip"] for entry in status.get("podIPs") or []),
        "status.hostIP": lambda: status.get("hostIP", ""),
        "status.hostIPs": lambda: ",".join(entry["ip"] for entry in status.get("hostIPs") or []),
    }
    if path not in fields:
        raise ConfigurationError(f"unsupported fieldPath: {path}")
    return fields[path]()


def resource_field(pod: Json, container: Json, reference: Json) -> str:
    """A limit or request as a whole number of `divisor`s, rounded up. 0 where the container sets none."""
    name = reference.get("containerName") or container.get("name")
    everything = [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]
    owner = next((entry for entry in everything if entry["name"] == name), container)
    kind, _, resource = reference["resource"].partition(".")
    value = quantity.amount(owner, kind, resource)
    divisor = quantity.parse(reference.get("divisor") or "1") or quantity.parse("1")
    return str(((value or quantity.parse("0")) / divisor).to_integral_value(ROUND_CEILING))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
