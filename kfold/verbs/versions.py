"""The images of each artifact as the ledger knows them, over all stores, and which of them go: what `prune` walks over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kfold.config.model import PrunePolicy
from kfold.ledger import Record
from kfold.ledger.journal import Copy
from kfold.plan.retention import Decision, Extent, Version, decide
from kfold.verbs.image_users import engine_users, node_users
from kfold.verbs.workload_users import workload_users
from kfold.verbs.world import World

IMAGE_STORES = ("engine", "node", "registry")
"""The stores that hold images, in the order in which they are told of."""

_UNDO_ORDER = {("registry", "tag"): 0, ("registry", "manifest"): 1, ("node", "name"): 2, ("engine", "name"): 3}
"""The reverse graph's: unload and unpush, then untag; what is not named here is the engine's image, the last to go."""

_AGE_ORDER = {"undoing": 0, "intended": 1, "done": 1}
"""One that was being removed when a run ended is older than any other."""


@dataclass(frozen=True)
class Candidate:
    """One image of an artifact, whether it goes, and why.

    `records`: what goes with it, in the order of the undoing. `left_to`: records that another project's ledger takes over,
    because it has the same image or name. `held`: it was asked for, and something uses it. `size` in bytes, `age` in
    seconds.
    """

    artifact: str
    image: str
    records: tuple[Record, ...]
    goes: bool
    why: str
    size: int
    age: float
    held: bool = False
    left_to: Mapping[int, Copy] = field(default_factory=dict)


@dataclass
class _Group:
    config: str
    artifact: str
    image: str
    place: str
    records: list[Record]

    @property
    def newest(self) -> tuple[int, float]:
        of_engine = [record for record in self.records if record.effect.kind == "image"]
        return max((_AGE_ORDER[record.state], record.updated) for record in of_engine or self.records)

    @property
    def engine_image(self) -> Record | None:
        return next((record for record in self.records if record.effect.kind == "image"), None)


def candidates(
    world: World, extent: Extent, artifact: str = "", policies: Mapping[str, PrunePolicy] | None = None
) -> list[Candidate]:
    """Every image in the ledger, newest first within an artifact, with the decision.

    `policies`: by config name. Raises KfoldError where a store that must be asked who uses an image does not answer.
    """
    records = [
        record
        for record in world.ledger.records()
        if record.effect.store in IMAGE_STORES and artifact in ("", record.effect.details.get("artifact"))
    ]
    groups = _groups(records)
    users = {**workload_users(world, records), **node_users(world, records), **engine_users(world, records)}
    others = world.ledger.others()
    found: list[Candidate] = []
    for owner in dict.fromkeys((group.config, group.artifact, group.place) for group in groups):
        versions = [group for group in groups if (group.config, group.artifact, group.place) == owner]
        versions.sort(key=lambda group: group.newest, reverse=True)
        policy = (policies or {}).get(owner[0], PrunePolicy())
        told = [_version(group, users) for group in versions]
        for group, version, decision in zip(versions, told, decide(told, extent, policy), strict=True):
            found.append(_candidate(group, version, decision, users, others))
    taken = {record.id for candidate in found for record in candidate.records}
    left_over = [
        Candidate(record.effect.details["artifact"], _image(record), (record,), True, "left over", 0, 0)
        for record in records
        if record.id not in taken and extent == "all" and record.effect.kind != "image"
    ]
    return [*left_over, *found]  # left-over names before the images: a name that is still there would keep its image


def _groups(records: Iterable[Record]) -> list[_Group]:
    """Images with their names; and, by themselves, those that only a registry or a node still has."""
    groups: list[_Group] = []
    for record in records:
        if record.effect.kind == "image":
            groups.append(_Group(record.effect.config, _artifact(record), record.identity, record.effect.place, [record]))
    alone: dict[tuple[str, str, str], _Group] = {}
    for record in records:
        effect = record.effect
        if effect.kind == "image":
            continue
        image = _image(record)
        if effect.store == "engine":
            mine = [group for group in groups if (group.place, group.image) == (effect.place, image)]
        else:
            mine = [group for group in groups if (group.artifact, group.image) == (_artifact(record), image)]
            if not mine:
                key = (effect.config, _artifact(record), image)
                mine = [alone.setdefault(key, _Group(*key, "", []))]
        for group in mine[:1]:
            group.records.append(record)
    return [*groups, *alone.values()]


def _version(group: _Group, users: Mapping[tuple[str, str], str]) -> Version:
    image = group.engine_image
    # somebody else's image stays whatever happens; what uses it holds up nothing
    used_by = "" if image and not image.effect.made else users.get((group.place, group.image), "")
    age = time.time() - max(record.updated for record in ([image] if image else group.records))
    return Version(age, used_by, any(record.effect.store == "registry" for record in group.records))


def _candidate(
    group: _Group, version: Version, decision: Decision, users: Mapping[tuple[str, str], str], others: Iterable[Copy]
) -> Candidate:
    image = group.engine_image
    records = sorted(
        group.records, key=lambda record: (_UNDO_ORDER.get((record.effect.store, record.effect.kind), 9), record.id)
    )
    why = decision.why
    if decision.goes and image and not image.effect.made:
        # our records of it go, and names that kfold gave where nothing uses them
        why += ", was there before: it stays, kfold's names for it go"
        if users.get((group.place, group.image)):
            records = [record for record in records if record is image or not record.effect.made]
    left_to = {record.id: heir for record in records if (heir := _heir(record, others))} if decision.goes else {}
    size = int(image.effect.details.get("size", 0)) if image else 0
    return Candidate(
        group.artifact, group.image, tuple(records), decision.goes, why, size, version.age, decision.held, left_to
    )


def _heir(record: Record, others: Iterable[Copy]) -> Copy | None:
    """Another project whose ledger has the same thing, not on its way out: it is still needed there."""
    if not record.effect.made or not record.identity:
        return None
    wanted = (record.effect.store, record.effect.kind, record.effect.place, record.effect.name, record.identity)
    for copy in others:
        for other in copy.records:
            effect = other.effect
            same = wanted == (effect.store, effect.kind, effect.place, effect.name, other.identity)
            if same and other.state != "undoing":
                return copy
    return None


def _artifact(record: Record) -> str:
    return str(record.effect.details.get("artifact", ""))


def _image(record: Record) -> str:
    """The image that a name is for: of one that was cut off while it moved, the one that it was to move to."""
    details = record.effect.details
    if record.effect.store != "engine":
        return str(details.get("image") or record.identity)
    return record.identity if record.state == "done" else str(details["ours"][-1])
