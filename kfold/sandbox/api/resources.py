"""The table of kinds: what the API server knows about each resource before any object exists.

Groups, versions, short names, categories and subresources are those that a real cluster's discovery lists (1.34 to
1.37). Kinds without a controller in the sandbox are stored and served all the same; discovery does not tell the
difference, `kfold sandbox status` does.
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
    `controlled`: whether something happens with its objects beyond their being kept (plain data counts as such).
    `structure`: of a custom kind, what its definition says of its objects.
    `verbs`: what discovery says; of a kind that is asked and not kept (reviews), "create" alone.
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
    controlled: bool = True
    custom: bool = False
    singular: str = ""
    structure: Structure | None = field(default=None, compare=False, repr=False)
    verbs: tuple[str, ...] = MAIN_VERBS

    @property
    def api_version(self) -> str:
        """What objects carry as apiVersion: "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """(group, plural): the same object whatever the version it is asked in."""
        return _SAME.get((self.group, self.plural), (self.group, self.plural))

    @property
    def prefix(self) -> str:
        """The path under which the group version is served: "/api/v1" or "/apis/apps/v1"."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()


_SAME = {("events.k8s.io", "events"): ("", "events")}
"""Objects that are served in two groups, and the place of those that are stored."""

_TABLE = """
v1 namespaces Namespace cluster ns status,finalize acted
v1 nodes Node cluster no status,proxy acted
v1 pods Pod namespaced po status,log,exec,attach,portforward,eviction,binding,ephemeralcontainers,proxy,resize \
  acted,all,generation,returned
v1 services Service namespaced svc status,proxy acted,all,returned
v1 configmaps ConfigMap namespaced cm - data
v1 secrets Secret namespaced - - data
v1 events Event namespaced ev - data
v1 endpoints Endpoints namespaced ep - acted
v1 serviceaccounts ServiceAccount namespaced sa token acted,returned
v1 persistentvolumeclaims PersistentVolumeClaim namespaced pvc status acted,returned
v1 persistentvolumes PersistentVolume cluster pv status acted,returned
v1 limitranges LimitRange namespaced limits - -
v1 resourcequotas ResourceQuota namespaced quota status returned
v1 podtemplates PodTemplate namespaced - - data,returned
v1 replicationcontrollers ReplicationController namespaced rc status,scale all,generation
v1 bindings Binding namespaced - - acted,asked
apps/v1 deployments Deployment namespaced deploy status,scale acted,all,generation
apps/v1 replicasets ReplicaSet namespaced rs status,scale acted,all,generation
apps/v1 statefulsets StatefulSet namespaced sts status,scale acted,all,generation
apps/v1 daemonsets DaemonSet namespaced ds status acted,all,generation
apps/v1 controllerrevisions ControllerRevision namespaced - - data
batch/v1 jobs Job namespaced - status acted,all,generation
batch/v1 cronjobs CronJob namespaced cj status all,generation
discovery.k8s.io/v1 endpointslices EndpointSlice namespaced - - acted,generation
networking.k8s.io/v1 ingresses Ingress namespaced ing status generation
networking.k8s.io/v1 ingressclasses IngressClass cluster - - data,generation
networking.k8s.io/v1 networkpolicies NetworkPolicy namespaced netpol - generation
networking.k8s.io/v1 ipaddresses IPAddress cluster ip - -
networking.k8s.io/v1 servicecidrs ServiceCIDR cluster - status -
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler namespaced hpa status all
autoscaling/v1 horizontalpodautoscalers HorizontalPodAutoscaler namespaced hpa status all
events.k8s.io/v1 events Event namespaced ev - data
policy/v1 poddisruptionbudgets PodDisruptionBudget namespaced pdb status generation
rbac.authorization.k8s.io/v1 roles Role namespaced - - data
rbac.authorization.k8s.io/v1 rolebindings RoleBinding namespaced - - data
rbac.authorization.k8s.io/v1 clusterroles ClusterRole cluster - - data
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding cluster - - data
storage.k8s.io/v1 storageclasses StorageClass cluster sc - data
storage.k8s.io/v1 volumeattributesclasses VolumeAttributesClass cluster vac - data
storage.k8s.io/v1 csidrivers CSIDriver cluster - - generation
storage.k8s.io/v1 csinodes CSINode cluster - status -
storage.k8s.io/v1 csistoragecapacities CSIStorageCapacity namespaced - - -
storage.k8s.io/v1 volumeattachments VolumeAttachment cluster - status -
scheduling.k8s.io/v1 priorityclasses PriorityClass cluster pc - data,generation
coordination.k8s.io/v1 leases Lease namespaced - - data
node.k8s.io/v1 runtimeclasses RuntimeClass cluster - - data
certificates.k8s.io/v1 certificatesigningrequests CertificateSigningRequest cluster csr status,approval -
flowcontrol.apiserver.k8s.io/v1 flowschemas FlowSchema cluster - status generation
flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations PriorityLevelConfiguration cluster - status generation
resource.k8s.io/v1 deviceclasses DeviceClass cluster - - generation
resource.k8s.io/v1 resourceclaims ResourceClaim namespaced - status -
resource.k8s.io/v1 resourceclaimtemplates ResourceClaimTemplate namespaced - - -
resource.k8s.io/v1 resourceslices ResourceSlice cluster - - generation
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration cluster - - \
  api-extensions,generation
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration cluster - - \
  api-extensions,generation
admissionregistration.k8s.io/v1 validatingadmissionpolicies ValidatingAdmissionPolicy cluster - status \
  api-extensions,generation
admissionregistration.k8s.io/v1 validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding cluster - - \
  api-extensions,generation
authentication.k8s.io/v1 selfsubjectreviews SelfSubjectReview cluster - - acted,asked
authentication.k8s.io/v1 tokenreviews TokenReview cluster - - acted,asked
authorization.k8s.io/v1 localsubjectaccessreviews LocalSubjectAccessReview namespaced - - acted,asked
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview cluster - - acted,asked
authorization.k8s.io/v1 selfsubjectrulesreviews SelfSubjectRulesReview cluster - - acted,asked
authorization.k8s.io/v1 subjectaccessreviews SubjectAccessReview cluster - - acted,asked
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition cluster crd,crds status \
  acted,api-extensions,generation
"""
"""A line a kind: apiVersion, plural, kind, scope, short names, subresources, and what else is to be said of it.

"acted": something happens with its objects. "data": others read it, and that is all that is expected of it. "asked": a POST
is answered, and nothing is kept. "generation", "returned", "all", "api-extensions": as in `Resource`. Who creates an object
of the others is warned. Of a kind that has two lines the first is the version in which it is stored.
"""

