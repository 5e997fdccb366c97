"""What an update of each kind must not change."""

from __future__ import annotations

from kfold.sandbox.api import quantity
from kfold.sandbox.api.causes import Cause, forbidden, invalid
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.pod_subresources import PARTS, bad_change
from kfold.sandbox.api.resources import PODS, SERVICES, Resource

_FREE_OF_STATEFUL_SETS = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)  # fmt: skip
_FIXED_OF_JOBS = ("completionMode", "template", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy")


def immutable(resource: Resource, obj: Object, old: Object, subresource: str = "") -> list[Cause]:
    """Causes with the paths of what differs from `old` and must not."""
    if resource.key == PODS.key and subresource in PARTS:
        return bad_change(subresource, obj, old)
    paths: list[tuple[str, ...]] = []
    if resource.custom:
        return []
    if resource.kind in ("Deployment", "ReplicaSet", "DaemonSet", "Job"):
        paths.append(("spec", "selector"))
    if resource.kind == "Job":
        paths.extend(("spec", key) for key in _FIXED_OF_JOBS)
        if at(old, "spec", "completionMode") != "Indexed":
            paths.append(("spec", "completions"))
    if resource.kind == "CustomResourceDefinition" and _established(old):
        paths.extend([("spec", "scope"), ("spec", "names", "kind")])
    if resource.kind in ("RoleBinding", "ClusterRoleBinding"):
        paths.append(("roleRef",))
    if resource.kind == "Secret":
        paths.append(("type",))
    causes = [
        invalid(".".join(path), at(obj, *path), "field is immutable") for path in paths if at(obj, *path) != at(old, *path)
    ]
    if resource.kind in ("Secret", "ConfigMap") and old.get("immutable"):
        changed = [key for key in ("immutable", "data", "binaryData") if obj.get(key) != old.get(key)]
        causes += [forbidden(key, "field is immutable when `immutable` is set") for key in changed]
    if resource.key == SERVICES.key:
        causes.extend(_address_changes(obj, old))
    if resource.kind == "Pod":
        causes.extend(_pod_changes(obj, old))
    if resource.kind == "Job":
        causes.extend(_indexed_changes(obj, old))
    if resource.kind == "PersistentVolumeClaim":
        causes.extend(_claim_changes(obj, old))
    if resource.kind == "StatefulSet":
        free = [*_FREE_OF_STATEFUL_SETS]
        left, right = ({key: value for key, value in of["spec"].items() if key not in free} for of in (obj, old))
        if left != right:
            listed = ", ".join(f"'{name}'" for name in free[:-1])
            why = f"updates to statefulset spec for fields other than {listed} and '{free[-1]}' are forbidden"
            causes.append(forbidden("spec", why))
    return causes


def _address_changes(obj: Object, old: Object) -> list[Cause]:
    """A Service keeps its cluster IP, unless it is or was one without."""
    if "ExternalName" in (at(obj, "spec", "type"), at(old, "spec", "type")):
        return []
    new, before = (at(of, "spec", "clusterIPs") or [] for of in (obj, old))
    changed = [index for index, address in enumerate(before) if new[index : index + 1] != [address]]
    return [invalid(f"spec.clusterIPs[{index}]", new, "may not change once set") for index in changed]


def _pod_changes(obj: Object, old: Object) -> list[Cause]:
    causes: list[Cause] = []
    limit, before = at(obj, "spec", "activeDeadlineSeconds"), at(old, "spec", "activeDeadlineSeconds")
    if before is not None and (limit is None or limit > before):
        why = "must be less than or equal to previous value"
        causes.append(invalid("spec.activeDeadlineSeconds", limit, why))
    grace = at(obj, "spec", "terminationGracePeriodSeconds")
    changed = grace not in (1, at(old, "spec", "terminationGracePeriodSeconds"))
    if changed or _fixed_part(obj, old) != _fixed_part(old, old):
        names = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`"
        why = (
            f"pod updates may not change fields other than {names} (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        causes.append(forbidden("spec", why))
    return causes


def _fixed_part(pod: Object, old: Object) -> Object:
    """A Pod's spec without what may change of `old`. Setting nodeName once is the scheduler's binding."""
    free = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if not at(old, "spec", "nodeName"):
        free.append("nodeName")
    if (at(old, "spec", "terminationGracePeriodSeconds") or 0) < 0:
        free.append("terminationGracePeriodSeconds")
    spec = {key: value for key, value in (pod.get("spec") or {}).items() if key not in free}
    for kind in ("containers", "initContainers"):
        if kind in spec:
            spec[kind] = [{key: value for key, value in item.items() if key != "image"} for item in spec[kind]]
    return spec


def _indexed_changes(obj: Object, old: Object) -> list[Cause]:
    """Of an Indexed Job, completions and parallelism change together (KEP-3715, elastic Jobs)."""
    wanted = at(obj, "spec", "completions")
    if at(old, "spec", "completionMode") != "Indexed" or wanted == at(old, "spec", "completions"):
        return []
    if wanted == at(obj, "spec", "parallelism"):
        return []
    return [invalid("spec.completions", wanted, "can only be modified in tandem with spec.parallelism")]


def _claim_changes(obj: Object, old: Object) -> list[Cause]:
    """A claim is fixed once made, but for what binding sets, and the size and attributes of a bound one."""
    new, before = dict(obj["spec"]), dict(old["spec"])
    bound = at(old, "status", "phase") == "Bound"
    free = [key for key in ("volumeName", "storageClassName") if not before.get(key)]
    if bound:
        free.append("volumeAttributesClassName")
    causes: list[Cause] = []
    wanted, size = (at(of, "resources", "requests", "storage") for of in (new, before))
    if bound and wanted and size:
        free.append("resources")
        if quantity.parse(wanted) < quantity.parse(size):
            causes.append(forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
    if any(new.get(key) != before.get(key) for key in {*new, *before} - set(free)):
        why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        causes.append(forbidden("spec", why))
    return causes


def _established(definition: Object) -> bool:
    conditions = at(definition, "status", "conditions") or []
    return any(item.get("type") == "Established" and item.get("status") == "True" for item in conditions)
