"""What is to be in the cluster: manifests with their namespaces, as they are sent."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kfold.errors import ConfigError, Position
from kfold.plan.applyset import PART_OF
from kfold.plan.manifests import Manifest
from kfold.plan.steps import Step
from kfold.stores.cluster_interface import ObjectRef, ObjectState, UnknownKind
from kfold.verbs.objects import ADOPTED, APPLIED, INTENT, KEEP, is_definition
from kfold.verbs.render import Rendered
from kfold.verbs.world import Run

DATA = (("v1", "PersistentVolumeClaim"), ("v1", "Namespace"))
"""What `deploy.keep` keeps: what holds data, and what would take it along."""


@dataclass(frozen=True)
class Desired:
    """One object to be there: its manifest with its namespace, where it was written, and the hash of what it says."""

    ref: ObjectRef
    manifest: Mapping[str, Any]
    position: Position
    hash: str


def desire_all(run: Run, step: Step, rendered: Rendered) -> list[Desired]:
    """The objects of a config. Raises ConfigError for a kind that neither the cluster nor the manifests define."""
    defined = scopes(rendered)
    return [desire(run, step, manifest, defined) for manifest in rendered.manifests]


def scopes(rendered: Rendered) -> dict[tuple[str, str], bool]:
    """Kinds that CustomResourceDefinitions among the manifests define: (apiVersion, kind) -> in a namespace or not.

    The cluster cannot know them before the first deployment."""
    found = {}
    for manifest in rendered.manifests:
        spec = manifest.content.get("spec")
        if is_definition(ObjectRef(manifest.api_version, manifest.kind, "", manifest.name)) and isinstance(spec, dict):
            kind = (spec.get("names") or {}).get("kind")
            for version in spec.get("versions") or ():
                found[f"{spec.get('group')}/{version.get('name')}", str(kind)] = spec.get("scope") == "Namespaced"
    return found


def elsewhere(run: Run, step: Step) -> list[Desired]:
    """What the other configs of the file want to be there."""
    found = []
    for need in step.needs[1:]:
        rendered: Rendered = run.outcome(need, Rendered)
        other = replace(step, config=next(config for config in run.configs if f"render:{config.name}" == need))
        found += desire_all(run, other, rendered)
    return found


def desire(run: Run, step: Step, manifest: Manifest, defined: Mapping[tuple[str, str], bool]) -> Desired:
    """Where a manifest's object goes, and the hash of what it says. `defined`: kinds that the manifests bring along."""
    content = dict(manifest.content)
    namespace = manifest.namespace
    labels = content["metadata"].get("labels")
    if isinstance(labels, dict) and PART_OF in labels:
        raise ConfigError(
            f"{manifest.kind} {manifest.name} has the label {PART_OF}, which says which set an object belongs to",
            where=manifest.position,
            hint="Leave it out: kfold sets it.",
        )
    try:
        kind = (manifest.api_version, manifest.kind)
        namespaced = defined[kind] if kind in defined else run.cluster.is_namespaced(*kind)
    except UnknownKind as error:
        raise ConfigError(error.message, where=manifest.position, hint=error.hint) from error
    if not namespaced:
        namespace = ""
    elif not namespace:
        namespace = run.namespace(step)
        content["metadata"] = {**content["metadata"], "namespace": namespace}
    content.pop("status", None)
    if (manifest.api_version, manifest.kind) == ("v1", "Secret"):
        content = _with_data(content)
    if step.config.keep and (manifest.api_version, manifest.kind) in DATA:
        annotations = {**(content["metadata"].get("annotations") or {}), KEEP: "true"}
        content["metadata"] = {**content["metadata"], "annotations": annotations}
    ref = ObjectRef(manifest.api_version, manifest.kind, namespace, manifest.name)
    return Desired(ref, content, manifest.position, _hash(content))


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def is_bare(state: ObjectState) -> bool:
    """Whether the manifest that was applied last names the object and says nothing else."""
    metadata = {"name": state.name, **({"namespace": state.namespace} if state.namespace else {})}
    bare = {"apiVersion": state.api_version, "kind": state.kind, "metadata": metadata}
    return state.annotations.get(APPLIED) == _hash(bare)[:16]


def _with_data(secret: dict[str, Any]) -> dict[str, Any]:
    """A Secret's `stringData` as `data`: the server keeps it there without an owner, so a key that leaves the manifest
    would stay (kubernetes/kubernetes#70281)."""
    plain = secret.get("stringData")
    if not isinstance(plain, dict) or not all(isinstance(value, str) for value in plain.values()):
        return secret
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    return {**{k: v for k, v in secret.items() if k != "stringData"}, "data": {**(secret.get("data") or {}), **encoded}}


def annotated(item: Desired, mark: str, *, part_of: str = "", adopted: str = "") -> dict[str, Any]:
    """The manifest as it is sent: with our marks on the object itself, never in a pod template.

    `part_of`: the set whose member it is; `adopted`: the set that took it over, which is no membership.
    """
    metadata = dict(item.manifest["metadata"])
    marks = {APPLIED: item.hash[:16], **({INTENT: mark} if mark else {}), **({ADOPTED: adopted} if adopted else {})}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    if part_of:
        metadata["labels"] = {**(metadata.get("labels") or {}), PART_OF: part_of}
    return {**item.manifest, "metadata": metadata}
