"""The life of Pods: phases, ends, restarts, init containers, probes, images, grace."""

from __future__ import annotations

import re
import socket
import time

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import (
    CORE,
    JSON_PATCH,
    PATIENCE,
    Json,
    Space,
    condition_of,
    container_status,
    terminated,
    waiting,
)
from tests.scenarios.api.objects import SERVE, container, idle_pod, pod, task

STUBBORN = "trap '' TERM; echo up; while :; do sleep 1; done"
PROBE = {"periodSeconds": 1, "failureThreshold": 1}


def pods(image: str) -> list[Json]:
    """All Pods of the module, which run at once while the first case waits for its own."""
    memory = [{"name": "memory", "emptyDir": {}}]
    mount = [{"name": "memory", "mountPath": "/memory"}]
    once = "[ -e /memory/seen ] && exit 0; touch /memory/seen; exit 7"
    sidecar = container(image, SERVE, "side", restartPolicy="Always")
    return [
        pod("serves", container(image)),
        task("says", image, "echo why > /dev/termination-log; exit 3"),
        task("logs", image, "echo the log; exit 3", terminationMessagePolicy="FallbackToLogsOnError"),
        task("silent", image, "echo the log; exit 3"),
        task("good", image, "exit 0"),
        task("bad", image, "exit 3"),
        pod("twice", container(image, once, volumeMounts=mount), volumes=memory, restartPolicy="OnFailure"),
        pod("loops", container(image, "echo started; exit 1")),
        pod(
            "inits",
            container(image, "cat /memory/x", volumeMounts=mount),
            initContainers=[
                container(image, "sleep 1; echo one > /memory/x", "first", volumeMounts=mount),
                container(image, "echo two >> /memory/x", "second", volumeMounts=mount),
            ],
            volumes=memory,
            restartPolicy="Never",
        ),
        pod("init-fails", container(image), initContainers=[container(image, "exit 4", "init")], restartPolicy="Never"),
        pod("sidecar", container(image, "sleep 1"), initContainers=[sidecar], restartPolicy="Never"),
        pod(
            "alive",
            container(
                image,
                "touch /memory/ok; sleep 2; rm /memory/ok; " + SERVE,
                volumeMounts=mount,
                livenessProbe={**PROBE, "exec": {"command": ["cat", "/memory/ok"]}, "initialDelaySeconds": 1},
            ),
            volumes=memory,
        ),
        pod(
            "unready",
            container(
                image, SERVE, volumeMounts=mount, readinessProbe={**PROBE, "exec": {"command": ["cat", "/memory/ok"]}}
            ),
            volumes=memory,
        ),
        pod(
            "web",
            container(
                image,
                "mkdir /tmp/w; echo hi > /tmp/w/index.html; sleep 1; exec httpd -f -p 8080 -h /tmp/w",
                ports=[{"name": "web", "containerPort": 8080}],
                readinessProbe={**PROBE, "httpGet": {"path": "/index.html", "port": "web"}},
                startupProbe={"periodSeconds": 1, "failureThreshold": 60, "tcpSocket": {"port": 8080}},
            ),
        ),
        pod(
            "two",
            container(image, "mkdir /tmp/w; echo hi > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w", "serves"),
            container(
                image,
                "until printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 127.0.0.1 8080 2>/dev/null | grep -x hi; "
                "do sleep 0.2; done; exec sleep 1000",
                "asks",
            ),
        ),
        pod("one-of-two", container(image, "exit 0", "good"), container(image, "exit 5", "bad"), restartPolicy="Never"),
        pod("never-pulled", {**container("kfold.invalid/none:1"), "imagePullPolicy": "Never"}),
        pod("not-found", container("kfold.invalid/none:1")),
        pod("no-reference", container("Not A Reference")),
        task("no-program", image, "", command=["/no/such/program"]),
        task("deadline", image, STUBBORN, activeDeadlineSeconds=2),
        pod("no-node", container(image), nodeSelector={"kfold.dev/nowhere": "true"}),
        pod("too-big", container(image, resources={"requests": {"cpu": "10k"}})),
        pod("tcp-refused", container(image, readinessProbe={**PROBE, "tcpSocket": {"port": 81}})),
        pod("http-refused", container(image, readinessProbe={**PROBE, "httpGet": {"port": 81, "path": "/ok"}})),
        pod("no-claim", container(image), volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "nope"}}]),
        pod("no-driver", container(image), volumes=[{"name": "far", "csi": {"driver": "none.kfold.dev"}}]),
        pod("leaves", container(image), terminationGracePeriodSeconds=60),
        pod("burstable", container(image, resources={"requests": {"cpu": "1m"}})),
        task(
            "hooks",
            image,
            "until cat /tmp/hook 2>/dev/null; do sleep 0.1; done",
            lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo hooked > /tmp/hook"]}}},
        ),
    ]


