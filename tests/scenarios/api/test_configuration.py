"""What containers get: environment and files from ConfigMaps, Secrets, the Pod itself and volumes."""

from __future__ import annotations

import base64

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import PATIENCE, Json, Space, condition_of
from tests.scenarios.api.objects import config_map, container, pod, secret, service, task


def from_map(name: str, key: str, **more: object) -> Json:
    return {"configMapKeyRef": {"name": name, "key": key, **more}}


def field(path: str) -> Json:
    return {"fieldRef": {"fieldPath": path}}


def pods(image: str) -> list[Json]:
    """All Pods of the module, which run at once while the first case waits for its own."""
    files = {"name": "files", "configMap": {"name": "conf"}}
    mount = {"name": "files", "mountPath": "/files"}
    keys = {"name": "keys", "secret": {"secretName": "secret", "defaultMode": 0o400}}
    chosen = {"name": "files", "configMap": {"name": "conf", "items": [{"key": "a", "path": "deep/er", "mode": 0o440}]}}
    shared = {"name": "shared", "emptyDir": {}}
    projected = {
        "name": "all",
        "projected": {
            "sources": [
                {"configMap": {"name": "conf"}},
                {"secret": {"name": "secret"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]
        },
    }
    return [
        task(
            "env",
            image,
            'echo "$A|$S|$NO|$PLAIN"',
            env=[
                {"name": "A", "valueFrom": from_map("conf", "a")},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "s"}}},
                {"name": "NO", "valueFrom": from_map("nothing", "x", optional=True)},
                {"name": "PLAIN", "value": "text"},
            ],
        ),
        task(
            "env-from",
            image,
            "env | grep -E '^(a|P_|s)' | sort",
            envFrom=[
                {"configMapRef": {"name": "conf"}},
                {"secretRef": {"name": "secret"}},
                {"prefix": "P_", "configMapRef": {"name": "conf"}},
                {"configMapRef": {"name": "nothing", "optional": True}},
            ],
        ),
        task(
            "expands",
            image,
            "",
            command=["echo", "$(X)", "$$(X)", "$(NOT_THERE)"],
            env=[
                {"name": "BASE", "value": "1"},
                {"name": "X", "value": "$(BASE)2"},
            ],
        ),
        task(
            "downward",
            image,
            'echo "$NAME $SPACE $ACCOUNT $NODE $IP $LIMIT $LABEL"',
            labels={"app": "downward", "x": "y"},
            resources={"limits": {"memory": "64Mi"}},
            env=[
                {"name": "NAME", "valueFrom": field("metadata.name")},
                {"name": "SPACE", "valueFrom": field("metadata.namespace")},
                {"name": "ACCOUNT", "valueFrom": field("spec.serviceAccountName")},
                {"name": "NODE", "valueFrom": field("spec.nodeName")},
                {"name": "IP", "valueFrom": field("status.podIP")},
                {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "LABEL", "valueFrom": field("metadata.labels['x']")},
            ],
        ),
        task("services", image, 'echo "$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT $FRONT_END_SERVICE_PORT"'),
        task("waits-for-map", image, 'echo "$LATE"', env=[{"name": "LATE", "valueFrom": from_map("late", "a")}]),
        task(
            "waits-for-volume",
            image,
            "cat /files/a",
            volumes=[{"name": "files", "configMap": {"name": "late-files"}}],
            volumeMounts=[mount],
        ),
        task("files", image, "cd /files; cat a b; ls", volumes=[files], volumeMounts=[mount]),
        task(
            "items",
            image,
            "cat /files/deep/er; stat -L -c %a /files/deep/er; ls /files",
            volumes=[chosen],
            volumeMounts=[mount],
        ),
        task(
            "keys",
            image,
            "cat /keys/s; stat -L -c ' %a' /keys/s; (echo > /keys/s) 2>/dev/null || echo read-only",
            volumes=[keys],
            volumeMounts=[{"name": "keys", "mountPath": "/keys", "readOnly": True}],
        ),
        task(
            "projected",
            image,
            "cat /all/a /all/s /all/labels",
            volumes=[projected],
            volumeMounts=[{"name": "all", "mountPath": "/all"}],
        ),
        task(
            "sub-path",
            image,
            "cat /etc/one.conf; ls /etc | grep -c passwd",
            volumes=[files],
            volumeMounts=[{"name": "files", "mountPath": "/etc/one.conf", "subPath": "a"}],
        ),
        pod(
            "follows",
            container(image, "while sleep 0.2; do echo $(cat /files/a); done", volumeMounts=[mount]),
            volumes=[{"name": "files", "configMap": {"name": "changing"}}],
        ),
        pod(
            "shares",
            container(
                image,
                "while [ ! -e /shared/x ]; do sleep 0.1; done; cat /shared/x",
                "reads",
                volumeMounts=[{"name": "shared", "mountPath": "/shared"}],
            ),
            container(
                image, "echo written > /shared/x", "writes", volumeMounts=[{"name": "shared", "mountPath": "/shared"}]
            ),
            volumes=[shared],
            restartPolicy="Never",
        ),
        task(
            "user",
            image,
            "id -u; id -g; pwd; hostname",
            workingDir="/tmp",
            securityContext={"runAsUser": 1234, "runAsGroup": 5678},
        ),
        task(
            "claims",
            image,
            "echo kept > /data/x; cat /data/x",
            volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            volumeMounts=[{"name": "data", "mountPath": "/data"}],
        ),
    ]


