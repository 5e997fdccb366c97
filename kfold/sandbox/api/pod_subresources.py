"""pods/binding, pods/ephemeralcontainers and pods/resize: each changes one part of a Pod, and nothing else of it.

Rules of pkg/registry/core/pod (the strategies of these subresources) and ValidatePodEphemeralContainersUpdate,
ValidatePodResize.
"""

from __future__ import annotations

from aiohttp import web

from kfold.sandbox.api import bodies, errors, quantity, validation
from kfold.sandbox.api.answers import answer
from kfold.sandbox.api.causes import Cause, forbidden, invalid
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.documents import Object, at, copied
from kfold.sandbox.api.requests import Target, dry_run
from kfold.sandbox.api.resources import PODS

PARTS = ("ephemeralcontainers", "resize")
_RESIZED = ("cpu", "memory")


def only_part(subresource: str, live: Object, asked: Object) -> Object:
    """The stored Pod with what a write to that subresource may change of it."""
    pod: Object = copied(live)
    pod["metadata"] = {**pod["metadata"], "resourceVersion": at(asked, "metadata", "resourceVersion")}
    if "managedFields" in asked["metadata"]:
        pod["metadata"]["managedFields"] = copied(asked["metadata"]["managedFields"])
    spec = asked.get("spec") or {}
    if subresource == "ephemeralcontainers":
        pod["spec"].pop("ephemeralContainers", None)
        if containers := spec.get("ephemeralContainers"):
            pod["spec"]["ephemeralContainers"] = copied(containers)
        return pod
    for kind in ("containers", "initContainers"):
        wanted = {one.get("name"): one.get("resources") for one in spec.get(kind) or []}
        for container in pod["spec"].get(kind) or []:
            if container["name"] in wanted:
                container["resources"] = copied(wanted[container["name"]] or {})
    return pod


def bad_change(subresource: str, obj: Object, old: Object) -> list[Cause]:
    """Causes for what a write to that subresource must not do."""
    if subresource == "resize":
        return _bad_resize(obj, old)
    new = {one["name"]: one for one in at(obj, "spec", "ephemeralContainers") or []}
    causes: list[Cause] = []
    for container in at(old, "spec", "ephemeralContainers") or []:
        name = container["name"]
        if name not in new:
            why = f'existing ephemeral containers "{name}" may not be removed\n'
            causes.append(forbidden("spec.ephemeralContainers", why))
        elif new[name] != container:
            why = f'existing ephemeral containers "{name}" may not be changed\n'
            causes.append(forbidden("spec.ephemeralContainers", why))
    return causes


def _bad_resize(obj: Object, old: Object) -> list[Cause]:
    causes: list[Cause] = []
    if quantity.quality_of_service(obj) != at(old, "status", "qosClass"):
        why = "Pod QOS Class may not change as a result of resizing"
        causes.append(invalid("spec", at(old, "status", "qosClass"), why))
    for kind in ("containers", "initContainers"):
        pairs = zip(at(obj, "spec", kind) or [], at(old, "spec", kind) or [], strict=True)
        for index, (container, before) in enumerate(pairs):
            field = f"spec.{kind}[{index}].resources"
            for part in ("limits", "requests"):
                new, given = (at(one, "resources", part) or {} for one in (container, before))
                if set(given) - set(new):
                    causes.append(forbidden(f"{field}.{part}", f"resource {part} cannot be removed"))
                changed = {key for key in {*new, *given} - set(_RESIZED) if new.get(key) != given.get(key)}
                if changed:
                    causes.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return causes


async def bind(cluster: Cluster, request: web.Request, target: Target) -> web.StreamResponse:
    """POST pods/NAME/binding, or of a Binding to the namespace: says once on which node a Pod runs."""
    body = validation.options(cluster.schema, "v1", "Binding", await bodies.document(request, cluster.schema))
    name = target.name or at(body, "metadata", "name") or ""
    node = at(body, "target", "name")
    if not node or at(body, "target", "kind") not in (None, "", "Node"):
        raise errors.bad_request("a Binding names a Node as its target")
    pod = cluster.store.get(PODS, target.namespace, name)
    if given := at(pod, "spec", "nodeName"):
        raise errors.conflict(PODS, f"{name}", f'pod {name} is already assigned to node "{given}"')
    pod["spec"]["nodeName"] = node
    pod["metadata"].setdefault("annotations", {}).update(at(body, "metadata", "annotations") or {})
    rehearse, bad = dry_run(request.query.get("dryRun", ""))
    if bad:
        raise errors.bad_options("CreateOptions", bad)
    cluster.store.update(PODS, pod, subresource="binding", dry_run=rehearse)
    return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)
