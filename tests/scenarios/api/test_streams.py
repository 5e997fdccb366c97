"""Logs and commands: pods/log and pods/exec."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import Json, Space
from tests.scenarios.api.objects import SERVE, container, pod, task

LINES = "for n in 1 2 3 4 5; do echo line $n; done"


def pods(image: str) -> list[Json]:
    return [
        task("lines", image, LINES),
        task("both", image, "echo out; echo err >&2"),
        pod(
            "slow",
            container(image, "n=0; while n=$((n+1)); do echo tick $n; sleep 0.5; [ $n = 8 ] && exit 0; done"),
            restartPolicy="Never",
        ),
        pod("old-and-new", container(image, "echo old; sleep 4; echo new; " + SERVE)),
        pod("crashed", container(image, "cat /proc/uptime; exit 1")),
        pod("two", container(image, "echo from a; " + SERVE, "a"), container(image, "echo from b; " + SERVE, "b")),
        pod("waits", {**container("kfold.invalid/none:1"), "imagePullPolicy": "Never"}),
        pod("shell", container(image)),
    ]


@pytest.fixture(scope="module")
def space(shared: Space) -> Space:
    for one in pods(shared.image):
        shared.create(one)
    return shared


def test_a_whole_log(space: Space) -> None:
    """pods/log is plain text, all of it, standard error too."""
    assert space.output("lines") == "".join(f"line {n}\n" for n in range(1, 6))
    assert sorted(space.output("both").split()) == ["err", "out"]


def test_the_end_of_a_log(space: Space) -> None:
    """tailLines gives the last lines, 0 none; limitBytes cuts."""
    space.ended("lines")
    assert space.log("lines", tailLines=2) == "line 4\nline 5\n"
    assert space.log("lines", tailLines=0) == ""
    assert space.log("lines", limitBytes=6) == "line 1"


def test_times_in_a_log(space: Space) -> None:
    """timestamps puts an RFC 3339 time with nanoseconds in front of each line."""
    space.ended("lines")
    for line in space.log("lines", timestamps="true").splitlines():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) line \d", line), line


def test_the_log_since_then(space: Space) -> None:
    """sinceSeconds leaves out what is older."""
    space.running("old-and-new")
    wait_until(lambda: "new" in space.log("old-and-new"), "the second line", seconds=60)
    assert space.log("old-and-new", sinceSeconds=3600) == "old\nnew\n"
    assert "old" not in space.log("old-and-new", sinceSeconds=3)


def test_a_log_is_followed(space: Space) -> None:
    """follow brings lines as they come, and ends with the container."""
    space.wait("Pod", "slow", lambda one: one["status"].get("phase") in ("Running", "Succeeded"), "to start")
    response = space.api.request("GET", space.path("Pod", "slow", "log") + "?follow=true", None, {}, stream=True)
    text = b"".join(response.stream(1024)).decode()
    response.close()
    assert text == "".join(f"tick {n}\n" for n in range(1, 9))


def test_the_log_of_the_previous_run(space: Space) -> None:
    """previous gives the run before the last restart; where there was none, 400."""
    wait_until(
        lambda: (space.get("Pod", "crashed")["status"].get("containerStatuses") or [{}])[0].get("restartCount"),
        "a restart",
        seconds=60,
    )
    before = float(space.log("crashed", previous="true").split()[0])
    wait_until(lambda: space.log("crashed") != "", "the log of the next run")
    assert before <= float(space.log("crashed").split()[0])
    space.running("shell")
    refused = space.api.get(space.path("Pod", "shell", "log"), previous="true").refused(400, "BadRequest")
    assert 'previous terminated container "app" in pod "shell" not found' in refused.message


def test_which_container(space: Space) -> None:
    """With several containers one has to be named: 400 names them; an unknown one is 400 as well."""
    space.running("two")
    refused = space.api.get(space.path("Pod", "two", "log")).refused(400, "BadRequest")
    assert "a container name must be specified for pod two, choose one of: [a b]" in refused.message
    wait_until(lambda: space.log("two", container="b") == "from b\n", "the log")
    space.api.get(space.path("Pod", "two", "log"), container="c").refused(400, "BadRequest")


def test_a_container_that_waits_has_no_log(space: Space) -> None:
    """The log of a container that has not started is 400, with what it waits for."""
    space.waits_for("waits", "ErrImageNeverPull")
    refused = space.api.get(space.path("Pod", "waits", "log")).refused(400, "BadRequest")
    assert 'container "app" in pod "waits" is waiting to start' in refused.message
    assert space.api.get(space.path("Pod", "nothing", "log")).code == 404


# --- exec


def execute(space: Space, name: str, *command: str, **options: Any) -> Any:
    """A command by the official client: the stream, with its output read to the end."""
    from kubernetes import client, config
    from kubernetes.stream import stream

    # the client's stream patches the ApiClient that it is given: one of its own
    with config.new_client_from_config(str(space.kubeconfig)) as own:
        wanted = {"stdout": True, "stderr": True, "stdin": False, "tty": False, "_preload_content": False, **options}
        connect = client.CoreV1Api(own).connect_get_namespaced_pod_exec
        found = stream(connect, name, space.name, command=list(command), **wanted)
        own.rest_client.pool_manager.clear()
    return found


def finish(run: Any) -> None:
    """Close the stream: where the server has closed first, the client's own close leaves the socket open."""
    run.close()
    run.sock.shutdown()


def test_a_command_and_its_exit_code(space: Space) -> None:
    """exec runs a command in a running container: its output on channels of their own, and its exit code."""
    space.running("shell")
    run = execute(space, "shell", "sh", "-c", "echo out; echo err >&2; exit 7")
    run.run_forever(timeout=30)
    assert (run.read_stdout(), run.read_stderr(), run.returncode) == ("out\n", "err\n", 7)
    finish(run)


def test_a_command_reads_its_input(space: Space) -> None:
    """exec with stdin hands the input on."""
    space.running("shell")
    run = execute(space, "shell", "sh", "-c", "read line; echo got $line", stdin=True)
    run.write_stdin("this\n")
    run.run_forever(timeout=30)
    assert run.read_stdout() == "got this\n"
    finish(run)


def test_commands_run_beside_each_other(space: Space) -> None:
    """Several commands at once do not disturb each other."""
    space.running("shell")
    found: dict[int, str] = {}

    def one(number: int) -> None:
        done = space.kubectl("exec", "shell", "--", "sh", "-c", f"sleep 0.3; echo {number}")
        found[number] = done.succeeded().output.strip()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number) for number in range(4)}
    assert time.monotonic() - began < 30


def test_a_command_that_cannot_be(space: Space) -> None:
    """A command in an ended Pod, in an unknown container, or of a program that is not there, fails and says so."""
    space.ended("lines")
    ended = space.kubectl("exec", "lines", "--", "true")
    assert ended.code == 1
    assert "cannot exec into a container in a completed pod; current phase is Succeeded" in ended.output
    space.running("shell")
    unknown = space.kubectl("exec", "shell", "-c", "nothing", "--", "true")
    assert unknown.code == 1
    assert "nothing" in unknown.output
    missing = space.kubectl("exec", "shell", "--", "/no/such/program")
    assert missing.code != 0
    assert "no/such/program" in missing.output
