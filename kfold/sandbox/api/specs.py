"""What makes an object of each kind invalid beyond its types (the real server's pkg/apis/*/validation).

Of the kinds that nothing acts on, only what the schema says is looked at, and what somebody easily gets wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kfold.sandbox.api import formats, quantity
from kfold.sandbox.api.causes import Cause, forbidden, invalid, negative, required, too_long, unsupported
from kfold.sandbox.api.definitions import bad_definition
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.jobs import bad_job, bad_restart_policy
from kfold.sandbox.api.metadata import bad_labels
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.selectors import selector_matches
from kfold.sandbox.api.services import bad_service
from kfold.sandbox.api.workloads import bad_pod_spec

DATA_BYTES = 1024 * 1024
"""The values of a ConfigMap or Secret together."""

_SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_STRATEGIES = {"Deployment": ("strategy", "Recreate"), "DaemonSet": ("updateStrategy", "OnDelete")}
_HIGHEST_PRIORITY = 10**9


def bad_spec(resource: Resource, obj: Object) -> list[Cause]:
    """Causes. What the schema asks for and is not there may be named by them again."""
    check = _BY_KIND.get(resource.kind)
    return check(obj) if check else []


def _bad_workload(kind: str) -> Callable[[Object], list[Cause]]:
    """Checks a kind that has a template of Pods."""

    def check(obj: Object) -> list[Cause]:
        spec: Object = obj.get("spec") or {}
        causes: list[Cause] = []
        for key in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
            causes += negative(f"spec.{key}", spec.get(key))
        causes += bad_job(spec, at(obj, "metadata", "uid") or "") if kind == "Job" else []
        selector, template = spec.get("selector"), spec.get("template") or {}
        causes += _bad_selector(kind, selector)
        labels = at(template, "metadata", "labels") or {}
        causes += bad_labels(labels, "spec.template.labels")
        if not selector_matches(selector, labels):
            why = "`selector` does not match template `labels`"
            causes.append(invalid("spec.template.metadata.labels", labels or None, why))
        causes += _bad_strategy(kind, spec)
        claims = [at(claim, "metadata", "name") or "" for claim in spec.get("volumeClaimTemplates") or []]
        pods = template.get("spec") or {}
        if pods:
            causes += bad_pod_spec(pods, "spec.template.spec", claims)
        else:
            causes.append(required("spec.template.spec.containers"))
        if kind == "Job":
            return causes + (bad_restart_policy(spec, "spec") if pods else [])
        policy = pods.get("restartPolicy", "Always")
        if policy in ("OnFailure", "Never"):
            causes.append(unsupported("spec.template.spec.restartPolicy", policy, ["Always"]))
        if pods.get("activeDeadlineSeconds") is not None:
            field = "spec.template.spec.activeDeadlineSeconds"
            causes.append(forbidden(field, f"activeDeadlineSeconds in {kind} is not Supported"))
        return causes

    return check


def _bad_selector(kind: str, selector: Any) -> list[Cause]:
    if selector is None:
        return [] if kind == "Job" else [required("spec.selector")]
    causes = bad_labels(selector.get("matchLabels"), "spec.selector.matchLabels")
    for index, entry in enumerate(selector.get("matchExpressions") or []):
        field, operator = f"spec.selector.matchExpressions[{index}]", entry.get("operator")
        values = entry.get("values")
        if operator in ("In", "NotIn") and not values:
            causes.append(required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden(f"{field}.values", why))
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            causes.append(invalid(f"{field}.operator", operator or "", "not a valid selector operator"))
        causes += [invalid(f"{field}.key", entry.get("key"), why) for why in formats.qualified(entry.get("key") or "")]
    if kind != "Job" and not (selector.get("matchLabels") or selector.get("matchExpressions")):
        causes.append(invalid("spec.selector", selector, f"empty selector is invalid for {kind.lower()}"))
    return causes


def _bad_strategy(kind: str, spec: Object) -> list[Cause]:
    """Causes of how Pods are replaced."""
    name, other = _STRATEGIES.get(kind, ("", ""))
    if not name:
        return []
    causes: list[Cause] = []
    strategy = spec.get(name) or {}
    way, rolling, field = strategy.get("type"), strategy.get("rollingUpdate"), f"spec.{name}"
    if way not in ("RollingUpdate", other):
        causes.append(unsupported(f"{field}.type", way, sorted(("RollingUpdate", other), key=lambda one: one != other)))
    elif kind == "Deployment" and way == other and rolling is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        causes.append(forbidden(f"{field}.rollingUpdate", why))
    elif way == "RollingUpdate" and rolling is not None:
        shares = {key: rolling.get(key, 0) for key in ("maxUnavailable", "maxSurge")}
        for key, value in shares.items():
            causes += _bad_share(value, f"{field}.rollingUpdate.{key}")
        if kind == "Deployment" and all(value in (0, "0%") for value in shares.values()):
            why = "may not be 0 when `maxSurge` is 0"
            causes.append(invalid(f"{field}.rollingUpdate.maxUnavailable", shares["maxUnavailable"], why))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and 0 <= deadline <= ready:
        causes.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return causes


def _bad_share(value: Any, field: str) -> list[Cause]:
    """Causes of a number or percentage of Pods."""
    if not isinstance(value, str):
        return negative(field, value)
    if not (value.endswith("%") and value[:-1].isdecimal()):
        why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used "
        return [invalid(field, value, why + "for validation is '[0-9]+%')")]
    over = field.endswith("maxUnavailable") and int(value[:-1]) > 100
    return [invalid(field, value, "must not be greater than 100%")] if over else []


def _bad_pod(obj: Object) -> list[Cause]:
    return bad_pod_spec(obj.get("spec") or {}, "spec")


def _bad_data(kind: str) -> Callable[[Object], list[Cause]]:
    """Checks a ConfigMap or Secret: keys that are no file names, more than 1 MiB, a type's gaps."""

    def check(obj: Object) -> list[Cause]:
        causes: list[Cause] = []
        size = 0
        for field in ("data", "binaryData"):
            for key, value in (obj.get(field) or {}).items():
                size += len(value.encode()) if kind == "ConfigMap" and field == "data" else len(value) * 3 // 4
                causes += [invalid(f"{field}[{key}]", key, why) for why in formats.config_key(key)]
                if field == "binaryData" and key in (obj.get("data") or {}):
                    causes.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        if size > DATA_BYTES:
            causes.append(too_long("data" if kind == "Secret" else "", DATA_BYTES))
        if kind == "Secret":
            data = obj.get("data") or {}
            causes += [required(f"data[{key}]") for key in _SECRET_KEYS.get(obj.get("type", ""), ()) if key not in data]
        return causes

    return check


