"""The fields of every built-in kind: their types, and how lists and maps are merged.

Read from merge_keys.json, which scripts/generate-merge-keys makes from the Kubernetes OpenAPI definitions. Custom
resources have no entry: their own definitions say how they merge, and what those leave open is "any", whose maps merge
key by key and whose lists are replaced whole (as structured-merge-diff deduces types it was not told).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources as package_files
from typing import Any, cast

from kfold.sandbox.api.resources import Resource

KEY_DEFAULTS = {"protocol": "TCP"}
"""The only list-map key that may be left out in an object (ports): the server's schema gives it this default."""


@dataclass(frozen=True)
class Node:
    """One place in an object.

    `form`: "scalar", "struct" (named fields), "map" (free keys), "list", or "any" (nothing is known about it).
    `scalar`: string, int32, int64, number, boolean, bytes, time, quantity or int-or-string.
    `atomic`: owned and replaced as a whole. `keys`: of a list that is a map; empty for a set of scalars.
    `merge_key`, `patch`: what strategic merge patch goes by ("merge", "retainKeys", or both), which differs from
    `keys`.
    """

    schema: Schema = field(repr=False, compare=False)
    form: str
    scalar: str = ""
    atomic: bool = False
    keys: tuple[str, ...] = ()
    merge_key: str = ""
    patch: tuple[str, ...] = ()
    type_name: str = ""
    of: Any = None

    @cached_property
    def fields(self) -> dict[str, Node]:
        """Named fields of a struct; {} for all else."""
        if self.form != "struct":
            return {}
        return {name: self.schema.node(value) for name, value in self.schema.types[self.type_name]["fields"].items()}

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(self.schema.types[self.type_name].get("required", ())) if self.form == "struct" else ()

    @cached_property
    def item(self) -> Node:
        """The node of a list's items or of a map's values."""
        return self.schema.any if self.form == "any" else self.schema.node(self.of)

    def child(self, key: str) -> Node | None:
        """The node under a key of a mapping; None for a field that the struct does not have."""
        if self.form == "struct":
            return self.fields.get(key)
        return self.schema.metadata if self.type_name == "custom" and key == "metadata" else self.item

    def resolved(self, value: Any) -> Node:
        """This node, or for "any" what the value shows it to be: a map merged key by key, an atomic list, a scalar."""
        if self.form != "any":
            return self
        if isinstance(value, dict):
            return self.schema.any_map
        return self.schema.any_list if isinstance(value, list) else self.schema.any_scalar


class Schema:
    """All types. One instance is read at start (5 ms); nodes are made when first asked for."""

    def __init__(self) -> None:
        text = (package_files.files("kfold.sandbox.api") / "merge_keys.json").read_text(encoding="utf-8")
        table = json.loads(text)
        self.kubernetes: str = table["kubernetes"]
        self.types: dict[str, dict[str, Any]] = table["types"]
        self._kinds: dict[str, str] = table["kinds"]
        self._nodes: dict[str, Node] = {}
        self.any = Node(self, "any")
        self.any_map = Node(self, "map", of="any")
        self.any_list = Node(self, "list", atomic=True, of="any")
        self.any_scalar = Node(self, "scalar", scalar="any")
        self.custom = Node(self, "map", of="any", type_name="custom")

    def of(self, resource: Resource) -> Node:
        """The node of a whole object of that kind; for a custom one, a map whose metadata is not looked into."""
        return (not resource.custom and self.named(resource.api_version, resource.kind)) or self.custom

    def named(self, api_version: str, kind: str) -> Node | None:
        """The node of a built-in kind, of DeleteOptions or of Eviction; None for all else."""
        name = self._kinds.get(f"{api_version} {kind}")
        return self.node("#" + name) if name else None

    def merging(self, resource: Resource) -> Node:
        """The node by which applies merge: of a custom kind, with the fields and list types of its definition."""
        structure = resource.structure
        if structure is None or not structure.schema.get("properties"):
            return self.of(resource)
        if structure.node is None:
            name = self._define(structure.schema)
            fields = {"apiVersion": "string", "kind": "string", "metadata": "#meta.v1.ObjectMeta"}
            self.types[name]["fields"] = {**self.types[name]["fields"], **fields}
            structure.node = self.node("#" + name)
        return cast(Node, structure.node)

    def _define(self, schema: dict[str, Any]) -> str:
        """A struct of a definition's OpenAPI schema, among the types; its name."""
        name = f"custom.{len(self.types)}"
        self.types[name] = {}
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        fields = {key: self._encoded(value) for key, value in schema["properties"].items()}
        self.types[name] |= {"fields": fields, "atomic": atomic}
        return name

    def _encoded(self, schema: dict[str, Any]) -> Any:
        """A definition's OpenAPI schema, as merge_keys.json has it."""
        if schema.get("type") == "array":
            keys = schema.get("x-kubernetes-list-map-keys", [])
            of = self._encoded(schema.get("items") or {})
            return {"list": schema.get("x-kubernetes-list-type", "atomic"), "keys": keys, "of": of}
        if schema.get("type") != "object" or schema.get("x-kubernetes-preserve-unknown-fields"):
            return "any"
        if schema.get("properties"):
            return "#" + self._define(schema)
        of = schema.get("additionalProperties")
        kind = schema.get("x-kubernetes-map-type", "granular")
        return {"map": kind, "of": self._encoded(of) if isinstance(of, dict) else "any"}

    @property
    def metadata(self) -> Node:
        return self.node("#meta.v1.ObjectMeta")

    def node(self, encoded: Any) -> Node:
        """The node of a value in merge_keys.json."""
        if isinstance(encoded, str):
            found = self._nodes.get(encoded)
            if found is None:
                found = self._nodes[encoded] = self._named(encoded)
            return found
        patch = tuple(encoded.get("patch", "").split(",")) if encoded.get("patch") else ()
        merge_key = encoded.get("merge", "")
        if "list" in encoded:
            keys = tuple(encoded.get("keys", ()))
            atomic = encoded["list"] == "atomic"
            return Node(self, "list", atomic=atomic, keys=keys, merge_key=merge_key, patch=patch, of=encoded["of"])
        if "map" in encoded:
            return Node(self, "map", atomic=encoded["map"] == "atomic", patch=patch, of=encoded["of"])
        inner = self.node(encoded["of"])
        atomic = inner.atomic or bool(encoded.get("atomic"))
        return Node(self, inner.form, inner.scalar, atomic, patch=patch, type_name=inner.type_name, of=inner.of)

    def _named(self, encoded: str) -> Node:
        if encoded == "any":
            return self.any
        if not encoded.startswith("#"):
            return Node(self, "scalar", scalar=encoded)
        name = encoded[1:]
        return Node(self, "struct", atomic=bool(self.types[name].get("atomic")), type_name=name)
