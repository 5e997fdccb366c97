"""Answers in the form that the client accepts: plain JSON, a Table, or metadata alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kfold.sandbox.api import conversion, errors
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.tables import partial, table


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def answer(body: Any, status: int = 200, warnings: tuple[str, ...] = ()) -> web.Response:
    """A JSON answer. `warnings` become Warning headers, which kubectl prints."""
    response = web.Response(text=dumps(body), status=status, content_type="application/json")
    for warning in warnings:
        warn(response, warning)
    return response


def warn(response: web.StreamResponse, warning: str) -> None:
    """Add a Warning header, which kubectl prints."""
    # field names are the client's: none of their characters may break the header
    plain = warning.encode("ascii", "backslashreplace").decode()
    printable = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in plain)
    quoted = printable.replace("\\", "\\\\").replace('"', '\\"')
    response.headers.add("Warning", f'299 - "{quoted}"')


@dataclass(frozen=True)
class Form:
    """The form that the Accept header asks for.

    `kind` is "" (the objects), "Table" or "PartialObjectMetadata"; `include` is what a Table's rows carry.
    """

    kind: str = ""
    include: str = "Metadata"

    def one(self, resource: Resource, obj: Object, *, header: bool = True) -> Object:
        """One object in this form. `header` False leaves a Table's columns out (events of a watch after the first)."""
        if self.kind == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return table(resource, [obj] if "name" in obj["metadata"] else [], metadata, self.include, header=header)
        if self.kind == "PartialObjectMetadata":
            return partial(obj)
        return typed(resource, obj)

    def many(self, resource: Resource, objects: list[Object], metadata: Object) -> Object:
        """A list in this form."""
        if self.kind == "Table":
            return table(resource, objects, metadata, self.include)
        if self.kind == "PartialObjectMetadata":
            items = [partial(obj) for obj in objects]
            kind = "PartialObjectMetadataList"
            return {"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items}
        kind = f"{resource.kind}List"
        # items of a built-in list carry no kind and apiVersion of their own; those of custom resources do
        items = [typed(resource, obj) if resource.custom else _untyped(resource, obj) for obj in objects]
        return {"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def form(accept: str, query: Mapping[str, str]) -> Form:
    """The first of the Accept header's forms that is served here. Raises ApiError 406 where none is.

    Who asks for protobuf or YAML gets JSON, which clients read by its Content-Type.
    """
    for choice in accept.split(","):
        parameters = dict(part.strip().partition("=")[::2] for part in choice.split(";")[1:])
        kind = parameters.get("as", "")
        if kind == "Table":
            return Form("Table", query.get("includeObject") or "Metadata")
        if kind.startswith("PartialObjectMetadata"):
            return Form("PartialObjectMetadata")
        if choice.split(";")[0].strip() in ("application/json", "*/*", "application/*", "") and not kind:
            return Form()
    if not re.search(r"json|protobuf|yaml|application/\*|\*/\*", accept):
        raise errors.not_acceptable()
    return Form()


def typed(resource: Resource, obj: Object) -> Object:
    """The object with kind and apiVersion first."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **_untyped(resource, obj)}


def _untyped(resource: Resource, obj: Object) -> Object:
    return {key: value for key, value in conversion.shown(resource, obj).items() if key not in ("kind", "apiVersion")}
