"""The same verdicts on objects of a running cluster: real Pods in real containers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfold.stores import kubeconfig
from kfold.stores.cluster import Cluster, ObjectRef
from kfold.verbs.readiness import Verdict, verdict
from tests.conftest import Cluster as RunningCluster


@dataclass
class Place:
    """A namespace of a running cluster, and an image that it can run."""

    store: Cluster
    namespace: str
    image: str

    def apply(self, manifest: dict[str, Any]) -> ObjectRef:
        manifest["metadata"]["namespace"] = self.namespace
        return self.store.apply(manifest).ref

    def judge(self, ref: ObjectRef) -> Verdict:
        obj = self.store.get(ref)
        assert obj is not None
        sets = [state.raw for state in self.store.list_kind("apps/v1", "ReplicaSet", self.namespace)]
        return verdict(obj, self.store.pods(self.namespace), self.store.events(self.namespace), replica_sets=sets)

    def until(self, ref: ObjectRef, reached: Callable[[Verdict], bool], seconds: float = 60.0) -> Verdict:
        end = time.monotonic() + seconds
        while not reached(found := self.judge(ref)):
            assert time.monotonic() < end, f"still {found}"
            time.sleep(0.1)
        return found


@pytest.fixture
def place(sandbox_cluster: RunningCluster, base_image: str, tmp_path: Path) -> Iterator[Place]:
    store = Cluster(kubeconfig.load({}, paths=[sandbox_cluster.kubeconfig]).context(), cache=tmp_path)
    name = f"ready-{uuid.uuid4().hex[:8]}"
    space = store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Place(store, name, base_image)
    assert store.delete(space.ref, uid=space.uid) == "requested"
    end = time.monotonic() + 60
    while store.get(space.ref) is not None:
        assert time.monotonic() < end, f"namespace {name} stays"
        time.sleep(0.1)
    store.close()


def pod(place: Place, script: str, *, restart: str = "Always", image: str = "") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
            # with a grace period of 0 the object goes before its container does
            "spec": {"restartPolicy": restart, "terminationGracePeriodSeconds": 1, "containers": [
                {"name": "web", "image": image or place.image, "imagePullPolicy": "IfNotPresent",
                 "command": ["/bin/busybox", "sh", "-c", script]}]}}


def deployment(place: Place, script: str, *, replicas: int = 1, image: str = "") -> dict[str, Any]:
    template = pod(place, script, image=image)["spec"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                     "template": {"metadata": {"labels": {"app": "web"}}, "spec": template}}}


FOREVER = "echo started; exec /bin/busybox sleep 100000"


def test_a_deployment_becomes_ready_and_again_after_a_change(place: Place) -> None:
    ref = place.apply(deployment(place, FOREVER, replicas=2))
    assert place.judge(ref).state == "pending"
    place.until(ref, lambda found: found.state == "ready")
    assert len(place.store.pods(place.namespace, "app=web")) == 2
    place.apply(deployment(place, f": changed; {FOREVER}", replicas=2))
    assert place.judge(ref).state == "pending", "a change is not ready before its Pods are new"
    place.until(ref, lambda found: found.state == "ready")
    for one in place.store.pods(place.namespace, "app=web"):
        if not one["metadata"].get("deletionTimestamp"):
            assert "changed" in one["spec"]["containers"][0]["command"][-1]


def test_a_crash_loop_fails_with_the_last_lines(place: Place) -> None:
    ref = place.apply(deployment(place, "echo cannot go on; exit 7"))
    found = place.until(ref, lambda found: found.state == "failed")
    assert "backing off" in found.reason and "exit code 7" in found.reason and found.exit_code == 7
    assert found.logs_wanted is not None
    lines = list(place.store.logs(place.namespace, found.logs_wanted.pod, found.logs_wanted.container,
                                  previous=found.logs_wanted.previous, tail=10))
    assert lines == [b"cannot go on"]


def test_an_image_that_cannot_be_pulled_fails_while_the_old_pod_still_runs(place: Place) -> None:
    ref = place.apply(deployment(place, FOREVER))
    place.until(ref, lambda found: found.state == "ready")
    place.apply(deployment(place, FOREVER, image="registry.invalid/none/web:1"))
    found = place.until(ref, lambda found: found.state == "failed")
    assert "registry.invalid/none/web:1 can't be pulled" in found.reason
    assert found.image == "registry.invalid/none/web:1"
    running = [one for one in place.store.pods(place.namespace, "app=web") if one["status"]["phase"] == "Running"]
    assert len(running) == 1


def test_a_pod_that_ends_well_or_badly(place: Place) -> None:
    ref = place.apply(pod(place, "exit 0", restart="Never"))
    end = time.monotonic() + 30
    while (place.store.get(ref) or {})["status"]["phase"] != "Succeeded":
        assert time.monotonic() < end, "the Pod does not end"
        time.sleep(0.1)
    assert place.judge(ref).state == "ready"
    bad = pod(place, "echo why; exit 3", restart="Never")
    bad["metadata"]["name"] = "bad"
    found = place.until(place.apply(bad), lambda found: found.state == "failed")
    assert found.exit_code == 3 and found.logs_wanted == ("bad", "web", False)


def test_jobs(place: Place) -> None:
    def job(name: str, script: str) -> dict[str, Any]:
        template = pod(place, script, restart="Never")["spec"]
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
                "spec": {"backoffLimit": 0, "template": {"spec": template}}}

    good, bad = place.apply(job("good", "exit 0")), place.apply(job("bad", "echo why; exit 5"))
    place.until(good, lambda found: found.state == "ready")
    found = place.until(bad, lambda found: found.state == "failed")
    assert "BackoffLimitExceeded" in found.reason and found.exit_code == 5


def test_logs_follow_until_closed(place: Place) -> None:
    ref = place.apply(pod(place, "i=0; while :; do i=$((i+1)); echo line $i; /bin/busybox sleep 0.2; done"))
    place.until(ref, lambda found: found.state == "ready")
    stream = place.store.logs(place.namespace, "one", "web", follow=True)
    lines: list[bytes] = []
    enough = threading.Event()

    def read() -> None:
        for line in stream:
            lines.append(line)
            if len(lines) >= 5:
                enough.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert enough.wait(20)
    stream.close()
    thread.join(10)
    assert not thread.is_alive()
    assert lines[:5] == [b"line %d" % number for number in range(1, 6)]
    assert len(list(place.store.logs(place.namespace, "one", "web", tail=2))) == 2
    stamped = list(place.store.logs(place.namespace, "one", "web", tail=1, timestamps=True))
    assert stamped[0].startswith(b"20") and b" line " in stamped[0]
    later = list(place.store.logs(place.namespace, "one", "web", since_time="2099-01-01T00:00:00Z"))
    assert later == []
