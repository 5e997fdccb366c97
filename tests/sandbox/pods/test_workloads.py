"""Deployments, ReplicaSets, Jobs, StatefulSets and DaemonSets on real Pods."""

from __future__ import annotations

import time
from typing import Any

from tests.engine import docker, wait_until
from tests.sandbox.pods.conftest import Space, waiting_reason

HASH = "pod-template-hash"


def test_a_deployment_rolls_from_one_template_to_the_next(space: Space) -> None:
    space.deployment("web", 2)
    first = space.available("web", 2)
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    conditions = {entry["type"]: entry for entry in first["status"]["conditions"]}
    assert conditions["Available"]["status"] == "True"
    assert conditions["Progressing"]["reason"] == "NewReplicaSetAvailable"
    old = {pod["metadata"]["uid"] for pod in space.pods()}
    (digest,) = {pod["metadata"]["labels"][HASH] for pod in space.pods()}
    assert all(pod["metadata"]["name"].startswith(f"web-{digest}-") for pod in space.pods())

    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "V", "value": "2"}]}]}}}}
    space.apps.patch_namespaced_deployment("web", space.name, change)
    done = space.available("web", 2)
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    wait_until(lambda: len(space.pods()) == 2, "the old Pods to go")
    assert not old & {pod["metadata"]["uid"] for pod in space.pods()}
    sets = space.apps.list_namespaced_replica_set(space.name).items
    assert sorted(entry.spec.replicas for entry in sets) == [0, 2]

    space.kubectl("rollout", "undo", "deployment/web").succeeded()
    back = space.available("web", 2)
    assert back["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert len(space.apps.list_namespaced_replica_set(space.name).items) == 2  # the first one is used again


def test_a_rollout_to_a_broken_image_keeps_the_old_pods_and_reports_the_deadline(space: Space) -> None:
    space.deployment("web", 3, progressDeadlineSeconds=2)
    space.available("web", 3)
    broken = [{"name": "app", "image": "localhost:1/kfold-test/absent:1", "imagePullPolicy": "Never"}]
    space.apps.patch_namespaced_deployment("web", space.name, {"spec": {"template": {"spec": {"containers": broken}}}})

    def progressing() -> Any:
        found = space.plain(space.apps.read_namespaced_deployment("web", space.name))
        return {entry["type"]: entry for entry in found["status"]["conditions"]}["Progressing"]

    wait_until(
        lambda: progressing()["reason"] == "ProgressDeadlineExceeded", "the deadline", tell=lambda: str(progressing())
    )
    assert progressing()["status"] == "False"
    ready = [pod for pod in space.pods() if pod["status"]["containerStatuses"][0]["ready"]]
    assert len(ready) == 3
    names = {pod["metadata"]["name"] for pod in ready}
    (broken_pod,) = (pod["metadata"]["name"] for pod in space.pods() if pod["metadata"]["name"] not in names)
    space.waiting(broken_pod, "ErrImageNeverPull")
    assert space.kubectl("rollout", "status", "deployment/web").code == 1


def test_the_revision_is_written_without_counting_a_generation(space: Space) -> None:
    space.deployment("web", 1)
    found = space.available("web", 1)
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert found["metadata"]["generation"] == 1
    # the user's annotations count, as does the spec
    space.kubectl("annotate", "deployment/web", "note=mine").succeeded()
    assert space.plain(space.apps.read_namespaced_deployment("web", space.name))["metadata"]["generation"] == 2


def test_scaling_and_replacing_a_lost_pod(space: Space) -> None:
    space.deployment("web", 1)
    space.available("web", 1)
    space.kubectl("scale", "deployment/web", "--replicas=3").succeeded()
    space.available("web", 3)
    lost = space.pods()[0]["metadata"]
    space.core.delete_namespaced_pod(lost["name"], space.name)
    wait_until(lambda: lost["uid"] not in {pod["metadata"]["uid"] for pod in space.pods()}, "the Pod to go")
    space.available("web", 3)
    space.kubectl("scale", "deployment/web", "--replicas=0").succeeded()
    wait_until(lambda: not space.pods(), "all Pods to go")


def test_recreate_never_runs_old_and_new_at_once(space: Space) -> None:
    space.deployment("web", 1, strategy={"type": "Recreate"})
    space.available("web", 1)
    seen: set[int] = set()
    change = {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}
    space.apps.patch_namespaced_deployment("web", space.name, change)

    def rolled() -> bool:
        pods = space.pods()
        seen.add(len(pods))
        return [pod["metadata"]["labels"].get("v") for pod in pods] == ["2"] and waiting_reason(pods[0]) == ""

    wait_until(rolled, "the new Pod")
    space.available("web", 1)
    assert max(seen) == 1


def job(space: Space, name: str, script: str, **spec: Any) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [space.container(script)]}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}
    space.batch.create_namespaced_job(space.name, body)


