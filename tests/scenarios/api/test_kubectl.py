"""kubectl, as people use it: what it prints here beside what it prints on a real cluster.

The expected lines are those of a real cluster's answers; `…` stands for what differs between any two clusters (hashes,
ages, addresses). The table at the end of the run names each command that was compared.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import thorough
from tests.engine import start, wait_until
from tests.scenarios.api.cluster import Space
from tests.scenarios.api.conftest import REAL, Compared, kubectl_commands
from tests.scenarios.api.objects import config_map, container, deployment, pod, service

SITE = "mkdir /tmp/w; echo hello > /tmp/w/index.html; echo started; exec httpd -f -v -p 8080 -h /tmp/w"


class Kubectl:
    """One kubectl in one namespace; each comparison becomes a line of the table."""

    def __init__(self, space: Space, compared: Compared, version: str) -> None:
        self.space, self.compared, self.version = space, compared, version

    def run(self, *arguments: str, code: int = 0) -> str:
        done = self.space.kubectl(*arguments, seconds=90)
        assert done.code == code, f"kubectl {' '.join(arguments)}: {done.code}\n{done.output}"
        return done.output

    def command(self, *arguments: str) -> list[str]:
        space = self.space
        return [space.command, "--kubeconfig", str(space.kubeconfig), "--namespace", space.name, *arguments]

    def piped(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """With `text` and its end on stdin."""
        return subprocess.run(self.command(*arguments), input=text, capture_output=True, text=True, timeout=60)

    def types(self, *arguments: str) -> tuple[int, str]:
        """(exit code, output) on a terminal of 80 columns, where somebody types a word and Enter."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        child = subprocess.Popen(
            self.command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        os.write(ours, b"typed\n")
        output = b""
        try:
            with contextlib.suppress(OSError):  # EIO: the other end is closed
                while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 4096)):
                    output += piece
            return child.wait(30), output.decode(errors="replace")
        finally:
            child.kill()
            child.wait()
            os.close(ours)

    def prints(self, expected: str, *arguments: str, code: int = 0, part: bool = False) -> str:
        """Compare the output line by line with the expected one (`part`: the expected lines are among them, in order)."""
        output = self.run(*arguments, code=code)
        lines = [" ".join(line.split()) for line in output.strip().splitlines()]
        wanted = [" ".join(line.split()) for line in expected.strip().splitlines()]
        left = list(lines)
        for line in wanted:
            pattern = re.compile(".*".join(re.escape(piece) for piece in line.split("…")) + r"\Z")
            found = next((number for number, one in enumerate(left) if pattern.match(one)), None)
            assert found is not None and (part or found == 0), f"kubectl {' '.join(arguments)}: no {line!r} in\n{output}"
            left = left[found + 1 :]
        assert part or not left, f"kubectl {' '.join(arguments)}: more than expected: {left}"
        for line in wanted:
            self.compared.add(self.version, " ".join(arguments), line)
        return output


