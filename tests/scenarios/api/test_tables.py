"""Tables: the columns that the server chooses for `kubectl get`, and what stands in them."""

from __future__ import annotations

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import Json, Space
from tests.scenarios.api.objects import config_map, container, pod

CORE, APPS, BATCH, NETWORK = "/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/networking.k8s.io/v1"
RBAC, STORAGE = "/apis/rbac.authorization.k8s.io/v1", "/apis/storage.k8s.io/v1"
REPLICAS = "Name|Desired|Current|Ready|Age"
TEMPLATE = "Containers|Images|Selector"
SUBJECTS = "Users|Groups|ServiceAccounts"
COLUMNS = {
    f"{CORE}/pods": ("Name|Ready|Status|Restarts|Age", "IP|Node|Nominated Node|Readiness Gates"),
    f"{CORE}/services": ("Name|Type|Cluster-IP|External-IP|Port(s)|Age", "Selector"),
    f"{CORE}/configmaps": ("Name|Data|Age", ""),
    f"{CORE}/secrets": ("Name|Type|Data|Age", ""),
    f"{CORE}/namespaces": ("Name|Status|Age", ""),
    f"{CORE}/serviceaccounts": ("Name|Secrets|Age", ""),
    f"{CORE}/endpoints": ("Name|Endpoints|Age", ""),
    f"{CORE}/events": ("Last Seen|Type|Reason|Object|Message", "Subobject|Source|First Seen|Count|Name"),
    f"{CORE}/nodes": ("Name|Status|Roles|Age|Version", "Internal-IP|External-IP|OS-Image|Kernel-Version|Container-Runtime"),
    f"{CORE}/persistentvolumes": (
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age",
        "VolumeMode",
    ),
    f"{CORE}/persistentvolumeclaims": (
        "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age",
        "VolumeMode",
    ),
    f"{CORE}/replicationcontrollers": (REPLICAS, TEMPLATE),
    f"{CORE}/limitranges": ("Name|Created At", ""),
    f"{CORE}/podtemplates": ("Name|Containers|Images|Pod Labels", ""),
    f"{APPS}/deployments": ("Name|Ready|Up-to-date|Available|Age", TEMPLATE),
    f"{APPS}/replicasets": (REPLICAS, TEMPLATE),
    f"{APPS}/statefulsets": ("Name|Ready|Age", "Containers|Images"),
    f"{APPS}/daemonsets": ("Name|Desired|Current|Ready|Up-to-date|Available|Node Selector|Age", TEMPLATE),
    f"{APPS}/controllerrevisions": ("Name|Controller|Revision|Age", ""),
    f"{BATCH}/jobs": ("Name|Status|Completions|Duration|Age", TEMPLATE),
    f"{BATCH}/cronjobs": ("Name|Schedule|Timezone|Suspend|Active|Last Schedule|Age", TEMPLATE),
    "/apis/discovery.k8s.io/v1/endpointslices": ("Name|AddressType|Ports|Endpoints|Age", ""),
    "/apis/policy/v1/poddisruptionbudgets": ("Name|Min Available|Max Unavailable|Allowed Disruptions|Age", ""),
    "/apis/autoscaling/v2/horizontalpodautoscalers": ("Name|Reference|Targets|MinPods|MaxPods|Replicas|Age", ""),
    f"{NETWORK}/ingresses": ("Name|Class|Hosts|Address|Ports|Age", ""),
    f"{NETWORK}/ingressclasses": ("Name|Controller|Parameters|Age", ""),
    f"{NETWORK}/networkpolicies": ("Name|Pod-Selector|Age", ""),
    f"{STORAGE}/storageclasses": ("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age", ""),
    f"{RBAC}/roles": ("Name|Created At", ""),
    f"{RBAC}/clusterroles": ("Name|Created At", ""),
    f"{RBAC}/rolebindings": ("Name|Role|Age", SUBJECTS),
    f"{RBAC}/clusterrolebindings": ("Name|Role|Age", SUBJECTS),
    "/apis/coordination.k8s.io/v1/leases": ("Name|Holder|Age", ""),
    "/apis/node.k8s.io/v1/runtimeclasses": ("Name|Handler|Age", ""),
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": ("Name|Created At", ""),
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations": ("Name|Webhooks|Age", ""),
}
"""By path of all objects of a kind: the columns of `kubectl get`, and those that -o wide adds."""


def table(space: Space, path: str, **query: str) -> Json:
    headers = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    found: Json = space.api.send("GET", path, headers=headers, **query).ok()
    assert found["kind"] == "Table"
    return found


def test_the_columns_of_each_kind(shared: Space) -> None:
    """The server's own columns (pkg/printers/internalversion), in their order; wide ones have priority 1."""
    for path, (narrow, wide) in COLUMNS.items():
        columns = table(shared, path, limit="1")["columnDefinitions"]
        shown = {
            wanted: "|".join(entry["name"] for entry in columns if (entry["priority"] > 0) == wanted)
            for wanted in (False, True)
        }
        assert (shown[False], shown[True]) == (narrow, wide), path


def cells(space: Space, path: str, name: str) -> Json:
    """Column -> what stands in it, of one object."""
    found = table(space, path, fieldSelector=f"metadata.name={name}")
    (row,) = found["rows"]
    return dict(zip((entry["name"] for entry in found["columnDefinitions"]), row["cells"], strict=True))


