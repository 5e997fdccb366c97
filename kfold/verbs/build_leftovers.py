"""What a build that was cut off or made in vain leaves behind, and how it goes."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from kfold.ledger import Effect, Record
from kfold.stores.engine_interface import LABEL_ARTIFACT, LABEL_CONFIG, STEP, Engine, InUse
from kfold.verbs.provenance import remove_nameless
from kfold.verbs.world import World

STEP_END = 10.0
"""Seconds that an engine gets to remove the container of a step that was cut off; it holds the layer below until then."""
AHEAD = 1.0
"""Seconds in which the legacy builder may still finish a layer after its client was killed."""


def scratch(world: World) -> Path:
    """Where builds put what they need while they last."""
    return world.state.path / "tmp"


def prefix() -> str:
    """How the names of this process's folders there begin."""
    return f"kfold-build-{os.getpid()}-"


def sweep(folder: Path) -> None:
    """Make the folder, and remove what killed processes left in it. Only for who holds the project's lock.

    The names begin with the number of their process: another build of this one may be at work.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        if not path.name.startswith(prefix()):
            shutil.rmtree(path, ignore_errors=True)


def discard(world: World, engine: Engine, record: Record, image: str, layers: list[str]) -> None:
    """Remove an image that is not what its key says. Its record is still `intended`, and stays where this fails."""
    remove_nameless(engine, image)
    let_go(world, engine, record, layers)


def let_go(world: World, engine: Engine, record: Record, layers: list[str], *, killed: bool = False) -> str:
    """Remove what a build left on its way, and then the record; it stays while something of it is held: returns by what.

    `killed`: nobody knows whether the builder has ended, so it is looked for what still comes."""
    held = _remove_layers(engine, layers) or _remove_unfinished(world, engine, record)
    deadline = time.monotonic() + (AHEAD if killed and layers else 0.0)
    while not held and time.monotonic() < deadline:
        time.sleep(AHEAD / 5)
        held = _remove_layers(engine, layers) or _remove_unfinished(world, engine, record)
    if not held:
        world.ledger.gone(record)
    return held


def with_layers(effect: Effect, layers: list[str]) -> Effect:
    return replace(effect, details={**effect.details, "layers": list(layers)})


def _remove_layers(engine: Engine, layers: list[str]) -> str:
    """Remove what a cut-off build left, the last first; "" once all of it is gone or needed by another image.

    Else which container still holds some of it. What another image was made from goes with that image.
    """
    deadline = time.monotonic() + STEP_END
    held = ""
    for layer in reversed(layers):
        while True:
            try:
                if layer.startswith(STEP):
                    engine.remove_step(layer.removeprefix(STEP))
                else:
                    engine.remove(layer, parents=False)
            except InUse as error:
                if "container" in error.message:
                    if time.monotonic() < deadline:
                        time.sleep(0.1)
                        continue
                    held = error.message
            break
    return held


def _remove_unfinished(world: World, engine: Engine, record: Record) -> str:
    """Remove what the engine made of an artifact ahead of what was heard of it, once nothing else of it is recorded.

    Until then it is the builder's cache. A build that comes after a cut-off one goes on from there.
    """
    effect = record.effect
    if not effect.made:
        return ""  # it was found: what it was made from is its maker's

    def owner(other: Effect) -> tuple[str, str, object]:
        return other.place, other.config, other.details.get("artifact")

    others = (one for one in world.ledger.records("engine", "image") if one.id != record.id)
    if any(owner(one.effect) == owner(effect) for one in others):
        return ""
    labels: dict[str, str] = effect.details.get("labels", {})
    marks = {name: labels[name] for name in (LABEL_CONFIG, LABEL_ARTIFACT) if name in labels}
    return _remove_layers(engine, [image.id for image in engine.unfinished(marks)]) if marks else ""
