"""What an update may change of an object, and what counts as a change."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object, at, copied
from kfold.sandbox.api.resources import DEPLOYMENTS, Resource


def check_precondition(resource: Resource, name: str, what: str, wanted: str | None, actual: str) -> None:
    """Raises ApiError 409."""
    if wanted and wanted != actual:
        why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
        raise errors.conflict(resource, name, why)


def keep_server_fields(resource: Resource, metadata: Object, old: Object) -> None:
    """Put back, in place, what a client cannot change. Raises ApiError 422 for finalizers that come too late."""
    kept = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
    if resource.generation or resource.custom:
        kept.append("generation")
    for key in kept:
        metadata.pop(key, None)
        if key in old:
            metadata[key] = old[key]
    metadata["resourceVersion"] = old["resourceVersion"]
    if metadata.get("managedFields") is None:
        metadata.pop("managedFields", None)
        if "managedFields" in old:
            metadata["managedFields"] = copied(old["managedFields"])
    if old.get("deletionTimestamp"):
        # once deletion has begun, finalizers can only be taken away
        present = old.get("finalizers") or []
        extra = sorted(item for item in metadata.get("finalizers") or [] if item not in present)
        if extra:
            why = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            listed = ", ".join(f'"{item}"' for item in extra)
            cause = ("FieldValueForbidden", "metadata.finalizers", f"{why}[]string{{{listed}}}")
            raise errors.invalid(resource, old["name"], [cause])


def desired(resource: Resource, obj: Object) -> Any:
    """What `generation` counts: everything but metadata and status; for Deployments their annotations too."""
    fields = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    return fields, at(obj, "metadata", "annotations") or {} if resource.key == DEPLOYMENTS.key else {}


def same_owners(obj: Object, old: Object) -> bool:
    """Whether managedFields are equal but for their times: a write that only renews a time is no write."""

    def owners(of: Object) -> list[Object]:
        return [{**entry, "time": None} for entry in of["metadata"].get("managedFields") or []]

    return owners(obj) == owners(old)
