"""Small applications in a namespace of their own, and what the world holds of them.

Everything of one application carries its unique name (image, config, namespace, project folder), so that its part of a
shared engine can be told from everybody else's.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import re
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Cluster, ProjectFactory
from tests.engine import (
    REPOSITORY,
    EngineState,
    Finished,
    Project,
    Running,
    ask_engine,
    docker,
    engine_state,
    run,
    wait_until,
)

Object = dict[str, Any]

PATHS = {
    "pods": "api/v1",
    "configmaps": "api/v1",
    "secrets": "api/v1",
    "services": "api/v1",
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "daemonsets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
}

LOOP = """\
#!/bin/sh
# The first process of a container ignores SIGTERM unless it says otherwise.
trap 'exit 0' TERM INT
while true; do
    cat /app/greeting.txt
    sleep 0.5 &
    wait $!
done
"""


class Api:
    """An API server, asked over plain HTTPS: never through what is under test."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        server, authority = (config["clusters"][0]["cluster"][key] for key in ("server", "certificate-authority-data"))
        context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
        self._connection = http.client.HTTPSConnection(server.removeprefix("https://"), context=context, timeout=30)
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}

    def get(self, path: str) -> Any:
        """The answer to a GET; None where the server says 404."""
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            # the server closed a connection that was idle
            self._connection.close()
            return self.get(path)
        if answer.status == 404:
            return None
        assert answer.status == 200, f"{path}: {answer.status} {body!r}"
        return json.loads(body)

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class Place:
    """A namespace of the shared sandbox."""

    name: str
    cluster: Cluster
    api: Api

    def list(self, plural: str) -> list[Object]:
        """All objects of a kind in this namespace."""
        found: list[Object] = self.api.get(f"/{PATHS[plural]}/namespaces/{self.name}/{plural}")["items"]
        return found

    def object(self, plural: str, name: str) -> Object | None:
        """One object, or None."""
        found: Object | None = self.api.get(f"/{PATHS[plural]}/namespaces/{self.name}/{plural}/{name}")
        return found

    def there(self, plural: str, name: str) -> Object:
        """One object that must be there."""
        found = self.object(plural, name)
        assert found is not None, f"{plural}/{name} is not in {self.name}: {self.held()}"
        return found

    def held(self) -> dict[str, str]:
        """What the namespace holds: `plural/name` -> UID and resourceVersion, so that any write to it shows."""
        return {
            f"{plural}/{item['metadata']['name']}": f"{item['metadata']['uid']} {item['metadata']['resourceVersion']}"
            for plural in PATHS
            for item in self.list(plural)
            if item["metadata"]["name"] != "kube-root-ca.crt"  # every namespace has it from the cluster
        }

    def kubectl(self, *arguments: str) -> Finished:
        """The real kubectl, in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *arguments)

    def end(self) -> None:
        """Delete the namespace and wait until its Pods are gone: they use images that go next."""
        self.cluster.kubectl("delete", "namespace", self.name, "--ignore-not-found", seconds=90).succeeded()

    def apply(self, *manifests: Object) -> None:
        """Somebody else's hands: `kubectl apply` of manifests."""
        file = self.cluster.kubeconfig.parent / f"{self.name}.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
        self.kubectl("apply", "-f", str(file)).succeeded()


_numbers = itertools.count(1)


def unique(word: str) -> str:
    """A name that nothing else on this engine has."""
    return f"kft-{os.getpid()}-{next(_numbers)}-{word}"


@pytest.fixture(scope="session")
def api(sandbox_cluster: Cluster) -> Iterator[Api]:
    """The shared sandbox's API."""
    made = Api(sandbox_cluster.kubeconfig)
    yield made
    made.close()


@dataclass(frozen=True)
class Sandbox:
    """An embedded cluster of one test alone."""

    name: str
    environment: dict[str, str]

    def run(self, *arguments: str) -> Finished:
        """`kfold sandbox ARGUMENTS`."""
        command = [sys.executable, "-m", "kfold.sandbox", *arguments, "--name", self.name]
        return run(command, folder=REPOSITORY, environment=self.environment, seconds=120).succeeded()

    @property
    def kubeconfig(self) -> Path:
        return Path(self.run("kubeconfig", "--path").output.strip())


