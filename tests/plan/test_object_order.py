"""The order in which objects are applied: what another needs to exist comes first."""

from __future__ import annotations

import pytest

from kfold.plan.object_order import RANKS, rank

RBAC = "rbac.authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("v1 Namespace", "v1 ConfigMap"),
        ("v1 Namespace", "apiextensions.k8s.io/v1 CustomResourceDefinition"),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition", "example.com/v1 MyCustomResource"),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition", "example.com/v1 Namespace"),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition", "gateway.networking.k8s.io/v1 Gateway"),
        ("apps/v1 Deployment", "example.com/v1 Namespace"),
        ("apps/v1 Deployment", "storage.example.com/v1 StorageClass"),
        ("scheduling.k8s.io/v1 PriorityClass", "apps/v1 Deployment"),
        ("storage.k8s.io/v1 StorageClass", "v1 PersistentVolumeClaim"),
        ("v1 ServiceAccount", f"{RBAC} RoleBinding"),
        ("v1 ServiceAccount", "v1 Pod"),
        (f"{RBAC} Role", f"{RBAC} RoleBinding"),
        (f"{RBAC} ClusterRole", f"{RBAC} ClusterRoleBinding"),
        ("v1 ConfigMap", "apps/v1 Deployment"),
        ("v1 Secret", "batch/v1 Job"),
        ("v1 PersistentVolumeClaim", "apps/v1 StatefulSet"),
        ("v1 Service", "apps/v1 StatefulSet"),
        ("v1 Service", "networking.k8s.io/v1 Ingress"),
        ("apps/v1 Deployment", "autoscaling/v2 HorizontalPodAutoscaler"),
        ("apps/v1 Deployment", "networking.k8s.io/v1 Ingress"),
        ("apps/v1 Deployment", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration"),
        ("example.com/v1 Job", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration"),
        ("v1 Service", "apiregistration.k8s.io/v1 APIService"),
    ],
)
def test_what_is_needed_comes_first(first: str, then: str) -> None:
    assert rank(*first.split()) < rank(*then.split())


def test_workloads_are_of_one_rank() -> None:
    kinds = [("v1", "Pod"), *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"))]
    kinds += [("batch/v1", "Job"), ("batch/v1", "CronJob"), ("v1", "Whatever"), ("v1", "")]
    assert len({rank(*kind) for kind in kinds}) == 1


def test_every_kind_has_one_rank() -> None:
    listed = [kind for kinds in RANKS for kind in kinds]
    assert len(listed) == len(set(listed))
    assert [rank("v1", kind) for kind in listed] == [number for number, kinds in enumerate(RANKS) for _ in kinds]
    assert sum(not kinds for kinds in RANKS) == 2, "the places of everything else"
