"""Jobs: Pods that run to their end, so many times, with so many failures allowed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.resources import JOBS, PODS, Resource
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.job_policies import (
    FAILURES,
    INDEX,
    Verdict,
    failed_indexes,
    index_of,
    indexes,
    judgement,
    ranges,
    verdict_of_indexes,
    verdict_of_success,
)
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]

BACK_OFF = (10.0, 600.0)
"""Seconds before a failed Pod is replaced, and the most they double to (job_controller: DefaultJobPodFailureBackOff)."""


class JobController(Controller):
    """Rules of k8s.io/kubernetes/pkg/controller/job."""

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
        judged = [(pod, *judgement(job, pod)) for pod in failed]
        counted = [pod for pod, action, _ in judged if action != "Ignore"]
        given_up = failed_indexes(job, [(pod, action) for pod, action, _ in judged])
        done = indexes(succeeded)
        again: float | None = None
        said = next((why for _, action, why in judged if action == "FailJob"), "")
        verdict = ("Failed", "PodFailurePolicy", said) if said else self._verdict(job, active, succeeded, counted)
        if _indexed(job) and not (verdict and verdict[0] == "Failed"):
            verdict = verdict_of_indexes(job, given_up, done) or verdict or verdict_of_success(job, done)
        if verdict:
            for pod in active:
                self._delete(job, pod)
            active = []
        else:
            again = self._fill(job, active, succeeded, failed, given_up)
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
        if spec.get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = ranges(given_up)
        self._write(job, active=active, succeeded=succeeded, failed=counted, verdict=verdict)
        return max(0.0, again) if again is not None else None

    def _verdict(self, job: Json, active: list[Json], succeeded: list[Json], failed: list[Json]) -> Verdict | None:
        """How the Job ends by its limits and completions; None while it does not."""
        spec, done = job["spec"], _done(job, succeeded)
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

    def _fill(
        self, job: Json, active: list[Json], succeeded: list[Json], failed: list[Json], given_up: set[int]
    ) -> float | None:
        """Create or delete Pods. Returns the seconds that a failure still holds new Pods back."""
        spec, done = job["spec"], _done(job, succeeded)
        parallel = spec.get("parallelism", 1)
        completions = spec.get("completions")
        idle = len(active) if done else parallel  # a work queue gets no new Pod once one has succeeded
        wanted = idle if completions is None else min(parallel, completions - done - len(given_up))
        for pod in sorted(active, key=objects.is_ready)[: max(0, len(active) - wanted)]:
            self._delete(job, pod)
        missing = wanted - len(active)
        if missing <= 0:
            return None
        if spec.get("backoffLimitPerIndex") is None and failed and (left := _held_back(failed)) > 0:
            return left
        if not _indexed(job):
            for _ in range(missing):
                self._make(job, _pod(job, None, 0))
            return None
        taken = indexes(succeeded) | indexes(active) | given_up
        waits: list[float] = []
        for index in range(completions or 0):
            if missing <= 0:
                break
            if index in taken:
                continue
            ended = [pod for pod in failed if index_of(pod) == index]
            if spec.get("backoffLimitPerIndex") is not None and ended and (left := _held_back(ended)) > 0:
                waits.append(left)  # each index has a back-off of its own
                continue
            self._make(job, _pod(job, index, len(ended)))
            missing -= 1
        return min(waits, default=None)

    def _make(self, job: Json, pod: Json) -> None:
        made = objects.create_pod(self._store, self._recorder, "job-controller", job, pod)
        self._recorder.normal("job-controller", job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

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
        verdict: Verdict | None = None,
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
            status["completedIndexes"] = ranges(indexes(succeeded))
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


def _indexed(job: Json) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _done(job: Json, succeeded: list[Json]) -> int:
    """How many completions there are."""
    return len(indexes(succeeded)) if _indexed(job) else len(succeeded)


def _pod(job: Json, index: int | None, failures: int) -> Json:
    """A Pod for the Job; of an Indexed one for `index`, which has failed so often."""
    pod = objects.pod_from_template(job["spec"]["template"], job)
    if index is None:
        return pod
    metadata = pod["metadata"]
    metadata["generateName"] = f"{job['metadata']['name']}-{index}-"
    metadata.setdefault("annotations", {})[INDEX] = str(index)
    metadata.setdefault("labels", {})[INDEX] = str(index)
    if job["spec"].get("backoffLimitPerIndex") is not None:
        metadata["annotations"][FAILURES] = str(failures)
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
