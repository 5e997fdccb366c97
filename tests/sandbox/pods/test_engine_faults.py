"""An engine that refuses, breaks off, or is gone for a while: Pods come in the end or say why, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kfold.errors import StoreError
from kfold.sandbox.kubelet import Engine, socket_path
from tests.conftest import Cluster
from tests.engine import docker, wait_until
from tests.sandbox.pods.conftest import Space, closing_client
from tests.sandbox.pods.test_process import Sandbox


class Faulty:
    """A unix socket in front of the engine's. Each rule is (pattern of "METHOD PATH", fault), and is used once.

    Faults: an HTTP status is answered in the engine's place; "lost": the engine acts, and its answer is lost; "dropped": the
    connection ends before the engine hears of it; "silent": nobody answers.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.engine = path, socket_path()
        self.rules: list[tuple[str, int | str]] = []
        self.used: list[str] = []
        self.away = False
        self._serving: set[asyncio.Task[None] | None] = set()  # asyncio itself holds them weakly
        self._up, self._thread = threading.Event(), threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_unix_server(self._serve, str(self.path)):
            self._up.set()
            await self._end.wait()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:  # connections that are still open
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def __enter__(self) -> Faulty:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def fault(self, request: str) -> int | str | None:
        for rule in self.rules:
            if re.search(rule[0], request):
                self.rules.remove(rule)
                self.used.append(request)
                return rule[1]
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            fault = "dropped" if self.away else self.fault(head.split(b" HTTP/", 1)[0].decode())
            if fault == "dropped":
                return
            if fault == "silent":
                await asyncio.sleep(60)
            if isinstance(fault, int):
                body = b'{"message":"a fault of the test"}'
                said = f"HTTP/1.1 {fault} Fault\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(said.encode() + b"Connection: close\r\n\r\n" + body)
                await writer.drain()
                return
            behind, before = await asyncio.open_unix_connection(str(self.engine))
            if b"\r\nConnection:" not in head:  # a connection for each request: the next one is looked at too
                head = head[:-2] + b"Connection: close\r\n\r\n"
            before.write(head)
            there = asyncio.create_task(_copy(reader, before))
            try:
                await _copy(behind, None if fault == "lost" else writer)
            finally:
                there.cancel()
                before.close()
                await asyncio.gather(there, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter | None) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            if target:
                target.write(piece)
                await target.drain()
        if target and target.can_write_eof():
            target.write_eof()


@pytest.fixture
def faulty(engine: str, tmp_path: Path) -> Iterator[Faulty]:
    with Faulty(tmp_path / "engine.sock") as found:
        yield found


@pytest.fixture
def sandbox(faulty: Faulty, tmp_path: Path) -> Iterator[Sandbox]:
    found = Sandbox(tmp_path / "home")
    # without the Services' container: only what belongs to Pods is looked at here
    found.environment |= {"DOCKER_HOST": f"unix://{faulty.path}", "KFOLD_SANDBOX_SERVICES": "aliases"}
    found("up")
    yield found
    found("down")
    assert found.left() == ""


@pytest.fixture
def inside(sandbox: Sandbox, base_image: str) -> Iterator[Space]:
    kubeconfig = Path(sandbox("kubeconfig", "--path").strip())
    for client in closing_client(kubeconfig):
        yield Space(client, Cluster(kubeconfig, "", {"KUBECONFIG": str(kubeconfig)}), "default", base_image)


def told(space: Space, name: str, reason: str = "") -> list[str]:
    """The messages of a Pod's Events, of all reasons or one."""
    found = space.core.list_namespaced_event("default", field_selector=f"involvedObject.name={name}").items
    return [event.message for event in found if reason in ("", event.reason)]


def test_pods_get_there_through_the_faults_of_an_engine(faulty: Faulty, sandbox: Sandbox, inside: Space) -> None:
    assert wait_until(lambda: sandbox.status()["services"], "the Services") == "aliases"
    server = sandbox.status()["pid"]
    faulty.rules += [
        (r"POST \S*create\?name=k8s_POD_refused_", 500),
        (r"POST \S*create\?name=k8s_POD_lost_", "lost"),
        (r"POST \S*create\?name=k8s_app_lost_", "lost"),
        (r"POST \S*create\?name=k8s_app_dropped_", "dropped"),
        (r"POST \S*create\?name=k8s_app_taken_", 409),
        (r"POST \S*create\?name=k8s_side_sidecar_", "dropped"),
        (r"PUT \S*/archive", "lost"),
        (r"GET \S*/containers/\w{64}/json", 500),
    ]
    names = ["refused", "lost", "dropped", "taken", "sidecar"]
    for name in names:
        side = [{**inside.container(name="side"), "restartPolicy": "Always"}] if name == "sidecar" else None
        inside.pod(name, inside.container(name="app"), **({"initContainers": side} if side else {}))
    for name in names:
        inside.wait(name, lambda pod: pod["status"]["phase"] == "Running", "to run", seconds=60)  # 10 s after a 409
    assert not faulty.rules, "a fault that nothing ran into"
    for name, reason in (("refused", "FailedCreatePodSandBox"), ("dropped", "FailedSync"), ("sidecar", "FailedSync")):
        assert told(inside, name, reason), f"{name}: {told(inside, name)}"
    assert any("a fault of the test" in message for message in told(inside, "taken", "Failed")), told(inside, "taken")
    mine = f"label=dev.kfold.sandbox={sandbox.engine_name}"
    for name in names:  # what was made and not heard of is gone: one sandbox and the containers of each
        there = docker("ps", "-aq", "--filter", mine, "--filter", f"label=io.kubernetes.pod.name={name}").split()
        assert len(there) == (3 if name == "sidecar" else 2), name
    # the engine is gone for a while: the API answers on, and what is asked for comes when it is back
    faulty.away = True
    inside.pod("late")
    wait_until(lambda: told(inside, "late", "FailedCreatePodSandBox"), "the reason", tell=lambda: str(told(inside, "late")))
    assert "Docker Engine" in told(inside, "late", "FailedCreatePodSandBox")[0]
    faulty.away = False
    inside.wait("late", lambda pod: pod["status"]["phase"] == "Running", "to run", seconds=60)
    faulty.rules += [
        (r"POST \S*/stop", 500),
        (r"POST \S*/disconnect", 500),
        (r"DELETE \S*/containers/", 409),
        (r"DELETE \S*/containers/", "lost"),
    ]
    for name in (*names, "late"):
        inside.core.delete_namespaced_pod(name, "default", grace_period_seconds=1)
    wait_until(lambda: not inside.pods(), "the end of the Pods", seconds=60)
    assert not faulty.rules
    assert not docker("ps", "-aq", "--filter", mine, "--filter", "label=io.kubernetes.pod.uid").strip()
    assert sandbox.status()["pid"] == server


def test_an_engine_that_says_nothing_is_not_waited_for_for_ever(faulty: Faulty) -> None:
    async def said() -> list[str]:
        engine, found = Engine(faulty.path, patience=0.3), list[str]()
        await engine.open()
        try:
            for fault in ("silent", "dropped", "lost"):
                faulty.rules.append(("POST ", fault))
                with pytest.raises(StoreError) as refused:
                    await engine.call("POST", "/containers/none/start")
                found.append(str(refused.value))
        finally:
            await engine.close()
        return found

    silent, dropped, lost = asyncio.run(said())
    assert silent == "the Docker Engine did not answer POST /containers/none/start in 0.3 s"
    assert "does not answer" in dropped and "does not answer" in lost
