"""What uses the images of an engine: its containers, running or not. Pods of a cluster on the same engine are containers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.stores.engine_interface import Engine
from kfold.verbs.world import World


def engine_users(world: World, records: Iterable[Record]) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """(engine, image ID) -> a container that uses it; and engine -> why it cannot be asked: it is away, or another one is
    in its place."""
    users: dict[tuple[str, str], str] = {}
    away: dict[str, str] = {}
    asked: set[str] = set()
    for record in records:
        place = engine_of(record)
        if not place or place in asked:
            continue
        asked.add(place)
        try:
            for container in _engine(world, record, place).containers():
                users.setdefault((place, container.image), f"container {container.name}")
        except KfoldError as error:
            away[place] = f"{error.message} ({error.hint.rstrip('.')})" if error.hint else error.message
    return users, away


def engine_of(record: Record) -> str:
    """The engine that a record is about, or whose container the node is that it is about; "" for any other."""
    effect = record.effect
    if effect.store == "node" and "container" in effect.details:
        return effect.place.rpartition("/")[0]
    return effect.place if effect.store == "engine" else ""


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


def _engine(world: World, record: Record, place: str) -> Engine:
    """Raises KfoldError where the address leads to another engine than the recorded one, or to none."""
    engine = world.open_engine(record.effect.details.get("address", {}))
    if engine.identity() != place:
        raise KfoldError(
            f"the Docker Engine at {_address(record)} is another one than the one that kfold built with",
            hint="Start that one, then run this again; or, if it is gone for good, `doit prune --all --forget`.",
        )
    return engine


def _address(record: Record) -> str:
    return ", ".join(f"{key}={value}" for key, value in record.effect.details.get("address", {}).items()) or "docker"