def versions() -> dict[str, str]:
    """Version -> path, of each kubectl of 1.31 or later on this machine."""
    found: dict[str, str] = {}
    for path in kubectl_commands():
        done = start([path, "version", "--client", "-o", "json"], folder=Path.cwd()).wait(seconds=30)
        text = yaml.safe_load(done.output) if done.code == 0 else {}
        version = (text.get("clientVersion") or {}).get("gitVersion", "")
        numbers = re.match(r"v(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) >= (1, 31):
            found.setdefault(version, path)
    return found


# the newest; all where all is asked for (tests/thorough.py)
VERSIONS = sorted(versions(), reverse=True)[: None if thorough.wanted() else 1]


@pytest.fixture(scope="module", params=VERSIONS)
def kubectl(request: pytest.FixtureRequest, spaces: Callable[[str], Space], compared: Compared) -> Kubectl:
    space = spaces("kubectl")
    space.command = versions()[request.param]
    return Kubectl(space, compared, request.param)


@pytest.fixture(scope="module")
def manifest(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ConfigMap, a Service and a Deployment of two replicas that serves a page."""
    probe = {"periodSeconds": 1, "httpGet": {"path": "/index.html", "port": 8080}}
    web = container(kubectl.space.image, SITE, readinessProbe=probe, ports=[{"containerPort": 8080}])
    objects = [
        config_map("conf", a="1"),
        service("web", selector={"app": "web"}, ports=[{"port": 80, "targetPort": 8080}]),
        deployment("web", web, replicas=2),
    ]
    path = tmp_path_factory.mktemp("manifests") / "app.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return path


@pytest.fixture(scope="module")
def applied(kubectl: Kubectl, manifest: Path) -> str:
    """Applied, compared, and rolled out."""
    kubectl.prints("configmap/conf created\nservice/web created\ndeployment.apps/web created", "apply", "-f", str(manifest))
    output = kubectl.run("rollout", "status", "deployment/web", "--timeout=90s")
    assert 'deployment "web" successfully rolled out' in output
    kubectl.compared.add(kubectl.version, "rollout status deployment/web", 'deployment "web" successfully rolled out')
    return str(manifest)


def test_apply(kubectl: Kubectl, applied: str) -> None:
    """apply says created, then unchanged, then configured."""
    kubectl.prints("configmap/conf unchanged\nservice/web unchanged\ndeployment.apps/web unchanged", "apply", "-f", applied)
    changed = Path(applied).with_name("changed.yaml")
    changed.write_text(yaml.safe_dump(config_map("conf", a="2")))
    kubectl.prints("configmap/conf configured", "apply", "-f", str(changed))
    kubectl.prints("configmap/conf configured", "apply", "-f", applied, part=True)


def test_apply_on_the_server(kubectl: Kubectl, applied: str) -> None:
    """apply --server-side says serverside-applied; another manager's field is a conflict that names it."""
    path = Path(applied).with_name("server.yaml")
    path.write_text(yaml.safe_dump(config_map("server", a="1")))
    kubectl.prints("configmap/server serverside-applied", "apply", "--server-side", "-f", str(path))
    kubectl.space.patch("ConfigMap", "server", {"data": {"a": "2"}}, fieldManager="hand")
    kubectl.prints(
        'error: Apply failed with 1 conflict: conflict with "hand" using v1…: .data.a',
        "apply", "--server-side", "-f", str(path), code=1, part=True,
    )  # fmt: skip
    forced = ("apply", "--server-side", "--force-conflicts", "-f", str(path))
    kubectl.prints("configmap/server serverside-applied", *forced)


def test_diff(kubectl: Kubectl, applied: str) -> None:
    """diff prints nothing and exits 0 where nothing differs; otherwise the changed lines, exit 1."""
    assert kubectl.run("diff", "-f", applied) == ""
    path = Path(applied).with_name("diff.yaml")
    path.write_text(Path(applied).read_text().replace("a: '1'", "a: '9'"))
    kubectl.prints('- a: "1"\n+ a: "9"', "diff", "-f", str(path), code=1, part=True)


def test_get(kubectl: Kubectl, applied: str) -> None:
    """get prints the server's columns, -o wide more of them, -o name, jsonpath and custom columns what was asked for."""
    image = kubectl.space.image
    kubectl.prints("NAME READY UP-TO-DATE AVAILABLE AGE\nweb 2/2 2 2 …", "get", "deployment", "web")
    kubectl.prints(
        f"NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR\nweb 2/2 2 2 … app {image} app=web",
        "get", "deployment", "web", "-o", "wide",
    )  # fmt: skip
    kubectl.prints(
        "NAME READY STATUS RESTARTS AGE\nweb-… 1/1 Running 0 …\nweb-… 1/1 Running 0 …", "get", "pods", "-l", "app=web"
    )
    kubectl.prints(
        "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES\n"
        "web-… 1/1 Running 0 … <none> <none>\nweb-… 1/1 Running 0 … <none> <none>",
        "get", "pods", "-l", "app=web", "-o", "wide",
    )  # fmt: skip
    kubectl.prints("NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE\nweb ClusterIP … <none> 80/TCP …", "get", "service", "web")
    kubectl.prints("NAME DATA AGE\nconf 1 …", "get", "configmap", "conf")
    kubectl.prints("deployment.apps/web", "get", "deployment", "-o", "name")
    kubectl.prints("2", "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}")
    kubectl.prints("N\nweb", "get", "deployment", "-o", "custom-columns=N:.metadata.name")
    kubectl.prints('Error from server (NotFound): deployments.apps "nothing" not found', "get", "deploy", "nothing", code=1)
    kubectl.prints(
        "pod/web-…\npod/web-…\nservice/web\ndeployment.apps/web\nreplicaset.apps/web-…", "get", "all", "-o", "name"
    )


def test_get_and_watch(kubectl: Kubectl, applied: str) -> None:
    """get -w prints a line for what is there and one for each change."""
    space = kubectl.space
    space.create(config_map("watched"))
    command = [space.command, "--kubeconfig", str(space.kubeconfig), "-n", space.name, "get", "configmap", "watched", "-w"]
    running = start(command, folder=Path.cwd())
    try:
        offset = running.wait_for("watched   0 ")
        space.patch("ConfigMap", "watched", {"data": {"a": "1"}})
        running.wait_for("watched   1 ", after=offset)
    finally:
        running.end()
    kubectl.compared.add(kubectl.version, "get configmap watched -w", "watched 1 …")


def test_describe(kubectl: Kubectl, applied: str) -> None:
    """describe tells replicas, strategy, conditions and events of a Deployment; state and events of a Pod."""
    kubectl.prints(
        "Name: web\nLabels: app=web\nSelector: app=web\n"
        "Replicas: 2 desired | 2 updated | 2 total | 2 available | 0 unavailable\nStrategyType: RollingUpdate\n"
        "RollingUpdateStrategy: 25% max unavailable, 25% max surge\nAvailable True MinimumReplicasAvailable\n"
        "Progressing True NewReplicaSetAvailable\nNormal ScalingReplicaSet … deployment-controller "
        "Scaled up replica set web-… from 0 to 2",
        "describe", "deployment", "web", part=True,
    )  # fmt: skip
    (name, *_) = kubectl.space.names("Pod", labelSelector="app=web")
    kubectl.prints(
        f"Name: {name}\nService Account: default\nStatus: Running\nControlled By: ReplicaSet/web-…\n"
        "State: Running\nReady: True\n"
        "Restart Count: 0\nReadiness: http-get http://:8080/index.html delay=0s timeout=1s period=1s …\n"
        "Ready True\nQoS Class: BestEffort",
        "describe", "pod", name, part=True,
    )  # fmt: skip
    said = {"Scheduled": "default-scheduler Successfully assigned …"}
    for reason in ("Scheduled", "Pulled", "Created", "Started"):  # within one second, in any order
        kubectl.prints(f"Normal {reason} … {said.get(reason, 'kubelet …')}", "describe", "pod", name, part=True)
    kubectl.prints(
        "Type: ClusterIP\nPort: <unset> 80/TCP\nTargetPort: 8080/TCP\nEndpoints: …:8080,…:8080",
        "describe",
        "svc",
        "web",
        part=True,
    )


def test_scale(kubectl: Kubectl, applied: str) -> None:
    """scale says scaled; a wrong --current-replicas is refused."""
    kubectl.prints("deployment.apps/web scaled", "scale", "deployment/web", "--replicas=3")
    kubectl.prints(
        "error: Expected replicas to be 9, was 3", "scale", "deployment/web", "--replicas=2", "--current-replicas=9", code=1
    )
    kubectl.prints("deployment.apps/web scaled", "scale", "deployment/web", "--replicas=2")
    kubectl.prints(
        'deployment "web" successfully rolled out', "rollout", "status", "deployment/web", "--timeout=90s", part=True
    )


def test_rollouts(kubectl: Kubectl, applied: str) -> None:
    """set env, restart, history, undo: each a new revision, that rollout status waits for."""
    kubectl.prints("deployment.apps/web env updated", "set", "env", "deployment/web", "X=1")
    kubectl.prints(
        'deployment "web" successfully rolled out', "rollout", "status", "deployment/web", "--timeout=90s", part=True
    )
    kubectl.prints("deployment.apps/web\nREVISION CHANGE-CAUSE\n1 <none>\n2 <none>", "rollout", "history", "deployment/web")
    kubectl.prints("deployment.apps/web rolled back", "rollout", "undo", "deployment/web", part=True)
    kubectl.prints("deployment.apps/web restarted", "rollout", "restart", "deployment/web")
    kubectl.prints(
        'deployment "web" successfully rolled out', "rollout", "status", "deployment/web", "--timeout=90s", part=True
    )


def test_set_image(kubectl: Kubectl, applied: str) -> None:
    """set image to what cannot be pulled: the old Pods stay, rollout status fails at the progress deadline, undo mends."""
    space = kubectl.space
    space.create(deployment("broken", container(space.image), replicas=3, progressDeadlineSeconds=6))
    kubectl.prints(
        'deployment "broken" successfully rolled out', "rollout", "status", "deploy/broken", "--timeout=90s", part=True
    )
    kubectl.prints("deployment.apps/broken image updated", "set", "image", "deployment/broken", "app=kfold.invalid/none:1")
    kubectl.prints(
        "Waiting for deployment \"broken\" rollout to finish: 1 out of 3 new replicas have been updated...\n"
        "error: deployment \"broken\" exceeded its progress deadline",
        "rollout", "status", "deployment/broken", "--timeout=60s", code=1, part=True,
    )  # fmt: skip
    kubectl.prints("NAME READY UP-TO-DATE AVAILABLE AGE\nbroken 3/3 1 3 …", "get", "deployment", "broken")
    kubectl.prints("Progressing False ProgressDeadlineExceeded", "describe", "deployment", "broken", part=True)
    kubectl.prints("deployment.apps/broken rolled back", "rollout", "undo", "deployment/broken")
    kubectl.prints(
        'deployment "broken" successfully rolled out', "rollout", "status", "deploy/broken", "--timeout=90s", part=True
    )


def test_wait(kubectl: Kubectl, applied: str) -> None:
    """wait ends when the condition, the JSON path or the deletion has come about, or says that it timed out."""
    kubectl.prints(
        "deployment.apps/web condition met", "wait", "--for=condition=Available", "deployment/web", "--timeout=60s"
    )
    path = "--for=jsonpath={.status.readyReplicas}=2"
    kubectl.prints("deployment.apps/web condition met", "wait", path, "deployment/web", "--timeout=60s")
    kubectl.prints(
        "error: timed out waiting for the condition on deployments/web",
        "wait", "--for=condition=Never", "deployment/web", "--timeout=1s", code=1,
    )  # fmt: skip
    kubectl.space.create(config_map("goes"))
    command = [kubectl.space.command, "--kubeconfig", str(kubectl.space.kubeconfig), "-n", kubectl.space.name]
    waiting = start([*command, "wait", "--for=delete", "configmap/goes", "--timeout=30s"], folder=Path.cwd())
    time.sleep(0.5)  # so that it waits when the object goes
    kubectl.space.delete("ConfigMap", "goes").ok()
    assert waiting.wait(seconds=30).succeeded().output.strip() == "configmap/goes condition met"
    kubectl.compared.add(kubectl.version, "wait --for=delete configmap/goes", "configmap/goes condition met")


def test_logs(kubectl: Kubectl, applied: str) -> None:
    """logs of a Pod, of a Deployment, with tail and prefix; -f ends with its container."""
    kubectl.prints("started", "logs", "deployment/web", part=True)  # of how many Pods: some may still be ending
    space = kubectl.space
    space.create(pod("speaks", container(space.image, "for n in 1 2 3; do echo $n; sleep 0.3; done"), restartPolicy="Never"))
    space.wait("Pod", "speaks", lambda one: one["status"].get("phase") != "Pending", "to start")
    kubectl.prints("1\n2\n3", "logs", "-f", "speaks")
    kubectl.prints("3", "logs", "speaks", "--tail=1")
    kubectl.prints("[pod/speaks/app] 3", "logs", "speaks", "--prefix", "--tail=1")
    said = f'error: error from server (NotFound): pods "nobody" not found in namespace "{space.name}"'
    kubectl.prints(said, "logs", "nobody", code=1)


def test_exec_and_cp(kubectl: Kubectl, applied: str, tmp_path: Path) -> None:
    """exec hands on output and exit code; cp copies both ways."""
    space = kubectl.space
    space.create(pod("shell", container(space.image)))
    space.ready("shell")
    kubectl.prints("hello", "exec", "shell", "--", "echo", "hello")
    kubectl.prints("command terminated with exit code 3", "exec", "shell", "--", "sh", "-c", "exit 3", code=3)
    source, back = tmp_path / "there.txt", tmp_path / "back.txt"
    source.write_text("text\n" * 1000)
    assert kubectl.run("cp", str(source), "shell:/tmp/there.txt") == ""
    kubectl.prints("1000 /tmp/there.txt", "exec", "shell", "--", "wc", "-l", "/tmp/there.txt")
    kubectl.run("cp", "shell:/tmp/there.txt", str(back))
    assert back.read_text() == source.read_text()
    kubectl.compared.add(kubectl.version, "cp there.txt shell:/tmp, and back", "")


def test_a_terminal(kubectl: Kubectl, applied: str) -> None:
    """exec -it and run --rm -it give a terminal of the size of one's own, and hand on the exit code; so debug -it."""
    image = kubectl.space.image
    kubectl.space.create(pod("console", container(image)))
    kubectl.space.ready("console")
    # the size comes a moment after the start
    script = "until stty size 2>/dev/null | grep -v '^0'; do sleep 0.1; done; read word; echo got $word; exit 5"
    code, output = kubectl.types("exec", "-it", "console", "--", "sh", "-c", script)
    assert code == 5 and "24 80" in output and "got typed" in output, output
    shell = ("--image", image, "--image-pull-policy=IfNotPresent", "--restart=Never", "--rm", "-it", "--")
    code, output = kubectl.types("run", "typed", *shell, "sh", "-c", "read word; echo got $word; exit 2")
    assert code == 2 and "got typed" in output and 'pod "typed" deleted' in output, output
    assert kubectl.space.find("Pod", "typed") is None
    look = ("--image", image, "--image-pull-policy=IfNotPresent", "--target=app", "--", "sh", "-c")
    _, output = kubectl.types("debug", "-it", "console", *look, "read word; ps; echo got $word")
    assert "got typed" in output and "trap" in output, output
    for command in ("exec -it console -- sh", "run typed --rm -it --restart=Never -- sh", "debug -it console -- sh"):
        kubectl.compared.add(kubectl.version, command, "got typed")


def test_run_and_attach(kubectl: Kubectl, applied: str) -> None:
    """run --rm -i hands stdin to its end, and the exit code; attach joins what runs; top is refused by name."""
    space = kubectl.space
    for name, script, code in (("eats", "wc -c", 0), ("fails", "sleep 1; echo out; exit 4", 4)):
        words = ["run", name, f"--image={space.image}", "--image-pull-policy=IfNotPresent", "--restart=Never", "--rm", "-i"]
        done = kubectl.piped("12345", *words, "--", "sh", "-c", script)
        assert done.returncode == code, done
        assert ("5" if name == "eats" else "out") in done.stdout.split() and f'pod "{name}" deleted' in done.stdout, done
        kubectl.compared.add(kubectl.version, " ".join(["run", name, "--rm", "-i"]), f'pod "{name}" deleted')
    space.create(pod("talks", container(space.image, "until [ -e /tmp/go ]; do sleep 0.1; done; echo said; sleep 1")))
    space.ready("talks")
    running = start(kubectl.command("attach", "talks"), folder=Path.cwd())
    try:
        running.wait_for("command prompt", seconds=30)
        # the prompt comes before the connection
        wait_until(lambda: kubectl.run("exec", "talks", "--", "touch", "/tmp/go") == "", "the sign")
        running.wait_for("said", seconds=30)
        assert running.wait(seconds=30).code == 0
    finally:
        running.end()
    kubectl.compared.add(kubectl.version, "attach talks", "said")
    if not REAL:
        kubectl.prints("error: Metrics API not available", "top", "pods", code=1)


@pytest.mark.parametrize("target", ["pod", "service/web", "deployment/web"])
def test_port_forward(kubectl: Kubectl, applied: str, target: str) -> None:
    """port-forward leads a local port to the Pod, several connections one after the other and at once."""
    space = kubectl.space
    if target == "pod":
        target = f"pod/{space.names('Pod', labelSelector='app=web', fieldSelector='status.phase=Running')[0]}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    remote = 80 if target.startswith("service") else 8080
    command = [space.command, "--kubeconfig", str(space.kubeconfig), "-n", space.name]
    running = start([*command, "port-forward", target, f"{port}:{remote}"], folder=Path.cwd())
    try:
        running.wait_for(f"Forwarding from 127.0.0.1:{port} -> 8080", seconds=30)
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=10) as answer:
                assert answer.read() == b"hello\n"
        first, second = (urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=10) for _ in range(2))
        assert first.read() == second.read() == b"hello\n"
        first.close()
        second.close()
    finally:
        running.end()
    kind = target.partition("/")[0]
    kubectl.compared.add(kubectl.version, f"port-forward {kind}/web", "Forwarding from 127.0.0.1:… -> 8080")


