"""What a container is given: environment, command, files. And what happens while a ConfigMap or Secret is missing."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kfold.sandbox.kubelet.env import expand
from tests.engine import docker, wait_until
from tests.sandbox.pods.conftest import Space


def config_map(space: Space, name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_environment_comes_from_values_fields_configmaps_and_secrets(space: Space) -> None:
    space.core.create_namespaced_config_map(space.name, config_map(space, "settings", {"COLOR": "blue", "SIZE": "9"}))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "data": {"TOKEN": base64.b64encode(b"s3cret").decode()},
    }
    space.core.create_namespaced_secret(space.name, secret)
    env = [
        {"name": "PLAIN", "value": "one"},
        {"name": "JOINED", "value": "$(PLAIN)-$(COLOR)-$(MISSING)-$$(PLAIN)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "no", "optional": True}}},
    ]
    sources = [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "settings"}, "prefix": "MY_"}]
    container = space.container("env", env=env, envFrom=sources, resources={"limits": {"memory": "64Mi"}})
    space.pod("env", container, restartPolicy="Never", labels={"app": "shop"})
    pod = space.ended("env")
    found = dict(line.split("=", 1) for line in space.log("env").splitlines())
    assert found["JOINED"] == "one-blue-$(MISSING)-$(PLAIN)"
    assert (found["COLOR"], found["MY_SIZE"], found["TOKEN"]) == ("blue", "9", "s3cret")
    assert (found["POD"], found["LABEL"], found["MEMORY"]) == ("env", "shop", "64")
    assert found["IP"] == pod["status"]["podIP"]
    assert int(found["CORES"]) > 0  # no limit: the node's
    assert "ABSENT" not in found
    assert found["HOSTNAME"] == "env"


def test_a_missing_configmap_holds_the_container_back_until_it_comes(space: Space) -> None:
    env = [{"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "COLOR"}}}]
    space.pod("early", space.container("echo $COLOR", env=env), restartPolicy="Never")
    pod = space.waiting("early", "CreateContainerConfigError")
    assert 'configmap "late" not found' in str(pod["status"])
    space.core.create_namespaced_config_map(space.name, config_map(space, "late", {"COLOR": "red"}))
    space.ended("early")
    assert space.log("early") == "red\n"


def test_command_arguments_and_folder(space: Space) -> None:
    container = {
        "name": "app",
        "image": space.image,
        "command": ["sh", "-c", 'echo "$0|$1|$(pwd)"'],
        "args": ["$(FIRST)", "two words"],
        "env": [{"name": "FIRST", "value": "one"}],
        "workingDir": "/tmp",
    }
    space.pod("words", container, restartPolicy="Never")
    space.ended("words")
    assert space.log("words") == "one|two words|/tmp\n"


def test_volumes_hold_files_follow_their_configmap_and_go_with_the_pod(space: Space) -> None:
    space.core.create_namespaced_config_map(space.name, config_map(space, "files", {"a.conf": "old\n", "b.conf": "b\n"}))
    volumes = [
        {"name": "files", "configMap": {"name": "files", "defaultMode": 0o600}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "who", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    mounts = [
        {"name": "files", "mountPath": "/files"},
        {"name": "files", "mountPath": "/one/a.conf", "subPath": "a.conf"},
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "who", "mountPath": "/who"},
    ]
    script = (
        "cat /files/a.conf /one/a.conf /who/name; echo; touch /scratch/x /memory/x && echo written;"
        "stat -Lc %a /files/b.conf; (touch /files/x) 2>/dev/null || echo read-only; grep -c ' /memory tmpfs' /proc/mounts;"
        "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    )
    uid = space.pod("reader", space.container(script, volumeMounts=mounts), volumes=volumes)["metadata"]["uid"]
    space.running("reader")
    wait_until(lambda: space.log("reader").count("\n") == 7, "seven lines", tell=lambda: space.log("reader"))
    assert space.log("reader").split() == ["old", "old", "reader", "written", "600", "read-only", "1"]
    label = f"label=io.kubernetes.pod.uid={uid}"
    assert len(docker("volume", "ls", "-q", "--filter", label).split()) == 4

    space.core.patch_namespaced_config_map("files", space.name, {"data": {"a.conf": "new\n"}})

    def content() -> str:
        return str(space.kubectl("exec", "reader", "--", "cat", "/files/a.conf").succeeded().output)

    wait_until(lambda: content() == "new\n", "the changed file")
    space.core.delete_namespaced_pod("reader", space.name)
    wait_until(lambda: not space.pods(), "the Pod to go")
    assert not docker("volume", "ls", "-q", "--filter", label).strip()


def test_a_volume_whose_secret_is_missing_waits_and_says_so(space: Space) -> None:
    volume = {"name": "keys", "secret": {"secretName": "late"}}
    mount = [{"name": "keys", "mountPath": "/keys"}]
    space.pod("early", space.container("cat /keys/k", volumeMounts=mount), volumes=[volume], restartPolicy="Never")
    wait_until(lambda: any('secret "late" not found' in said for said in space.events("FailedMount")), "the event")
    assert space.read("early")["status"]["phase"] == "Pending"
    data = {"k": base64.b64encode(b"opened").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "data": data}
    space.core.create_namespaced_secret(space.name, secret)
    space.ended("early")
    assert space.log("early") == "opened"


def test_security_context_and_limits_reach_the_process(space: Space) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 4321, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    script = "id -u; id -g; (touch /x) 2>/dev/null || echo read-only; grep CapBnd /proc/self/status"
    output = space.output(script, container={"securityContext": context})
    assert output.split() == ["1234", "4321", "read-only", "CapBnd:", "0000000000000000"]

    space.pod("root", space.container("id", securityContext={"runAsNonRoot": True}))
    pod = space.waiting("root", "CreateContainerConfigError")
    assert "runAsNonRoot" in str(pod["status"])


@given(
    st.dictionaries(st.text("AB_", min_size=1, max_size=3), st.text("xyz$()", max_size=4), max_size=3),
    st.text("AB_$() ", max_size=20),
)
def test_expansion_replaces_known_names_once_and_keeps_everything_else(variables: dict[str, str], text: str) -> None:
    result = expand(text, variables)
    assert expand(text, {}) == text.replace("$$", "\0").replace("\0", "$") or "$(" in text
    if "$" not in text:
        assert result == text
    for name, value in variables.items():
        assert expand(f"<$({name})>", variables) == f"<{value}>"  # values are not expanded again
        assert expand(f"$$({name})", variables) == f"$({name})"


def test_host_ports_are_bound_to_the_loopback_alone(space: Space) -> None:
    asked = [{}, {"hostIP": "0.0.0.0"}, {"hostIP": "127.0.0.2"}]
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in asked]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        free = [probe.getsockname()[1] for probe in probes]
    ports = [{"containerPort": 8080 + index, "hostPort": port, **asked[index]} for index, port in enumerate(free)]
    uid = space.pod("ports", space.container(ports=ports))["metadata"]["uid"]
    space.running("ports")
    labels = (f"label=io.kubernetes.pod.uid={uid}", "label=io.kubernetes.container.name=POD")
    (sandbox,) = docker("ps", "-q", "--filter", labels[0], "--filter", labels[1]).split()
    bound = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", sandbox))
    found = {name: (entry["HostIp"], entry["HostPort"]) for name, (entry,) in bound.items()}
    assert found == {
        "8080/tcp": ("127.0.0.1", str(free[0])),
        "8081/tcp": ("127.0.0.1", str(free[1])),
        "8082/tcp": ("127.0.0.2", str(free[2])),
    }
