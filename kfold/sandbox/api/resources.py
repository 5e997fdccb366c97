"""The table of kinds: what the API server knows about each resource before any object exists.

Groups, versions, short names, categories and subresources are those that a real cluster's discovery lists (1.34 to
1.37). Kinds without a controller in the sandbox are stored and served all the same; discovery does not tell the
difference,
`kfold sandbox status` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kfold.sandbox.api.structural import Structure

MAIN_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One kind as it is served.

    `generation`: whether the server counts changes of the desired state in metadata.generation.
    `subresources`: of "status", "scale" and the Pod's streaming ones.
    `returns_deleted`: DELETE answers with the object rather than with a Status (as the real server does for a few
    kinds).
    `structure`: of a custom kind, what its definition says of its objects.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    generation: bool = False
    returns_deleted: bool = False
    custom: bool = False
    singular: str = ""
    structure: Structure | None = field(default=None, compare=False, repr=False)

    @property
    def controlled(self) -> bool:
        """Whether something happens with its objects beyond their being kept (plain data counts as such)."""
        return self.kind in _CONTROLLED

    @property
    def api_version(self) -> str:
        """What objects carry as apiVersion: "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """(group, plural): the same object whatever the version it is asked in."""
        return (self.group, self.plural)

    @property
    def prefix(self) -> str:
        """The path under which the group version is served: "/api/v1" or "/apis/apps/v1"."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()


_CONTROLLED = frozenset(
    {
        "ConfigMap", "ControllerRevision", "CustomResourceDefinition", "DaemonSet", "Deployment", "EndpointSlice", "Event",
        "Job", "Namespace", "Node", "PersistentVolumeClaim", "Pod", "ReplicaSet", "Secret", "Service", "StatefulSet",
    }
)  # fmt: skip
_STATUS = ("status",)
_SCALED = ("status", "scale")
_ALL = ("all",)

# --- core
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, ("ns",), ("status", "finalize"))
NODES = Resource("", "v1", "nodes", "Node", False, ("no",), _STATUS)
PODS = Resource(
    "", "v1", "pods", "Pod", True, ("po",),
    ("status", "log", "exec", "attach", "portforward", "eviction", "binding", "ephemeralcontainers", "resize"),
    _ALL, generation=True, returns_deleted=True,
)  # fmt: skip
SERVICES = Resource("", "v1", "services", "Service", True, ("svc",), _STATUS, _ALL, returns_deleted=True)
ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap in each Namespace that has the API server's certificate authority."""

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event", True, ("ev",))
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, ("ep",), singular="endpoints")
SERVICEACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), ("token",), returns_deleted=True)
PERSISTENTVOLUMECLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",), _STATUS, returns_deleted=True
)
PERSISTENTVOLUMES = Resource(
    "", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), _STATUS, returns_deleted=True
)
LIMITRANGES = Resource("", "v1", "limitranges", "LimitRange", True, ("limits",))
RESOURCEQUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True, ("quota",), _STATUS, returns_deleted=True)
PODTEMPLATES = Resource("", "v1", "podtemplates", "PodTemplate", returns_deleted=True)
REPLICATIONCONTROLLERS = Resource(
    "", "v1", "replicationcontrollers", "ReplicationController", True, ("rc",), _SCALED, _ALL, generation=True
)

# --- apps and batch
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), _SCALED, _ALL, generation=True)
REPLICASETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), _SCALED, _ALL, generation=True)
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), _SCALED, _ALL, generation=True)
DAEMONSETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), _STATUS, _ALL, generation=True)
CONTROLLERREVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = Resource("batch", "v1", "jobs", "Job", True, (), _STATUS, _ALL, generation=True)
CRONJOBS = Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",), _STATUS, _ALL, generation=True)

# --- networking and the rest
ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True)
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), _STATUS, generation=True)
INGRESSCLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False, generation=True)
NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",), generation=True)
HORIZONTALPODAUTOSCALERS = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",), _STATUS, _ALL
)
PODDISRUPTIONBUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), _STATUS, generation=True
)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLEBINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTERROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False)
CLUSTERROLEBINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False)
STORAGECLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",))
PRIORITYCLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",), generation=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
RUNTIMECLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False)
MUTATINGWEBHOOKS = Resource(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False,
    categories=("api-extensions",), generation=True,
)  # fmt: skip
VALIDATINGWEBHOOKS = Resource(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False,
    categories=("api-extensions",), generation=True,
)  # fmt: skip
CUSTOMRESOURCEDEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
    ("crd", "crds"), _STATUS, ("api-extensions",), generation=True,
)  # fmt: skip

BUILTIN: tuple[Resource, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Resource))


class Catalog:
    """The kinds that are served now: the built-in ones, and those that CustomResourceDefinitions add."""

    def __init__(self, resources: tuple[Resource, ...] = BUILTIN) -> None:
        self._by_key: dict[tuple[str, str], Resource] = {resource.key: resource for resource in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_key.values()))

    def find(self, group: str, plural: str, version: str | None = None) -> Resource | None:
        """The resource served under that group and plural (and version, if one is given), or None."""
        found = self._by_key.get((group, plural))
        return found if found and version in (None, found.version) else None

    def find_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an object's apiVersion and kind (an owner reference, for example), or None."""
        for resource in self._by_key.values():
            if resource.kind == kind and resource.api_version == api_version:
                return resource
        return None

    def add(self, resource: Resource) -> None:
        self._by_key[resource.key] = resource

    def discard(self, resource: Resource) -> None:
        self._by_key.pop(resource.key, None)


def lookup(group: str, plural: str) -> Resource:
    """The built-in resource of that group and plural. Raises KeyError: the caller names a constant, not user input."""
    for resource in BUILTIN:
        if resource.key == (group, plural):
            return resource
    raise KeyError((group, plural))
