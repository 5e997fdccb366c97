"""What `kubectl logs` and the client read: follow, tail, since, previous, timestamps."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from tests.engine import REPOSITORY, run, wait_until
from tests.sandbox.pods.conftest import Space

COUNT = "for i in 1 2 3 4 5; do echo line $i; echo error $i >&2; done"


def test_tail_limits_and_timestamps(space: Space) -> None:
    space.pod("count", space.container(COUNT), restartPolicy="Never")
    space.ended("count")
    whole = space.log("count").splitlines()
    assert sorted(whole) == sorted([f"{word} {number}" for word in ("line", "error") for number in range(1, 6)])
    assert len(space.log("count", tail_lines=3).splitlines()) == 3
    assert space.log("count", tail_lines=0) == ""
    assert space.log("count", limit_bytes=4) == space.log("count")[:4]
    for line in space.log("count", timestamps=True).splitlines():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (line|error) \d", line)


def test_since_leaves_out_what_is_older(space: Space) -> None:
    space.pod("slow", space.container("echo old; sleep 3; echo new; sleep 1000"), terminationGracePeriodSeconds=0)
    space.running("slow")
    wait_until(lambda: "new" in space.log("slow"), "the second line")
    assert space.log("slow", since_seconds=100) == "old\nnew\n"
    assert space.log("slow", since_seconds=2) == "new\n"


def test_follow_shows_lines_as_they_come_and_ends_with_the_container(space: Space) -> None:
    # it lives on for a moment, so that its end does not end the exec that makes the sign
    script = "echo first; until [ -e /tmp/go ]; do sleep 0.1; done; echo second; sleep 2"
    space.pod("talk", space.container(script), restartPolicy="Never")
    space.running("talk")
    command = ["kubectl", "--kubeconfig", str(space.cluster.kubeconfig), "-n", space.name, "logs", "-f", "talk"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        assert process.poll() is None
        began = time.monotonic()
        space.kubectl("exec", "talk", "--", "touch", "/tmp/go").succeeded()
        assert process.stdout.readline() == "second\n"
        assert time.monotonic() - began < 10
        assert process.stdout.read() == "" and process.wait(timeout=20) == 0


def test_the_previous_run_is_kept_and_a_missing_one_is_refused(space: Space) -> None:
    from kubernetes.client import ApiException

    volume, mount = {"name": "seen", "emptyDir": {}}, [{"name": "seen", "mountPath": "/seen"}]
    script = "if [ -e /seen/x ]; then echo second; sleep 1000; else touch /seen/x; echo first; exit 1; fi"
    space.pod("twice", space.container(script, volumeMounts=mount), volumes=[volume], terminationGracePeriodSeconds=0)
    space.wait("twice", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1, "to restart")
    wait_until(lambda: space.log("twice") == "second\n", "the second run")
    assert space.log("twice", previous=True) == "first\n"

    space.pod("once")
    space.running("once")
    with pytest.raises(ApiException) as refused:
        space.log("once", previous=True)
    assert refused.value.status == 400
    assert 'previous terminated container \\"app\\" in pod \\"once\\" not found' in refused.value.body


def test_a_container_has_to_be_named_where_there_are_several(space: Space) -> None:
    from kubernetes.client import ApiException

    space.pod("pair", space.container("echo a", name="a"), space.container("echo b", name="b"), restartPolicy="Never")
    space.ended("pair")
    assert space.log("pair", container="b") == "b\n"
    for query, said in (({}, "choose one of: [a b]"), ({"container": "c"}, "container c is not valid for pod pair")):
        with pytest.raises(ApiException) as refused:
            space.log("pair", **query)
        assert refused.value.status == 400 and said in refused.value.body


def test_a_container_that_waits_has_no_log_yet(space: Space) -> None:
    from kubernetes.client import ApiException

    space.pod("absent", space.container(image="localhost:1/kfold-test/absent:1", imagePullPolicy="Never"))
    space.waiting("absent", "ErrImageNeverPull")
    with pytest.raises(ApiException) as refused:
        space.log("absent")
    assert refused.value.status == 400 and "is waiting to start" in refused.value.body


def test_exec_gives_output_input_and_exit_code(space: Space) -> None:
    space.pod("box")
    space.running("box")
    done = space.kubectl("exec", "box", "--", "sh", "-c", "echo out; exit 3")
    assert "out" in done.output and done.code == 3
    # The Python client speaks the older v4 protocol; in a process of its own, because it leaves its socket open.
    script = (
        "import sys; from kubernetes import client, config, stream; config.load_kube_config(sys.argv[1]);"
        "print(stream.stream(client.CoreV1Api().connect_get_namespaced_pod_exec, 'box', sys.argv[2],"
        "command=['hostname'], stdout=True, stderr=True, stdin=False, tty=False))"
    )
    done = run([sys.executable, "-c", script, str(space.cluster.kubeconfig), space.name], folder=REPOSITORY)
    assert done.succeeded().output.strip() == "box"
