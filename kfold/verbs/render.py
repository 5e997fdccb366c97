"""`render`: manifests with the built references in them. It changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kfold.config.model import Config
from kfold.plan.manifests import Manifest, parse_manifests, refuse_duplicates, replace_images
from kfold.plan.steps import Step
from kfold.stores.manifest_files import ManifestFile, find, read
from kfold.verbs.world import Run, Tagged


@dataclass
class Rendered:
    """The outcome of `render`: `digest` of everything that goes in, and the objects, parsed when first asked for.

    A run with nothing to do compares the digest and never parses YAML.
    """

    digest: str
    files: list[ManifestFile]
    references: Mapping[str, str]

    @cached_property
    def manifests(self) -> list[Manifest]:
        return [Manifest(replace_images(one.content, self.references), one.position) for one in parsed(self.files)]


def parsed(files: Iterable[ManifestFile]) -> list[Manifest]:
    """The objects of manifest files, as they are written. Raises ConfigError for what is none, and for one twice."""
    found = [manifest for file in files for manifest in parse_manifests(file.text, file=file.path)]
    refuse_duplicates(found)
    return found


def manifests_digest(folder: Path, config: Config) -> str:
    """A digest of the manifest files alone, for who watches them."""
    files = read(folder, find(folder, config.manifests))
    return hashlib.sha256(json.dumps([[file.path, file.text] for file in files]).encode()).hexdigest()


def render(run: Run, step: Step) -> Rendered:
    """Read the manifests of a config and hash them together with the references."""
    tagged: list[Tagged] = [run.outcome(need, Tagged) for need in step.needs]
    references = {outcome.artifact: outcome.reference for outcome in tagged}
    files = read(run.world.folder, find(run.world.folder, step.config.manifests))
    parts = [[file.path, file.text] for file in files]
    text = json.dumps([parts, sorted(references.items()), run.namespace(step)])
    return Rendered(hashlib.sha256(text.encode()).hexdigest(), files, references)


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Rendered | None:
    """Rendering is pure: the same inputs were rendered well before."""
    rendered = run.scratch[step.name] = render(run, step)
    return rendered if values.get("digest") == rendered.digest else None


def do(run: Run, step: Step) -> tuple[Rendered, dict[str, Any]]:
    """Parse and check every manifest, so that a broken one is found before anything is sent."""
    rendered: Rendered = run.scratch.pop(step.name, None) or render(run, step)
    count = len(rendered.manifests)
    if not count:
        run.world.tell("warning", f"{step.config.name}: no manifests, nothing to deploy", step.subject)
    return rendered, {"digest": rendered.digest, "objects": count}


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Rendering runs when anything that goes into it changed."""
    return ["manifests or image references changed"] if values else ["it was not rendered here yet"]
