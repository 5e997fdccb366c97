"""The order in which objects are applied: what another needs to exist comes first."""

from __future__ import annotations

import pytest

from kfold.plan.object_order import RANKS, rank


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("Namespace", "ConfigMap"),
        ("Namespace", "CustomResourceDefinition"),
        ("CustomResourceDefinition", "MyCustomResource"),
        ("PriorityClass", "Deployment"),
        ("StorageClass", "PersistentVolumeClaim"),
        ("ServiceAccount", "RoleBinding"),
        ("ServiceAccount", "Pod"),
        ("Role", "RoleBinding"),
        ("ClusterRole", "ClusterRoleBinding"),
        ("ConfigMap", "Deployment"),
        ("Secret", "Job"),
        ("PersistentVolumeClaim", "StatefulSet"),
        ("Service", "StatefulSet"),
        ("Service", "Ingress"),
        ("Deployment", "HorizontalPodAutoscaler"),
        ("Deployment", "Ingress"),
        ("Deployment", "ValidatingWebhookConfiguration"),
        ("Service", "APIService"),
    ],
)
def test_what_is_needed_comes_first(first: str, then: str) -> None:
    assert rank(first) < rank(then)


def test_workloads_and_unknown_kinds_are_of_one_rank() -> None:
    kinds = ["Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet", "Whatever", ""]
    assert len({rank(kind) for kind in kinds}) == 1


def test_every_kind_has_one_rank() -> None:
    listed = [kind for kinds in RANKS for kind in kinds]
    assert len(listed) == len(set(listed))
    assert [rank(kind) for kind in listed] == [number for number, kinds in enumerate(RANKS) for _ in kinds]
    assert sum(not kinds for kinds in RANKS) == 1, "the place of everything else"
