"""Which of the images with kfold's labels kfold built. A label alone is no evidence: what anybody builds FROM such an image
has inherited it, and another user's kfold gives the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kfold.ledger import Record
from kfold.stores.engine_interface import Engine, EngineImage
from kfold.verbs.world import World


@dataclass(frozen=True)
class Images:
    """Those with the labels of one build. `ours`: this ledger's record is of it. `others`: kfold built it too. `strangers`:
    whoever made it."""

    ours: list[EngineImage]
    others: list[EngineImage]
    strangers: list[EngineImage]


def told_apart(world: World, engine: Engine, known: Record | None, listed: list[EngineImage], stamp: str) -> Images:
    """What is `listed` with the labels of a build. `known`: its record; `stamp`: of its inputs as they are now.

    What a killed run made of other inputs is removed, and so is in none of them.
    """
    ours: list[EngineImage] = []
    if known and known.identity:
        # the legacy builder's is not listed while it has no name and another one was made from it
        ours = [found] if (found := engine.image(known.identity)) else []
    elif known:
        ours = unheard(world, known, listed)
        if known.effect.details.get("stamp") != stamp:
            # nobody looked since whether its inputs held still
            removed = [image for image in ours if remove_nameless(engine, image.id)]
            listed = [image for image in listed if image not in removed]
            ours = []
    others = [image for image in proven(world, listed) if image not in ours]
    return Images(ours, others, [image for image in listed if image not in ours and image not in others])


def proven(world: World, images: Iterable[EngineImage]) -> list[EngineImage]:
    """Those that this ledger knows by their ID, that have the name `…:<own ID>`, which only kfold gives, or that have names
    and another project's ledger knows them.

    One without a name is left to whoever made it: it would go with the last name that is taken from it again.
    """
    images = list(images)
    own = {record.identity for record in world.ledger.records("engine", "image")} if images else set()
    doubtful = [image for image in images if image.id not in own and not has_own_name(image)]
    others = {record.identity for copy in world.ledger.others() for record in copy.records} if doubtful else set()
    return [image for image in images if image not in doubtful or (image.names and image.id in others)]


def unheard(world: World, record: Record, images: Iterable[EngineImage]) -> list[EngineImage]:
    """Those of these images that the build of this record made, where a crash cut it off before their ID was known.

    They have its labels, and no other record and no name says whose they are. (What had the labels before that build lacks
    its LABEL_APART.)
    """
    labels = record.effect.details["labels"].items()
    if record.identity or not record.effect.made:
        return []
    images = [image for image in images if labels <= image.labels.items()]
    found = proven(world, images)
    return [image for image in images if image not in found]


def remove_nameless(engine: Engine, image: str) -> bool:
    """Remove an image by its ID where it has no name: an engine takes an only name along, and that is somebody's."""
    found = engine.image(image)
    return found is not None and not found.names and engine.remove(image)


def has_own_name(image: EngineImage) -> bool:
    """Whether it has the name that only kfold gives."""
    return any(name.rpartition(":")[2] == image.id.removeprefix("sha256:") for name in image.names)