@contextmanager
def own_sandbox(home: Path, environment: Mapping[str, str]) -> Iterator[Sandbox]:
    """A sandbox that is up, and down at the end."""
    made = Sandbox(unique("sandbox"), {**environment, "KFOLD_SANDBOX_HOME": str(home)})
    made.run("up")
    try:
        yield made
    finally:
        made.run("down")


@pytest.fixture
def place(sandbox_cluster: Cluster, api: Api) -> Iterator[Place]:
    """A new namespace, deleted with all that it holds at the end."""
    name = unique("ns")
    sandbox_cluster.kubectl("create", "namespace", name).succeeded()
    made = Place(name, sandbox_cluster, api)
    assert made.held() == {}
    yield made
    made.end()


def config_map(name: str, data: Mapping[str, str], **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": dict(data)}


def custom_kind(plural: str) -> Object:
    """The definition of a namespaced kind in the group kfold.test that takes any fields."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.kfold.test"},
        "spec": {
            "group": "kfold.test",
            "names": {"kind": plural.capitalize(), "plural": plural, "singular": plural},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def container(name: str, image: str, script: str = "", **more: Any) -> Object:
    """A container; `script` replaces the image's own command and ends at once on SIGTERM."""
    command = {"command": ["sh", "-c", f"trap 'exit 0' TERM; {script}"]} if script else {}
    return {"name": name, "image": image, **command, **more}


def pod(name: str, spec: Object, **more: Any) -> Object:
    grace = {"terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**grace, "containers": [spec], **more}}


def workload(kind: str, name: str, spec: Object, **more: Any) -> Object:
    """A Deployment, StatefulSet, DaemonSet or Job of one container."""
    job = kind == "Job"
    template: Object = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": [spec],
            "terminationGracePeriodSeconds": 1,
            **({"restartPolicy": "Never"} if job else {}),
        },
    }
    selector = {} if job else {"selector": {"matchLabels": {"app": name}}}
    return {
        "apiVersion": "batch/v1" if job else "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**selector, "template": template, **more},
    }


FOREVER = "while true; do sleep 1 & wait $!; done"


DOCKERFILE = """\
ARG BASE
FROM $BASE
COPY app.sh greeting.txt /app/
CMD ["sh", "/app/app.sh"]
"""


