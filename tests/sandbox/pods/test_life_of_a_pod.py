"""From create to gone: phases, reasons, exit codes, restarts, and what is left on the engine."""

from __future__ import annotations

import time

from tests.engine import docker, wait_until
from tests.sandbox.pods.conftest import Space


def engine_containers(uid: str) -> list[str]:
    return docker("ps", "-a", "-q", "--filter", f"label=io.kubernetes.pod.uid={uid}").split()


def test_a_pod_runs_and_says_all_that_strict_clients_read(space: Space) -> None:
    began = time.monotonic()
    uid = space.pod("web")["metadata"]["uid"]
    pod = space.running("web")
    assert time.monotonic() - began < 10  # usually 0.5 s; a guard against polling, not a measurement
    status = pod["status"]
    assert pod["spec"]["nodeName"] == "kfold-sandbox"
    assert status["podIP"] and status["hostIP"] and status["qosClass"] == "BestEffort"
    conditions = {entry["type"]: entry["status"] for entry in status["conditions"]}
    for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready"):
        assert conditions[kind] == "True"
    (container,) = status["containerStatuses"]
    assert container["ready"] and container["started"] and container["restartCount"] == 0
    assert container["imageID"] and container["containerID"].startswith("docker://")
    assert len(engine_containers(uid)) == 2  # the sandbox and the container


def test_a_deleted_pod_whose_process_ends_at_once_is_gone_at_once_and_leaves_nothing(space: Space) -> None:
    uid = space.pod("web", terminationGracePeriodSeconds=60)["metadata"]["uid"]
    space.running("web")
    assert engine_containers(uid)
    began = time.monotonic()
    space.core.delete_namespaced_pod("web", space.name)
    wait_until(lambda: not space.pods(), "the Pod to go")
    assert time.monotonic() - began < 10  # usually 0.2 s; the grace period is 60
    assert engine_containers(uid) == []


def test_the_grace_period_is_honoured_and_can_be_cut_short(space: Space) -> None:
    stubborn = space.container("trap '' TERM; echo up; while :; do sleep 1; done")
    space.pod("stubborn", stubborn, terminationGracePeriodSeconds=120)
    space.running("stubborn")
    wait_until(lambda: "up" in space.log("stubborn"), "the trap")
    space.core.delete_namespaced_pod("stubborn", space.name)
    pod = space.read("stubborn")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 120 and pod["metadata"]["deletionTimestamp"]
    assert pod["status"]["phase"] == "Running"
    space.core.delete_namespaced_pod("stubborn", space.name, grace_period_seconds=1)
    wait_until(lambda: not space.pods(), "the Pod to go", seconds=20)


