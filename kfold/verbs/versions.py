"""The images of each artifact as the ledger knows them, over all stores, and which of them go: what `prune` walks over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kfold.config.model import PrunePolicy
from kfold.ledger import Record
from kfold.ledger.journal import Copy
from kfold.plan.facts import Target
from kfold.plan.retention import Decision, Extent, Version, decide
from kfold.verbs.heirs import heir
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
    """One image of an artifact in engine and nodes, or in registries; whether it goes, and why.

    `records`: what goes with it, in the order of the undoing. `left_to`: records that another project's ledger takes over,
    because it has the same image or name. `held`: it was asked for, and something uses it. `size` in bytes, `age` in
    seconds. `away`: engine -> why it cannot be asked who uses its images.
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
    away: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Group:
    """The records of one image; or of the images of one artifact for several platforms, which make up a `whole`."""

    config: str
    artifact: str
    image: str
    place: str
    records: list[Record]
    whole: str = ""

    @property
    def newest(self) -> tuple[int, float]:
        return max((_AGE_ORDER[record.state], record.updated) for record in self.engine_images or self.records)

    @property
    def engine_images(self) -> list[Record]:
        return [record for record in self.records if record.effect.kind == "image"]

    def has(self, record: Record) -> bool:
        """Whether a name, tag or manifest is of these images."""
        effect = record.effect
        if effect.store == "engine" and effect.place != self.place:
            return False
        if effect.store != "engine" and self.artifact != _artifact(record):
            return False
        if self.whole and self.whole == effect.details.get("whole"):
            return True
        return _image(record) in {self.image, *(one.identity for one in self.engine_images)}


def candidates(
    world: World,
    extent: Extent,
    artifact: str = "",
    policies: Mapping[str, PrunePolicy] | None = None,
    target: Target | None = None,
) -> list[Candidate]:
    """Every image in the ledger, newest first within an artifact, with the decision.

    `policies`: by config name, of all configs that are known (None: the default holds for each). `target`: the current
    cluster. Raises KfoldError where a cluster that must be asked who uses an image does not answer.
    """
    records = [
        record
        for record in world.ledger.records()
        if record.effect.store in IMAGE_STORES and artifact in ("", record.effect.details.get("artifact"))
    ]
    groups = _groups(records)
    users, away = engine_users(world, records)
    users = {**workload_users(world, records, target), **node_users(world, records), **users}
    others = world.ledger.others()
    found: list[Candidate] = []
    for owner in dict.fromkeys((group.config, group.artifact, group.place) for group in groups):
        # what no engine has (any more) is superseded by a newer one that an engine has, too
        versions = [
            group for group in groups if (group.config, group.artifact) == owner[:2] and owner[2] in ("", group.place)
        ]
        versions.sort(key=lambda group: group.newest, reverse=True)
        policy = PrunePolicy() if policies is None else policies.get(owner[0])
        told = [_version(group, users) for group in versions]
        fates = (decide(told, extent, policy, pushed=pushed) for pushed in (True, False))
        for group, version, *decisions in zip(versions, told, *fates, strict=True):
            if group.place == owner[2]:
                found += _candidates(group, version, decisions, users, others)
    taken = {record.id for candidate in found for record in candidate.records}
    left_over = [
        Candidate(record.effect.details["artifact"], _image(record), (record,), True, "left over", 0, 0)
        for record in records
        if record.id not in taken and extent == "all" and record.effect.kind != "image"
    ]
    # left-over names before the images: a name that is still there would keep its image
    return [replace(candidate, away=away) for candidate in [*left_over, *found]]


def _groups(records: Iterable[Record]) -> list[_Group]:
    """Images with their names; and, by themselves, those that only a registry or a node still has."""
    records = list(records)
    groups: list[_Group] = []
    for record in records:
        effect = record.effect
        if effect.kind != "image":
            continue
        whole = str(effect.details.get("whole", ""))
        key = (effect.config, _artifact(record), effect.place, whole)
        same = [one for one in groups if whole and (one.config, one.artifact, one.place, one.whole) == key]
        if same:
            same[0].records.append(record)
        else:
            groups.append(_Group(effect.config, _artifact(record), record.identity, effect.place, [record], whole))
    alone: dict[tuple[str, str, str], _Group] = {}
    for record in records:
        effect = record.effect
        if effect.kind == "image":
            continue
        mine = [group for group in groups if group.has(record)]
        if not mine and effect.store != "engine":
            key_alone = (effect.config, _artifact(record), _image(record))
            mine = [alone.setdefault(key_alone, _Group(*key_alone, "", []))]
        for group in mine[:1]:
            group.records.append(record)
    return [*groups, *alone.values()]


def _version(group: _Group, users: Mapping[tuple[str, str], str]) -> Version:
    images = group.engine_images
    # somebody else's image stays whatever happens; what uses it holds up nothing
    ours = [record.identity for record in images if record.effect.made] if images else [group.image]
    used_by = next((user for image in ours if (user := users.get((group.place, image)))), "")
    age = time.time() - max(record.updated for record in (images or group.records))
    return Version(age, used_by)


def _candidates(
    group: _Group,
    version: Version,
    decisions: Sequence[Decision],
    users: Mapping[tuple[str, str], str],
    others: Sequence[Copy],
) -> Iterator[Candidate]:
    """What registries have of an image, and what engine and nodes have, by a decision each."""
    for pushed, decision in zip((True, False), decisions, strict=True):
        records = [record for record in group.records if (record.effect.store == "registry") == pushed]
        if records:
            yield _candidate(group, records, version, decision, users, others)


def _candidate(
    group: _Group,
    records: list[Record],
    version: Version,
    decision: Decision,
    users: Mapping[tuple[str, str], str],
    others: Iterable[Copy],
) -> Candidate:
    records = sorted(records, key=_undo_order)
    images = [record for record in records if record.effect.kind == "image"]
    why = decision.why
    found = [record.identity for record in images if not record.effect.made] if decision.goes else []
    if found:
        # our records of it go, and names that kfold gave where nothing uses them
        why += ", was there before: it stays, kfold's names for it go"
        used = {image for image in found if users.get((group.place, image))}
        records = [one for one in records if one in images or not one.effect.made or _image(one) not in used]
    left_to = {record.id: copy for record in records if (copy := heir(record, records, others))} if decision.goes else {}
    size = sum(int(image.effect.details.get("size", 0)) for image in images)
    return Candidate(
        group.artifact, group.image, tuple(records), decision.goes, why, size, version.age, decision.held, left_to
    )


def _undo_order(record: Record) -> tuple[int, bool, int]:
    """In the registry an index goes before what is in it."""
    effect = record.effect
    return _UNDO_ORDER.get((effect.store, effect.kind), 9), "whole" not in effect.details, record.id


def _artifact(record: Record) -> str:
    return str(record.effect.details.get("artifact", ""))


def _image(record: Record) -> str:
    """The image that a name is for: of one that was cut off while it moved, the one that it was to move to."""
    details = record.effect.details
    if record.effect.store != "engine":
        return str(details.get("image") or record.identity)
    return record.identity if record.state == "done" else str(details["ours"][-1])
