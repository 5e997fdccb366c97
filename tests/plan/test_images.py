"""Image references put into manifests: Skaffold's rules as tables, over every kind and place where an image can stand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.plan.manifests import IMAGE_KINDS, replace_images
from tests.plan.generated import moderate

DIGEST = "sha256:" + "a" * 64
BUILT = {
    "web": f"web:v1@{DIGEST}",
    "ghcr.io/team/api": "ghcr.io/team/api:built",
    "localhost:5000/db": "localhost:5000/db:built",
}


def pod(*images: str) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}}


def replaced(image: str, references: dict[str, str] | None = None) -> str:
    content = replace_images(pod(image), BUILT if references is None else references)
    result = content["spec"]["containers"][0]["image"]
    assert isinstance(result, str)
    return result


def images(value: Any) -> list[str]:
    """Every text under a key `image`, in order: written apart from the code that is tested."""
    if isinstance(value, list):
        return [image for item in value for image in images(item)]
    if isinstance(value, dict):
        return [
            image
            for key, item in value.items()
            for image in ([item] if key == "image" and isinstance(item, str) else images(item))
        ]
    return []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("web", BUILT["web"]),
        ("web:latest", BUILT["web"]),
        ("web:whatever-1.0_x", BUILT["web"]),
        ("docker.io/library/web", BUILT["web"]),
        ("docker.io/web", BUILT["web"]),
        ("library/web", BUILT["web"]),
        ("index.docker.io/library/web:1", BUILT["web"]),
        ("ko://web", BUILT["web"]),
        ("Web", BUILT["web"]),
        ("ghcr.io/team/api:2", BUILT["ghcr.io/team/api"]),
        ("ko://ghcr.io/Team/API", BUILT["ghcr.io/team/api"]),
        ("localhost:5000/db", BUILT["localhost:5000/db"]),
        ("localhost:5000/db:1", BUILT["localhost:5000/db"]),
        # somebody else's
        ("api", "api"),
        ("team/api", "team/api"),
        ("ghcr.io/team/api2", "ghcr.io/team/api2"),
        ("ghcr.io/team/api/web", "ghcr.io/team/api/web"),
        ("other/web", "other/web"),
        ("quay.io/web", "quay.io/web"),
        ("webs", "webs"),
        ("localhost:5001/db", "localhost:5001/db"),
        ("db", "db"),
        # a digest is meant as it is written
        (f"web@{DIGEST}", f"web@{DIGEST}"),
        (f"web:1@{DIGEST}", f"web:1@{DIGEST}"),
        (f"docker.io/library/web@{DIGEST}", f"docker.io/library/web@{DIGEST}"),
        # no references
        ("", ""),
        ("web:", "web:"),
        ("web@sha256:short", "web@sha256:short"),
        ("{{ .Values.image }}", "{{ .Values.image }}"),
        ("http://web", "http://web"),
        (" web", " web"),
        ("web:-1", "web:-1"),
        ("a" * 64, "a" * 64),
    ],
)
def test_which_written_image_becomes_the_built_one(written: str, expected: str) -> None:
    assert replaced(written) == expected


@pytest.mark.parametrize("artifact", ["web", "docker.io/library/web", "docker.io/web", "ko://web"])
def test_the_artifact_may_be_written_in_full_as_well(artifact: str) -> None:
    for written in ("web", "docker.io/library/web:1", "library/web"):
        assert replaced(written, {artifact: "web:built"}) == "web:built"


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"image": "web"}},
    "spec": {
        "initContainers": [{"name": "i", "image": "web:1"}, {"name": "s", "image": "web:2", "restartPolicy": "Always"}],
        "containers": [{"name": "c", "image": "web"}, {"name": "d", "image": "redis:7"}],
        "ephemeralContainers": [{"name": "e", "image": "web:3"}],
        "volumes": [{"name": "v", "image": {"reference": "web:4", "pullPolicy": "Always"}}],
    },
}
AFTER = [BUILT["web"], BUILT["web"], BUILT["web"], BUILT["web"], "redis:7", BUILT["web"]]
"""The label too: any key `image` at any depth, as in Skaffold."""


@pytest.mark.parametrize(
    ("api_version", "kind", "spec"),
    [
        ("apps/v1", "Deployment", {"template": TEMPLATE}),
        ("apps/v1", "StatefulSet", {"template": TEMPLATE}),
        ("apps/v1", "DaemonSet", {"template": TEMPLATE}),
        ("apps/v1", "ReplicaSet", {"template": TEMPLATE}),
        ("batch/v1", "Job", {"template": TEMPLATE}),
        ("batch/v1", "CronJob", {"jobTemplate": {"spec": {"template": TEMPLATE}}}),
        ("v1", "ReplicationController", {"template": TEMPLATE}),
        ("v1", "Pod", TEMPLATE),
        ("serving.knative.dev/v1", "Service", {"template": TEMPLATE}),
        ("argoproj.io/v1alpha1", "Workflow", {"templates": [TEMPLATE]}),
        ("compute.cnrm.cloud.google.com/v1beta1", "Whatever", {"deep": [[{"er": TEMPLATE}]]}),
    ],
)
def test_every_container_of_every_workload(api_version: str, kind: str, spec: dict[str, Any]) -> None:
    content = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    before = copy.deepcopy(content)
    after = replace_images(content, BUILT)
    assert images(after) == AFTER
    assert content == before, "what was given was changed"
    assert "reference" not in str(images(after)) and "'reference': 'web:4'" in str(after)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "PersistentVolumeClaim"),
        ("networking.k8s.io/v1", "Ingress"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("example.com/v1", "Deployment"),
        ("apps.example.com/v1", "Deployment"),
        ("v1", "Deployment"),
        ("apps/v1", "Pod"),
        ("example.com/v1", "Anything"),
        ("cnrm.cloud.google.com/v1", "Anything"),
    ],
)
def test_other_kinds_stay_as_they_are_written(api_version: str, kind: str) -> None:
    content = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x"},
        "data": {"image": "web"},
        "spec": TEMPLATE,
    }
    assert replace_images(content, BUILT) == content


def test_the_kinds_are_skaffolds_list() -> None:
    """Written down a second time (v2.24, manifest/visitor.go; and two core kinds that hold Pods)."""
    listed = """Pod Service ReplicationController PodTemplate apps/DaemonSet apps/Deployment apps/ReplicaSet
        apps/StatefulSet extensions/DaemonSet extensions/Deployment extensions/ReplicaSet batch/Job batch/CronJob
        serving.knative.dev/Service agones.dev/Fleet agones.dev/GameServer argoproj.io/Rollout argoproj.io/Workflow
        argoproj.io/CronWorkflow argoproj.io/WorkflowTemplate argoproj.io/ClusterWorkflowTemplate
        run.googleapis.com/Job run.googleapis.com/WorkerPool kafka.strimzi.io/KafkaConnect kafka.strimzi.io/Kafka"""
    assert sorted(IMAGE_KINDS) == sorted(tuple(name.rpartition("/")[::2]) for name in listed.split())


def test_without_artifacts_nothing_changes() -> None:
    content = pod("web", "redis")
    assert replace_images(content, {}) == content


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["web", "web:1", f"web@{DIGEST}", "other", "", ":::"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["image", "spec", "x"]), below, max_size=3),
    max_leaves=20,
)


@moderate
@given(trees)
def test_in_any_tree_only_images_change_and_the_input_never_does(tree: Any) -> None:
    content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": tree}
    before = copy.deepcopy(content)
    after = replace_images(content, BUILT)
    assert content == before
    expected = [BUILT["web"] if image in ("web", "web:1") else image for image in images(content)]
    assert images(after) == expected
    assert blanked(after) == blanked(content), "something else changed than texts under `image`"


def blanked(value: Any) -> Any:
    if isinstance(value, list):
        return [blanked(item) for item in value]
    if isinstance(value, dict):
        return {k: "" if k == "image" and isinstance(item, str) else blanked(item) for k, item in value.items()}
    return value
