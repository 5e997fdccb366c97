"""In which order objects are applied, and deleted in reverse: rules as data (the models are kapp's and Helm's)."""

from __future__ import annotations

RANKS: tuple[frozenset[str], ...] = (
    frozenset({"Namespace", "PriorityClass", "StorageClass", "RuntimeClass", "IngressClass", "CSIDriver"}),
    frozenset({"CustomResourceDefinition"}),
    frozenset({"ServiceAccount", "ResourceQuota", "LimitRange", "NetworkPolicy", "PodDisruptionBudget"}),
    frozenset({"ClusterRole", "Role"}),
    frozenset({"ClusterRoleBinding", "RoleBinding"}),
    frozenset({"ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim"}),
    frozenset({"Service", "Endpoints", "EndpointSlice"}),
    frozenset(),  # everything else: workloads, custom resources
    frozenset({"Ingress", "HorizontalPodAutoscaler"}),
    frozenset(
        {
            "APIService",
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        }
    ),  # deleted first: they would judge, or answer for, what is deleted after their servers are gone
)
"""Earlier ranks are applied first; objects of one rank do not need each other."""

_RANK = {kind: rank for rank, kinds in enumerate(RANKS) for kind in kinds}
_OTHERS = RANKS.index(frozenset())


def rank(kind: str) -> int:
    """The rank of a kind, 0 first."""
    return _RANK.get(kind, _OTHERS)
