"""Manifests: text -> objects with their places, and image references put into them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kfold.errors import ConfigError, Position
from kfold.plan.reference import artifact_name, parse

IMAGE_KINDS = frozenset(
    {
        ("", "Pod"), ("", "Service"), ("", "ReplicationController"), ("", "PodTemplate"),
        ("apps", "DaemonSet"), ("apps", "Deployment"), ("apps", "ReplicaSet"), ("apps", "StatefulSet"),
        ("extensions", "DaemonSet"), ("extensions", "Deployment"), ("extensions", "ReplicaSet"),
        ("batch", "Job"), ("batch", "CronJob"),
        ("serving.knative.dev", "Service"), ("agones.dev", "Fleet"), ("agones.dev", "GameServer"),
        ("argoproj.io", "Rollout"), ("argoproj.io", "Workflow"), ("argoproj.io", "CronWorkflow"),
        ("argoproj.io", "WorkflowTemplate"), ("argoproj.io", "ClusterWorkflowTemplate"),
        ("run.googleapis.com", "Job"), ("run.googleapis.com", "WorkerPool"),
        ("kafka.strimzi.io", "KafkaConnect"), ("kafka.strimzi.io", "Kafka"),
    }
)  # fmt: skip
"""Kinds whose `image:` values are replaced: Skaffold's list (v2.24, manifest/visitor.go), with core kinds that hold Pods."""


@dataclass(frozen=True)
class Manifest:
    """One object as it is written, and where it begins."""

    content: dict[str, Any]
    position: Position

    @property
    def api_version(self) -> str:
        return str(self.content["apiVersion"])

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        return str(self.content["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.content["metadata"].get("namespace") or "")


def parse_manifests(text: str, *, file: str) -> list[Manifest]:
    """The objects of a file; empty documents are nothing, a `kind: List` is its items.

    Raises ConfigError for what is no YAML, and for what is no Kubernetes object.
    """
    from kfold.plan.manifest_yaml import documents  # YAML is 0.02 s, and a run with nothing to do parses none

    return [manifest for content, where in documents(text, file=file) for manifest in _objects(content, where)]


def _objects(content: Any, where: Position) -> Iterable[Manifest]:
    def refuse(what: str) -> ConfigError:
        return ConfigError(
            f"this is no Kubernetes object: {what}",
            where=where,
            hint="A manifest has apiVersion, kind and metadata.name. Take other files out of `manifests.rawYaml`.",
        )

    if not isinstance(content, dict):
        raise refuse(f"it is a {'list' if isinstance(content, list) else 'plain value'}, not a mapping")
    for key in ("apiVersion", "kind"):
        if not isinstance(content.get(key), str) or not content[key]:
            raise refuse(f"`{key}` is missing" if key not in content else f"`{key}` is no text")
    # an object whose kind merely ends so has no `items` of its own
    if content["kind"].endswith("List") and "items" in content and isinstance(content["items"], list | None):
        for item in content["items"] or []:
            yield from _objects(item, where)
        return
    metadata = content.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise refuse("`metadata` is no mapping")
    if not metadata.get("name") and "generateName" in metadata:
        raise refuse("generateName names another object each time")
    if metadata.get("name") in (None, ""):
        raise refuse("`metadata.name` is missing")
    for key in ("name", "namespace"):
        if not isinstance(metadata.get(key), str | None):
            raise refuse(f"`metadata.{key}` is no text")
    yield Manifest(content, where)


def refuse_duplicates(manifests: Iterable[Manifest]) -> None:
    """Two manifests of one object would overwrite each other for ever. Raises ConfigError naming both places."""
    seen: dict[tuple[str, ...], Position] = {}
    for manifest in manifests:
        key = (manifest.api_version.rpartition("/")[0], manifest.kind, manifest.namespace, manifest.name)
        if key in seen:
            raise ConfigError(
                f"{manifest.kind} {manifest.name} is in the manifests twice",
                where=manifest.position,
                hint=f"The other one: {seen[key]}. Take one away.",
            )
        seen[key] = manifest.position


def replace_images(content: Mapping[str, Any], references: Mapping[str, str]) -> dict[str, Any]:
    """A copy of a manifest whose `image:` values that name an artifact are the built references.

    Skaffold's rules (v2.24, manifest/images.go): any depth, whatever tag was written; a value with a digest stays, and so
    does what is no image reference. `references` maps artifact names to references.
    """
    replaced = copy.deepcopy(dict(content))
    group = str(content.get("apiVersion", "")).rpartition("/")[0]
    if (group, content.get("kind")) in IMAGE_KINDS or group.endswith(".cnrm.cloud.google.com"):
        _replace(replaced, {parse(artifact_name(image)).name: reference for image, reference in references.items()})
    return replaced


def _replace(value: Any, references: Mapping[str, str]) -> None:
    if isinstance(value, list):
        for item in value:
            _replace(item, references)
    elif isinstance(value, dict):
        for key, child in value.items():
            if key == "image" and isinstance(child, str):
                value[key] = _built(child, references)
            else:
                _replace(child, references)


def _built(image: str, references: Mapping[str, str]) -> str:
    if image.partition("@")[0].endswith(":"):
        return image  # no reference: a tag is announced and missing
    try:
        reference = parse(artifact_name(image))
    except ConfigError:
        return image
    return image if reference.digest else references.get(reference.name, image)


def pull_if_absent(content: dict[str, Any], references: Collection[str]) -> list[str]:
    """Let containers of these images run that would ask a registry for them: `imagePullPolicy: Always` becomes
    IfNotPresent, in place. Returns the names of those containers.

    Only what a manifest says has to change: a reference that names one image for ever is no `latest`, for which Kubernetes
    assumes Always. Every other container stays as it is, whatever it says.
    """
    changed = []
    for container in _mappings(content):
        if container.get("image") in references and container.get("imagePullPolicy") == "Always":
            container["imagePullPolicy"] = "IfNotPresent"
            changed.append(str(container.get("name") or container["image"]))
    return changed


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        one = pending.pop(0)
        if isinstance(one, dict):
            yield one
            pending += one.values()
        elif isinstance(one, list):
            pending += one