def job_conditions(space: Space, name: str) -> dict[str, Any]:
    status = space.plain(space.batch.read_namespaced_job(name, space.name)).get("status", {})
    return {entry["type"]: entry for entry in status.get("conditions", []) if entry["status"] == "True"}


def test_a_job_completes_and_its_log_is_found_by_its_name(space: Space) -> None:
    job(space, "sum", "echo result", completions=2, parallelism=2)
    wait_until(lambda: "Complete" in job_conditions(space, "sum"), "the Job", tell=lambda: str(space.pods()))
    status = space.batch.read_namespaced_job("sum", space.name).status
    assert status.succeeded == 2 and status.completion_time and not status.active
    assert "result" in space.kubectl("logs", "job/sum").succeeded().output
    space.kubectl("wait", "--for=condition=complete", "job/sum", "--timeout=10s").succeeded()


def test_a_job_fails_at_its_backoff_limit(space: Space) -> None:
    job(space, "broken", "exit 1", backoffLimit=0)
    wait_until(lambda: "Failed" in job_conditions(space, "broken"), "the Job to fail")
    assert job_conditions(space, "broken")["Failed"]["reason"] == "BackoffLimitExceeded"
    assert space.batch.read_namespaced_job("broken", space.name).status.failed == 1


def test_indexed_jobs_number_their_pods(space: Space) -> None:
    job(space, "indexed", "echo $JOB_COMPLETION_INDEX", completions=3, parallelism=3, completionMode="Indexed")
    wait_until(lambda: "Complete" in job_conditions(space, "indexed"), "the Job")
    assert sorted(space.log(pod["metadata"]["name"]).strip() for pod in space.pods()) == ["0", "1", "2"]
    assert space.batch.read_namespaced_job("indexed", space.name).status.completed_indexes == "0-2"


def test_a_statefulset_starts_in_order_and_keeps_names_and_data(space: Space) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    mount = [{"name": "data", "mountPath": "/data"}]
    script = "echo $HOSTNAME >> /data/starts; cat /data/starts; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    inner = {"containers": [space.container(script, volumeMounts=mount)]}
    template = {"metadata": {"labels": {"app": "db"}}, "spec": inner}
    spec = {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    body = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {**spec, "volumeClaimTemplates": [claim]},
    }
    space.apps.create_namespaced_stateful_set(space.name, body)
    space.kubectl("rollout", "status", "statefulset/db", "--timeout=30s").succeeded()
    first, second = sorted(space.pods(), key=lambda pod: pod["metadata"]["name"])
    assert [first["metadata"]["name"], second["metadata"]["name"]] == ["db-0", "db-1"]
    ready = next(entry for entry in first["status"]["conditions"] if entry["type"] == "Ready")
    assert second["metadata"]["creationTimestamp"] >= ready["lastTransitionTime"]

    space.core.delete_namespaced_pod("db-0", space.name)
    old = first["metadata"]["uid"]
    wait_until(lambda: is_running(space, "db-0") and space.read("db-0")["metadata"]["uid"] != old, "the next one")
    wait_until(lambda: space.log("db-0") == "db-0\ndb-0\n", "the data of before")

    space.apps.delete_namespaced_stateful_set("db", space.name)
    wait_until(lambda: not space.pods(), "the Pods to go")
    claims = [entry.metadata.name for entry in space.core.list_namespaced_persistent_volume_claim(space.name).items]
    assert sorted(claims) == ["data-db-0", "data-db-1"]  # data outlives the set
    name = space.core.read_namespaced_persistent_volume_claim("data-db-0", space.name).spec.volume_name
    assert name in docker("volume", "ls", "-q")
    space.kubectl("delete", "pvc", "--all", "--timeout=20s").succeeded()
    wait_until(lambda: name not in docker("volume", "ls", "-q"), "the engine's volume to go")


def is_running(space: Space, name: str) -> bool:
    pods = {pod["metadata"]["name"]: pod for pod in space.pods()}
    return name in pods and "running" in pods[name]["status"].get("containerStatuses", [{}])[0].get("state", {})


def test_a_daemonset_has_one_pod_on_the_one_node(space: Space) -> None:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [space.container()]}}
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec}
    space.apps.create_namespaced_daemon_set(space.name, body)
    space.kubectl("rollout", "status", "daemonset/agent", "--timeout=30s").succeeded()
    (before,) = space.pods()
    space.kubectl("set", "env", "daemonset/agent", "V=2").succeeded()
    space.kubectl("rollout", "status", "daemonset/agent", "--timeout=30s").succeeded()
    (after,) = space.pods()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_ten_pods_start_together(space: Space) -> None:
    began = time.monotonic()
    space.deployment("many", 10, pod={"terminationGracePeriodSeconds": 0})
    space.available("many", 10)
    assert time.monotonic() - began < 30  # usually 3 s
