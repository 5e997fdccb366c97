"""What uses the images of an engine: its containers, running or not. Pods of a cluster on the same engine are containers."""

from __future__ import annotations

import contextlib
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


def node_users(world: World, records: Iterable[Record]) -> dict[tuple[str, str], str]:
    """(engine, image ID) -> a running container of a node that uses what was loaded there. Only what can be told: of a node
    that does not answer the reverse of the load says so."""
    images: dict[str, dict[str, str]] = {}
    nodes: dict[str, Record] = {}
    for record in records:
        details = record.effect.details
        if record.effect.store == "node" and "container" in details:
            nodes[details["container"]] = record
            names = images.setdefault(details["container"], {})
            names[record.effect.name] = names[details["image"]] = details["image"]
    users: dict[tuple[str, str], str] = {}
    for container, record in nodes.items():
        details, engine = record.effect.details, record.effect.place.rpartition("/")[0]
        with contextlib.suppress(KfoldError):
            for user in world.open_nodes(details["address"]).users(container):
                if user.running and (image := images[container].get(user.image)):
                    users[engine, image] = f"container {user.id[:12]} in node {details['node']}"
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