ABSENT_KINDS = {
    "v1": ("componentstatuses",),
    "admissionregistration.k8s.io/v1": ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
    "apiregistration.k8s.io/v1": ("apiservices",),
    "certificates.k8s.io/v1": ("clustertrustbundles", "podcertificaterequests"),
    "resource.k8s.io/v1": ("devicetaintrules",),
    "storagemigration.k8s.io/v1": ("storageversionmigrations",),
}
"""By apiVersion, what real clusters (up to 1.37) have and the sandbox refuses by name."""


def _row(line: str) -> Resource:
    api_version, plural, kind, scope, *lists = line.split()
    group, _, version = api_version.rpartition("/")
    short_names, subresources, traits = (tuple(entry.split(",")) if entry != "-" else () for entry in lists)
    return Resource(
        group,
        version,
        plural,
        kind,
        scope == "namespaced",
        short_names,
        subresources,
        tuple(name for name in ("all", "api-extensions") if name in traits),
        generation="generation" in traits,
        returns_deleted="returned" in traits,
        controlled="acted" in traits or "data" in traits,
        singular="endpoints" if kind == "Endpoints" else "",
        verbs=("create",) if "asked" in traits else MAIN_VERBS,
    )


BUILTIN = tuple(_row(line) for line in _TABLE.replace("\\\n", "").strip().splitlines())


def lookup(plural: str) -> Resource:
    """The built-in resource of that plural. Raises StopIteration: the caller names a constant, not user input."""
    return next(resource for resource in BUILTIN if resource.plural == plural)


CONFIGMAPS = lookup("configmaps")
CONTROLLERREVISIONS = lookup("controllerrevisions")
CUSTOMRESOURCEDEFINITIONS = lookup("customresourcedefinitions")
DAEMONSETS = lookup("daemonsets")
DEPLOYMENTS = lookup("deployments")
ENDPOINTS = lookup("endpoints")
ENDPOINTSLICES = lookup("endpointslices")
EVENTS = lookup("events")
JOBS = lookup("jobs")
NAMESPACES = lookup("namespaces")
NODES = lookup("nodes")
PERSISTENTVOLUMECLAIMS = lookup("persistentvolumeclaims")
PERSISTENTVOLUMES = lookup("persistentvolumes")
PODS = lookup("pods")
PRIORITYCLASSES = lookup("priorityclasses")
STORAGECLASSES = lookup("storageclasses")
REPLICASETS = lookup("replicasets")
RUNTIMECLASSES = lookup("runtimeclasses")
SECRETS = lookup("secrets")
SERVICEACCOUNTS = lookup("serviceaccounts")
SERVICES = lookup("services")
STATEFULSETS = lookup("statefulsets")

ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap in each Namespace that has the API server's certificate authority."""


class Catalog:
    """The kinds that are served now: the built-in ones, and those that CustomResourceDefinitions add.

    Iterating gives each kind once, in the version in which it is stored.
    """

    def __init__(self, resources: tuple[Resource, ...] = BUILTIN) -> None:
        self._by_key: dict[tuple[str, str], tuple[Resource, ...]] = {}
        for resource in resources:
            self._by_key[resource.key] = (*self._by_key.get(resource.key, ()), resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter([versions[0] for versions in self._by_key.values()])

    @property
    def served(self) -> list[Resource]:
        """Every kind in every version."""
        return [resource for versions in self._by_key.values() for resource in versions]

    def find(self, group: str, plural: str, version: str | None = None) -> Resource | None:
        """The resource served under that group and plural (and version, if one is given), or None."""
        versions = self._by_key.get(_SAME.get((group, plural), (group, plural)), ())
        return next((one for one in versions if one.group == group and version in (None, one.version)), None)

    def serves(self, group: str, version: str) -> bool:
        """Whether there are kinds of that group version."""
        return any((one.group, one.version) == (group, version) for one in self.served)

    def stored(self, resource: Resource) -> Resource:
        """The kind in the version in which it is stored; a custom kind is stored in any."""
        return resource if resource.custom else self._by_key[resource.key][0]

    def set(self, versions: tuple[Resource, ...]) -> None:
        """Serve a kind in these versions, of which the first is the one in which it is stored."""
        self._by_key[versions[0].key] = versions

    def discard(self, resource: Resource) -> None:
        """Serve that kind in no version any more."""
        self._by_key.pop(resource.key, None)
