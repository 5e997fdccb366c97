"""What uses the images of an engine: its containers, running or not. Pods of a cluster on the same engine are containers."""

from __future__ import annotations

from collections.abc import Iterable

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.stores.engine_interface import Engine
from kfold.verbs.world import World


def engine_users(world: World, records: Iterable[Record]) -> dict[tuple[str, str], str]:
    """(engine, image ID) -> a container that uses it. Raises KfoldError where an engine of the records is away."""
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
        if record.effect.store == "engine" and place not in found:
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
