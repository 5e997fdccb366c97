"""`prune`: which images of the engine go, and why; then their reverses, names first.

Superseded is every image of an artifact but the newest; `all` takes the newest too. An image that a container or a Pod
uses stays, and so does a name that kfold did not give.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kfold.errors import KfoldError
from kfold.human import age as human_age
from kfold.human import size as human_size
from kfold.ledger import Record
from kfold.stores.engine_interface import Engine
from kfold.verbs import build, tag
from kfold.verbs.undo import Kept
from kfold.verbs.world import World

Extent = Literal["superseded", "all"]


@dataclass(frozen=True)
class Candidate:
    """One image with its names, whether it goes, and why. `size` in bytes, `age` in seconds."""

    artifact: str
    image: str
    records: tuple[Record, ...]
    goes: bool
    why: str
    size: int
    age: float


def candidates(world: World, extent: Extent, artifact: str = "") -> list[Candidate]:
    """Every image in the ledger, newest first within an artifact, with the decision. Raises when an engine is away."""
    records = [record for record in world.ledger.records("engine") if artifact in ("", record.effect.details["artifact"])]
    # one that was being removed when a run ended is older than any other
    order = {"undoing": 0, "intended": 1, "done": 1}
    images = [record for record in records if record.effect.kind == "image"]
    images.sort(key=lambda record: (order[record.state], record.updated), reverse=True)
    names = [record for record in records if record.effect.kind == "name"]
    users = _users(world, records)
    newest: set[tuple[str, str, str]] = set()
    found = []
    for image in images:
        details = image.effect.details
        owner = (image.effect.place, image.effect.config, details["artifact"])
        current = owner not in newest
        newest.add(owner)
        mine = (image.effect.place, image.identity)
        ours = tuple(name for name in names if (name.effect.place, _points_at(name)) == mine)
        goes, why = (extent == "all" or not current), "superseded" if not current else "current"
        user = users.get(mine)
        if goes and not image.effect.made:
            # somebody else's image: our records of it go, and names that kfold gave where no container uses it
            why += ", was there before: it stays, kfold's names for it go"
            ours = tuple(name for name in ours if not (user and name.effect.made))
        elif goes and user:
            goes, why = False, f"in use by {user}"
        age = time.time() - image.updated
        found.append(
            Candidate(details["artifact"], image.identity, (*ours, image), goes, why, int(details.get("size", 0)), age)
        )
    taken = {record.id for candidate in found for record in candidate.records}
    for name in names:
        if name.id not in taken and extent == "all":
            left_over = Candidate(name.effect.details["artifact"], _points_at(name), (name,), True, "left over", 0, 0)
            found.insert(0, left_over)  # before the images: a name that is still there would keep its image
    return found


def _points_at(name: Record) -> str:
    """The image that a name is for: of one that was cut off while it moved, the one that it was to move to."""
    return name.identity if name.state == "done" else str(name.effect.details["ours"][-1])


def _users(world: World, records: Iterable[Record]) -> dict[tuple[str, str], str]:
    """(engine, image ID) -> a container that uses it. Pods of a cluster on the same engine are containers too."""
    users: dict[tuple[str, str], str] = {}
    for place, engine in engines(world, records).items():
        for container in engine.containers():
            users.setdefault((place, container.image), f"container {container.name}")
    return users


def engines(world: World, records: Iterable[Record]) -> dict[str, Engine]:
    """The engines of these records. Raises KfoldError where an address leads to another engine than the recorded one."""
    found: dict[str, Engine] = {}
    for record in records:
        place = record.effect.place
        if place not in found:
            engine = world.open_engine(record.effect.details.get("address", {}))
            if engine.identity() != place:
                raise KfoldError(
                    f"the Docker Engine at {_address(record)} is another one than the one that kfold built with",
                    hint="Start the engine of the record (`doit status` shows it), then run this again.",
                )
            found[place] = engine
    return found


def _address(record: Record) -> str:
    return ", ".join(f"{key}={value}" for key, value in record.effect.details.get("address", {}).items()) or "docker"


def prune(world: World, extent: Extent, artifact: str = "") -> int:
    """Remove what goes. Returns the bytes freed. Raises KfoldError naming what had to stay; its records stay too."""
    problems: list[str] = []
    freed = 0
    for candidate in candidates(world, extent, artifact):
        if not candidate.goes:
            if candidate.why.startswith("in use"):
                text = f"image {candidate.image[7:19]} of {candidate.artifact} stays: {candidate.why}"
                problems += [text] if extent == "all" else []
                world.tell("line", f" - {text}")
            continue
        for record in candidate.records:
            undo = tag.undo if record.effect.kind == "name" else build.undo
            try:
                result = undo(world, record)
            except KfoldError as error:
                problems.append(f"{record.effect.name} stays: {error.message}")
                break
            if isinstance(result, Kept):
                world.tell("line", f" - {result.why}")
            else:
                freed += result.freed
    if problems:
        raise KfoldError("\n".join(problems), hint="The record is kept: run `doit prune` again when the cause is gone.")
    return freed


def prune_images(world: World, extent: Extent, artifact: str = "") -> None:
    """Remove images, saying what was freed. Raises KfoldError naming what had to stay though all was asked for."""
    if not world.ledger.records("engine"):
        world.tell("line", "No images to prune.")
        return
    world.ledger.claim()
    world.tell("heading", "Pruning images...")
    freed = prune(world, extent, artifact)
    if freed:
        world.tell("line", f"Reclaimed disk space: {human_size(freed)}")


def preview(world: World, extent: Extent, artifact: str = "") -> None:
    """What prune would do, and why."""
    for candidate in candidates(world, extent, artifact):
        verb = "goes" if candidate.goes else "stays"
        world.tell(
            "line",
            f" - {candidate.artifact} {candidate.image[7:19]} {verb}: {candidate.why} "
            f"({human_size(candidate.size)}, {human_age(candidate.age)} old)",
        )
        for record in candidate.records:
            if record.effect.kind == "name":
                world.tell("line", f"     {record.effect.name}")
