"""A Pod's status as a verdict with a reason that a person can act on."""

from __future__ import annotations

import pytest

from kfold.verbs.pod_health import LogSource
from kfold.verbs.readiness import verdict
from tests.readiness.objects import IMAGE, container, event, pod


def test_running_and_ready() -> None:
    assert verdict(pod(ready=True, containerStatuses=[container(ready=True, running={})])).state == "ready"


def test_succeeded_is_ready() -> None:
    assert verdict(pod(phase="Succeeded")).state == "ready"


def test_running_alone_is_not_enough() -> None:
    found = verdict(pod(phase="Running", containerStatuses=[container(running={})]))
    assert (found.state, found.reason) == ("pending", "container web runs and is not ready yet")


def test_one_restart_does_not_matter_once_it_is_ready() -> None:
    last = {"exitCode": 1, "reason": "Error"}
    restarted = container(ready=True, restarts=1, last=last, running={})
    assert verdict(pod(ready=True, containerStatuses=[restarted])).state == "ready"


@pytest.mark.parametrize("word", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled_is_named_with_the_message(word: str) -> None:
    waiting = {"reason": word, "message": 'failed to pull "registry.invalid/shop/web:1": no such host'}
    found = verdict(pod(containerStatuses=[container(waiting=waiting)]))
    assert found.state == "failed" and found.image == IMAGE and found.container == "web"
    assert found.reason == (f"container web is waiting to start: {IMAGE} can't be pulled: "
                            'failed to pull "registry.invalid/shop/web:1": no such host')
    assert found.logs_wanted is None


def test_a_crash_loop_says_the_exit_code_and_asks_for_the_log_before() -> None:
    crashed = container(restarts=3, last={"exitCode": 7, "reason": "Error"},
                        waiting={"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"})
    found = verdict(pod(phase="Running", containerStatuses=[crashed]))
    assert found.state == "failed" and found.exit_code == 7
    assert found.reason == "container web is backing off waiting to restart: terminated with exit code 7"
    assert found.logs_wanted == LogSource("web-5d4f-abcde", "web", True)


def test_out_of_memory_is_said() -> None:
    crashed = container(restarts=2, last={"exitCode": 137, "reason": "OOMKilled"}, waiting={"reason": "CrashLoopBackOff"})
    assert "exit code 137 (OOMKilled)" in verdict(pod(containerStatuses=[crashed])).reason


def test_the_first_exit_is_not_the_end_unless_nothing_restarts_it() -> None:
    ended = container(terminated={"exitCode": 3, "reason": "Error"})
    found = verdict(pod(phase="Running", containerStatuses=[ended]))
    assert (found.state, found.exit_code) == ("pending", 3)
    found = verdict(pod(phase="Failed", restart_policy="Never", containerStatuses=[ended]))
    assert (found.state, found.exit_code) == ("failed", 3)
    assert found.logs_wanted == LogSource("web-5d4f-abcde", "web", False)


def test_an_evicted_pod_says_why() -> None:
    found = verdict(pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."))
    assert (found.state, found.reason) == ("failed", "failed: Evicted: The node was low on resource: memory.")


def test_the_scheduler_is_quoted() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    found = verdict(pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                     "message": message}]))
    assert (found.state, found.reason) == ("pending", f"cannot be scheduled: {message}")


def test_missing_configuration_is_pending_with_its_reason() -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'configmap "settings" not found'}
    found = verdict(pod(containerStatuses=[container(waiting=waiting)]))
    assert (found.state, found.reason) == (
        "pending", 'container web is waiting for its configuration: configmap "settings" not found')


def test_a_container_that_cannot_run() -> None:
    waiting = {"reason": "RunContainerError", "message": 'exec: "/app": no such file or directory'}
    found = verdict(pod(containerStatuses=[container(waiting=waiting)]))
    assert (found.state, found.reason) == (
        "failed", 'container web cannot be run: exec: "/app": no such file or directory')
    ended = container(terminated={"exitCode": 128, "reason": "StartError", "message": "no such file"})
    assert verdict(pod(containerStatuses=[ended])).state == "failed"


def test_init_containers_are_named_as_such() -> None:
    crashed = container("setup", restarts=2, last={"exitCode": 1, "reason": "Error"},
                        waiting={"reason": "CrashLoopBackOff"})
    waiting = container(waiting={"reason": "PodInitializing"})
    found = verdict(pod(initContainerStatuses=[crashed], containerStatuses=[waiting]))
    assert found.state == "failed" and found.reason.startswith("init container setup is backing off")
    assert found.logs_wanted == LogSource("web-5d4f-abcde", "setup", True)
    running = container("setup", running={})
    found = verdict(pod(initContainerStatuses=[running], containerStatuses=[waiting]))
    assert (found.state, found.reason) == ("pending", "init container setup has not ended yet")


def test_an_ended_init_container_is_no_problem() -> None:
    ended = container("setup", ready=True, terminated={"exitCode": 0, "reason": "Completed"})
    healthy = pod(ready=True, initContainerStatuses=[ended], containerStatuses=[container(ready=True, running={})])
    assert verdict(healthy).state == "ready"


def test_a_failing_probe_is_quoted_from_its_event() -> None:
    unready = pod(phase="Running", containerStatuses=[container(running={})])
    other = pod("other")
    events = [event(unready, "Pulled", "image is there", kind="Normal", when="2026-01-01T00:00:30Z"),
              event(unready, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
              event(other, "FailedMount", "not ours", when="2026-01-01T00:09:00Z")]
    found = verdict(unready, [], events)
    assert (found.state, found.reason) == (
        "pending", "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503")
    events.append(event(unready, "Started", "again", kind="Normal", when="2026-01-01T00:05:00Z"))
    assert verdict(unready, [], events).reason == "container web runs and is not ready yet"


def test_a_pod_that_is_being_deleted_is_not_ready() -> None:
    leaving = pod(ready=True)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (verdict(leaving).state, verdict(leaving).reason) == ("pending", "is being deleted")


def test_the_worst_container_is_told() -> None:
    starting = container("side", waiting={"reason": "ContainerCreating"})
    config = container("other", waiting={"reason": "CreateContainerConfigError", "message": "x"})
    pull = container(waiting={"reason": "ErrImagePull", "message": "no"})
    assert verdict(pod(containerStatuses=[starting, config, pull])).container == "web"
    assert verdict(pod(containerStatuses=[starting])).reason == "is starting"