def test_ends_are_told_by_phase_reason_and_exit_code(space: Space) -> None:
    space.pod("good", space.container("exit 0"), restartPolicy="Never")
    space.pod("bad", space.container("exit 3"), restartPolicy="Never")
    good, bad = space.ended("good"), space.ended("bad")
    assert good["status"]["phase"] == "Succeeded" and bad["status"]["phase"] == "Failed"
    ended = good["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("Completed", 0)
    ended = bad["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("Error", 3)
    conditions = {entry["type"]: entry for entry in good["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False" and conditions["Ready"]["reason"] == "PodCompleted"
    # the sandbox has ended too: an ended Pod holds no address on the network
    uid = good["metadata"]["uid"]
    wait_until(lambda: not docker("ps", "-q", "--filter", f"label=io.kubernetes.pod.uid={uid}").strip(), "the sandbox's end")


def test_on_failure_restarts_until_it_succeeds(space: Space) -> None:
    volume = {"name": "memory", "emptyDir": {}}
    mount = [{"name": "memory", "mountPath": "/memory"}]
    script = "[ -e /memory/seen ] && exit 0; touch /memory/seen; exit 7"
    space.pod("twice", space.container(script, volumeMounts=mount), volumes=[volume], restartPolicy="OnFailure")
    status = space.ended("twice")["status"]
    (container,) = status["containerStatuses"]
    assert status["phase"] == "Succeeded" and container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 7


def test_a_crash_loop_backs_off_and_keeps_the_previous_log(space: Space) -> None:
    space.pod("loop", space.container("echo started; exit 1"))
    pod = space.waiting("loop", "CrashLoopBackOff")
    (container,) = pod["status"]["containerStatuses"]
    assert "back-off 10s restarting failed container=app" in container["state"]["waiting"]["message"]
    assert container["lastState"]["terminated"]["exitCode"] == 1 and container["restartCount"] == 1
    assert pod["status"]["phase"] == "Running"
    assert space.log("loop") == "started\n"
    assert space.events("BackOff")


def test_what_cannot_be_started_says_so(space: Space) -> None:
    container = space.container()
    container["command"] = ["/no/such/program"]
    space.pod("typo", container, restartPolicy="Never")
    ended = space.ended("typo")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 128 and ended["reason"] == "StartError"
    assert "/no/such/program" in ended["message"]


def test_missing_images_wait_as_their_pull_policy_says(space: Space) -> None:
    absent = {"image": "localhost:1/kfold-test/absent:1"}  # nobody listens there: refused at once
    space.pod("never", space.container(**absent, imagePullPolicy="Never"))
    space.pod("pull", space.container(**absent))
    never = space.waiting("never", "ErrImageNeverPull")
    assert "is not present with pull policy of Never" in str(never["status"])
    space.waiting("pull", "ErrImagePull")
    pull = space.waiting("pull", "ImagePullBackOff")
    assert "Back-off pulling image" in str(pull["status"]) and pull["status"]["phase"] == "Pending"
    # the manifest is put right in place: no back-off has to be sat out
    patch = {"spec": {"containers": [{"name": "app", "image": space.image}]}}
    space.core.patch_namespaced_pod("pull", space.name, patch)
    space.running("pull")


def test_an_image_changed_in_place_restarts_the_container_and_keeps_the_address(space: Space) -> None:
    space.pod("web")
    before = space.running("web")
    other = f"{space.image}-other"
    docker("tag", space.image, other)
    try:
        space.core.patch_namespaced_pod("web", space.name, {"spec": {"containers": [{"name": "app", "image": other}]}})
        after = space.wait(
            "web",
            lambda pod: (
                pod["status"]["containerStatuses"][0]["restartCount"] == 1
                and "running" in pod["status"]["containerStatuses"][0]["state"]
            ),
            "to restart",
        )
        assert after["status"]["containerStatuses"][0]["image"] == other
        assert after["status"]["podIP"] == before["status"]["podIP"]
        space.core.delete_namespaced_pod("web", space.name)
        wait_until(lambda: not space.pods(), "the Pod to go")
    finally:
        docker("rmi", other)


def test_init_containers_run_first_in_order_and_a_failed_one_ends_the_pod(space: Space) -> None:
    volume, mount = {"name": "shared", "emptyDir": {}}, [{"name": "shared", "mountPath": "/shared"}]
    inits = [space.container(f"echo {name} >> /shared/order", name=name, volumeMounts=mount) for name in ("first", "second")]
    main = space.container("cat /shared/order", volumeMounts=mount)
    space.pod("ordered", main, initContainers=inits, volumes=[volume], restartPolicy="Never")
    status = space.ended("ordered")["status"]
    assert space.log("ordered", container="app") == "first\nsecond\n"
    assert [entry["state"]["terminated"]["reason"] for entry in status["initContainerStatuses"]] == ["Completed"] * 2

    failing = space.container("exit 9", name="first")
    space.pod("stuck", space.container(), initContainers=[failing], restartPolicy="Never")
    status = space.ended("stuck")["status"]
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


def test_containers_of_one_pod_share_its_network(space: Space) -> None:
    server = space.container("echo shared > /tmp/index.html; exec httpd -f -p 8080 -h /tmp", name="server")
    client = space.container(
        "until wget -q -O - http://127.0.0.1:8080/index.html; do sleep 0.1; done; sleep 1000", name="client"
    )
    space.pod("pair", server, client, terminationGracePeriodSeconds=0)
    space.running("pair")
    wait_until(lambda: "shared" in space.log("pair", container="client"), "the neighbour's answer")
    assert space.log("pair", container="client").endswith("shared\n")


def test_a_pod_that_does_not_fit_says_why(space: Space) -> None:
    space.pod("elsewhere", nodeSelector={"disk": "ssd"})
    space.pod("big", space.container(resources={"requests": {"memory": "900Ti"}}))

    def unschedulable(name: str) -> str:
        conditions = {entry["type"]: entry for entry in space.read(name)["status"].get("conditions", [])}
        return str(conditions.get("PodScheduled", {}).get("message", ""))

    wait_until(lambda: "didn't match Pod's node affinity/selector" in unschedulable("elsewhere"), "the reason")
    wait_until(lambda: "1 Insufficient memory" in unschedulable("big"), "the reason")
    assert space.read("big")["status"]["phase"] == "Pending"
    space.core.delete_namespaced_pod("big", space.name)  # never started: gone with the request
    assert "big" not in {pod["metadata"]["name"] for pod in space.pods()}


def test_probes_gate_readiness_and_restart_what_hangs(space: Space) -> None:
    gate = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    space.pod("gated", space.container(readinessProbe=gate))
    space.running("gated")
    wait_until(lambda: space.events("Unhealthy"), "a failed probe")
    assert not space.read("gated")["status"]["containerStatuses"][0]["ready"]
    space.kubectl("exec", "gated", "--", "touch", "/tmp/ready").succeeded()
    space.wait("gated", lambda pod: pod["status"]["containerStatuses"][0]["ready"], "to be ready")
    space.kubectl("exec", "gated", "--", "rm", "/tmp/ready").succeeded()
    space.wait("gated", lambda pod: not pod["status"]["containerStatuses"][0]["ready"], "to be unready")

    dead = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}
    space.pod("hanging", space.container(livenessProbe=dead))
    space.wait("hanging", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 1, "to restart")
    assert any("liveness probe" in message for message in space.events("Killing"))


def test_an_http_probe_finds_the_pod(space: Space) -> None:
    probe = {"httpGet": {"path": "/index.html", "port": "web"}, "periodSeconds": 1}
    script = "echo fine > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
    server = space.container(script, ports=[{"name": "web", "containerPort": 8080}], readinessProbe=probe)
    space.pod("web", server, terminationGracePeriodSeconds=0)
    found = space.wait("web", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("ready"), "to be ready")
    ready = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}
    assert (ready["Ready"], ready["ContainersReady"]) == ("True", "True")
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
