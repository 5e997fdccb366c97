"""`build` for several platforms: one image each, since an engine's own builder makes no more in one go (docker driver).

Each image has a content key of its own, that of a build for its platform alone: another list of platforms builds what is new
in it. The key of the whole is that of the list.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kfold.ledger import Effect
from kfold.plan import content_key
from kfold.plan.steps import Step
from kfold.verbs import build_hooks
from kfold.verbs.build_inputs import Prepared, artifact_of, prepare
from kfold.verbs.world import Built, Run

AT_ONCE = 4
"""How many platforms of one artifact are built at once; each is a build of its own for the engine."""
TRIES = 2
"""How often they are looked through, where files change between the first platform and the last."""


def build(run: Run, step: Step, image_of: Callable[[Run, Step, Prepared], Built]) -> Built:
    """The image for each platform, found or built by `image_of`, side by side. Raises the first platform's error."""
    artifact = artifact_of(step)

    def one_image(platform: str) -> Built:
        part = step.part(platform)
        return image_of(run, part, prepare(run, part))

    # Hooks before a build may write what it is made from: the first image has them run, and the others come after it. The
    # legacy builder has one name for the base of all platforms, and pulls each over the other.
    at_once = 1 if build_hooks.may_begin(step) or run.world.engine.builder() != "buildkit" else AT_ONCE
    for _ in range(TRIES):
        with ThreadPoolExecutor(at_once, thread_name_prefix="kfold-build") as pool:
            parts = dict(zip(step.platforms, pool.map(one_image, step.platforms), strict=True))
        inputs = prepare(run, step).inputs
        changed = [one for one, built in parts.items() if built.key != prepare(run, step.part(one)).inputs.key]
        if not changed:
            break
    else:
        inputs = content_key.Inputs({**inputs.values, "unsettled": uuid.uuid4().hex})
    for built in parts.values():
        _mark(run, artifact.image, built, inputs.key)
    return Built(artifact.image, inputs.key, "", time.time(), inputs.values, parts=parts)


def _mark(run: Run, artifact: str, part: Built, whole: str) -> None:
    """Note in the record of an image which whole it is for now: the images of one whole are kept or pruned together."""
    world = run.world
    place = world.engine.identity()
    record = world.ledger.find(Effect(store="engine", kind="image", place=place, name=f"{artifact}@{part.key}", config=""))
    if record is not None and record.state == "done" and record.effect.details.get("whole") != whole:
        world.ledger.done(record, record.identity, whole=whole)


def remembered(built: Built) -> dict[str, Any]:
    """What doit's database keeps of the parts."""
    parts = {
        platform: {"key": part.key, "image": part.image, "digest": part.digest} for platform, part in built.parts.items()
    }
    return {"parts": parts} if parts else {}


def recalled(step: Step, values: Mapping[str, Any]) -> dict[str, Built]:
    """The parts that the last run remembered."""
    built_at = float(values["built_at"])
    return {
        platform: Built(artifact_of(step).image, part["key"], part["image"], built_at, {}, part["digest"])
        for platform, part in (values.get("parts") or {}).items()
    }
