"""An API server that is killed in the middle, and comes back with what it had; then all is taken back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ProjectFactory
from tests.crash import points
from tests.crash.killer import lives
from tests.crash.killing import killed, killing, moments
from tests.crash.own_engine import OwnEngine
from tests.engine import Project, run, wait_until
from tests.images.lab import require_builder
from tests.scenarios.application import Api, Object, Sandbox, config_map, own_sandbox, workload

WATCHING = "Watching for changes..."
KINDS = ("api/v1/namespaces", "api/v1/configmaps", "api/v1/secrets", "apis/apps/v1/deployments", "apis/apps/v1/replicasets")


@dataclass
class Server:
    """A sandbox, whose server may be killed and started again. `pid`: the server's."""

    sandbox: Sandbox
    kubeconfig: Path = field(init=False)
    api: Api = field(init=False)
    pid: int = 0

    def __post_init__(self) -> None:
        self.kubeconfig = self.sandbox.kubeconfig
        self.api = Api(self.kubeconfig)
        self._find()

    def start(self) -> None:
        self.sandbox.run("up")
        self._find()

    def _find(self) -> None:
        self.pid = int(json.loads((self.kubeconfig.parent / "server.pid").read_text())["pid"])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        wait_until(self.ended, "the server's end")

    def ended(self) -> bool:
        return not lives(self.pid)

    def objects(self) -> dict[str, Object]:
        """All objects of some kinds, but for what is another one after each write."""
        found = {}
        for kind in KINDS:
            for item in self.api.get(f"/{kind}")["items"]:
                metadata = {key: item["metadata"].get(key) for key in ("uid", "labels", "annotations", "finalizers")}
                content = {key: value for key, value in item.items() if key not in ("metadata", "status")}
                name = f"{kind} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
                found[name] = {**content, "metadata": metadata}
        return found


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # not among its fixtures by name: a test that needs an engine of its own too may skip where one is required
    request.getfixturevalue("engine")
    # no Pods run here, so its Services need no container
    environment = {**os.environ, "KFOLD_SANDBOX_SERVICES": "aliases"}
    with own_sandbox(tmp_path_factory.mktemp("restarted"), environment) as sandbox:
        made = Server(sandbox)
        yield made
        made.api.close()
        if made.ended():
            made.start()


def shop(project: ProjectFactory, server: Server) -> Project:
    """Five objects: one in a namespace of the project's own, and one that was there before."""
    made = project()
    made.environment["KUBECONFIG"] = str(server.kubeconfig)
    head = {"apiVersion": "kfold/v1", "kind": "Config", "metadata": {"name": "restarts"}}
    made.write("kfold.yaml", json.dumps({**head, "manifests": {"rawYaml": ["k8s/*"]}}))
    objects: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "inner"}},
        config_map("inside", {"a": "1"}, namespace="inner"),
        config_map("theirs", {"a": "ours"}),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"a": "1"}},
        workload("Deployment", "web", {"name": "c", "image": "none"}, replicas=0),
    ]
    for number, item in enumerate(objects):
        made.write(f"k8s/{number}.json", json.dumps(item))
    theirs = made.write("theirs.json", json.dumps(config_map("theirs", {"a": "theirs"}, namespace="default")))
    run(["kubectl", "apply", "-f", theirs], folder=made.folder, environment=made.environment).succeeded()
    return made


def away(output: str, server: Server) -> None:
    """It says where, what, and what to do next."""
    assert "does not answer: Connection refused" in output and "https://127.0.0.1:" in output, output
    assert f"`kfold sandbox up --name {server.sandbox.name}`" in output, output