@pytest.fixture(scope="module")
def space(shared: Space) -> Space:
    shared.create(config_map("conf", a="1", b="2"))
    shared.create(config_map("changing", a="before"))
    shared.create(secret("secret", s="3"))
    shared.create(service("front-end", ports=[{"port": 8080}]))
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    shared.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim})
    for one in pods(shared.image):
        shared.create(one)
    return shared


def test_variables_from_keys(space: Space) -> None:
    """env takes values from keys of ConfigMaps and Secrets; an optional one that is missing is not set."""
    assert space.output("env") == "1|3||text\n"


def test_variables_from_whole_objects(space: Space) -> None:
    """envFrom makes a variable of each key, with a prefix if asked for; optional objects may be missing."""
    assert space.output("env-from").split() == ["P_a=1", "P_b=2", "a=1", "s=3"]


def test_variables_are_expanded(space: Space) -> None:
    """$(NAME) is expanded in command, args and later variables; $$ escapes, an unknown name stays as it is."""
    assert space.output("expands") == "12 $(X) $(NOT_THERE)\n"


def test_the_downward_api(space: Space) -> None:
    """A container may learn its Pod's name, namespace, account, node, IP, labels and its own limits."""
    words = space.output("downward").split()
    status = space.get("Pod", "downward")
    assert words == ["downward", space.name, "default", status["spec"]["nodeName"], status["status"]["podIP"], "64", "y"]


def test_service_variables(space: Space) -> None:
    """Each container gets the address of the API server, and of the namespace's Services that existed before it."""
    address, own = space.output("services").split()
    host, _, port = address.rpartition(":")
    assert host and port == "443"
    assert own == "8080"


