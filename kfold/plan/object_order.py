"""In which order objects are applied, and deleted in reverse: rules as data (the models are kapp's and Helm's)."""

from __future__ import annotations

GROUPS = frozenset({
    "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "authentication.k8s.io",
    "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io",
    "events.k8s.io", "extensions", "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io",
    "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
    "storagemigration.k8s.io",
})  # fmt: skip
"""API groups of Kubernetes' own (k8s.io/api). Kinds of others may have the same names: Azure's have a Namespace."""

RANKS: tuple[frozenset[str], ...] = (
    frozenset({"Namespace", "PriorityClass", "StorageClass", "RuntimeClass", "IngressClass", "CSIDriver"}),
    frozenset({"CustomResourceDefinition"}),
    frozenset({"ServiceAccount", "ResourceQuota", "LimitRange", "NetworkPolicy", "PodDisruptionBudget"}),
    frozenset({"ClusterRole", "Role"}),
    frozenset({"ClusterRoleBinding", "RoleBinding"}),
    frozenset({"ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim"}),
    frozenset({"Service", "Endpoints", "EndpointSlice"}),
    frozenset(),  # everything else of Kubernetes: workloads
    frozenset(),  # custom resources: they go while the operator runs that has to take their finalizers out (Helm: last)
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


def rank(api_version: str, kind: str) -> int:
    """The rank of a kind, 0 first."""
    return _RANK.get(kind, _OTHERS) if api_version.rpartition("/")[0] in GROUPS else _OTHERS + 1