@pytest.fixture(scope="module")
def space(shared: Space) -> Space:
    for one in pods(shared.image):
        shared.create(one)
    return shared


def test_a_running_pod(space: Space) -> None:
    """A running Pod has node, addresses, start time, QoS class and its conditions; its containers image and ID."""
    found = space.ready("serves")
    status = found["status"]
    assert found["spec"]["nodeName"]
    assert status["podIP"] == status["podIPs"][0]["ip"]
    assert status["hostIP"] and status["startTime"] and status["qosClass"] == "BestEffort"
    for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
        assert condition_of(found, kind)["status"] == "True", kind
    (entry,) = status["containerStatuses"]
    assert entry["ready"] and entry["started"] and entry["restartCount"] == 0
    assert entry["imageID"] and "://" in entry["containerID"]
    assert set(entry["state"]) == {"running"}


def test_what_is_filled_in(space: Space) -> None:
    """Admission gives each Pod the service account default, its defaults come in the spec."""
    spec = space.get("Pod", "serves")["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert (spec["restartPolicy"], spec["enableServiceLinks"], spec["preemptionPolicy"], spec["priority"]) == (
        "Always",
        True,
        "PreemptLowerPriority",
        0,
    )
    keys = {entry["key"]: entry["tolerationSeconds"] for entry in spec["tolerations"]}
    assert keys == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300}


def test_an_unknown_service_account(space: Space) -> None:
    """A Pod of a service account that is not there is refused: 403."""
    refused = space.api.post(space.path("Pod"), pod("account", container(space.image), serviceAccountName="nobody"))
    refused.refused(403, "Forbidden")
    assert 'serviceaccount "nobody" not found' in refused.message


def test_generation_of_a_pod(space: Space) -> None:
    """A Pod's generation is 1 also after its binding; the kubelet tells the one that it has seen (since 1.34)."""
    if space.api.version() < (1, 34):
        pytest.skip("Pods have a generation since 1.34")
    found = space.ready("serves")
    assert found["metadata"]["generation"] == 1
    assert found["status"]["observedGeneration"] == 1
    add = [{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "kfold.dev/x", "operator": "Exists"}}]
    assert space.patch("Pod", "serves", add, JSON_PATCH)["metadata"]["generation"] == 2
    space.wait("Pod", "serves", lambda one: one["status"]["observedGeneration"] == 2, "to be seen")


def test_the_end_of_a_pod_that_did_well(space: Space) -> None:
    """Exit 0 without a restart: Succeeded; terminated, Completed; Ready is False, PodCompleted."""
    found = space.ended("good")
    assert found["status"]["phase"] == "Succeeded"
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (0, "Completed")
    assert (condition_of(found, "Ready")["status"], condition_of(found, "Ready")["reason"]) == ("False", "PodCompleted")


def test_the_end_of_a_pod_that_failed(space: Space) -> None:
    """Another exit code without a restart: Failed; terminated, Error, with the code."""
    found = space.ended("bad")
    assert found["status"]["phase"] == "Failed"
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (3, "Error")
    assert condition_of(found, "Ready")["reason"] == "PodFailed"


@pytest.mark.parametrize(("name", "message"), [("says", "why\n"), ("logs", "the log\n"), ("silent", None)])
def test_a_termination_message(space: Space, name: str, message: str | None) -> None:
    """What a container writes to its terminationMessagePath is told in its status; its log only where that is asked for."""
    assert terminated(space.ended(name)).get("message") == message


def test_on_failure_restarts(space: Space) -> None:
    """restartPolicy OnFailure: restarted after a failure, done after a success."""
    found = space.ended("twice")
    assert found["status"]["phase"] == "Succeeded"
    entry = container_status(found)
    assert entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["exitCode"] == 7


def test_a_crash_loop(space: Space) -> None:
    """A container that ends again and again waits in CrashLoopBackOff, 10 s at first; the Pod's phase is Running."""
    found = space.waits_for("loops", "CrashLoopBackOff")
    entry = container_status(found)
    assert found["status"]["phase"] == "Running"
    # whoever looks late sees a later one
    assert re.match("back-off (10s|20s|40s) restarting failed container=app", entry["state"]["waiting"]["message"])
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert entry["restartCount"] >= 1 and not entry["ready"]
    assert space.events("loops", "BackOff")