def test_explain(kubectl: Kubectl) -> None:
    """explain tells the kind, a field and its type."""
    kubectl.prints(
        "GROUP: apps\nKIND: Deployment\nVERSION: v1\nFIELD: replicas <integer>",
        "explain",
        "deployment.spec.replicas",
        part=True,
    )


def test_delete(kubectl: Kubectl) -> None:
    """delete says deleted and waits until the object is gone; an unknown one is an error unless that is ignored."""
    space = kubectl.space
    space.create(pod("gone", container(space.image)))
    space.running("gone")
    output = kubectl.run("delete", "pod", "gone", "--wait")
    assert output.startswith('pod "gone" deleted')
    assert space.find("Pod", "gone") is None
    kubectl.compared.add(kubectl.version, "delete pod gone --wait", 'pod "gone" deleted…')
    kubectl.prints('Error from server (NotFound): pods "gone" not found', "delete", "pod", "gone", code=1)
    assert kubectl.run("delete", "pod", "gone", "--ignore-not-found") == ""


def test_delete_namespace(kubectl: Kubectl, spaces: Callable[[str], Space]) -> None:
    """delete ns waits until everything in it is gone, and the namespace with it."""
    other = spaces("gone")
    other.create(deployment("web", container(other.image), replicas=1))
    wait_until(lambda: other.names("Pod"), "its Pod")
    kubectl.prints(f'namespace "{other.name}" deleted', "delete", "ns", other.name, part=True)
    assert other.api.get(f"/api/v1/namespaces/{other.name}").code == 404
    assert other.list("Pod") == []


