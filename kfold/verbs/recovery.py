"""Records that were lost for good (the ledger and its second copy), found again in what the engine tells.

An image that kfold built carries its labels, and so does what a person made from it; `name:<image ID>` and
`name:kfold-<content key>` are names that only kfold gives. Any other name may be a person's, and so may an image without the
first: they stay, and are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kfold.errors import KfoldError
from kfold.ledger import Effect
from kfold.plan.reference import artifact_name
from kfold.stores.engine_interface import (
    LABEL_ARTIFACT,
    LABEL_CONFIG,
    LABEL_KEY,
    UNFINISHED,
    Engine,
    EngineError,
    shown_name,
)
from kfold.verbs.provenance import has_own_name, proven
from kfold.verbs.repository import key_tag
from kfold.verbs.world import World


def _nothing() -> None:
    """There is nothing but the engine to be asked."""


def find_images(world: World, configs: Iterable[str], elsewhere: Callable[[], None] = _nothing) -> None:
    """Record what the engine has of these configs, where records were lost, or where there is no ledger at all: it may have
    gone with its second copy. What another checkout records is that one's. `elsewhere` does the same in other stores.

    Raises EngineError, and KfoldError where no config tells what to look for; the ledger then goes on being lost.
    """
    configs, lost = list(configs), world.ledger.lost
    if lost and not configs:
        raise KfoldError(
            "records of this project were lost, and without its config nobody knows what the engine has of it",
            hint="Mend the config, then run this again.",
        )
    if not lost and world.state.ledger.exists():
        return
    engine = world.engine
    try:
        listed = {config: engine.labelled({LABEL_CONFIG: config}) for config in configs}
    except EngineError:
        if lost:
            raise
        return  # no engine, and nothing known of it
    taken = {record.identity for copy in world.ledger.others() for record in copy.records}
    if not lost and not any(has_own_name(image) and image.id not in taken for images in listed.values() for image in images):
        return  # nothing was made here, or all of it was taken back
    world.ledger.claim()
    world.ledger.lose()  # a run that is killed now has not found all of it
    for config, images in listed.items():
        seen: set[tuple[str, str]] = set()
        sure = proven(world, images)
        for image in images:  # the oldest first: others may be made from it
            artifact, key = image.labels.get(LABEL_ARTIFACT, ""), image.labels.get(LABEL_KEY, "")
            if not artifact or key in ("", UNFINISHED) or image.id in taken:
                continue
            if image not in sure:
                world.tell("line", f" - image {image.id[7:19]} stays: somebody may have made it from one of {artifact}")
                continue
            if (artifact, key) in seen:
                continue
            seen.add((artifact, key))
            _record(world, engine, Effect(
                store="engine", kind="image", place=engine.identity(), name=f"{artifact}@{key}", config=config, mark=key,
                details={"artifact": artifact, "labels": dict(image.labels), "address": dict(engine.address())},
            ), image.id, size=image.size)  # fmt: skip
            named = shown_name(artifact_name(artifact))
            own = (f"{named}:{image.id.removeprefix('sha256:')}", f"{named}:{key_tag(key)}")
            for name in image.names:
                if name not in own:
                    world.tell("line", f" - {name} stays: it names an image of {artifact}, and who gave it is not known")
                    continue
                _record(world, engine, Effect(
                    store="engine", kind="name", place=engine.identity(), name=name, config=config,
                    details={"artifact": artifact, "ours": [image.id], "address": dict(engine.address())},
                ), image.id)  # fmt: skip
    elsewhere()
    world.ledger.found_again()


def _record(world: World, engine: Engine, effect: Effect, identity: str, **details: int) -> None:
    if world.ledger.find(effect) is None:
        world.ledger.done(world.ledger.intend(effect), identity, **details)
        world.tell("line", f" - found again: {effect.kind} {effect.name}")