@pytest.mark.sandbox
def test_killed_in_the_middle(server: Server, project: ProjectFactory) -> None:
    """Of a deploy, with some objects applied, and of a delete, with some gone; the same again goes on from there."""
    made = shop(project, server)
    before = server.objects()
    # the namespace stands, and what is in it is about to
    deployed, reached = killed(made, 8, "deploy", victim=server.pid)
    away(deployed.failed().output, server)
    assert reached[7].startswith("done object") and 'namespace "inner" created' in deployed.output, deployed.output
    server.start()
    inner, word, web = "api/v1/namespaces /inner", "api/v1/secrets default/word", "apis/apps/v1/deployments default/web"
    held = server.objects()
    assert inner in held and word not in held, held
    made.doit("deploy").succeeded()
    assert {inner, word, web} <= set(server.objects())

    deleted, reached = killed(made, 4, "delete", victim=server.pid)
    away(deleted.failed().output, server)
    assert reached[3].startswith("gone object") and '"web" deleted' in deleted.output, deleted.output
    assert "`doit delete` goes on from here" in deleted.output, deleted.output
    away(made.doit("delete").failed().output, server)
    server.start()
    held = server.objects()
    assert web not in held and inner in held, held
    output = made.doit("delete").succeeded().output
    assert server.objects() == before and not (made.folder / ".kfold").exists(), output


def test_killed_while_dev_watches(server: Server, own_engine: OwnEngine, project: ProjectFactory) -> None:
    """The API server, then the engine: each time an iteration fails and says why, and the next one succeeds. At the end both
    are away: how to go on is told, and does it when they are there again."""
    require_builder("buildkit")
    made = shop(project, server)
    before, images = server.objects(), own_engine.state()
    made.environment |= own_engine.environment
    build = {"tagPolicy": {"sha256": {}}, "artifacts": [{"image": "web", "context": "web"}]}
    made.write("kfold.yaml", json.dumps({**json.loads(made.read("kfold.yaml")), "build": build}))
    made.write("web/Dockerfile", f"FROM {own_engine.base_image()}\nCOPY a.txt /\n")
    made.write("web/a.txt", "1")
    dev = made.start_doit("dev")

    def iteration(after: int, *told: str) -> tuple[int, str]:
        """Wait for the end of one; the offset behind it, and what it said."""
        end = dev.wait_for(WATCHING, after=after)
        return end, dev.output[after:end]

    end, _ = iteration(0)
    server.kill()
    made.write("k8s/5.json", json.dumps(config_map("more", {"a": "1"})))
    end, said = iteration(end)
    away(said, server)
    server.start()
    made.write("k8s/5.json", json.dumps(config_map("more", {"a": "2"})))
    end, said = iteration(end)
    assert 'configmap "more" created' in said, said

    own_engine.stop()
    made.write("web/a.txt", "2")
    end, said = iteration(end)
    assert "the Docker Engine does not answer" in said and "systemctl start docker" in said, said
    own_engine.start()
    made.write("web/a.txt", "3")
    end, said = iteration(end)
    assert "Build [web] succeeded" in said and len(own_engine.state().images - images.images) == 2, said

    server.kill()
    own_engine.stop()
    dev.interrupt()
    ended = dev.wait().failed()
    away(ended.output[end:], server)
    assert "`doit delete` and `doit prune` go on from here" in ended.output[end:], ended.output
    server.start()
    own_engine.start()
    for command in (["delete"], ["prune", "--all"]):
        output = made.doit(*command).succeeded().output
    assert server.objects() == before and images.difference(own_engine.state()) == [], output
    assert not (made.folder / ".kfold").exists(), output


@pytest.mark.sandbox
@pytest.mark.parametrize("command", ["deploy", "delete"])
@pytest.mark.parametrize("back", [False, True], ids=["away", "back at once"])
def test_killed_at_the_moments_of_the_ledger(server: Server, project: ProjectFactory, command: str, back: bool) -> None:
    made = shop(project, server)
    before = server.objects()
    moment = 1
    while True:
        if command == "delete":
            made.doit("deploy").succeeded()
        pid = server.pid
        running = killing(made, moment, command, victim=pid)
        process = running.process
        wait_until(lambda process=process: server.ended() or process.poll() is not None, "an end")  # type: ignore[misc]
        if back and server.ended():
            server.start()
        done = running.wait()
        assert "Traceback" not in done.output and done.code in (0, 1), done.output
        if server.ended():
            server.start()
        if server.pid == pid:
            break
        if command == "deploy" and moment % 2:
            made.doit("deploy").succeeded()
        output = made.doit("delete").succeeded().output
        assert server.objects() == before and not (made.folder / ".kfold").exists(), output
        points.survived(f"{command} (API server)", moments(made)[moment - 1])
        moment += points.step()
    assert moment > 15
    made.doit("delete").succeeded()
    assert server.objects() == before