CREATED = (
    "deployment d --image=a:1 --port=80 --replicas=0 -- sleep 1",
    "job j --image=a:1 -- date",
    "cronjob c --image=a:1 --schedule=*/5\u00a0*\u00a0*\u00a0*\u00a0*",
    "service nodeport s --tcp=80:http",
    "ingress i --rule=a.example/b*=s:80",
    "configmap c --from-literal=a=\u00e4 --from-literal=b=",
    "secret generic s --from-literal=a=1",
    "serviceaccount robot",
    "quota q --hard=pods=1,requests.cpu=500m",
    "pdb p --selector=a=b --min-available=50%",
    "rolebinding r --role=r --serviceaccount=default:robot",
    "namespace kfold-suite",
    "priorityclass kfold-suite --value=-5",
)


def test_what_is_created_without_a_file(kubectl: Kubectl) -> None:
    """create sends (since 1.32 as protobuf) what --dry-run=client prints: both make the same object."""
    server = {"uid", "creationTimestamp", "managedFields", "annotations"}

    def made(text: str) -> Any:
        """Without what differs between any two objects: times, and the UID that a Job's labels and selector have.

        Older kubectl also print `creationTimestamp: null` in templates; a server's warnings come before the object.
        """
        text = text[text.index("{") :]
        text = re.sub("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID", text)
        found = json.loads(text, object_pairs_hook=lambda pairs: {key: value for key, value in pairs if value is not None})
        found["metadata"] = {key: value for key, value in found["metadata"].items() if key not in server}
        for port in found.get("spec", {}).get("ports", []):
            port.pop("nodePort", None)
        return {**found, "spec": {key: value for key, value in found.get("spec", {}).items() if "clusterIP" not in key}}

    for line in CREATED:
        words = [word.replace("\u00a0", " ") for word in line.split(" ")]
        cut = words.index("--") if "--" in words else len(words)
        command = ["create", *words[:cut], "-o", "json"]
        sent = kubectl.run(*command, "--dry-run=server", *words[cut:])
        body = json.loads(kubectl.run(*command, "--dry-run=client", *words[cut:]))
        group, _, version = body["apiVersion"].rpartition("/")
        spread = "" if body["kind"] in ("Namespace", "PriorityClass") else f"/namespaces/{kubectl.space.name}"
        plural = re.sub("ss$", "sse", re.sub("y$", "ie", body["kind"].lower())) + "s"
        path = f"{'/apis/' + group if group else '/api'}/{version}{spread}/{plural}"
        answer = kubectl.space.api.post(path, body, dryRun="All", fieldManager="kubectl-create").ok()
        assert made(sent) == made(json.dumps(answer)), line
        kubectl.compared.add(kubectl.version, line, "as its manifest")
