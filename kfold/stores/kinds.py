"""Kinds of objects: their path in the API, for the common ones without asking the cluster.

The API names objects by plural and knows from discovery which live in a namespace. What Kubernetes itself serves is a
table here, so that a run that changes nothing needs no discovery; everything else (custom resources) is looked up once
by the store and kept in a file named by the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Kind:
    """One kind in one API version. `plural` is its name in URLs."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of all objects, of a namespace's objects, or of one object."""
        root = group_path(self.api_version)
        if self.namespaced and namespace:
            root += f"/namespaces/{quote(namespace, safe='')}"
        return f"{root}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


def group_path(api_version: str) -> str:
    """/api/v1 for the core group, /apis/GROUP/VERSION for all others."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def group_of(api_version: str) -> str:
    """The group of an apiVersion; "" is the core group."""
    return api_version.rpartition("/")[0]


def _table(namespaced: bool, kinds: Mapping[str, str]) -> dict[tuple[str, str], Kind]:
    table = {}
    for api_version, names in kinds.items():
        for name in names.split():
            kind, _, plural = name.partition("=")
            table[api_version, kind] = Kind(api_version, kind, plural or f"{kind.lower()}s", namespaced)
    return table


BUILTIN: Mapping[tuple[str, str], Kind] = {
    **_table(True, {
        "v1": "Pod Service ConfigMap Secret ServiceAccount PersistentVolumeClaim ReplicationController "
              "Endpoints=endpoints Event LimitRange ResourceQuota PodTemplate",
        "apps/v1": "Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision",
        "batch/v1": "Job CronJob",
        "networking.k8s.io/v1": "Ingress=ingresses NetworkPolicy=networkpolicies",
        "rbac.authorization.k8s.io/v1": "Role RoleBinding",
        "autoscaling/v2": "HorizontalPodAutoscaler",
        "autoscaling/v1": "HorizontalPodAutoscaler",
        "policy/v1": "PodDisruptionBudget",
        "coordination.k8s.io/v1": "Lease",
        "discovery.k8s.io/v1": "EndpointSlice",
        "events.k8s.io/v1": "Event",
    }),
    **_table(False, {
        "v1": "Namespace Node PersistentVolume",
        "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
        "storage.k8s.io/v1": "StorageClass=storageclasses CSIDriver CSINode VolumeAttachment",
        "networking.k8s.io/v1": "IngressClass=ingressclasses",
        "scheduling.k8s.io/v1": "PriorityClass=priorityclasses",
        "node.k8s.io/v1": "RuntimeClass=runtimeclasses",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "apiregistration.k8s.io/v1": "APIService",
        "admissionregistration.k8s.io/v1": "ValidatingWebhookConfiguration MutatingWebhookConfiguration "
                                           "ValidatingAdmissionPolicy=validatingadmissionpolicies "
                                           "ValidatingAdmissionPolicyBinding",
    }),
}
"""What every supported cluster serves under these versions and names, by (apiVersion, kind)."""