def _bad_claim(obj: Object) -> list[Cause]:
    causes: list[Cause] = []
    spec: Object = obj.get("spec") or {}
    modes = spec.get("accessModes") or []
    if not modes:
        causes.append(required("spec.accessModes", "at least 1 access mode is required"))
    causes += [unsupported("spec.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        why = "may not use ReadWriteOncePod with other access modes"
        causes.append(forbidden("spec.accessModes", why))
    size = at(spec, "resources", "requests", "storage")
    if not size:
        causes.append(required("spec.resources[storage]"))
    elif quantity.parse(size) <= 0:
        causes.append(invalid("spec.resources[storage]", size, "must be greater than zero"))
    return causes


def _bad_cron_job(obj: Object) -> list[Cause]:
    spec: Object = obj.get("spec") or {}
    schedule = str(spec.get("schedule") or "")
    fields = schedule.split()
    causes: list[Cause] = []
    if schedule and len(fields) != 5 and not schedule.startswith("@"):
        why = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
        causes.append(invalid("spec.schedule", schedule, why))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        field = "spec.concurrencyPolicy"
        causes.append(unsupported(field, spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")))
    job = at(spec, "jobTemplate", "spec") or {}
    path = "spec.jobTemplate.spec"
    causes += bad_job(job, "", path)
    if pods := at(job, "template", "spec"):
        causes += [*bad_pod_spec(pods, f"{path}.template.spec"), *bad_restart_policy(job, path)]
    if len(at(obj, "metadata", "name") or "") > 52:
        causes.append(invalid("metadata.name", obj["metadata"]["name"], "must be no more than 52 characters"))
    return causes


def _bad_event(obj: Object) -> list[Cause]:
    space, named = at(obj, "metadata", "namespace"), at(obj, "involvedObject", "namespace") or ""
    if named == space or (not named and space == "default"):
        return []
    return [invalid("involvedObject.namespace", named, "does not match event.namespace")]


def _bad_autoscaler(obj: Object) -> list[Cause]:
    spec: Object = obj.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas") or 0
    causes: list[Cause] = []
    if least < 1:
        causes.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        causes.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if most < least:
        causes.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    target: Object = spec.get("scaleTargetRef") or {}
    return causes + [required(f"spec.scaleTargetRef.{key}") for key in ("kind", "name") if not target.get(key)]


def _bad_budget(obj: Object) -> list[Cause]:
    spec: Object = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        return [invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")]
    return [cause for key in ("minAvailable", "maxUnavailable") for cause in _bad_share(spec.get(key, 0), f"spec.{key}")]


def _bad_role(obj: Object) -> list[Cause]:
    causes: list[Cause] = []
    for index, rule in enumerate(obj.get("rules") or []):
        field = f"rules[{index}]"
        if not rule.get("verbs"):
            causes.append(required(f"{field}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            continue
        if not rule.get("apiGroups"):
            causes.append(required(f"{field}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            causes.append(required(f"{field}.resources", "resource rules must supply at least one resource"))
    return causes


def _bad_binding(obj: Object) -> list[Cause]:
    causes: list[Cause] = []
    reference: Object = obj.get("roleRef") or {}
    if reference.get("kind") not in ("Role", "ClusterRole"):
        causes.append(unsupported("roleRef.kind", reference.get("kind") or "", ("ClusterRole", "Role")))
    if not reference.get("name"):
        causes.append(required("roleRef.name"))
    for index, subject in enumerate(obj.get("subjects") or []):
        field, kind = f"subjects[{index}]", subject.get("kind")
        if not subject.get("name"):
            causes.append(required(f"{field}.name"))
        if kind not in ("ServiceAccount", "User", "Group"):
            causes.append(unsupported(f"{field}.kind", kind or "", ("ServiceAccount", "User", "Group")))
        elif kind == "ServiceAccount" and not subject.get("namespace") and obj.get("kind") == "ClusterRoleBinding":
            causes.append(required(f"{field}.namespace"))
    return causes


def _bad_priority(obj: Object) -> list[Cause]:
    if (obj.get("value") or 0) > _HIGHEST_PRIORITY and not obj["metadata"].get("name", "").startswith("system-"):
        return [forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}")]
    return []


_BY_KIND: dict[str, Callable[[Object], list[Cause]]] = {
    **{kind: _bad_workload(kind) for kind in ("DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet")},
    "ClusterRole": _bad_role,
    "ClusterRoleBinding": _bad_binding,
    "ConfigMap": _bad_data("ConfigMap"),
    "CronJob": _bad_cron_job,
    "CustomResourceDefinition": bad_definition,
    "Event": _bad_event,
    "HorizontalPodAutoscaler": _bad_autoscaler,
    "PersistentVolumeClaim": _bad_claim,
    "Pod": _bad_pod,
    "PodDisruptionBudget": _bad_budget,
    "PriorityClass": _bad_priority,
    "Role": _bad_role,
    "RoleBinding": _bad_binding,
    "Secret": _bad_data("Secret"),
    "Service": bad_service,
}
