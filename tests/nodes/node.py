"""Nodes as kind and k3d make them: containers with a containerd of their own, on the real engine. There is no kubelet."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine import REPOSITORY, docker, image_ids, run, wait_until

# `docker run --privileged` wants CAP_SYS_RESOURCE, which not every machine gives away. This is what is needed of it.
FLAGS = [
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--cgroupns", "host", "--network", "none"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--device-cgroup-rule", "c *:* rwm", "--device-cgroup-rule", "b *:* rwm"),
    *("-v", "/sys/fs/cgroup:/sys/fs/cgroup", "--tmpfs", "/run:exec", "--tmpfs", "/tmp:exec"),
]


@dataclass(frozen=True)
class TestNode:
    """A node. `id`: its container's; `state()` is read through the node's own ctr, not through what is under test."""

    __test__ = False
    name: str
    id: str
    cluster: str
    kind: str

    def ctr(self, *arguments: str, input: bytes | None = None, check: bool = True) -> str:
        interactive = ["-i"] if input is not None else []
        return docker("exec", *interactive, self.id, "ctr", "-n", "k8s.io", *arguments, input=input, check=check)

    def images(self) -> dict[str, str]:
        """Every name -> the digest that it points at."""
        return _names(self.ctr("images", "ls"))

    def state(self) -> dict[str, list[str]]:
        """All that images leave in a node: names, contents, snapshots, leases, kept things. Asked at once: a program that
        is started in a container takes more of a processor than ctr does."""
        script = "for what in images content snapshots leases; do ctr -n k8s.io $what ls || exit; echo that is all; done"
        images, listed, snapshots, leases, _ = docker("exec", self.id, "sh", "-c", script).split("that is all\n")
        content = [line.split("\t") for line in listed.splitlines()[1:]]
        return {
            "names": sorted(f"{name} = {digest}" for name, digest in _names(images).items()),
            "content": sorted(row[0] for row in content),
            "kept": sorted(row[0] for row in content if "containerd.io/gc.root" in row[-1]),
            "snapshots": sorted(line.split()[0] for line in snapshots.splitlines()[1:]),
            "leases": leases.splitlines()[1:],
        }

    def save(self, image: str) -> None:
        """What `kind load docker-image` does."""
        saved = subprocess.run(["docker", "save", image], check=True, capture_output=True, timeout=60).stdout
        self.ctr("images", "import", "-", input=saved)

    def wait(self) -> None:
        """Until containerd answers, the CRI in it too."""

        def answers() -> bool:
            plugins = self.ctr("plugins", "ls", check=False).splitlines()
            return any(row[1] == "cri" and row[-1] == "ok" for line in plugins if len(row := line.split()) > 3)

        wait_until(answers, f"containerd in {self.name}", tell=self.log)

    def log(self) -> str:
        return docker("exec", self.id, "tail", "-n", "20", "/var/log/containerd.log", check=False)

    def stop_containerd(self) -> None:
        docker("exec", self.id, "sh", "-c", "touch /run/stopped; kill $(cat /run/containerd.pid)")
        wait_until(lambda: not re.search(r" containerd$", docker("exec", self.id, "ps"), re.MULTILINE), "containerd's end")

    def start_containerd(self) -> None:
        docker("exec", self.id, "rm", "-f", "/run/stopped")
        self.wait()


def _names(listed: str) -> dict[str, str]:
    rows = (line.split() for line in listed.splitlines()[1:])
    return {row[0]: row[2] for row in rows}


@contextmanager
def node(image: str, cluster: str, kind: str = "kind", suffix: str = "control-plane", *flags: str) -> Iterator[TestNode]:
    """One node of a cluster. k3d: `suffix` is `server-0`, `agent-0`; it calls its containers `k3d-CLUSTER-server-0`."""
    name = f"{cluster}-{suffix}" if kind == "kind" else f"k3d-{cluster}-{suffix}"
    labels = {
        "kind": {"io.x-k8s.kind.cluster": cluster, "io.x-k8s.kind.role": suffix.rstrip("0123456789")},
        "k3d": {"app": "k3d", "k3d.cluster": cluster, "k3d.role": suffix.partition("-")[0]},
    }[kind]
    options = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    id_ = docker("run", "-d", "--init", "--name", name, "--hostname", name, *FLAGS, *options, *flags, image).strip()
    try:
        made = TestNode(name, id_, cluster, kind)
        made.wait()
        yield made
    finally:
        docker("rm", "-f", "-v", id_)


def make_node_image(name: str, release: str) -> None:
    """The image of a node with that Debian release's containerd. Skips where it cannot be had."""
    done = run([sys.executable, REPOSITORY / "scripts" / "node-image", name, release], folder=REPOSITORY, seconds=200)
    if done.code:
        message = f"no image of a node: {done.output.strip()}"
        if os.environ.get("KFOLD_TEST_ENGINE") == "required":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def node_image(release: str) -> Iterator[str]:
    """One for as long as it is needed."""
    name = f"kfold-test-node-{release}:{os.getpid()}"
    make_node_image(name, release)
    try:
        yield name
    finally:
        docker("rmi", name)


class NodeImages:
    """One image of a release for all processes of a run of the tests: to make it takes 10 s of a processor. The process
    that began the run removes them in the end."""

    VARIABLE = "KFOLD_TEST_RUN"

    @classmethod
    def begin(cls) -> None:
        """To be called before there are other processes (-n)."""
        os.environ.setdefault(cls.VARIABLE, str(os.getpid()))

    @classmethod
    def image(cls, release: str) -> str:
        name = f"kfold-test-node-{release}:{os.environ[cls.VARIABLE]}"
        with (Path(tempfile.gettempdir()) / name.replace(":", "-")).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not image_ids(name):
                make_node_image(name, release)
        return name

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput") or os.environ[self.VARIABLE] != str(os.getpid()):
            return
        for lock in Path(tempfile.gettempdir()).glob(f"kfold-test-node-*-{os.getpid()}"):
            docker("rmi", "{0}:{2}".format(*lock.name.rpartition("-")), check=False)
            lock.unlink()


@pytest.fixture(scope="session")
def old_node_image(engine: str) -> str:
    """containerd 1.6."""
    return NodeImages.image("bookworm")


@pytest.fixture(scope="session")
def new_node_image(engine: str) -> str:
    """containerd 2."""
    return NodeImages.image("sid")


def cluster_name() -> str:
    return f"kft{os.getpid()}-{uuid.uuid4().hex[:4]}"


@pytest.fixture(scope="session")
def two_nodes(old_node_image: str, new_node_image: str) -> Iterator[tuple[TestNode, TestNode]]:
    """Two nodes of one kind cluster, with the containerds of two ages. Who uses them leaves them as they were."""
    cluster = cluster_name()
    with ExitStack() as stack:
        yield (
            stack.enter_context(node(old_node_image, cluster)),
            stack.enter_context(node(new_node_image, cluster, "kind", "worker")),
        )


