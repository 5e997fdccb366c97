"""Jobs: Pods that run to their end, so many times, with so many failures allowed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.resources import JOBS, PODS, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.runner import Key
from kfold.sandbox.kubelet.recorder import Recorder
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]

BACK_OFF = (10.0, 600.0)
"""Seconds before a failed Pod is replaced, and the most they double to (job_controller: DefaultJobPodFailureBackOff)."""

INDEX = "batch.kubernetes.io/job-completion-index"


class JobController:
    """Rules of k8s.io/kubernetes/pkg/controller/job; without successPolicy and backoffLimitPerIndex."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == JOBS.key:
            return [objects.place(obj)]
        if resource.key == PODS.key:
            owner = objects.owner_key(obj, "Job")
            return [owner] if owner else []
        return []

    def sync(self, key: Key) -> float | None:
        job = self._store.peek(JOBS, *key)
        if job is None:
            return None
        job = copied(job)
        if finished(job):
            return self._expire(job)
        pods = objects.claim(self._store, job, PODS, job["spec"].get("selector"))
        succeeded = [pod for pod in pods if objects.phase(pod) == "Succeeded"]
        # one that was deleted is replaced, and counts for nothing
        failed = [pod for pod in pods if objects.phase(pod) == "Failed" and not pod["metadata"].get("deletionTimestamp")]
        active = [pod for pod in pods if objects.is_active(pod)]
        spec, status = job["spec"], job.setdefault("status", {})
        if job["metadata"].get("deletionTimestamp"):
            return None
        if spec.get("suspend"):
            self._suspend(job, active)
            self._write(job, active=[], succeeded=succeeded, failed=failed)
            return None
        self._resume(job)
        done = len(_indexes(succeeded)) if _indexed(job) else len(succeeded)
        again: float | None = None
        judged = [(pod, *_judgement(job, pod)) for pod in failed]
        counted = [pod for pod, action, _ in judged if action != "Ignore"]
        said = next((why for _, action, why in judged if action == "FailJob"), "")
        verdict = ("Failed", "PodFailurePolicy", said) if said else self._verdict(job, active, done, counted)
        if verdict:
            for pod in active:
                self._delete(job, pod)
            active = []
        else:
            again = self._fill(job, active, succeeded, failed, done)
            pods = [
                pod
                for pod in self._store.peek_all(PODS, key[0])
                if objects.is_controlled_by(pod, job) and objects.is_active(pod)
            ]
            active = pods
            deadline = spec.get("activeDeadlineSeconds")
            if deadline is not None:
                left = objects.seconds(status["startTime"]) + deadline - time.time()
                again = min(again or left, left)
        self._write(job, active=active, succeeded=succeeded, failed=counted, verdict=verdict)
        return max(0.0, again) if again is not None else None

    def _verdict(self, job: Json, active: list[Json], done: int, failed: list[Json]) -> tuple[str, str, str] | None:
        """(condition, reason, message) once the Job has come to its end."""
        spec = job["spec"]
        restarts = sum(
            entry.get("restartCount", 0)
            for pod in active
            for entry in (pod.get("status") or {}).get("containerStatuses") or []
            if pod["spec"].get("restartPolicy") == "OnFailure"
        )
        limit = spec.get("backoffLimit", 6)
        if len(failed) > limit or (restarts and restarts > limit):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and time.time() >= objects.seconds(job["status"]["startTime"]) + deadline:
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        completions = spec.get("completions")
        if completions is None:
            if done and not active:  # a work queue: one Pod's success means that the work is done
                return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        elif done >= completions:
            return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        return None

    def _fill(self, job: Json, active: list[Json], succeeded: list[Json], failed: list[Json], done: int) -> float | None:
        """Create or delete Pods. Returns the seconds that a failure still holds new Pods back."""
        spec = job["spec"]
        parallel = spec.get("parallelism", 1)
        completions = spec.get("completions")
        idle = len(active) if done else parallel  # a work queue gets no new Pod once one has succeeded
        wanted = idle if completions is None else min(parallel, completions - done)
        for pod in sorted(active, key=objects.is_ready)[: max(0, len(active) - wanted)]:
            self._delete(job, pod)
        missing = wanted - len(active)
        if missing <= 0:
            return None
        if failed and (left := _held_back(failed)) > 0:
            return left
        free: list[int] = []
        if _indexed(job):
            taken = _indexes(succeeded) | _indexes(active)
            free = [index for index in range(completions or 0) if index not in taken]
        for number in range(missing):
            index = free[number] if _indexed(job) and number < len(free) else None
            if _indexed(job) and index is None:
                break
            pod = objects.create_pod(self._store, self._recorder, "job-controller", job, _pod(job, index))
            said = f"Created pod: {pod['metadata']['name']}"
            self._recorder.normal("job-controller", job, "SuccessfulCreate", said)
        return None

    def _delete(self, job: Json, pod: Json) -> None:
        metadata = pod["metadata"]
        self._store.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        said = f"Deleted pod: {metadata['name']}"
        self._recorder.normal("job-controller", job, "SuccessfulDelete", said)

    def _suspend(self, job: Json, active: list[Json]) -> None:
        for pod in active:
            self._delete(job, pod)
        self._condition(job, "Suspended", "True", "JobSuspended", "Job suspended")
        job["status"].pop("startTime", None)

    def _resume(self, job: Json) -> None:
        if objects.condition(job, "Suspended").get("status") == "True":
            self._condition(job, "Suspended", "False", "JobResumed", "Job resumed")
        job["status"].setdefault("startTime", now())

    def _write(
        self,
        job: Json,
        *,
        active: list[Json],
        succeeded: list[Json],
        failed: list[Json],
        verdict: tuple[str, str, str] | None = None,
    ) -> None:
        status = job["status"]
        counts = {"active": len(active), "succeeded": len(succeeded), "failed": len(failed)}
        for name, value in counts.items():
            status.pop(name, None)
            if value:  # the real server leaves zeros out
                status[name] = value
        status |= {
            "ready": sum(objects.is_ready(pod) for pod in active),
            "terminating": 0,
            "uncountedTerminatedPods": {},
        }
        if _indexed(job) and succeeded:
            status["completedIndexes"] = _ranges(sorted(_indexes(succeeded)))
        if verdict:
            kind, reason, message = verdict
            before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
            self._condition(job, before, "True", reason, message)
            self._condition(job, kind, "True", reason, message)
            if kind == "Complete":
                status["completionTime"] = now()
                self._recorder.normal("job-controller", job, "Completed", "Job completed")
            else:
                self._recorder.warning("job-controller", job, reason, message)
        self._store.update_status(JOBS, job)

    @staticmethod
    def _condition(job: Json, kind: str, status: str, reason: str, message: str) -> None:
        moment = now()
        entry = {"type": kind, "status": status, "reason": reason, "message": message}
        entry |= {"lastProbeTime": moment, "lastTransitionTime": moment}
        conditions = job["status"].get("conditions") or []
        job["status"]["conditions"] = objects.set_condition(conditions, entry)

    def _expire(self, job: Json) -> float | None:
        """Delete a finished Job when its ttlSecondsAfterFinished is over."""
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None or job["metadata"].get("deletionTimestamp"):
            return None
        ended = objects.condition(job, "Complete") or objects.condition(job, "Failed")
        left = objects.seconds(ended["lastTransitionTime"]) + ttl - time.time()
        if left > 0:
            return float(left)
        metadata = job["metadata"]
        self._store.delete(JOBS, metadata["namespace"], metadata["name"], uid=metadata["uid"], propagation="Foreground")
        return None


