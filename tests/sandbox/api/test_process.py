"""Up, down, status: the server as a process of its own, and what is left when it ends or is killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kfold.sandbox.files import engine_name
from tests.engine import REPOSITORY, Finished, docker, run
from tests.sandbox.conftest import RawApi, config_map, deployment, wait_for

pytestmark = pytest.mark.sandbox

Sandbox = Callable[..., Finished]


@pytest.fixture
def home(engine: str, tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
def name() -> str:
    return f"own-{os.getpid()}"


@pytest.fixture
def sandbox(home: Path, name: str) -> Iterator[Sandbox]:
    """`python -m kfold.sandbox`; what it made is gone at the end."""

    def call(*arguments: str, of: str = name, environment: dict[str, str] | None = None) -> Finished:
        command = [sys.executable, "-m", "kfold.sandbox", *arguments]
        if arguments[0] in ("up", "down", "status", "kubeconfig"):
            command += [f"--name={of}"]
        settings = os.environ | {"KFOLD_SANDBOX_HOME": str(home)} | (environment or {})
        return run(command, folder=REPOSITORY, environment=settings)

    yield call
    for folder in home.iterdir() if home.exists() else ():
        call("down", of=folder.name).succeeded()
    assert on_engine(engine_name(name, home)) == []


def on_engine(name: str) -> list[str]:
    """Everything that carries the label of a sandbox of that name, whatever its home (which the label's value
    ends with).
    """
    found = []
    for kind in ("container", "network", "volume", "image"):
        every = ["--all"] if kind in ("container", "image") else []
        identities = docker(kind, "ls", "--quiet", *every, "--filter", "label=dev.kfold.sandbox").split()
        for identity in identities:
            described = docker(kind, "inspect", identity, check=False)
            if f'"dev.kfold.sandbox": "{name}' in described:
                found.append(f"{kind} {identity}")
    return found


def status(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sandbox("status", "--json", **more).succeeded().output)
    return found


def test_up_is_ready_and_down_leaves_nothing(sandbox: Sandbox, home: Path, name: str) -> None:
    up = sandbox("up").succeeded()
    print(f"up took {up.seconds:.2f} s")
    assert f"context kfold-sandbox-{name}" in up.output
    kubeconfig = Path(sandbox("kubeconfig", "--path").succeeded().output.strip())
    api = RawApi(kubeconfig)
    assert api.get("/readyz").code == 200
    assert {"default", "kube-system", "kube-public"} <= {
        item["metadata"]["name"] for item in api.get("/api/v1/namespaces").ok()["items"]
    }
    assert on_engine(engine_name(name, home)), "the sandbox's network and image"
    assert sandbox("kubeconfig").succeeded().output == kubeconfig.read_text()
    assert sandbox("down").succeeded().output.strip() == f"sandbox {name} is down: nothing of it is left"
    assert on_engine(engine_name(name, home)) == []
    assert not (home / name).exists()
    assert sandbox("down").succeeded().output.strip() == f"there is no sandbox {name}"


def test_nobody_else_can_read_its_files(sandbox: Sandbox, home: Path, name: str) -> None:
    sandbox("up").succeeded()
    folder = home / name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_up_twice_is_one_server(sandbox: Sandbox) -> None:
    sandbox("up").succeeded()
    first = status(sandbox)
    assert first["running"] is True
    sandbox("up").succeeded()
    again = status(sandbox)
    assert (again["pid"], again["port"]) == (first["pid"], first["port"])


def test_objects_and_the_address_survive_a_kill(sandbox: Sandbox) -> None:
    sandbox("up").succeeded()
    kubeconfig = Path(sandbox("kubeconfig", "--path").succeeded().output.strip())
    before = kubeconfig.read_text()
    api = RawApi(kubeconfig)
    path = "/api/v1/namespaces/default/configmaps"
    api.post(path, config_map("gone")).ok()
    api.delete(f"{path}/gone").ok()
    kept = api.apply(f"{path}/conf", config_map(a="1")).ok()
    deployed = api.post("/apis/apps/v1/namespaces/default/deployments", deployment()).ok()
    sets = "/apis/apps/v1/namespaces/default/replicasets"
    owned = wait_for(lambda: api.get(sets).ok()["items"], text="the ReplicaSet")
    cluster = api.get("/api/v1/namespaces/kube-system").ok()["metadata"]["uid"]
    revision = int(api.get(path).ok()["metadata"]["resourceVersion"])
    os.kill(status(sandbox)["pid"], signal.SIGKILL)
    wait_for(lambda: status(sandbox)["running"] is False, text="the end of the server")
    sandbox("up").succeeded()
    assert kubeconfig.read_text() == before, "the same address, certificate and token"
    assert api.get(f"{path}/conf").ok() == kept
    assert api.get(f"{path}/gone").code == 404
    assert api.get("/api/v1/namespaces/kube-system").ok()["metadata"]["uid"] == cluster
    again = api.get("/apis/apps/v1/namespaces/default/deployments/web").ok()
    assert again["metadata"]["uid"] == deployed["metadata"]["uid"]
    assert [item["metadata"]["uid"] for item in api.get(sets).ok()["items"]] == [owned[0]["metadata"]["uid"]]
    # resource versions go on, and what was before the restart is told to be forgotten
    assert int(api.post(path, config_map("late")).ok()["metadata"]["resourceVersion"]) > revision
    (event,) = api.watch(path, resourceVersion=str(revision - 1), timeoutSeconds=1)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_down_cleans_up_after_a_killed_server(sandbox: Sandbox, home: Path, name: str) -> None:
    sandbox("up").succeeded()
    os.kill(status(sandbox)["pid"], signal.SIGKILL)
    assert on_engine(engine_name(name, home))
    sandbox("down").succeeded()
    assert on_engine(engine_name(name, home)) == []
    assert not (home / name).exists()


def test_a_pid_file_of_a_dead_server_kills_nobody(sandbox: Sandbox, home: Path, name: str) -> None:
    sandbox("up").succeeded()
    os.kill(status(sandbox)["pid"], signal.SIGKILL)
    wait_for(lambda: status(sandbox)["running"] is False, text="the end of the server")
    # the number now belongs to somebody else: this test
    recorded = home / name / "server.pid"
    recorded.write_text(json.dumps(json.loads(recorded.read_text()) | {"pid": os.getpid()}))
    sandbox("down").succeeded()
    assert not (home / name).exists()


def test_two_side_by_side(sandbox: Sandbox, name: str, home: Path) -> None:
    other = f"{name}-b"
    sandbox("up").succeeded()
    sandbox("up", of=other).succeeded()
    first, second = status(sandbox), status(sandbox, of=other)
    assert first["port"] != second["port"]
    assert first["context"] != second["context"]
    one, two = RawApi(Path(first["kubeconfig"])), RawApi(Path(second["kubeconfig"]))
    two.token = one.token
    assert two.get("/version").code == 401, "the token of one is none of the other"
    sandbox("down", of=other).succeeded()
    assert on_engine(engine_name(other, home)) == []
    assert one.get("/readyz").code == 200


def test_the_server_is_not_in_the_terminals_group(sandbox: Sandbox) -> None:
    sandbox("up").succeeded()
    pid = status(sandbox)["pid"]
    assert os.getsid(pid) == pid


def test_down_ends_open_watches_and_is_quick(sandbox: Sandbox) -> None:
    sandbox("up").succeeded()
    api = RawApi(Path(status(sandbox)["kubeconfig"]))
    connection = api.connect()
    connection.request("GET", "/api/v1/namespaces?watch=1", headers={"Authorization": f"Bearer {api.token}"})
    response = connection.getresponse()
    assert json.loads(response.readline())["type"] == "ADDED"
    began = time.monotonic()
    sandbox("down").succeeded()
    assert time.monotonic() - began < 15
    connection.close()


def test_status_and_kubeconfig_of_what_is_not_there(sandbox: Sandbox, name: str) -> None:
    assert status(sandbox) == {
        "name": name,
        "running": False,
        "pid": 0,
        "port": 0,
        "kubeconfig": "",
        "context": f"kfold-sandbox-{name}",
        "services": "",
        "services_problem": "",
    }
    assert sandbox("status").code == 1
    refused = sandbox("kubeconfig").failed(1)
    assert "has no kubeconfig" in refused.output
    assert "kfold sandbox up" in refused.output


@pytest.mark.parametrize("bad", ["", "A", "../x", "a/b", "-a", "a" * 60, "a b"])
def test_bad_names_are_refused(sandbox: Sandbox, home: Path, bad: str) -> None:
    refused = sandbox("up", of=bad).failed(1)
    assert "is no name for a sandbox" in refused.output
    assert not home.exists() or list(home.iterdir()) == []


def test_usage_errors_are_2(sandbox: Sandbox) -> None:
    assert "invalid choice: 'sideways'" in sandbox("sideways").failed(2).output
    assert "unrecognized arguments: --nothing" in sandbox("up", "--nothing").failed(2).output


def test_without_an_engine_it_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    refused = sandbox("up", environment=nowhere).failed(1)
    assert f"no Docker Engine answers on {tmp_path}/no.sock" in refused.output
    assert "start Docker, or set DOCKER_HOST" in refused.output
    assert "Traceback" not in refused.output
    assert status(sandbox)["running"] is False


def test_a_damaged_database_is_named(sandbox: Sandbox, home: Path, name: str) -> None:
    folder = home / name
    folder.mkdir(parents=True, mode=0o700)
    (folder / "objects.db").write_bytes(b"this is no database" * 100)
    refused = sandbox("up").failed(1)
    assert "objects.db" in refused.output
