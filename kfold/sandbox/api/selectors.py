"""Label and field selectors: parsing the query's text, and matching objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kfold.sandbox.api import errors, formats
from kfold.sandbox.api.causes import invalid
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import Resource

Predicate = Callable[[Object], bool]
Requirement = tuple[str, str, tuple[str, ...]]

_SET = re.compile(r"\s*([^\s,=!<>()]+)\s+(in|notin)\s*\(([^()]*)\)\s*\Z")
_COMPARED = re.compile(r"\s*([^\s,=!<>()]+)\s*(==|=|!=|<|>)\s*([^\s,=!<>()]*)\s*\Z")
_EXISTS = re.compile(r"\s*(!?)\s*([^\s,=!<>()]+)\s*\Z")

# fields that each kind can be selected by, beside metadata.name and metadata.namespace
_FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Job": ("status.successful",),
    "Service": ("spec.clusterIP", "spec.type"),
    "ReplicaSet": ("status.replicas",),
    "ReplicationController": ("status.replicas",),
}  # fmt: skip


def _parts(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    return [part for part in re.split(r",(?![^()]*\))", text) if part.strip()]


def parse_labels(text: str) -> list[Requirement]:
    """Requirements (key, operator, values) of a label selector. Raises ApiError 400."""
    requirements: list[Requirement] = []
    for part in _parts(text):
        if found := _SET.match(part):
            key, operator, values = found.group(1), found.group(2), tuple(v.strip() for v in found.group(3).split(","))
        elif found := _COMPARED.match(part):
            key, operator, values = found.group(1), found.group(2).replace("==", "="), (found.group(3),)
        elif found := _EXISTS.match(part):
            key, operator, values = found.group(2), "!" if found.group(1) else "exists", ()
        else:
            raise errors.bad_request(f"unable to parse requirement: found '{part.strip()}', expected: identifier")
        bad = [invalid("<nil>", key, why) for why in formats.qualified(key)]
        bad += [
            invalid(f"values[{place}][{key}]", one, why)
            for place, one in enumerate(values)
            for why in formats.label_value(one)
        ]
        if bad:
            raise errors.bad_request(f"unable to parse requirement: {bad[0][1]}: {bad[0][2]}")
        if operator in "<>" and not values[0].lstrip("-").isdigit():
            raise errors.bad_request("unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an integer")
        requirements.append((key, operator, values))
    return requirements


def labels_match(requirements: list[Requirement], labels: Mapping[str, str]) -> bool:
    return all(_holds(requirement, labels) for requirement in requirements)


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    key, operator, values = requirement
    value = labels.get(key)
    if operator in ("=", "in"):
        return value in values and value is not None
    if operator in ("!=", "notin"):
        return value not in values  # a missing label matches, as Kubernetes has it
    if operator in ("exists", "!"):
        return (value is not None) == (operator == "exists")
    if value is None or not value.lstrip("-").isdigit():
        return False
    return int(value) > int(values[0]) if operator == ">" else int(value) < int(values[0])


def selector_matches(selector: Object | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a LabelSelector object (matchLabels, matchExpressions) matches. None matches nothing, {} everything."""
    if selector is None:
        return False
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    requirements: list[Requirement] = [(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        operator = names.get(expression.get("operator", ""), "in")
        requirements.append((expression.get("key", ""), operator, tuple(expression.get("values") or ())))
    return labels_match(requirements, labels or {})


def predicate(resource: Resource, label_selector: str, field_selector: str) -> Predicate | None:
    """What both selectors of a request ask for together; None if they ask for nothing. Raises ApiError 400."""
    labels = parse_labels(label_selector)
    fields = _parse_fields(resource, field_selector)
    if not labels and not fields:
        return None

    def matches(obj: Object) -> bool:
        return labels_match(labels, at(obj, "metadata", "labels") or {}) and all(
            (_field(obj, path) == value) == equal for path, equal, value in fields
        )

    return matches


def _parse_fields(resource: Resource, text: str) -> list[tuple[str, bool, str]]:
    fields = []
    for part in _parts(text):
        found = re.match(r"\s*([A-Za-z.]+)\s*(==|=|!=)(.*)\Z", part)
        if not found:
            raise errors.bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path, operator, value = found.group(1), found.group(2), found.group(3).strip()
        if resource.group == "events.k8s.io":
            path = re.sub(r"^regarding\.", "involvedObject.", path).replace("reportingController", "reportingComponent")
        if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(resource.kind, ())):
            group = resource.api_version if resource.group else f"/{resource.version}"
            what = f'Unable to find "{group}, Resource={resource.plural}" that match label selector "", field selector'
            raise errors.bad_request(f'{what} "{text}": field label not supported: {path}')
        fields.append((path, operator != "!=", value))
    return fields


def _field(obj: Object, path: str) -> str:
    if path == "source" and obj.get("kind") == "Event":
        path = "source.component"
    value: Any = at(obj, *path.split("."))
    if value is None:
        # what a typed object holds where nothing was said
        return {"spec.unschedulable": "false", "status.successful": "0", "status.replicas": "0"}.get(path, "")
    return str(value).lower() if isinstance(value, bool) else str(value)
