"""What clients ask first, in the old form and the aggregated one (APIGroupDiscoveryList).

Versions, groups, and the kinds in them.
"""

from __future__ import annotations

import platform
import re
from typing import Any

from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import ABSENT_KINDS, Catalog, Resource

_SUBRESOURCE_VERBS: dict[str, tuple[str, ...]] = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "log": ("get",),
    "exec": ("create", "get"),
    "attach": ("create", "get"),
    "portforward": ("create", "get"),
    "eviction": ("create",),
    "binding": ("create",),
    "token": ("create",),
    "ephemeralcontainers": ("get", "patch", "update"),
    "resize": ("get", "patch", "update"),
    "finalize": ("update",),
}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "v1", "Binding"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
}


ABSENT = (
    *(f"{', '.join(plurals)} of {api_version}" for api_version, plurals in ABSENT_KINDS.items()),
    "CEL rules with optional fields (`.?`), quantities, URLs or addresses",
    "webhooks that convert between a custom kind's versions",
    "admission webhooks and policies, quotas and limit ranges",
    "the API at kubernetes.default.svc inside Pods, and tokens mounted into them (`kubectl create token` gives some)",
    "on Docker Desktop: subPath, termination messages, ports that a Pod does not declare",
)
"""What a real cluster has beside the kinds' subresources, and the sandbox has not."""


def served_subresources(resource: Resource) -> list[str]:
    """Those that the sandbox answers; the table of kinds also names some that it refuses with 501."""
    return [name for name in resource.subresources if name in _SUBRESOURCE_VERBS]


def missing_subresources(resource: Resource) -> list[str]:
    """Those that a real cluster has and the sandbox refuses with 501."""
    return [name for name in resource.subresources if name not in _SUBRESOURCE_VERBS]


_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's names in Go's words."""


def version(kubernetes: str) -> Object:
    """GET /version. `kubernetes`: the release whose schema is served, "1.37.0"."""
    major, minor = kubernetes.split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{kubernetes}+kfold-sandbox",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "cpython",
        "platform": f"linux/{_PROCESSORS.get(platform.machine(), platform.machine())}",
    }


def core_versions(address: str) -> Object:
    """GET /api."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def groups(catalog: Catalog) -> list[tuple[str, str]]:
    """(group, version) of all kinds: the core group first, a group's preferred version first."""
    pairs = {(resource.group, resource.version) for resource in catalog.served}
    return sorted(sorted(pairs, key=lambda pair: _priority(pair[1]), reverse=True), key=lambda pair: pair[0])


def _priority(version: str) -> tuple[int, int, int]:
    """v2 is before v1, v1 before v1beta2, v1beta1 before v1alpha1, and all of them before any other name."""
    found = re.match(r"v(\d+)(?:(alpha|beta)(\d+))?\Z", version)
    if not found:
        return (0, 0, 0)
    major, stage, minor = found.groups()
    return ({"alpha": 1, "beta": 2}.get(stage, 3), int(major), int(minor or 0))


def paths(catalog: Catalog) -> list[str]:
    """GET /: all that is served besides objects."""
    found = {"/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
    for name, served in groups(catalog):
        found |= {f"/apis/{name}", f"/apis/{name}/{served}"} if name else {f"/api/{served}"}
    return sorted(found)


def group_list(catalog: Catalog) -> Object:
    """GET /apis."""
    listed = [group(catalog, name) for name in dict.fromkeys(name for name, _ in groups(catalog) if name)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(catalog: Catalog, name: str) -> Object:
    """GET /apis/GROUP."""
    versions = [{"groupVersion": f"{name}/{served}", "version": served} for of, served in groups(catalog) if of == name]
    body: Object = {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions}
    return {**body, "preferredVersion": versions[0]} if versions else body


def kinds(catalog: Catalog, name: str, version: str) -> list[Resource]:
    """The kinds of a group version."""
    return [resource for resource in catalog.served if (resource.group, resource.version) == (name, version)]


def resource_list(catalog: Catalog, name: str, served: str) -> Object:
    """GET /api/v1 and /apis/GROUP/VERSION."""
    entries: list[Object] = []
    for resource in kinds(catalog, name, served):
        entry = _entry(resource)
        common = {"namespaced": resource.namespaced, "kind": resource.kind}
        names: Object = {key: entry[key] for key in ("shortNames", "categories") if key in entry}
        singular = {"name": resource.plural, "singularName": resource.singular_name}
        entries.append({**singular, **common, "verbs": entry["verbs"], **names})
        for below in entry.get("subresources", []):
            name_below, kind = f"{resource.plural}/{below['subresource']}", below["responseKind"]
            # a kind of another group says so: autoscaling/v1 Scale
            other = kind if below["subresource"] in _SUBRESOURCE_KINDS else {}
            entries.append({"name": name_below, "singularName": "", **common, "verbs": below["verbs"], **other})
    group_version = f"{name}/{served}" if name else served
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def aggregated(catalog: Catalog, *, core: bool, form: str) -> Object:
    """GET /api or /apis as an APIGroupDiscoveryList, one request instead of one a group.

    `form` is "v2" or "v2beta1".
    """
    items = []
    for name in dict.fromkeys(name for name, _ in groups(catalog)):
        if (name == "") != core:
            continue
        versions = []
        for of, served in groups(catalog):
            if of == name:
                entries = [_entry(resource) for resource in kinds(catalog, of, served)]
                versions.append({"version": served, "freshness": "Current", "resources": entries})
        items.append({"metadata": {"name": name} if name else {}, "versions": versions})
    api_version = f"apidiscovery.k8s.io/{form}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _entry(resource: Resource) -> Object:
    subresources = []
    for name in served_subresources(resource):
        group_name, served, kind = _SUBRESOURCE_KINDS.get(name, (resource.group, resource.version, resource.kind))
        subresources.append(
            {
                "subresource": name,
                "responseKind": {"group": group_name, "version": served, "kind": kind},
                "verbs": list(_SUBRESOURCE_VERBS[name]),
            }
        )
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular_name,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if subresources:
        entry["subresources"] = subresources
    return entry
