"""What `kubectl get` prints: objects as a `Table`, whose columns the server chooses (pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.ages import age
from kfold.sandbox.api.columns import Cell, columns_of
from kfold.sandbox.api.conversion import shown
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.resources import Resource
from kfold.sandbox.api.structural import column


def table(resource: Resource, objects: Iterable[Object], metadata: Object, include: str, *, header: bool = True) -> Object:
    """A meta.k8s.io/v1 Table. `include` says what each row carries: "None", "Metadata" (the default) or "Object"."""
    if resource.structure and resource.structure.columns:
        columns = (*columns_of("")[:1], *(_defined(entry) for entry in resource.structure.columns))
    else:
        columns = columns_of("" if resource.custom else resource.kind)
    rows = []
    for obj in objects:
        row: Object = {"cells": [cell(obj) for _, _, _, cell in columns]}
        if include == "Object":
            row["object"] = shown(resource, obj)
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    definitions = [
        {"name": name, "type": kind, "format": "name" if name == "Name" else "", "description": "", "priority": priority}
        for name, kind, priority, _ in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions if header else [],
        "rows": rows,
    }


def _defined(entry: Object) -> tuple[str, str, int, Cell]:
    """A column that a CustomResourceDefinition asks for."""

    def cell(obj: Object) -> Any:
        value = column(obj, entry["jsonPath"])
        return age(value) if entry.get("type") == "date" else value

    return entry["name"], entry.get("type", "string"), entry.get("priority", 0), cell


def partial(obj: Object) -> Object:
    """PartialObjectMetadata: an object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
