"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, and which Pods follow which."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.resources import CONTROLLERREVISIONS, PODS
from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers import objects

Json = dict[str, Any]

HASH = "controller-revision-hash"


def current(store: Store, owner: Json) -> str:
    """The name of the revision of the owner's template as it is now; made if there is none. The label of its Pods."""
    spec = owner["spec"]
    name = f"{owner['metadata']['name']}-{objects.template_hash(spec['template'])}"
    found = objects.claim(store, owner, CONTROLLERREVISIONS, spec["selector"])
    newest = max((entry["revision"] for entry in found), default=0)
    same = next((entry for entry in found if entry["metadata"]["name"] == name), None)
    if same is None:
        template = spec["template"]
        labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH: name}
        body: Json = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": name,
                "namespace": owner["metadata"]["namespace"],
                "labels": labels,
                "ownerReferences": [objects.owner_reference(owner)],
            },
            "data": {"spec": {"template": {**copied(template), "$patch": "replace"}}},
            "revision": newest + 1,
        }
        store.create(CONTROLLERREVISIONS, body)
    elif same["revision"] < newest:
        store.update(CONTROLLERREVISIONS, {**same, "revision": newest + 1})  # rolled back to an earlier template
    _forget(store, owner, found, name)
    return name


def _forget(store: Store, owner: Json, found: list[Json], name: str) -> None:
    """Keep the revisions that Pods still follow, and revisionHistoryLimit others."""
    used = {revision_of(pod) for pod in store.peek_all(PODS, owner["metadata"]["namespace"])} | {name}
    idle = [entry for entry in found if entry["metadata"]["name"] not in used]
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    for entry in sorted(idle, key=lambda entry: int(entry["revision"]))[: max(0, len(idle) - limit)]:
        metadata = entry["metadata"]
        store.delete(CONTROLLERREVISIONS, metadata["namespace"], metadata["name"], uid=metadata["uid"])


def revision_of(pod: Json) -> str:
    """The revision that a Pod was made from; empty if it has none."""
    return str((pod["metadata"].get("labels") or {}).get(HASH, ""))
