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
from kfold.plan import verbs
from kfold.plan.manifests import Manifest, parse_manifests, pull_if_absent, refuse_duplicates, replace_images
from kfold.plan.steps import Step
from kfold.stores.manifest_files import ManifestFile, find, read
from kfold.verbs.world import Run, Tagged


@dataclass
class Rendered:
    """The outcome of `render`: `digest` of everything that goes in, and the objects, parsed when first asked for.

    A run with nothing to do compares the digest and never parses YAML. `unpushed`: those of the references that are in no
    registry, as far as kfold knows; no container may be made to pull them.
    """

    digest: str
    files: list[ManifestFile]
    references: Mapping[str, str]
    unpushed: frozenset[str] = frozenset()

    @cached_property
    def _rendered(self) -> tuple[list[Manifest], list[str]]:
        manifests, told = [], []
        for one in parsed(self.files):
            made = Manifest(replace_images(one.content, self.references), one.position)
            told += [f"{name} of {made.kind} {made.name}" for name in pull_if_absent(made.content, self.unpushed)]
            manifests.append(made)
        return manifests, told

    @property
    def manifests(self) -> list[Manifest]:
        return self._rendered[0]

    @property
    def policies(self) -> list[str]:
        """The containers whose `imagePullPolicy` is another one than their manifest says."""
        return self._rendered[1]


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
    loaded = [run.outcome(need, Tagged).reference for need in step.needs if need.partition(":")[0] == verbs.LOAD.name]
    unpushed = frozenset() if run.facts.keep_pull_policy else frozenset(loaded)
    files = read(run.world.folder, find(run.world.folder, step.config.manifests))
    parts = [[file.path, file.text] for file in files]
    text = json.dumps([parts, sorted(references.items()), run.namespace(step), sorted(unpushed), step.config.keep])
    return Rendered(hashlib.sha256(text.encode()).hexdigest(), files, references, unpushed)


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Rendered | None:
    """Rendering is pure: the same inputs were rendered well before."""
    rendered = render(run, step)
    run.scratch[step.name] = rendered, values.get("policies")
    return rendered if values.get("digest") == rendered.digest else None


def do(run: Run, step: Step) -> tuple[Rendered, dict[str, Any]]:
    """Parse and check every manifest, so that a broken one is found before anything is sent."""
    rendered, told = run.scratch.pop(step.name, None) or (render(run, step), None)
    count = len(rendered.manifests)
    if not count:
        run.world.tell("warning", f"{step.config.name}: no manifests, nothing to deploy", step.subject)
    if rendered.policies and rendered.policies != told:
        text = (
            f"imagePullPolicy is IfNotPresent, not Always, for {', '.join(rendered.policies)}: the image is in no registry. "
            "`--keep-pull-policy` (keep_pull_policy=yes) leaves it."
        )
        run.world.tell("warning", text, step.subject)
    return rendered, {"digest": rendered.digest, "objects": count, "policies": rendered.policies}


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Rendering runs when anything that goes into it changed."""
    return ["manifests or image references changed"] if values else ["it was not rendered here yet"]
