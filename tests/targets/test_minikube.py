"""minikube by its files and by its program: exact command lines, on a double that has recorded answers."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kfold.errors import StoreError
from kfold.stores import minikube
from tests.targets.doubles import Double
from tests.targets.doubles import minikube as double

ENV = "docker-env --shell none -p p2"

DOCKER_ENV = """\
DOCKER_TLS_VERIFY=1
DOCKER_HOST=tcp://192.168.49.2:2376
DOCKER_CERT_PATH=/home/me/.minikube/certs
MINIKUBE_ACTIVE_DOCKERD=p2
SSH_AUTH_SOCK=

# To point your shell to minikube's docker-daemon, run:
# eval $(minikube -p p2 docker-env)
"""

PROFILES = {
    "invalid": [{"Name": "broken"}],
    "valid": [
        {"Name": "minikube", "Status": "Running", "Config": {"Nodes": [{"IP": "192.168.39.2", "Port": 8443}]}},
        {"Name": "p2", "Status": "Stopped", "Config": {"Nodes": [{"IP": "192.168.49.2", "Port": 8443}]}},
    ],
}


@pytest.fixture
def program(tmp_path: Path) -> Double:
    return double(tmp_path / "bin")


@pytest.fixture
def environment(tmp_path: Path, program: Double) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "PATH": program.path(os.environ["PATH"])}


def configure(environment: dict[str, str], profile: str, runtime: str, driver: str = "docker") -> Path:
    folder = Path(environment["HOME"], ".minikube", "profiles", profile)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"Name": profile, "Driver": driver, "KubernetesConfig": {"ContainerRuntime": runtime}})
    (folder / "config.json").write_text(text)
    return folder


def test_the_engine_of_a_profile(program: Double, environment: dict[str, str]) -> None:
    program.answers(ENV, DOCKER_ENV)
    assert minikube.docker_environment("p2", environment) == {
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_HOST": "tcp://192.168.49.2:2376",
        "DOCKER_CERT_PATH": "/home/me/.minikube/certs",
        "MINIKUBE_ACTIVE_DOCKERD": "p2",
    }
    assert program.calls == [ENV]


@pytest.mark.parametrize("code", [51, 64])
def test_the_driver_none_uses_the_engine_of_this_machine(program: Double, environment: dict[str, str], code: int) -> None:
    configure(environment, "p2", "docker", "none")
    program.answers(ENV, code=code, err="'none' driver does not support 'minikube docker-env' command")
    assert minikube.docker_environment("p2", environment) == {}


@pytest.mark.parametrize("code", [14, 64, 81])
def test_a_profile_without_an_engine_that_builds(program: Double, environment: dict[str, str], code: int) -> None:
    program.answers(ENV, code=code, err='X Exiting: The docker-env command is only compatible with the "docker" runtime\n')
    with pytest.raises(minikube.NoDockerInside, match="only compatible with") as raised:
        minikube.docker_environment("p2", environment)
    assert raised.value.hint


@pytest.mark.parametrize("code", [85, 89])
def test_a_profile_that_does_not_run(program: Double, environment: dict[str, str], code: int) -> None:
    program.answers(ENV, code=code, err="X The p2 host is not running\n")
    with pytest.raises(StoreError, match="does not answer") as raised:
        minikube.docker_environment("p2", environment)
    assert raised.value.hint == "`minikube start -p p2`"


def test_any_other_failure_is_told_as_it_is(program: Double, environment: dict[str, str]) -> None:
    program.answers(ENV, code=1, err="panic: unexpected\n")
    with pytest.raises(StoreError, match="exit code 1: panic: unexpected"):
        minikube.docker_environment("p2", environment)


def test_without_the_program_nothing_is_guessed(environment: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="`minikube` is not installed"):
        minikube.docker_environment("p2", environment | {"PATH": "/nowhere"})
    assert minikube.profiles(environment | {"PATH": "/nowhere"}) == []


def test_the_answer_is_remembered_while_the_profile_stands_and_its_engine_listens(
    program: Double, environment: dict[str, str], tmp_path: Path
) -> None:
    cache = tmp_path / ".kfold" / "cache"
    cache.mkdir(parents=True)
    folder = configure(environment, "p2", "docker")

    def ask() -> str:
        return minikube.remembered_environment("p2", environment, cache)["DOCKER_HOST"]

    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        one, two = (f"tcp://127.0.0.1:{server.getsockname()[1]}" for server in (first, second))
        program.answers(ENV, f"DOCKER_HOST={one}\n")
        assert [ask(), ask()] == [one, one] and len(program.calls) == 1
        program.answers(ENV, f"DOCKER_HOST={two}\n")
        first.close()  # minikube was restarted
        assert [ask(), ask()] == [two, two] and len(program.calls) == 2
        (folder / "config.json").write_text("{}")  # or deleted and made anew
        assert ask() == two and len(program.calls) == 3


def test_profiles(program: Double, environment: dict[str, str]) -> None:
    program.answers("profile list -o json", json.dumps(PROFILES))
    assert [(one.name, one.servers) for one in minikube.profiles(environment)] == [
        ("minikube", ("192.168.39.2:8443",)), ("p2", ("192.168.49.2:8443",)),
    ]  # fmt: skip
    program.answers("profile list -o json", "no JSON")
    assert minikube.profiles(environment) == []
    program.answers("profile list -o json", code=70, err="broken")
    assert minikube.profiles(environment) == []


def test_files_of_a_profile(environment: dict[str, str], tmp_path: Path) -> None:
    home = Path(environment["HOME"], ".minikube")
    assert minikube.home_of(str(home / "ca.crt"), environment) == home
    assert minikube.home_of(str(tmp_path / "home" / ".minikube-other" / "ca.crt"), environment) is None
    assert minikube.home_of("", environment) is None
    for value in (tmp_path / "else", tmp_path / "else" / ".minikube"):
        moved = environment | {"MINIKUBE_HOME": str(value)}
        assert minikube.home_of(str(tmp_path / "else" / ".minikube" / "ca.crt"), moved) == tmp_path / "else" / ".minikube"
    assert minikube.profile_in(str(home / "profiles" / "p2" / "client.crt")) == "p2"
    assert minikube.profile_in("/etc/client.crt") == ""
    configure(environment, "p2", "containerd", "kvm2")
    assert minikube.configured("p2", environment) == ("containerd", "kvm2")
    assert minikube.configured("p3", environment) == ("", "")


Act = Callable[[dict[str, str]], object]


@pytest.mark.parametrize(
    ("line", "act"),
    [
        ("image load --daemon=true web:1 -p p2", lambda environment: minikube.load("web:1", "p2", environment)),
        ("image rm web:1 -p p2", lambda environment: minikube.remove("web:1", "p2", environment)),
        ("image ls --format short -p p2", lambda environment: minikube.images("p2", environment)),
    ],
)
def test_images_of_a_runtime_that_is_not_docker(
    program: Double, environment: dict[str, str], line: str, act: Act
) -> None:
    program.answers(line, "docker.io/library/web:1\n\nregistry.k8s.io/pause:3.9\n")
    found = act(environment)
    assert program.calls == [line]
    assert found in (None, {"docker.io/library/web:1", "registry.k8s.io/pause:3.9"})
    program.answers(line, code=80, err="X Exiting due to GUEST_IMAGE_LOAD: no space left on device\n")
    with pytest.raises(StoreError, match="no space left on device"):
        act(environment)
