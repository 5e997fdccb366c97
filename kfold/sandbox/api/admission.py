"""What has to be there for an object to be created: asked of requests, and of the controllers that make Pods."""

from __future__ import annotations

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    PRIORITYCLASSES,
    RUNTIMECLASSES,
    SERVICEACCOUNTS,
    STORAGECLASSES,
    Resource,
)
from kfold.sandbox.api.store import Store

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def admit(store: Store, resource: Resource, namespace: str | None, obj: Object) -> None:
    """A Pod's service account and classes have to be there (403), and a custom kind's definition has to stay (405).

    A claim gets the default class, and a finalizer that keeps it while a Pod uses it.

    The service account that each Namespace gets is not asked for: it is made a moment later (the real server waits for it).
    """
    if resource.custom:
        definition = store.peek(CUSTOMRESOURCEDEFINITIONS, None, f"{resource.plural}.{resource.group}")
        if definition and at(definition, "metadata", "deletionTimestamp"):
            text = "create not allowed while custom resource definition is terminating"
            raise errors.ApiError(405, "MethodNotAllowed", text)
    if resource.key == PERSISTENTVOLUMECLAIMS.key:
        _admit_claim(store, obj)
    if resource.key != PODS.key:
        return
    spec = obj.get("spec") or {}
    account = spec.get("serviceAccountName") or "default"
    why = ""
    if (named := spec.get("priorityClassName")) and store.peek(PRIORITYCLASSES, None, named) is None:
        why = f"no PriorityClass with name {named} was found"
    elif (named := spec.get("runtimeClassName")) and store.peek(RUNTIMECLASSES, None, named) is None:
        why = f'pod rejected: RuntimeClass "{named}" not found'
    elif account != "default" and store.peek(SERVICEACCOUNTS, namespace, account) is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
    if why:
        metadata = obj["metadata"]
        raise errors.forbidden(resource, metadata.get("name") or metadata.get("generateName") or "", why)


def _admit_claim(store: Store, obj: Object) -> None:
    """What the admission plugins DefaultStorageClass and StorageObjectInUseProtection do."""
    finalizers = obj["metadata"].get("finalizers") or []
    obj["metadata"]["finalizers"] = list(dict.fromkeys([*finalizers, CLAIM_PROTECTION]))
    spec = obj.get("spec")
    if not isinstance(spec, dict) or spec.get("storageClassName") is not None:
        return
    for candidate in store.peek_all(STORAGECLASSES):
        if at(candidate, "metadata", "annotations", DEFAULT_CLASS) == "true":
            spec["storageClassName"] = candidate["metadata"]["name"]
