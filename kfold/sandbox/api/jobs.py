"""What makes a Job's spec invalid beyond its types (pkg/apis/batch/validation)."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api.causes import Cause, invalid, negative, required, unsupported
from kfold.sandbox.api.documents import Object, at

_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex",
    "maxFailedIndexes",
)  # fmt: skip
_MODES = ("NonIndexed", "Indexed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_UID = "batch.kubernetes.io/controller-uid"


def bad_job(spec: Object, uid: str, path: str = "spec") -> list[Cause]:
    """Causes of a Job's spec, but for those of its Pods. `uid` is the Job's, empty in a CronJob's template."""
    causes: list[Cause] = []
    for key in _COUNTS:
        causes += negative(f"{path}.{key}", spec.get(key))
    mode, indexed = spec.get("completionMode"), spec.get("completionMode") == "Indexed"
    if uid and not spec.get("manualSelector") and spec.get("selector") != {"matchLabels": {_UID: uid}}:
        causes.append(invalid(f"{path}.selector", spec.get("selector"), "`selector` not auto-generated"))
    if uid and spec.get("manualSelector") and not spec.get("selector"):
        causes.append(required(f"{path}.selector"))
    if mode and mode not in _MODES:
        causes.append(unsupported(f"{path}.completionMode", mode, _MODES))
    if indexed and spec.get("completions") is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    for key in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
        if spec.get(key) is not None and not indexed:
            causes.append(invalid(f"{path}.{key}", spec[key], "requires indexed completion mode"))
    if spec.get("maxFailedIndexes") is not None:
        if spec.get("backoffLimitPerIndex") is None:
            causes.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
        if spec.get("completions") is not None and spec["maxFailedIndexes"] > spec["completions"]:
            why = "must be less than or equal to completions"
            causes.append(invalid(f"{path}.maxFailedIndexes", spec["maxFailedIndexes"], why))
    policy = spec.get("podReplacementPolicy")
    if policy and policy not in _REPLACEMENTS:
        causes.append(unsupported(f"{path}.podReplacementPolicy", policy, _REPLACEMENTS))
    causes += _bad_failure_policy(spec, path)
    return causes + _bad_success_policy(spec, path)


def bad_restart_policy(spec: Object, path: str) -> list[Cause]:
    """Causes of the restart policy of a Job's Pods."""
    policy = at(spec, "template", "spec", "restartPolicy")
    field = f"{path}.template.spec.restartPolicy"
    if policy in ("Always", None, ""):
        return [required(field, 'valid values: "OnFailure", "Never"')]
    if policy == "OnFailure" and spec.get("podFailurePolicy") is not None:
        return [invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _bad_failure_policy(spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    containers = [
        one.get("name") for kind in ("initContainers", "containers") for one in at(spec, "template", "spec", kind) or []
    ]
    for index, rule in enumerate(at(spec, "podFailurePolicy", "rules") or []):
        where, action = f"{path}.podFailurePolicy.rules[{index}]", rule.get("action")
        if action not in _ACTIONS:
            causes.append(unsupported(f"{where}.action", action, _ACTIONS))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            why = "requires the backoffLimitPerIndex to be set"
            causes.append(invalid(f"{where}.action", action, why))
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions")
        if bool(codes) == bool(patterns):
            two = "specifying both OnExitCodes and OnPodConditions is not supported"
            none = "specifying one of OnExitCodes and OnPodConditions is required"
            causes.append(invalid(where, rule, two if codes else none))
        if codes:
            causes += _bad_codes(codes, f"{where}.onExitCodes", containers)
        for number, pattern in enumerate(patterns or []):
            if pattern.get("status") not in ("True", "False", "Unknown"):
                place = f"{where}.onPodConditions[{number}].status"
                causes.append(unsupported(place, pattern.get("status"), ("False", "True", "Unknown")))
    return causes


def _bad_codes(codes: Object, path: str, containers: list[Any]) -> list[Cause]:
    causes: list[Cause] = []
    operator, values = codes.get("operator"), codes.get("values") or []
    if operator not in ("In", "NotIn"):
        causes.append(unsupported(f"{path}.operator", operator, ("In", "NotIn")))
    if codes.get("containerName") and codes["containerName"] not in containers:
        why = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid(f"{path}.containerName", codes["containerName"], why))
    if not values:
        causes.append(invalid(f"{path}.values", values, "at least one value is required"))
    elif values != sorted(values):
        causes.append(invalid(f"{path}.values", values, "must be ordered"))
    if operator == "In":
        for index, value in enumerate(values):
            if value == 0:
                causes.append(invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
    return causes


def _bad_success_policy(spec: Object, path: str) -> list[Cause]:
    policy = spec.get("successPolicy")
    if policy is None:
        return []
    causes: list[Cause] = []
    if not policy.get("rules"):
        why = "at least one rules must be specified when the successPolicy is specified"
        causes.append(required(f"{path}.successPolicy.rules", why))
    completions = spec.get("completions") or 0
    for index, rule in enumerate(policy.get("rules") or []):
        where = f"{path}.successPolicy.rules[{index}]"
        indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if indexes is None and count is None:
            causes.append(required(where, "at least one of succeededCount or succeededIndexes must be specified"))
        if indexes is not None:
            try:
                members(indexes, completions)
            except ValueError as error:
                causes.append(invalid(f"{where}.succeededIndexes", indexes, f"error parsing succeededIndexes: {error}"))
        if count is not None and count > completions:
            why = f"must be less than or equal to {completions} (the number of specified completions)"
            causes.append(invalid(f"{where}.succeededCount", count, why))
        causes += negative(f"{where}.succeededCount", count)
    return causes


def members(text: str, completions: int) -> set[int]:
    """The indexes of "0-2,5". Raises ValueError for what is no such list, or names an index that the Job has not."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f'cannot convert string to integer for index: "{part}"')
        start, end = int(first), int(last) if dash else int(first)
        if end >= completions:
            raise ValueError(f'too large index: "{end}"')
        if start > end or (found and start <= max(found)):
            raise ValueError(f"non-increasing order, previous: {max(found, default=start)}, current: {end}")
        found.update(range(start, end + 1))
    return found
