"""Controllers: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs."""

from __future__ import annotations

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import PATIENCE, Json, Space, condition_of
from tests.scenarios.api.objects import SERVE, container, deployment, job, pod, workload

REVISION = "deployment.kubernetes.io/revision"
BROKEN = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "kfold.invalid/none:1"}]}}}}


def template(**fields: object) -> Json:
    """A strategic merge patch of a Pod template's annotations: a new revision that runs the same."""
    return {"spec": {"template": {"metadata": {"annotations": {key: str(value) for key, value in fields.items()}}}}}


def exit_codes(action: str, *codes: int) -> Json:
    """A podFailurePolicy for these exit codes."""
    return {"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": list(codes)}}]}


def objects(image: str) -> list[Json]:
    """What the module's cases look at, made at once: their Pods start together."""
    serve = container(image)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    three_indexes: Json = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    return [
        deployment("surging", serve, replicas=3, strategy=rolling),
        deployment("breaking", serve, replicas=3, progressDeadlineSeconds=5, strategy=rolling),
        deployment("scaled", serve, replicas=1),
        deployment("paused", serve, replicas=1),
        deployment("recreated", serve, replicas=2, strategy={"type": "Recreate"}),
        deployment("forgetful", serve, replicas=0, revisionHistoryLimit=1),
        deployment("patient", serve, replicas=1, minReadySeconds=4),
        workload("ReplicaSet", "adopts", serve, replicas=2),
        workload("StatefulSet", "numbered", serve, replicas=2, serviceName="numbered"),
        workload(
            "StatefulSet",
            "lingers",
            container(image, "trap '' TERM; while :; do sleep 1; done"),
            replicas=1,
            serviceName="lingers",
            pod_spec={"terminationGracePeriodSeconds": 4},
        ),
        workload("DaemonSet", "everywhere", serve, pod_spec={"tolerations": [{"operator": "Exists"}]}),
        job("thrice", container(image, "sleep 1"), completions=3, parallelism=2),
        job("fails", container(image, "exit 1"), backoffLimit=0),
        job(
            "indexed", container(image, "echo $JOB_COMPLETION_INDEX"), completions=2, parallelism=2, completionMode="Indexed"
        ),
        job("by-index", container(image, "exit $((JOB_COMPLETION_INDEX % 2))"), backoffLimitPerIndex=0, **three_indexes),
        job(
            "given-up",
            container(image, "exit $((JOB_COMPLETION_INDEX % 2 * 3))"),
            backoffLimitPerIndex=5,
            maxFailedIndexes=0,
            podFailurePolicy=exit_codes("FailIndex", 3),
            **three_indexes,
        ),
        job(
            "enough",
            container(image, f"test $JOB_COMPLETION_INDEX = 0 && exit 0; {SERVE}"),
            successPolicy={"rules": [{"succeededIndexes": "2", "succeededCount": 1}, {"succeededIndexes": "0"}]},
            **three_indexes,
        ),
        job("judged", container(image, "exit 42"), podFailurePolicy=exit_codes("FailJob", 42)),
        job("spared", container(image, "exit 7"), backoffLimit=0, podFailurePolicy=exit_codes("Ignore", 7)),
        job("expires", container(image, "exit 0"), ttlSecondsAfterFinished=1),
        job("late", container(image), activeDeadlineSeconds=2),
        job("suspended", container(image, "exit 0"), suspend=True),
        job("orphans", container(image, "exit 0")),
    ]


@pytest.fixture(scope="module")
def space(shared: Space) -> Space:
    shared.create(pod("orphan", container(shared.image), labels={"app": "adopts"}))
    for one in objects(shared.image):
        shared.create(one)
    return shared


