"""What is refused of a CustomResourceDefinition, and what is said to whoever stores what the sandbox does not act on."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api import errors
from kfold.sandbox.api.causes import Cause, required
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.expressions import KEY, not_held
from kfold.sandbox.api.resources import CUSTOMRESOURCEDEFINITIONS, ENDPOINTS, Resource
from kfold.sandbox.api.structural import bad_schema, schemas


def bad_definition(obj: Object) -> list[Cause]:
    """Causes for a definition under another name than its kind's, or without a fitting schema.

    Raises ApiError 501 for one whose versions the sandbox could not serve rightly.
    """
    spec: Any = obj.get("spec") or {}
    versions: list[Any] = spec.get("versions") or []
    served = [version for version in versions if version.get("served")]
    if at(spec, "conversion", "strategy") == "Webhook" and len(served) > 1:
        raise errors.not_implemented("webhooks that convert between versions (spec.conversion.strategy)")
    if versions and not served:
        raise errors.not_implemented("definitions of which no version is served")
    wanted = f"{at(spec, 'names', 'plural')}.{spec.get('group')}"
    causes = []
    if obj["metadata"].get("name") != wanted:
        text = f'Invalid value: "{obj["metadata"].get("name")}": must be spec.names.plural+"."+spec.group'
        causes.append(("FieldValueInvalid", "metadata.name", text))
    # one schema for all versions is that of the whole definition to the real server
    same = all(version.get("schema") == versions[0].get("schema") for version in versions)
    for index, version in enumerate(versions):
        field = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = at(version, "schema", "openAPIV3Schema")
        if not schema:
            causes.append(required(field, "schemas are required"))
        elif not same or index == 0:
            causes.extend(bad_schema(schema, "spec.validation.openAPIV3Schema" if same else field))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "Invalid value: must have exactly one version marked as storage version"
        causes.append(("FieldValueInvalid", "spec.versions", text))
    return causes


def deprecation(resource: Resource) -> str:
    """What every request for that kind in that version is told; mostly nothing."""
    if resource.structure and resource.structure.deprecated:
        return resource.structure.deprecation or f"{resource.api_version} {resource.kind} is deprecated"
    if resource.key == ENDPOINTS.key and not resource.custom:
        return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    return ""


def warnings(resource: Resource, obj: Object) -> tuple[str, ...]:
    """Of what is stored: that nothing acts on it, or which of its rules are not held."""
    if not resource.controlled:
        return (f"the sandbox keeps objects of kind {resource.kind}, and nothing in it acts on them",)
    if resource.key != CUSTOMRESOURCEDEFINITIONS.key:
        return ()
    return tuple(
        f"spec.versions[{index}].schema.openAPIV3Schema{path}.{KEY}[{number}]: the sandbox cannot evaluate this rule"
        for index, version in enumerate(at(obj, "spec", "versions") or [])
        for path, schema in schemas(at(version, "schema", "openAPIV3Schema"))
        for number, rule in enumerate(schema.get(KEY) or [])
        if not_held(rule)
    )