ROWS = [
    (
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "often"},
            "spec": {
                "schedule": "0 0 1 1 *",
                "timeZone": "Etc/UTC",
                "suspend": True,
                "jobTemplate": {
                    "spec": {
                        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "none:1"}]}}
                    }
                },
            },
        },
        f"{BATCH}/namespaces/NAMESPACE/cronjobs",
        {
            "Schedule": "0 0 1 1 *", "Timezone": "Etc/UTC", "Suspend": "True", "Active": 0, "Last Schedule": "<none>",
            "Containers": "a", "Images": "none:1", "Selector": "<none>",
        },
    ),
    (
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "half"},
            "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "none"}}},
        },
        "/apis/policy/v1/namespaces/NAMESPACE/poddisruptionbudgets",
        {"Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 0},
    ),
    (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "way"},
            "spec": {
                "ingressClassName": "nobody",
                "tls": [{"hosts": ["a.example"]}],
                "rules": [{"host": f"{name}.example"} for name in "abcde"],
                "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}},
            },
        },
        f"{NETWORK}/namespaces/NAMESPACE/ingresses",
        {"Class": "nobody", "Hosts": "a.example,b.example,c.example + 2 more...", "Address": "", "Ports": "80, 443"},
    ),
    (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "closed"},
            "spec": {
                "podSelector": {
                    "matchLabels": {"b": "c"},
                    "matchExpressions": [
                        {"key": "a", "operator": "In", "values": ["y", "x"]},
                        {"key": "d", "operator": "DoesNotExist"},
                    ],
                }
            },
        },
        f"{NETWORK}/namespaces/NAMESPACE/networkpolicies",
        {"Pod-Selector": "a in (x,y),b=c,!d"},
    ),
    (
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "grows"},
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "absent"},
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                    }
                ],
            },
        },
        "/apis/autoscaling/v2/namespaces/NAMESPACE/horizontalpodautoscalers",
        {
            "Reference": "Deployment/absent", "Targets": "cpu: <unknown>/80%", "MinPods": "1", "MaxPods": 3, "Replicas": 0,
        },
    ),
    (
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "may"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"},
            "subjects": [
                {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "ServiceAccount", "name": "robot", "namespace": "away"},
            ],
        },
        f"{RBAC}/namespaces/NAMESPACE/rolebindings",
        {"Role": "Role/read", "Users": "jane", "Groups": "", "ServiceAccounts": "away/robot"},
    ),
    (
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "held"},
            "spec": {"holderIdentity": "me"},
        },
        "/apis/coordination.k8s.io/v1/namespaces/NAMESPACE/leases",
        {"Holder": "me"},
    ),
    (
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "four"},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "endpoints": [{"addresses": [f"192.0.2.{number}"]} for number in range(1, 5)],
        },
        "/apis/discovery.k8s.io/v1/namespaces/NAMESPACE/endpointslices",
        {"AddressType": "IPv4", "Ports": "80", "Endpoints": "192.0.2.1,192.0.2.2,192.0.2.3 + 1 more..."},
    ),
    (
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "two"},
            "subsets": [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": [{"port": 80}]}],
        },
        f"{CORE}/namespaces/NAMESPACE/endpoints",
        {"Endpoints": "192.0.2.1:80,192.0.2.2:80"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "path", "expected"), ROWS, ids=[row[0]["kind"] for row in ROWS])
def test_what_stands_in_the_columns(shared: Space, obj: Json, path: str, expected: Json) -> None:
    """Summaries as the real printers make them: three items and how many more, N/A, <none>, <unset>, <unknown>."""
    path = path.replace("NAMESPACE", shared.name)
    shared.api.post(path, obj).ok()
    found = cells(shared, path, obj["metadata"]["name"])
    assert {key: found[key] for key in expected} == expected


def test_a_claim_that_is_being_deleted(shared: Space) -> None:
    """A PersistentVolumeClaim that waits for its finalizers is Terminating; one without a class to bind it is Pending."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "kfold-suite-none",
        "resources": {"requests": {"storage": "1Mi"}},
    }
    metadata = {"name": "data", "finalizers": ["kfold.dev/suite"]}
    shared.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    path = shared.path("PersistentVolumeClaim")
    found = cells(shared, path, "data")
    assert (found["Status"], found["Volume"], found["Capacity"], found["Access Modes"]) == ("Pending", "", "", "")
    assert (found["StorageClass"], found["VolumeAttributesClass"], found["VolumeMode"]) == (
        "kfold-suite-none",
        "<unset>",
        "Filesystem",
    )
    shared.delete("PersistentVolumeClaim", "data").ok()
    assert cells(shared, path, "data")["Status"] == "Terminating"
    shared.patch("PersistentVolumeClaim", "data", {"metadata": {"finalizers": None}})
    shared.gone("PersistentVolumeClaim", "data")


def test_events_come_in_the_order_of_their_making(shared: Space) -> None:
    """`kubectl get events` is a list by name, and an Event's name ends with the time at which it was made."""
    shared.create(pod("told", container(shared.image)))
    shared.running("told")

    def reasons() -> list[str]:
        found = table(shared, shared.path("Event"), fieldSelector="involvedObject.name=told")
        place = [entry["name"] for entry in found["columnDefinitions"]].index("Reason")
        return [row["cells"][place] for row in found["rows"]]

    wait_until(lambda: len(reasons()) >= 4, "its Events", tell=lambda: str(reasons()))
    assert reasons()[:4] == ["Scheduled", "Pulled", "Created", "Started"]


def test_the_other_forms_of_a_row(shared: Space) -> None:
    """A row carries the object's metadata, the whole object (includeObject=Object), or nothing (None)."""
    shared.create(config_map("shown", a="1"))
    query = {"fieldSelector": "metadata.name=shown"}
    kinds = {"": "PartialObjectMetadata", "Metadata": "PartialObjectMetadata", "Object": "ConfigMap", "None": None}
    for include, kind in kinds.items():
        asked = query | ({"includeObject": include} if include else {})
        (row,) = table(shared, shared.path("ConfigMap"), **asked)["rows"]
        assert (row.get("object") or {}).get("kind") == kind, include
