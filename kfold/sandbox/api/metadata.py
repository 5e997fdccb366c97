"""Names, labels, annotations, finalizers and owners: what makes an object's metadata invalid."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import formats
from kfold.sandbox.api.causes import Cause, invalid, required, too_long
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource

ANNOTATION_BYTES = 256 * 1024
"""All annotations of an object together."""

_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")
_EXTENSIONS = "apiextensions.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


def bad_metadata(resource: Resource, metadata: Object) -> list[Cause]:
    """Causes for names, labels and annotations that are not what Kubernetes allows."""
    causes: list[Cause] = []
    name, prefix = metadata.get("name"), metadata.get("generateName") or ""
    # something is put behind it: a dash at its end is well
    masked = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
    if prefix:
        causes += [invalid("metadata.generateName", prefix, why) for why in bad_name(resource, masked)]
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        causes += [invalid("metadata.name", name, why) for why in bad_name(resource, name)]
    causes += bad_labels(metadata.get("labels"), "metadata.labels")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        causes += [invalid("metadata.annotations", key, why) for why in formats.qualified(key.lower())]
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATION_BYTES:
        causes.append(too_long("metadata.annotations", ANNOTATION_BYTES))
    return causes + _bad_finalizers(resource, metadata) + _bad_owners(metadata)


def bad_labels(labels: Any, field: str) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in (labels or {}).items():
        causes += [invalid(field, key, why) for why in formats.qualified(key)]
        causes += [invalid(field, value, why) for why in formats.label_value(value or "")]
    return causes


def _bad_finalizers(resource: Resource, metadata: Object) -> list[Cause]:
    causes: list[Cause] = []
    field, finalizers = "metadata.finalizers", metadata.get("finalizers") or []
    for name in finalizers:
        found = formats.qualified(name)
        free = resource.custom or resource.group == _EXTENSIONS or "/" in name or name in _FINALIZERS
        if not found and not free:
            found = ["name is neither a standard finalizer name nor is it fully qualified"]
        causes += [invalid(field, name, why) for why in found]
    if {"foregroundDeletion", "orphan"} <= set(finalizers):
        causes.append(invalid(field, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))
    return causes


def _bad_owners(metadata: Object) -> list[Cause]:
    causes: list[Cause] = []
    references = metadata.get("ownerReferences") or []
    for index, reference in enumerate(references):
        field = f"metadata.ownerReferences[{index}]"
        for key in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(key):
                causes.append(invalid(f"{field}.{key}", "", "must not be empty"))
        if (reference.get("apiVersion"), reference.get("kind")) == ("v1", "Event"):
            causes.append(invalid(field, reference, "/v1, Kind=Event is disallowed from being an owner"))
    controllers = [f"{one.get('kind')}/{one.get('name')}" for one in references if one.get("controller")]
    if len(controllers) > 1:
        found = f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        why = f"Only one reference can have Controller set to true. {found}"
        causes.append(invalid("metadata.ownerReferences", references, why))
    return causes


def bad_name(resource: Resource, name: str) -> list[str]:
    """Why a name is none for that kind."""
    if resource.custom:
        return formats.subdomain(name)
    if resource.group == _RBAC:
        return formats.path_segment(name)
    return _NAMES.get(resource.kind, formats.subdomain)(name)


_NAMES = {"Namespace": formats.label, "Service": formats.old_label}
