"""When a workload is stable, when it never will be, and which Pods count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.stores.cluster import ObjectRef
from kfold.stores.fake_cluster import FakeCluster
from kfold.verbs.pod_health import LogSource
from kfold.verbs.readiness import is_judged, own_pods, verdict
from tests.readiness.objects import IMAGE, Object, container, deployment, owned_by, pod, replica_set, stable, workload

CRASHED = container(restarts=2, last={"exitCode": 1, "reason": "Error"}, waiting={"reason": "CrashLoopBackOff"})
NEW, OLD = replica_set("web-5d4f", revision="2"), replica_set("web-0ld0", revision="1")


def test_a_stable_deployment() -> None:
    assert verdict(deployment(wanted=2, **stable(2))).state == "ready"
    assert verdict(deployment(wanted=0)).state == "ready"


@pytest.mark.parametrize(("replicas", "status", "reason"), [
    (2, {"replicas": 1, "updatedReplicas": 1}, "1 out of 2 new replicas have been updated"),
    (2, {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}, "1 old replicas are pending termination"),
    (2, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, "1 of 2 updated replicas are available"),
    (0, {"replicas": 1}, "1 old replicas are pending termination"),
])
def test_a_deployment_on_its_way(replicas: int, status: dict[str, int], reason: str) -> None:
    found = verdict(deployment(wanted=replicas, **status))
    assert (found.state, found.reason) == ("pending", reason)


def test_a_status_of_an_older_generation_says_nothing() -> None:
    found = verdict(deployment(generation=3, observed=2, **stable()))
    assert (found.state, found.reason) == ("pending", "waiting for the cluster to take notice of the change")


def test_a_new_deployment_without_any_status_is_pending() -> None:
    fresh = deployment()
    del fresh["status"]
    assert verdict(fresh).state == "pending"


def test_the_progress_deadline_ends_it_with_the_pods_reason() -> None:
    late = deployment(wanted=1, updatedReplicas=1, replicas=1, conditions=[
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
         "message": 'ReplicaSet "web-5d4f" has timed out progressing.'}])
    assert verdict(late).state == "failed" and "has timed out progressing" in verdict(late).reason
    unscheduled = pod(owner=owned_by(NEW), conditions=[
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}])
    assert "0/1 nodes are available" in verdict(late, [unscheduled], replica_sets=[NEW]).reason


def test_a_quota_that_forbids_pods_is_quoted() -> None:
    stuck = deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                    "message": "exceeded quota: small"}])
    assert verdict(stuck).reason == "no Pod can be made: exceeded quota: small"


def test_a_paused_deployment_says_so() -> None:
    paused = deployment(wanted=1)
    paused["spec"]["paused"] = True
    assert "is paused" in verdict(paused).reason


def test_a_new_pod_that_can_never_start_fails_the_deployment_at_once() -> None:
    rolling = deployment(wanted=1, replicas=2, updatedReplicas=1, availableReplicas=1)
    bad = pod("web-5d4f-x", owner=owned_by(NEW), phase="Running", containerStatuses=[CRASHED])
    good = pod("web-0ld0-y", owner=owned_by(OLD), hash_="0ld0", ready=True)
    found = verdict(rolling, [good, bad], replica_sets=[OLD, NEW])
    assert found.state == "failed"
    assert found.reason == ("pod/web-5d4f-x: container web is backing off waiting to restart: "
                            "terminated with exit code 1")
    assert found.logs_wanted == LogSource("web-5d4f-x", "web", True)
    assert [health.pod for health in found.pods] == ["web-5d4f-x"]


@pytest.mark.parametrize("known", [True, False], ids=["with-replica-sets", "without"])
def test_old_pods_never_count(known: bool) -> None:
    """The old Pods crash (that is why there is a new image); the new one is fine."""
    rolling = deployment(wanted=1, **stable())
    old = pod("web-0ld0-y", owner=owned_by(OLD), hash_="0ld0", image="old:1", phase="Running",
              created="2026-01-01T00:00:00Z", containerStatuses=[CRASHED])
    new = pod("web-5d4f-x", owner=owned_by(NEW), ready=True)
    sets = [OLD, NEW] if known else []
    assert own_pods(rolling, [old, new], sets) == [new]
    assert verdict(rolling, [old, new], replica_sets=sets).state == "ready"


def test_an_old_crash_with_only_an_environment_change_does_not_count_with_replica_sets() -> None:
    waiting = deployment(wanted=1, updatedReplicas=0)
    old = pod("web-0ld0-y", owner=owned_by(OLD), hash_="0ld0", phase="Running", containerStatuses=[CRASHED])
    assert verdict(waiting, [old], replica_sets=[OLD, NEW]).state == "pending"


def test_going_back_to_an_older_template_makes_its_replica_set_the_newest() -> None:
    """A roll-back re-uses the ReplicaSet and gives it the next revision: age says nothing."""
    again = replica_set("web-0ld0", revision="3")
    back = deployment(revision="3", wanted=1)
    old = pod("web-0ld0-y", owner=owned_by(again), hash_="0ld0", created="2026-01-01T00:00:00Z")
    new = pod("web-5d4f-x", owner=owned_by(NEW), created="2026-01-01T00:09:00Z")
    assert own_pods(back, [old, new], [NEW, again]) == [old]


def test_pods_of_others_and_pods_that_leave_do_not_count() -> None:
    mine = pod("web-5d4f-x", owner=owned_by(NEW))
    leaving = pod("web-5d4f-z", owner=owned_by(NEW))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    stranger = pod("web-5d4f-s")
    other = pod("web-b-5d4f-x", owner={**owned_by(NEW), "name": "web-b-5d4f", "uid": "other"})
    assert own_pods(deployment(), [leaving, stranger, other, mine], [NEW]) == [mine]
    assert own_pods(deployment(), [leaving, stranger, other, mine]) == [mine]


def stateful(partition: int | None = None, kind: str = "RollingUpdate", replicas: int = 3, **status: Any) -> Object:
    rolling = {"rollingUpdate": {"partition": partition}} if partition is not None else {}
    return workload("StatefulSet", spec={"replicas": replicas, "updateStrategy": {"type": kind, **rolling}}, **status)


@pytest.mark.parametrize(("obj", "state"), [
    (stateful(readyReplicas=3, updatedReplicas=3), "ready"),
    (stateful(readyReplicas=2, updatedReplicas=3), "pending"),
    (stateful(readyReplicas=3, updatedReplicas=1), "pending"),
    (stateful(partition=2, readyReplicas=3, updatedReplicas=1), "ready"),
    (stateful(partition=1, readyReplicas=3, updatedReplicas=1), "pending"),
    (stateful(partition=5, readyReplicas=3), "ready"),
    (stateful(kind="OnDelete", readyReplicas=0), "ready"),
    (stateful(generation=2, observed=1, readyReplicas=3, updatedReplicas=3), "pending"),
    (stateful(replicas=0), "ready"),
    (workload("DaemonSet", desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2), "ready"),
    (workload("DaemonSet", desiredNumberScheduled=2, updatedNumberScheduled=1, numberAvailable=2), "pending"),
    (workload("DaemonSet", desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=1), "pending"),
    (workload("DaemonSet", desiredNumberScheduled=0), "ready"),
    (workload("DaemonSet", desiredNumberScheduled=2, spec={"updateStrategy": {"type": "OnDelete"}}), "ready"),
    (workload("DaemonSet", generation=2, observed=1, desiredNumberScheduled=0), "pending"),
    (workload("ReplicaSet", spec={"replicas": 2}, availableReplicas=2), "ready"),
    (workload("ReplicaSet", spec={"replicas": 2}, availableReplicas=1), "pending"),
])
def test_other_workloads(obj: Object, state: str) -> None:
    assert verdict(obj).state == state


def test_a_stateful_sets_old_pods_do_not_count() -> None:
    obj = stateful(readyReplicas=2, updatedReplicas=1, updateRevision="db-new")
    pods = []
    for name, revision in (("db-0", "db-old"), ("db-1", "db-new")):
        one = pod(name, owner=owned_by(obj), containerStatuses=[CRASHED])
        one["metadata"]["labels"]["controller-revision-hash"] = revision
        pods.append(one)
    assert verdict(obj, pods[:1]).state == "pending"
    assert verdict(obj, pods).reason.startswith("pod/db-1: ")


@pytest.mark.parametrize(("status", "spec", "state"), [
    ({"conditions": [{"type": "Complete", "status": "True"}]}, {}, "ready"),
    ({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}, {}, "failed"),
    ({"conditions": [{"type": "Suspended", "status": "True"}]}, {"suspend": True}, "ready"),
    ({"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}, {}, "pending"),
    ({"active": 1}, {}, "pending"),
    ({}, {}, "pending"),
])
def test_jobs(status: Object, spec: Object, state: str) -> None:
    job = workload("Job", api_version="batch/v1", spec=spec, **status)
    del job["status"]["observedGeneration"]
    assert verdict(job).state == state


def test_a_failed_job_asks_for_its_pods_log() -> None:
    job = workload("Job", api_version="batch/v1", conditions=[
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
         "message": "Job has reached the specified backoff limit"}])
    ended = container(terminated={"exitCode": 2, "reason": "Error"})
    one = pod("db-x", owner=owned_by(job), phase="Failed", restart_policy="Never", containerStatuses=[ended])
    found = verdict(job, [one])
    assert found.reason == "BackoffLimitExceeded: Job has reached the specified backoff limit"
    assert found.logs_wanted == LogSource("db-x", "web", False) and found.exit_code == 2


def test_a_job_goes_on_after_a_failed_pod_but_not_without_its_image() -> None:
    job = workload("Job", api_version="batch/v1", active=1)
    ended = container(terminated={"exitCode": 2, "reason": "Error"})
    failed = pod("db-x", owner=owned_by(job), phase="Failed", restart_policy="Never", containerStatuses=[ended])
    assert verdict(job, [failed]).state == "pending"
    missing = pod("db-y", owner=owned_by(job), containerStatuses=[container(waiting={"reason": "ErrImagePull"})])
    found = verdict(job, [failed, missing])
    assert found.state == "failed" and found.image == IMAGE


@pytest.mark.parametrize("kind", ["Service", "ConfigMap", "Secret", "Namespace"])
def test_kinds_without_a_state_of_their_own_are_ready_at_once(kind: str) -> None:
    assert verdict(workload(kind, api_version="v1", generation=2, observed=1)).state == "ready"
    assert not is_judged(ObjectRef("v1", kind, "", "x"))
    assert is_judged(ObjectRef("apps/v1", "Deployment", "", "x")) and is_judged(ObjectRef("a.b/v1", "Own", "", "x"))


@pytest.mark.parametrize(("conditions", "state"), [
    ([], "ready"),
    ([{"type": "Ready", "status": "True"}], "ready"),
    ([{"type": "Ready", "status": "False", "message": "no licence"}], "pending"),
    ([{"type": "Ready", "status": "Unknown"}], "pending"),
    ([{"type": "Reconciling", "status": "True"}, {"type": "Ready", "status": "True"}], "pending"),
    ([{"type": "Stalled", "status": "True", "message": "no licence"}], "failed"),
])
def test_custom_resources_as_kstatus_sees_them(conditions: list[Object], state: str) -> None:
    assert verdict(workload("Own", api_version="example.test/v1", conditions=conditions)).state == state


def test_a_custom_resource_with_an_older_status_is_pending() -> None:
    assert verdict(workload("Own", api_version="example.test/v1", generation=2, observed=1)).state == "pending"
    silent = workload("Own", api_version="example.test/v1")
    del silent["status"]
    assert verdict(silent).state == "ready"


def test_a_definition_is_ready_when_it_is_established() -> None:
    def definition(*conditions: Object) -> Object:
        return workload("CustomResourceDefinition", api_version="apiextensions.k8s.io/v1", conditions=list(conditions))

    assert verdict(definition()).state == "pending"
    assert verdict(definition({"type": "Established", "status": "True"})).state == "ready"
    assert verdict(definition({"type": "NamesAccepted", "status": "False", "message": "taken"})).state == "failed"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Pod"])
def test_what_is_being_deleted_is_not_ready(kind: str) -> None:
    leaving = workload(kind, api_version="v1" if kind == "Pod" else "apps/v1")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (verdict(leaving).state, verdict(leaving).reason) == ("pending", "is being deleted")


counts = st.integers(0, 4)


@given(replicas=counts, updated=counts, extra=counts, available=counts, observed=st.booleans())
def test_a_deployment_is_ready_only_when_every_replica_is_new_and_available(
    replicas: int, updated: int, extra: int, available: int, observed: bool
) -> None:
    total = updated + extra
    obj = deployment(wanted=replicas, generation=2, observed=2 if observed else 1, updatedReplicas=updated,
                     availableReplicas=available)
    obj["status"]["replicas"] = total
    wanted = observed and updated >= replicas and extra == 0 and available >= updated
    assert (verdict(obj).state == "ready") is wanted


def test_what_the_fake_cluster_applies_is_stable(tmp_path: Any) -> None:
    fake = FakeCluster(tmp_path / "cluster.json")
    for kind, api_version in (("Deployment", "apps/v1"), ("StatefulSet", "apps/v1"), ("DaemonSet", "apps/v1"),
                              ("Job", "batch/v1"), ("Pod", "v1"), ("Service", "v1")):
        applied = fake.apply({"apiVersion": api_version, "kind": kind,
                              "metadata": {"name": "x", "namespace": "default"}, "spec": {}})
        assert verdict(dict(applied.raw)).state == "ready", kind
