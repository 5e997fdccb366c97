"""What a Job's policies say of its ended Pods: podFailurePolicy, backoffLimitPerIndex, successPolicy.

Rules and words are those of pkg/controller/job (pod_failure_policy.go, backoff_utils.go, success_policy.go).
"""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api.jobs import members
from kfold.sandbox.controllers import objects

Json = dict[str, Any]
Verdict = tuple[str, str, str]
"""The condition with which a Job ends, its reason and its message."""

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


def index_of(pod: Json) -> int | None:
    """The completion index of a Pod of an Indexed Job."""
    found = (pod["metadata"].get("annotations") or {}).get(INDEX)
    return int(found) if found is not None and found.isdecimal() else None


def indexes(pods: list[Json]) -> set[int]:
    return {index for pod in pods if (index := index_of(pod)) is not None}


def ranges(found: set[int]) -> str:
    """{0, 1, 2, 5} as "0-2,5"."""
    parts: list[list[int]] = []
    for index in sorted(found):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def judgement(job: Json, pod: Json) -> tuple[str, str]:
    """(action, why) of the first rule of spec.podFailurePolicy that the failed Pod meets; Count where it meets none."""
    place = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    status = pod.get("status") or {}
    statuses = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        action = rule["action"]
        tail = f"matching {action} rule at index {index}"
        if codes := rule.get("onExitCodes"):
            for entry in statuses:
                code = entry.get("state", {}).get("terminated", {}).get("exitCode") or 0
                named = codes.get("containerName") in (None, entry["name"])
                # 0 is no failure: NotIn does not meet it either
                if code and named and (code in codes["values"]) == (codes["operator"] == "In"):
                    return action, f"Container {entry['name']} for pod {place} failed with exit code {code} {tail}"
        for pattern in rule.get("onPodConditions") or []:
            kind = pattern["type"]
            if objects.condition(pod, kind).get("status") == pattern.get("status", "True"):
                return action, f"Pod {place} has condition {kind} {tail}"
    return "Count", ""


def failed_indexes(job: Json, judged: list[tuple[Json, str]]) -> set[int]:
    """The indexes that are not tried again: failed too often, or once in a way that a rule says is enough.

    `judged` are the failed Pods with the action for each. Empty where spec.backoffLimitPerIndex is not set.
    """
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None:
        return set()
    failures: dict[int, int] = {}
    given_up: set[int] = set()
    for pod, action in judged:
        index = index_of(pod)
        if index is None or action == "Ignore":
            continue
        failures[index] = failures.get(index, 0) + 1
        if action == "FailIndex" or failures[index] > limit:
            given_up.add(index)
    return given_up


def verdict_of_indexes(job: Json, failed: set[int], succeeded: set[int]) -> Verdict | None:
    """How the Job ends by its failed indexes; None while it does not."""
    most, completions = job["spec"].get("maxFailedIndexes"), job["spec"].get("completions") or 0
    if most is not None and len(failed) > most:
        said = "Job has exceeded the specified maximal number of failed indexes"
        return "Failed", "MaxFailedIndexesExceeded", said
    if failed and len(failed | succeeded) >= completions:
        return "Failed", "FailedIndexes", "Job has failed indexes"
    return None


def verdict_of_success(job: Json, succeeded: set[int]) -> Verdict | None:
    """How the Job ends by spec.successPolicy; None while no rule is met."""
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or []):
        named = rule.get("succeededIndexes")
        wanted = members(named, 2**31) if named else None
        counted = len(succeeded if wanted is None else succeeded & wanted)
        least = rule.get("succeededCount", len(wanted) if wanted else 0)
        if counted >= least > 0:
            return "Complete", "SuccessPolicy", f"Matched rules at index {number}"
    return None
