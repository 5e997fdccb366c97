"""Who owns which field: metadata.managedFields, kept for every write.

A manager is (name, operation, apiVersion, subresource); an Apply entry is found by name and subresource alone. A
write that is no apply gives the writer every field that it changed and takes those from all others (`Updater.Update`
of structured-merge-diff).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kfold.sandbox.api.documents import Object, timestamp
from kfold.sandbox.api.fields import Paths, compare, fields_v1, parse_fields_v1
from kfold.sandbox.api.resources import DEPLOYMENTS, Resource
from kfold.sandbox.api.schema import Schema

SERVER_METADATA = frozenset(
    {
        "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generateName", "generation",
        "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid",
    }
)  # fmt: skip
"""Of metadata, what nobody owns."""

Manager = tuple[str, str, str, str]


@dataclass
class Owners:
    """The entries of one object: sets of fields and times by manager."""

    sets: dict[Manager, Paths] = field(default_factory=dict)
    times: dict[Manager, str] = field(default_factory=dict)

    @classmethod
    def read(cls, obj: Object | None) -> Owners:
        """From metadata.managedFields; entries that cannot be read leave nothing at all, as on the real server."""
        owners = cls()
        try:
            for entry in ((obj or {}).get("metadata") or {}).get("managedFields") or []:
                key = manager_key(
                    entry.get("manager", ""), entry["operation"], entry["apiVersion"], entry.get("subresource", "")
                )
                owners.sets[key] = parse_fields_v1(entry.get("fieldsV1") or {})
                owners.times[key] = entry.get("time", "")
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
        return owners

    def write(self, obj: Object, before: Owners, api_version: str) -> None:
        """Into metadata.managedFields, Apply entries first, then by time.

        An entry that changed since `before` gets a new time.
        """
        now = timestamp()
        entries = []
        for key, paths in self.sets.items():
            if not paths:
                continue
            manager, operation, version, subresource = key
            unchanged = before.sets.get(key) == paths and before.times.get(key)
            entry = {
                "manager": manager,
                "operation": operation,
                "apiVersion": version or api_version,
                "time": before.times[key] if unchanged else now,
                "fieldsType": "FieldsV1",
                "fieldsV1": fields_v1(paths),
            }
            if subresource:
                entry["subresource"] = subresource
            entries.append(entry)
        entries.sort(key=lambda entry: (entry["operation"], entry["time"], entry["manager"]))
        obj["metadata"]["managedFields"] = entries

    def give_up(self, paths: Paths, but: Manager | None = None) -> None:
        """Take fields from every manager but one."""
        for key in list(self.sets):
            if key != but:
                self.sets[key] = self.sets[key] - paths


def manager_key(manager: str, operation: str, api_version: str, subresource: str) -> Manager:
    """An Apply entry is the manager's whatever version it applies in."""
    return (manager, operation, "" if operation == "Apply" else api_version, subresource)


def owned_part(obj: Object | None, resource: Resource, subresource: str) -> Object:
    """The object without what cannot be owned: identity, server's metadata, and what the other endpoint writes."""
    if obj is None:
        return {}
    part = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    metadata: Any = part.get("metadata")
    if isinstance(metadata, dict):
        part["metadata"] = {key: value for key, value in metadata.items() if key not in SERVER_METADATA}
    if subresource == "status":
        part.pop("spec", None)
        metadata = part.pop("metadata", None) or {}
        if resource.key == DEPLOYMENTS.key and metadata.get("annotations"):
            part["metadata"] = {"annotations": metadata["annotations"]}
    elif "status" in resource.subresources:
        part.pop("status", None)
    if not part.get("metadata"):
        part.pop("metadata", None)
    return part


class FieldTracker:
    """The store's Tracker: ownership of everything that is not written by server-side apply."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def track(self, resource: Resource, obj: Object, old: Object | None, manager: str, subresource: str) -> None:
        """Give `manager` the fields in which `obj` differs from `old`. managedFields of `[{}]` drops all ownership."""
        if obj["metadata"].get("managedFields") == [{}]:
            del obj["metadata"]["managedFields"]
            return
        before = Owners.read(old)
        owners = Owners.read(obj)
        if not owners.sets:
            owners = Owners.read(old)
        changed = compare(
            self._schema.merging(resource), owned_part(old, resource, subresource), owned_part(obj, resource, subresource)
        )
        key = manager_key(manager, "Update", resource.api_version, subresource)
        taken = changed.modified | changed.added
        owners.give_up(taken | changed.removed, but=key)
        owners.sets[key] = (owners.sets.get(key, set()) - changed.removed) | taken
        owners.write(obj, before, resource.api_version)