def test_a_missing_config_map_holds_a_container(space: Space) -> None:
    """A container that needs a missing ConfigMap waits in CreateContainerConfigError and starts when it comes."""
    found = space.waits_for("waits-for-map", "CreateContainerConfigError")
    assert found["status"]["phase"] == "Pending"
    assert 'configmap "late" not found' in found["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    space.create(config_map("late", a="here"))
    assert space.output("waits-for-map") == "here\n"


def test_a_missing_volume_holds_a_pod(space: Space) -> None:
    """A volume of a missing ConfigMap keeps the Pod in ContainerCreating with a FailedMount event, until it comes."""
    wait_until(lambda: space.events("waits-for-volume", "FailedMount"), "the event", seconds=90)
    assert space.waits_for("waits-for-volume", "ContainerCreating")["status"]["phase"] == "Pending"
    space.create(config_map("late-files", a="here"))
    wait_until(lambda: space.get("Pod", "waits-for-volume")["status"]["phase"] == "Succeeded", "the end", seconds=180)
    assert space.log("waits-for-volume") == "here"


def test_files_of_a_config_map(space: Space) -> None:
    """A configMap volume has a file for each key."""
    assert space.output("files").split() == ["12a", "b"]


def test_chosen_files_and_their_modes(space: Space) -> None:
    """items choose keys, their paths and their modes."""
    assert space.output("items").split() == ["1440", "deep"]


def test_files_of_a_secret(space: Space) -> None:
    """A secret volume has decoded files in the mode asked for; a read-only mount cannot be written to."""
    assert space.output("keys").split() == ["3", "400", "read-only"]


def test_projected_volumes(space: Space) -> None:
    """A projected volume holds several sources in one folder."""
    assert space.output("projected").startswith('13app="projected"')


def test_one_file_over_another_folder(space: Space) -> None:
    """subPath mounts one file and leaves the rest of its folder as it is."""
    assert space.output("sub-path").split() == ["11"]


def test_files_follow_their_config_map(space: Space) -> None:
    """A running Pod sees a changed ConfigMap in its volume (a kubelet looks about once a minute)."""
    space.running("follows")
    wait_until(lambda: "before" in space.log("follows", tailLines=1), "the first value")
    space.patch("ConfigMap", "changing", {"data": {"a": "after"}})
    wait_until(lambda: "after" in space.log("follows", tailLines=1), "the new value", seconds=150)
    assert space.get("Pod", "follows")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_an_empty_dir_is_shared(space: Space) -> None:
    """Containers of one Pod share an emptyDir."""
    space.ended("shares")
    assert space.log("shares", container="reads") == "written\n"


def test_user_folder_and_host_name(space: Space) -> None:
    """securityContext sets user and group, workingDir the folder; the host name is the Pod's."""
    assert space.output("user").split() == ["1234", "5678", "/tmp", "user"]


def test_a_claim_of_an_unknown_class(space: Space) -> None:
    """A claim whose storage class does not exist stays Pending and says ProvisioningFailed; so does a Pod that uses it."""
    metadata = {"name": "classless"}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "kfold-none",
    }
    space.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    wait_until(lambda: space.events("classless", "ProvisioningFailed"), "the event", seconds=PATIENCE)
    assert (
        'storageclass.storage.k8s.io "kfold-none" not found'
        in (space.events("classless", "ProvisioningFailed")[0]["message"])
    )
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "classless"}}]
    space.create(pod("classless", container(space.image), volumes=volumes))
    found = space.wait("Pod", "classless", lambda one: condition_of(one, "PodScheduled"), "to be looked at")
    assert "unbound immediate PersistentVolumeClaims" in condition_of(found, "PodScheduled")["message"]
    claim = space.get("PersistentVolumeClaim", "classless")
    assert claim["status"]["phase"] == "Pending"
    assert "volumeName" not in claim["spec"]


def test_a_claim_is_bound_and_used(space: Space) -> None:
    """A claim of the default storage class is bound once a Pod uses it (at the latest), and holds files."""
    if (
        not any(
            item["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
            for item in space.api.get("/apis/storage.k8s.io/v1/storageclasses").ok()["items"]
        )
        and space.get("PersistentVolumeClaim", "data").get("status", {}).get("phase") != "Bound"
    ):
        pytest.skip("this cluster has no default storage class")
    assert space.output("claims") == "kept\n"
    claim = space.get("PersistentVolumeClaim", "data")
    assert claim["status"]["phase"] == "Bound"
    assert claim["spec"]["volumeName"]


def test_binary_data(space: Space) -> None:
    """binaryData of a ConfigMap is written as the bytes that it stands for."""
    space.create({**config_map("binary"), "binaryData": {"bytes": base64.b64encode(b"\x00\xff").decode()}})
    space.create(
        task(
            "binary",
            space.image,
            "od -An -tx1 /files/bytes",
            volumes=[{"name": "f", "configMap": {"name": "binary"}}],
            volumeMounts=[{"name": "f", "mountPath": "/files"}],
        )
    )
    assert space.output("binary").split() == ["00", "ff"]