@dataclass
class Application:
    """A project of kfold and the namespace that it deploys into."""

    project: Project
    place: Place
    name: str

    def deploys(self, *manifests: Object) -> Application:
        """Write manifests, a file each (`k8s/<kind>-<name>.json`), in the place of all that were there."""
        folder = self.project.folder / "k8s"
        for old in folder.glob("*"):
            old.unlink()
        for manifest in manifests:
            name = f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.json"
            self.project.write(f"k8s/{name}", json.dumps(manifest, indent=2))
        return self

    def doit(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        return self.project.doit(*arguments, env=env)

    def kfold(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        return self.project.kfold(*arguments, env=env)

    def dev(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        return self.project.start_doit("dev", *arguments, env=env)

    def status(self) -> Object:
        """`doit status --json`."""
        found: Object = json.loads(self.doit("status", "--json").succeeded().output)
        return found

    def engine(self) -> EngineState:
        """The application's part of the engine: containers, images and names (untagged images by their label)."""
        state = engine_state(self.name)
        filters = json.dumps({"label": [f"dev.kfold.config={self.name}"]})
        labelled = {image["Id"] for image in ask_engine("/images/json", all="1", filters=filters)}
        return EngineState(
            state.containers | engine_state(self.place.name).containers, state.images | labelled, state.names
        )

    def images(self) -> set[str]:
        """IDs of the images that it has in the engine."""
        return set(self.engine().images)

    def assert_nothing_left(self) -> None:
        """After delete and prune: the engine holds nothing of it, nor does its namespace."""
        assert self.engine() == EngineState()
        assert self.place.held() == {}

    def logs(self, pod: str) -> str:
        return self.place.kubectl("logs", pod).output

    def wait_for(self, plural: str, name: str, condition: Callable[[Object], bool], what: str) -> Object:
        """Wait until an object is there and `condition` holds of it."""

        def found() -> Object | None:
            seen = self.place.object(plural, name)
            return seen if seen is not None and condition(seen) else None

        seen = wait_until(found, what, tell=lambda: json.dumps(self.place.object(plural, name), indent=1))
        assert seen is not None
        return seen


ApplicationFactory = Callable[..., Application]
ExampleFactory = Callable[[str], Application]


@dataclass
class Applications:
    """Makes applications in one namespace, and takes back by hand what they leave."""

    project: ProjectFactory
    place: Place
    base_image: str
    made: list[Application]

    def add(self, project: Project, name: str) -> Application:
        """An application of a project that carries `name` in all that it makes."""
        environment = {"KFOLD_NAMESPACE": self.place.name, "BASE": self.base_image}
        project.environment |= self.place.cluster.environment | environment
        self.made.append(Application(project, self.place, name))
        return self.made[-1]

    def end(self) -> None:
        for one in self.made:
            one.project.end()
        self.place.end()
        for one in self.made:
            state = one.engine()
            if left := [*(name.split()[0] for name in state.names), *state.images]:
                docker("rmi", *left, check=False)  # an image may go with its last name
            wait_until(
                lambda one=one: one.engine() == EngineState(),  # type: ignore[misc]
                "the engine to have nothing left of it",
                tell=lambda one=one: str(one.engine()),  # type: ignore[misc]
            )


@pytest.fixture
def applications(project: ProjectFactory, place: Place, base_image: str) -> Iterator[Applications]:
    made = Applications(project, place, base_image, [])
    yield made
    made.end()


@pytest.fixture
def application(applications: Applications) -> ApplicationFactory:
    """`application()`: one artifact that prints greeting.txt twice a second, and a Pod of it, "hello".
    `application(artifact=False)`: manifests alone."""

    def make(word: str = "app", *, artifact: bool = True) -> Application:
        name = unique(word)
        here = applications.add(applications.project(name=name), name)
        build = f"""\
build:
  tagPolicy:
    inputDigest: {{}}
  artifacts:
    - image: {name}
      docker:
        buildArgs:
          BASE: {applications.base_image}
"""
        head = f"apiVersion: kfold/v1\nkind: Config\nmetadata:\n  name: {name}\n"
        here.project.write("kfold.yaml", f"{head}{build if artifact else ''}manifests:\n  rawYaml:\n    - k8s/*\n")
        if artifact:
            here.project.write("Dockerfile", DOCKERFILE)
            here.project.write("app.sh", LOOP)
            here.project.write("greeting.txt", "Hello, world!\n")
            here.deploys(pod("hello", container("hello", name)))
        return here

    return make


@pytest.fixture
def example(applications: Applications) -> ExampleFactory:
    """`example("microservices")`: a copy of that example, under names that nothing else on this engine has."""

    def make(example: str) -> Application:
        here = applications.project(example)
        name = unique("example")
        for path in [here.folder / "kfold.yaml", *here.folder.glob("k8s/*"), *here.folder.glob("*/Dockerfile")]:
            text = path.read_text(encoding="utf-8")
            for old in ("getting-started", "microservices", "quotes-reader", "quotes-server"):
                text = text.replace(old, old.replace("quotes", name) if "-" in old and "quotes" in old else name)
            path.write_text(text, encoding="utf-8")
        return applications.add(here, name)

    return make


def uid(item: Object) -> str:
    return str(item["metadata"]["uid"])


def count(output: str, pattern: str) -> int:
    """How often a regular expression matches a line's beginning."""
    return len(re.findall(pattern, output, re.MULTILINE))