def rolled_out(space: Space, name: str, replicas: int) -> Json:
    """The Deployment when exactly so many Pods are there, all updated and available."""

    def done(found: Json) -> bool:
        status = found["status"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return counts == [replicas] * 3 and status.get("observedGeneration") == found["metadata"]["generation"]

    return space.wait("Deployment", name, done, f"to have {replicas} available")


def pods(space: Space, app: str) -> list[Json]:
    """The Pods with that label that are not being deleted."""
    found = space.list("Pod", labelSelector=f"app={app}")
    return [item for item in found if not item["metadata"].get("deletionTimestamp")]


def sets(space: Space, app: str) -> dict[str, Json]:
    """Revision -> ReplicaSet."""
    found = space.list("ReplicaSet", labelSelector=f"app={app}")
    return {item["metadata"]["annotations"][REVISION]: item for item in found}


# --- Deployments


def test_a_deployment_makes_a_replica_set(space: Space) -> None:
    """Deployment -> ReplicaSet -> Pods, linked by owner references and pod-template-hash; revision 1; it is Available."""
    found = rolled_out(space, "surging", 3)
    assert found["metadata"]["annotations"][REVISION] == "1"
    (replica_set,) = sets(space, "surging").values()
    (owner,) = replica_set["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", found["metadata"]["uid"], True)
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"surging-{digest}"
    for item in pods(space, "surging"):
        assert item["metadata"]["labels"]["pod-template-hash"] == digest
        assert item["metadata"]["ownerReferences"][0]["uid"] == replica_set["metadata"]["uid"]
        assert item["metadata"]["name"].startswith(f"surging-{digest}-")
    assert condition_of(found, "Available")["reason"] == "MinimumReplicasAvailable"
    progress = space.wait(
        "Deployment",
        "surging",
        lambda one: condition_of(one, "Progressing")["reason"] == "NewReplicaSetAvailable",
        "to be done",
    )
    assert condition_of(progress, "Progressing")["status"] == "True"


def test_a_broken_image_keeps_the_old_pods(space: Space) -> None:
    """maxUnavailable 0 and an image that cannot be pulled: all old Pods stay, the deadline is told, the rollout stays."""
    rolled_out(space, "breaking", 3)
    before = {item["metadata"]["uid"] for item in pods(space, "breaking")}
    space.patch("Deployment", "breaking", BROKEN, "application/strategic-merge-patch+json")
    found = space.wait(
        "Deployment",
        "breaking",
        lambda one: condition_of(one, "Progressing").get("reason") == "ProgressDeadlineExceeded",
        "to exceed its deadline",
    )
    assert condition_of(found, "Progressing")["status"] == "False"
    assert condition_of(found, "Available")["status"] == "True"
    assert (found["status"]["availableReplicas"], found["status"]["updatedReplicas"]) == (3, 1)
    left = pods(space, "breaking")
    assert before < {item["metadata"]["uid"] for item in left}
    assert len(left) == 4
    undone = space.kubectl("rollout", "status", "deployment/breaking", "--timeout=10s")
    assert undone.code == 1
    assert "exceeded its progress deadline" in undone.output


def test_a_rollback_uses_the_old_replica_set(space: Space) -> None:
    """`rollout undo` brings the previous template back: its ReplicaSet is used again, as the newest revision."""
    rolled_out(space, "surging", 3)
    (first,) = sets(space, "surging").values()
    space.patch("Deployment", "surging", template(x=2))
    space.wait("Deployment", "surging", lambda one: one["metadata"]["annotations"][REVISION] == "2", "to have revision 2")
    rolled_out(space, "surging", 3)
    space.kubectl("rollout", "undo", "deployment/surging").succeeded()
    space.wait("Deployment", "surging", lambda one: one["metadata"]["annotations"][REVISION] == "3", "to have revision 3")
    rolled_out(space, "surging", 3)
    found = sets(space, "surging")
    assert set(found) == {"2", "3"}
    assert found["3"]["metadata"]["uid"] == first["metadata"]["uid"]
    assert (found["3"]["spec"]["replicas"], found["2"]["spec"]["replicas"]) == (3, 0)


def test_a_rolling_update_holds_its_limits(space: Space) -> None:
    """With maxSurge 1 and maxUnavailable 0 there are never more than 4 Pods that live, and never fewer than 3 available."""
    rolled_out(space, "surging", 3)
    target = space.patch("Deployment", "surging", template(x=4))["metadata"]["generation"]
    most, least = 0, 9

    def done() -> bool:
        nonlocal most, least
        entries = space.list("ReplicaSet", labelSelector="app=surging")
        most = max(most, sum(item["spec"]["replicas"] for item in entries))
        least = min(least, sum(item["status"].get("availableReplicas", 0) for item in entries))
        status = space.get("Deployment", "surging")["status"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return bool(status["observedGeneration"] >= target and counts == [3, 3, 3])

    wait_until(done, "the rollout", seconds=PATIENCE)
    assert (most, least) == (4, 3)


def test_scaling(space: Space) -> None:
    """Scaling up makes Pods, scaling down deletes them; no new revision comes of it."""
    rolled_out(space, "scaled", 1)
    (first,) = pods(space, "scaled")
    space.patch("Deployment", "scaled", {"spec": {"replicas": 3}})
    rolled_out(space, "scaled", 3)
    space.patch("Deployment", "scaled", {"spec": {"replicas": 1}})
    rolled_out(space, "scaled", 1)
    wait_until(lambda: len(pods(space, "scaled")) == 1, "one Pod")
    assert list(sets(space, "scaled")) == ["1"]
    assert pods(space, "scaled")[0]["metadata"]["uid"] == first["metadata"]["uid"], "the oldest stays"


def test_a_deleted_pod_is_replaced(space: Space) -> None:
    """A Pod of a Deployment that is deleted is replaced by another one."""
    rolled_out(space, "recreated", 2)
    victim = pods(space, "recreated")[0]["metadata"]
    space.delete("Pod", victim["name"]).ok()
    wait_until(
        lambda: (
            len(found := pods(space, "recreated")) == 2 and victim["uid"] not in {one["metadata"]["uid"] for one in found}
        ),
        "the replacement",
        seconds=PATIENCE,
    )
    rolled_out(space, "recreated", 2)


def test_recreate_has_no_two_revisions_at_once(space: Space) -> None:
    """Strategy Recreate: Pods of the new template come when the last old one is gone."""
    rolled_out(space, "recreated", 2)
    before = {item["metadata"]["uid"] for item in pods(space, "recreated")}
    since = space.api.get(space.path("Pod")).ok()["metadata"]["resourceVersion"]
    space.patch("Deployment", "recreated", template(x=2))
    space.wait("Deployment", "recreated", lambda one: one["metadata"]["annotations"][REVISION] == "2", "to have revision 2")
    rolled_out(space, "recreated", 2)
    query = {"resourceVersion": since, "labelSelector": "app=recreated"}
    events = list(space.api.watch(space.path("Pod"), seconds=1, **query))
    gone = [
        n for n, event in enumerate(events) if event["type"] == "DELETED" and event["object"]["metadata"]["uid"] in before
    ]
    new = [
        n for n, event in enumerate(events) if event["object"]["metadata"]["uid"] not in before and event["type"] == "ADDED"
    ]
    assert len(gone) == 2 and len(new) == 2
    assert max(gone) < min(new)


def test_a_paused_deployment(space: Space) -> None:
    """While paused a new template is not rolled out, but scaling is done; resuming rolls it out."""
    rolled_out(space, "paused", 1)
    space.patch("Deployment", "paused", {"spec": {"paused": True}})
    space.patch("Deployment", "paused", template(x=2))
    space.wait(
        "Deployment",
        "paused",
        lambda one: one["status"]["observedGeneration"] == one["metadata"]["generation"],
        "to be seen",
    )
    assert list(sets(space, "paused")) == ["1"]
    space.patch("Deployment", "paused", {"spec": {"replicas": 2}})
    wait_until(lambda: len(pods(space, "paused")) == 2, "the second Pod", seconds=PATIENCE)
    assert list(sets(space, "paused")) == ["1"]
    space.patch("Deployment", "paused", {"spec": {"paused": None}})
    wait_until(lambda: set(sets(space, "paused")) == {"1", "2"}, "the new ReplicaSet", seconds=PATIENCE)
    rolled_out(space, "paused", 2)


def test_old_revisions_are_forgotten(space: Space) -> None:
    """revisionHistoryLimit: no more than so many old ReplicaSets are kept."""
    for number in (2, 3, 4):
        space.patch("Deployment", "forgetful", template(x=number))
        wait_until(lambda number=number: str(number) in sets(space, "forgetful"), f"revision {number}", seconds=PATIENCE)
    wait_until(lambda: set(sets(space, "forgetful")) == {"3", "4"}, "the cleaning", seconds=PATIENCE)


def test_available_after_a_while(space: Space) -> None:
    """minReadySeconds: a ready Pod is available only after that time."""
    found = space.wait("Deployment", "patient", lambda one: one["status"].get("availableReplicas"), "to be available")
    (one,) = pods(space, "patient")
    ready = condition_of(one, "Ready")["lastTransitionTime"]
    available = condition_of(found, "Available")["lastTransitionTime"]
    assert seconds(available) - seconds(ready) >= 3  # whole seconds on both sides


def seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


# --- ReplicaSets, StatefulSets, DaemonSets


def test_a_replica_set_adopts(space: Space) -> None:
    """A ReplicaSet adopts a matching Pod without a controller and counts it; one that no longer matches is released."""
    owner = space.wait("ReplicaSet", "adopts", lambda one: one["status"].get("readyReplicas") == 2, "to have two")
    adopted = space.get("Pod", "orphan")
    (reference,) = adopted["metadata"]["ownerReferences"]
    assert reference["uid"] == owner["metadata"]["uid"]
    assert len(pods(space, "adopts")) == 2
    space.patch("Pod", "orphan", {"metadata": {"labels": {"app": "free"}}})
    space.wait("Pod", "orphan", lambda one: not one["metadata"].get("ownerReferences"), "to be released")
    wait_until(lambda: len(pods(space, "adopts")) == 2, "the replacement", seconds=PATIENCE)
    assert space.get("Pod", "orphan")


def test_a_stateful_set_is_ordered(space: Space) -> None:
    """Pods are named and started in order, each when the one before is ready, and removed in the reverse order."""
    space.wait("StatefulSet", "numbered", lambda one: one["status"].get("readyReplicas") == 2, "to have two")
    first, second = pods(space, "numbered")
    assert [first["metadata"]["name"], second["metadata"]["name"]] == ["numbered-0", "numbered-1"]
    assert condition_of(first, "Ready")["lastTransitionTime"] <= second["metadata"]["creationTimestamp"]
    assert first["spec"]["hostname"] == "numbered-0"
    assert first["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    space.patch("StatefulSet", "numbered", {"spec": {"replicas": 1}})
    space.gone("Pod", "numbered-1")
    assert space.get("Pod", "numbered-0")["metadata"]["uid"] == first["metadata"]["uid"]


def test_a_stateful_pod_keeps_its_name(space: Space) -> None:
    """A Pod of a StatefulSet that is deleted comes back under its name, as another object."""
    space.wait("StatefulSet", "numbered", lambda one: one["status"].get("readyReplicas"), "to be ready")
    before = space.get("Pod", "numbered-0")["metadata"]["uid"]
    space.delete("Pod", "numbered-0").ok()
    space.wait(
        "Pod",
        "numbered-0",
        lambda one: one["metadata"]["uid"] != before and condition_of(one, "Ready").get("status") == "True",
        "to be back",
    )


def test_a_leaving_pod_is_no_current_one(space: Space) -> None:
    """A Pod that is being ended counts in a StatefulSet's replicas, but neither as current nor as updated."""
    space.wait("StatefulSet", "lingers", lambda one: one["status"].get("updatedReplicas") == 1, "to be up to date")
    space.delete("Pod", "lingers-0").ok()

    def seen(one: Json) -> bool:
        return "updatedReplicas" not in one["status"] and "currentReplicas" not in one["status"]

    found = space.wait("StatefulSet", "lingers", seen, "to count it no more", seconds=3)
    assert found["status"]["replicas"] == 1


def test_a_daemon_set_is_everywhere(space: Space) -> None:
    """A DaemonSet has one Pod on each node."""
    nodes = {item["metadata"]["name"] for item in space.api.get("/api/v1/nodes").ok()["items"]}
    found = space.wait(
        "DaemonSet",
        "everywhere",
        lambda one: one["status"].get("numberReady", 0) == one["status"].get("desiredNumberScheduled", -1) > 0,
        "to be ready",
    )
    assert found["status"]["desiredNumberScheduled"] == len(nodes)
    assert {item["spec"]["nodeName"] for item in pods(space, "everywhere")} == nodes


# --- Jobs


def test_a_job_is_completed(space: Space) -> None:
    """completions 3, parallelism 2: three Pods succeed, and the Job is Complete with its times."""
    found = space.wait("Job", "thrice", lambda one: condition_of(one, "Complete").get("status") == "True", "to be complete")
    assert found["status"]["succeeded"] == 3
    assert found["status"]["startTime"] <= found["status"]["completionTime"]
    assert not found["status"].get("active")
    if space.api.version() >= (1, 31):
        assert condition_of(found, "SuccessCriteriaMet")["reason"] == "CompletionsReached"
    done = space.list("Pod", labelSelector="batch.kubernetes.io/job-name=thrice")
    assert [item["status"]["phase"] for item in done] == ["Succeeded"] * 3
    starts = sorted(item["metadata"]["creationTimestamp"] for item in done)
    ends = min(item["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] for item in done)
    assert starts[2] >= ends, "the third waits until one of the first two is done"


def test_a_job_that_fails(space: Space) -> None:
    """A Job with more failures than backoffLimit is Failed, BackoffLimitExceeded; its Pods are kept."""
    found = space.wait("Job", "fails", lambda one: condition_of(one, "Failed").get("status") == "True", "to fail")
    assert condition_of(found, "Failed")["reason"] == "BackoffLimitExceeded"
    assert found["status"]["failed"] == 1
    assert len(space.list("Pod", labelSelector="job-name=fails")) == 1


def test_a_jobs_policy_for_failures(space: Space) -> None:
    """podFailurePolicy: FailJob ends the Job at once, though its backoffLimit is 6; what is ignored counts for nothing."""
    found = space.wait("Job", "judged", lambda one: condition_of(one, "Failed"), "to fail")
    entry = condition_of(found, "Failed")
    assert entry["reason"] == "PodFailurePolicy"
    assert "failed with exit code 42 matching FailJob rule at index 0" in entry["message"]
    assert found["status"]["failed"] == 1
    spared = space.list("Pod", labelSelector="job-name=spared")[0]
    space.ended(spared["metadata"]["name"])
    space.stays("Job", "spared", lambda one: not condition_of(one, "Failed") and not one["status"].get("failed"), 1)


def test_an_indexed_job(space: Space) -> None:
    """completionMode Indexed: each index once, told in JOB_COMPLETION_INDEX and in completedIndexes."""
    found = space.wait("Job", "indexed", lambda one: condition_of(one, "Complete").get("status") == "True", "to be complete")
    assert found["status"]["completedIndexes"] == "0-1"
    names = space.names("Pod", labelSelector="job-name=indexed")
    assert sorted(space.log(name).strip() for name in names) == ["0", "1"]


def test_limits_of_each_index(space: Space) -> None:
    """backoffLimitPerIndex: an index that failed too often is given up, the others run on; then FailedIndexes.

    maxFailedIndexes ends the Job sooner; FailIndex of a podFailurePolicy gives an index up at once.
    """
    found = space.wait("Job", "by-index", lambda one: condition_of(one, "Failed").get("status") == "True", "to fail")
    assert condition_of(found, "Failed")["reason"] == "FailedIndexes"
    assert (found["status"]["completedIndexes"], found["status"]["failedIndexes"]) == ("0,2", "1")
    assert found["spec"]["backoffLimit"] == 2**31 - 1
    found = space.wait("Job", "given-up", lambda one: condition_of(one, "Failed").get("status") == "True", "to fail")
    assert condition_of(found, "Failed")["reason"] == "MaxFailedIndexesExceeded"
    assert (found["status"]["failedIndexes"], found["status"]["failed"]) == ("1", 1)


def test_a_jobs_policy_for_success(space: Space) -> None:
    """successPolicy: the Job is complete as soon as a rule is met, and what still runs of it is ended."""
    found = space.wait("Job", "enough", lambda one: condition_of(one, "Complete").get("status") == "True", "to be complete")
    assert condition_of(found, "Complete")["reason"] == "SuccessPolicy"
    assert condition_of(found, "SuccessCriteriaMet")["message"] == "Matched rules at index 1"
    assert found["status"]["completedIndexes"] == "0"
    wait_until(lambda: not pods_of_job(space, "enough"), "the end of the others", seconds=PATIENCE)


def test_a_finished_job_expires(space: Space) -> None:
    """ttlSecondsAfterFinished: the Job and its Pods are removed so long after its end."""
    space.gone("Job", "expires")
    wait_until(lambda: not space.names("Pod", labelSelector="job-name=expires"), "its Pods' end", seconds=PATIENCE)


def test_a_jobs_deadline(space: Space) -> None:
    """activeDeadlineSeconds: the Job is Failed, DeadlineExceeded, and its Pods are deleted."""
    found = space.wait("Job", "late", lambda one: condition_of(one, "Failed").get("status") == "True", "to fail")
    assert condition_of(found, "Failed")["reason"] == "DeadlineExceeded"
    wait_until(lambda: not pods_of_job(space, "late"), "its Pods' end", seconds=PATIENCE)


def pods_of_job(space: Space, name: str) -> list[Json]:
    return space.list("Pod", labelSelector=f"job-name={name}", fieldSelector="status.phase=Running")


def test_a_suspended_job(space: Space) -> None:
    """A suspended Job has no Pods and says so; it runs once it is resumed."""
    space.wait("Job", "suspended", lambda one: condition_of(one, "Suspended").get("status") == "True", "to be suspended")
    assert not space.names("Pod", labelSelector="job-name=suspended")
    space.patch("Job", "suspended", {"spec": {"suspend": False}})
    found = space.wait("Job", "suspended", lambda one: condition_of(one, "Complete").get("status") == "True", "to complete")
    assert condition_of(found, "Suspended")["status"] == "False"


def test_a_jobs_pods_are_preserved(space: Space) -> None:
    """DELETE of a Job without a propagation policy orphans its Pods (batch/v1's old default) and warns of it."""
    space.wait("Job", "orphans", lambda one: condition_of(one, "Complete").get("status") == "True", "to be complete")
    (name,) = space.names("Pod", labelSelector="job-name=orphans")
    answer = space.api.delete(space.path("Job", "orphans"))
    answer.ok()
    assert "child pods are preserved by default when jobs are deleted" in answer.warnings
    space.gone("Job", "orphans")
    assert not space.get("Pod", name)["metadata"].get("ownerReferences")
