"""What makes a Pod's spec invalid beyond its types: its containers, volumes, policies, where it may run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kfold.sandbox.api.causes import Cause, forbidden, invalid, not_found, required, unsupported
from kfold.sandbox.api.containers import PROBES, bad_container, bad_handlers, bad_identities, bad_label, repeated
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.metadata import bad_labels

_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NAMED_SOURCES = {"configMap": "name", "secret": "secretName"}
"""Kinds of volumes whose sources have to be named, though the schema does not ask for it."""


def bad_pod_spec(spec: Object, path: str, claims: Iterable[str] = ()) -> list[Cause]:
    """Causes with their field paths, below `path` ("spec", or a template's "spec.template.spec").

    `claims`: names of a StatefulSet's volumeClaimTemplates, which its Pods have as volumes.
    """
    causes = _bad_volumes(spec, path)
    volumes = {volume.get("name") or "" for volume in spec.get("volumes") or []} | set(claims)
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    for kind, index, container in containers_of(spec):
        where = f"{path}.{kind}[{index}]"
        causes += bad_container(container, where, volumes)
        if kind == "ephemeralContainers":
            causes += _bad_ephemeral(container, where, spec)
        else:
            once = kind == "initContainers" and container.get("restartPolicy") != "Always"
            causes += bad_handlers(container, where, once=once)
    causes += repeated((f"{path}.{kind}[{index}].name", one.get("name")) for kind, index, one in containers_of(spec))
    if spec.get("restartPolicy") not in _POLICIES:
        causes.append(unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), _POLICIES))
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        causes.append(unsupported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES))
    elif spec["dnsPolicy"] == "None" and not at(spec, "dnsConfig", "nameservers"):
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        causes.append(required(f"{path}.dnsConfig.nameservers", why))
    limit = spec.get("activeDeadlineSeconds")
    if limit is not None and not 1 <= limit < 2**31:
        causes.append(invalid(f"{path}.activeDeadlineSeconds", limit, "must be between 1 and 2147483647, inclusive"))
    for key in ("hostname", "subdomain"):
        causes += bad_label(spec[key], f"{path}.{key}") if spec.get(key) else []
    causes += bad_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    causes += bad_identities(spec.get("securityContext") or {}, f"{path}.securityContext")
    for index, toleration in enumerate(spec.get("tolerations") or []):
        causes += _bad_toleration(toleration, f"{path}.tolerations[{index}]")
    return causes


def containers_of(spec: Object) -> Iterator[tuple[str, int, Object]]:
    """(field, index, container) of all of a Pod's containers."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            yield kind, index, container


def _bad_volumes(spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    volumes = spec.get("volumes") or []
    for index, volume in enumerate(volumes):
        where = f"{path}.volumes[{index}]"
        causes += bad_label(volume.get("name"), f"{where}.name")
        sources = [key for key in volume if key != "name"]
        causes += [forbidden(f"{where}.{key}", "may not specify more than 1 volume type") for key in sources[1:]]
        for key, field in _NAMED_SOURCES.items():
            if key in volume and not volume[key].get(field):
                causes.append(required(f"{where}.{key}.{field}"))
        for key in ("configMap", "secret", "projected", "downwardAPI"):
            mode = at(volume, key, "defaultMode")
            if mode is not None and not 0 <= mode <= 0o777:
                why = "must be a number between 0 and 0777 (octal), both inclusive"
                causes.append(invalid(f"{where}.{key}.defaultMode", mode, why))
    return causes + repeated((f"{path}.volumes[{index}].name", one.get("name")) for index, one in enumerate(volumes))


def _bad_ephemeral(container: Object, path: str, spec: Object) -> list[Cause]:
    fields = [key for key in ("ports", "resources", "lifecycle", *PROBES) if container.get(key)]
    causes = [forbidden(f"{path}.{key}", "cannot be set for an Ephemeral Container") for key in fields]
    target = container.get("targetContainerName")
    if target and target not in [one.get("name") for kind, _, one in containers_of(spec) if kind != "ephemeralContainers"]:
        causes.append(not_found(f"{path}.targetContainerName", target))
    return causes


def _bad_toleration(toleration: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    operator, effect = toleration.get("operator") or "Equal", toleration.get("effect")
    if not toleration.get("key") and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        causes.append(invalid(f"{path}.operator", toleration.get("operator") or "", why))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid(f"{path}.effect", effect or "", why))
    if operator not in ("Equal", "Exists"):
        causes.append(unsupported(f"{path}.operator", operator, ("Equal", "Exists")))
    elif operator == "Exists" and toleration.get("value"):
        causes.append(invalid(f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'"))
    if effect and effect not in _EFFECTS:
        causes.append(unsupported(f"{path}.effect", effect, _EFFECTS))
    return causes