def finished(job: Json) -> bool:
    return any(objects.condition(job, kind).get("status") == "True" for kind in ("Complete", "Failed"))


def _judgement(job: Json, pod: Json) -> tuple[str, str]:
    """(action, why) of the first rule of spec.podFailurePolicy that the failed Pod meets; Count where it meets none.

    The rules and the words are those of pkg/controller/job/pod_failure_policy.go.
    """
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


def _indexed(job: Json) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _indexes(pods: list[Json]) -> set[int]:
    return {int(pod["metadata"]["annotations"][INDEX]) for pod in pods if INDEX in pod["metadata"].get("annotations", {})}


def _pod(job: Json, index: int | None) -> Json:
    pod = objects.pod_from_template(job["spec"]["template"], job)
    if index is None:
        return pod
    metadata = pod["metadata"]
    metadata["generateName"] = f"{job['metadata']['name']}-{index}-"
    metadata.setdefault("annotations", {})[INDEX] = str(index)
    metadata.setdefault("labels", {})[INDEX] = str(index)
    source = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
        if not any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in container.get("env") or []):
            container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    return pod


def _held_back(failed: list[Json]) -> float:
    """Seconds until the last failure's back-off is over: 10, 20, 40, … from its end."""
    ends = []
    for pod in failed:
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        times = [entry["state"]["terminated"]["finishedAt"] for entry in statuses if "terminated" in entry.get("state", {})]
        ends.append(max((objects.seconds(moment) for moment in times if moment), default=0.0))
    delay = min(BACK_OFF[0] * 2 ** (len(failed) - 1), BACK_OFF[1])
    return float(max(ends) + delay - time.time())


def _ranges(indexes: list[int]) -> str:
    """[0, 1, 2, 5] as "0-2,5"."""
    parts: list[list[int]] = []
    for index in indexes:
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