def test_init_containers_come_first(space: Space) -> None:
    """Init containers run one after the other, to their end, before the others start."""
    space.ended("inits")
    assert space.log("inits", container="app") == "one\ntwo\n"
    statuses = space.get("Pod", "inits")["status"]["initContainerStatuses"]
    ends = [entry["state"]["terminated"] for entry in statuses]
    assert [end["reason"] for end in ends] == ["Completed", "Completed"]
    assert ends[0]["finishedAt"] <= ends[1]["startedAt"]
    assert all(entry["ready"] for entry in statuses)


def test_a_failed_init_container(space: Space) -> None:
    """With restartPolicy Never a failed init container fails the Pod; the others never start."""
    found = space.ended("init-fails")
    assert found["status"]["phase"] == "Failed"
    assert terminated(found, "init")["exitCode"] == 4
    assert container_status(found, "app")["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition_of(found, "Initialized")["status"] == "False"


def test_a_sidecar(space: Space) -> None:
    """An init container that always restarts runs beside the others, and does not keep the Pod from its end."""
    found = space.ended("sidecar")
    assert found["status"]["phase"] == "Succeeded"
    side, app = terminated(found, "side"), terminated(found, "app")
    assert side["startedAt"] <= app["startedAt"]
    assert side["finishedAt"] >= app["finishedAt"]


def test_liveness_restarts(space: Space) -> None:
    """A failed liveness probe ends the container, which is started again; an Unhealthy event says why."""
    found = space.wait("Pod", "alive", lambda one: container_status(one).get("restartCount", 0) >= 1, "to be restarted")
    assert found["status"]["phase"] == "Running"
    assert any("Liveness probe failed" in event["message"] for event in space.events("alive", "Unhealthy"))
    assert space.events("alive", "Killing")


def test_readiness_only_tells(space: Space) -> None:
    """A failing readiness probe keeps the Pod running and unready, ContainersNotReady; nothing is restarted."""
    wait_until(lambda: space.events("unready", "Unhealthy"), "the first probe", seconds=60)
    found = space.running("unready")
    entry = container_status(found)
    assert (entry["ready"], entry["started"], entry["restartCount"]) == (False, True, 0)
    ready = condition_of(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [app]"
    space.kubectl("exec", "unready", "--", "touch", "/memory/ok").succeeded()
    space.ready("unready")
    space.kubectl("exec", "unready", "--", "rm", "/memory/ok").succeeded()
    space.wait("Pod", "unready", lambda one: condition_of(one, "Ready")["status"] == "False", "to be unready again")


@pytest.mark.parametrize("name, request_", [("tcp-refused", ""), ("http-refused", 'Get "http://{ip}:81/ok": ')])
def test_a_refused_probe_says_where(space: Space, name: str, request_: str) -> None:
    """The Unhealthy event of a probe that nothing answers names the request, the address and what the network said."""
    wait_until(lambda: space.events(name, "Unhealthy"), "the event", seconds=PATIENCE)
    ip = space.get("Pod", name)["status"]["podIP"]
    said = f"Readiness probe failed: {request_.format(ip=ip)}dial tcp {ip}:81: connect: connection refused"
    assert said in [event["message"] for event in space.events(name, "Unhealthy")]


def test_start_and_http_probes(space: Space) -> None:
    """A start-up probe holds the others back; then an HTTP probe tells readiness."""
    found = space.ready("web")
    assert container_status(found)["started"] and container_status(found)["restartCount"] == 0


def test_containers_share_a_network(space: Space) -> None:
    """Containers of one Pod reach each other on 127.0.0.1."""
    space.ready("two")
    wait_until(lambda: space.log("two", container="asks") == "hi\n", "the answer", seconds=60)


def test_one_of_two_fails(space: Space) -> None:
    """A Pod is Failed when all containers have ended and one of them failed."""
    found = space.ended("one-of-two")
    assert found["status"]["phase"] == "Failed"
    assert (terminated(found, "good")["exitCode"], terminated(found, "bad")["exitCode"]) == (0, 5)


def test_an_image_that_is_never_pulled(space: Space) -> None:
    """imagePullPolicy Never and no image: the container waits in ErrImageNeverPull."""
    found = space.waits_for("never-pulled", "ErrImageNeverPull")
    assert found["status"]["phase"] == "Pending"


def test_an_image_that_cannot_be_pulled(space: Space) -> None:
    """An image that is nowhere: ErrImagePull, then ImagePullBackOff, and so on; the Pod stays Pending."""
    found = space.waits_for("not-found", "ErrImagePull", "ImagePullBackOff")
    assert found["status"]["phase"] == "Pending"
    assert container_status(found)["state"]["waiting"]["message"]
    space.waits_for("not-found", "ImagePullBackOff")
    assert space.events("not-found", "Failed")


def test_an_image_name_that_is_none(space: Space) -> None:
    """An image reference that cannot be parsed: InvalidImageName."""
    assert space.waits_for("no-reference", "InvalidImageName")["status"]["phase"] == "Pending"


def test_a_program_that_is_not_there(space: Space) -> None:
    """A command that cannot be started ends with 128, StartError, and names the program."""
    found = space.ended("no-program")
    end = terminated(found)
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "/no/such/program" in end["message"]


def test_a_deadline(space: Space) -> None:
    """activeDeadlineSeconds: the Pod fails, DeadlineExceeded; what ignores SIGTERM is killed after its grace period."""
    found = space.ended("deadline")
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize(
    "name, why",
    [
        ("no-node", "didn't match Pod's node affinity/selector"),
        ("too-big", "Insufficient cpu"),
        ("no-claim", 'persistentvolumeclaim "nope" not found'),
    ],
)
def test_a_pod_that_fits_nowhere(space: Space, name: str, why: str) -> None:
    """A Pod that no node suits is Pending, PodScheduled False, Unschedulable, with a FailedScheduling event."""
    found = space.wait("Pod", name, lambda one: condition_of(one, "PodScheduled"), "to be looked at")
    entry = condition_of(found, "PodScheduled")
    assert (entry["status"], entry["reason"]) == ("False", "Unschedulable")
    assert why in entry["message"]
    assert "nodeName" not in found["spec"]
    wait_until(lambda: space.events(name, "FailedScheduling"), "the event")


def test_the_grace_period(space: Space) -> None:
    """DELETE marks a running Pod with its grace period, it stays until its processes end; a shorter one ends it."""
    stubborn = container(space.image, STUBBORN)
    space.create(pod("stubborn", stubborn, terminationGracePeriodSeconds=120))
    space.running("stubborn")
    wait_until(lambda: "up" in space.log("stubborn"), "the trap")
    answer = space.delete("Pod", "stubborn").ok()
    assert answer["kind"] == "Pod"
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 120
    time.sleep(1)
    found = space.get("Pod", "stubborn")
    assert found["metadata"]["deletionTimestamp"] and found["status"]["phase"] == "Running"
    space.delete("Pod", "stubborn", gracePeriodSeconds=1).ok()
    space.gone("Pod", "stubborn")


def test_sigterm_ends_a_pod(space: Space) -> None:
    """A program that ends on SIGTERM goes at once, however long its grace period is."""
    space.running("leaves")
    wait_until(lambda: space.get("Pod", "leaves")["status"]["containerStatuses"][0]["ready"], "readiness")
    began = time.monotonic()
    space.delete("Pod", "leaves").ok()
    space.gone("Pod", "leaves")
    assert time.monotonic() - began < 30  # its grace period is 60


def test_a_volume_that_cannot_be_mounted(space: Space) -> None:
    """A Pod whose volume the node cannot mount stays ContainerCreating and says FailedMount; nothing takes its place."""
    wait_until(lambda: space.events("no-driver", "FailedMount"), "the event", seconds=PATIENCE)
    assert 'volume "far"' in space.events("no-driver", "FailedMount")[0]["message"]
    assert waiting(space.get("Pod", "no-driver")) == "ContainerCreating"


def test_a_host_port_is_taken_once(space: Space) -> None:
    """A second Pod with the same hostPort is not scheduled: the node has no free port for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    ports = [{"containerPort": 8080, "hostPort": free}]
    space.create(pod("port-first", container(space.image, ports=ports)))
    space.running("port-first")
    space.create(pod("port-second", container(space.image, ports=ports)))
    found = space.wait("Pod", "port-second", lambda one: condition_of(one, "PodScheduled"), "to be looked at")
    said = condition_of(found, "PodScheduled")["message"]
    assert "didn't have free ports for the requested pod ports" in said
    space.delete("Pod", "port-first").ok()
    space.running("port-second")


def test_a_move_does_not_keep_a_pod(space: Space) -> None:
    """A running Pod goes when it is deleted, even after somebody tried to move it to another node."""
    space.create(pod("moved", container(space.image)))
    space.running("moved")
    space.api.patch(space.path("Pod", "moved"), {"spec": {"nodeName": "nowhere"}})  # its refusal is another case
    space.delete("Pod", "moved").ok()
    space.gone("Pod", "moved", seconds=30)


def test_a_pod_of_no_node(space: Space) -> None:
    """A Pod whose node does not exist goes when it is deleted, though no kubelet says that it has ended."""
    space.create(pod("of-no-node", container(space.image), nodeName="kfold-nowhere", terminationGracePeriodSeconds=60))
    space.delete("Pod", "of-no-node").ok()
    space.gone("Pod", "of-no-node")


def test_a_taint_evicts(space: Space) -> None:
    """A NoExecute taint deletes the Pods of the node that do not tolerate it; a Pod goes for good with its node."""
    name = f"{space.name}-node"
    nodes = f"{CORE}/nodes"
    space.api.post(nodes, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}).ok()
    try:
        tolerant = [{"operator": "Exists", "effect": "NoExecute"}]
        space.create(pod("evicted", container(space.image), nodeName=name))
        space.create(pod("tolerant", container(space.image), nodeName=name, tolerations=tolerant))
        taint = {"key": "kfold.dev/out", "value": "yes", "effect": "NoExecute"}
        space.api.patch(f"{nodes}/{name}", {"spec": {"taints": [taint]}}).ok()
        space.wait("Pod", "evicted", lambda one: one["metadata"].get("deletionTimestamp"), "to be evicted")
        space.stays("Pod", "tolerant", lambda one: "deletionTimestamp" not in one["metadata"], 1)
    finally:
        space.api.delete(f"{nodes}/{name}").ok()
    space.gone("Pod", "evicted")
    space.delete("Pod", "tolerant")


def test_a_finalizer_keeps_an_ended_pod(space: Space) -> None:
    """A Pod with a finalizer is ended when it is deleted, and stays, with its phase, until the finalizer is taken out."""
    held = pod("held", container(space.image))
    held["metadata"]["finalizers"] = ["kfold.dev/test"]
    space.create(held)
    space.ready("held")
    space.delete("Pod", "held").ok()
    ended = space.ended("held")
    assert ended["metadata"]["deletionTimestamp"]
    assert "terminated" in container_status(ended)["state"]
    space.stays("Pod", "held", lambda one: one["status"]["phase"] == ended["status"]["phase"], 1)
    space.api.patch(space.path("Pod", "held"), {"metadata": {"labels": {"a": "b"}}}).ok()
    space.stays("Pod", "held", lambda one: "terminated" in container_status(one)["state"], 1)
    space.api.patch(space.path("Pod", "held"), {"metadata": {"finalizers": None}}).ok()
    space.gone("Pod", "held", seconds=10)


def test_the_class_of_service(space: Space) -> None:
    """Requests without equal limits make a Pod Burstable."""
    assert space.running("burstable")["status"]["qosClass"] == "Burstable"


def test_events_tell_a_pods_story(space: Space) -> None:
    """Scheduled, Pulled, Created, Started: events about the Pod, by its uid, from scheduler and kubelet."""
    found = space.ready("serves")
    for reason, component in (
        ("Scheduled", "default-scheduler"),
        ("Pulled", "kubelet"),
        ("Created", "kubelet"),
        ("Started", "kubelet"),
    ):
        wait_until(lambda reason=reason: space.events("serves", reason), f"the event {reason}")
        (event,) = space.events("serves", reason)
        assert event["type"] == "Normal"
        assert event["involvedObject"]["uid"] == found["metadata"]["uid"]
        assert event["reportingComponent"] == component or event["source"]["component"] == component


def test_a_hook_after_the_start(space: Space) -> None:
    """postStart runs in the container right after its start."""
    assert space.output("hooks") == "hooked\n"


def test_a_name_can_be_used_again(space: Space) -> None:
    """A Pod of the same name can be created as soon as the earlier one is gone."""
    space.create(task("reused", space.image, "exit 0"))
    space.ended("reused")
    space.delete("Pod", "reused").ok()
    space.gone("Pod", "reused")
    space.create(idle_pod("reused"))
    assert space.get("Pod", "reused")["status"]["phase"] == "Pending"
