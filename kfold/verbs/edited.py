"""What a config file deployed that says it no more: a document was taken out of it, or has another name now.

A set's record names the file. Another file in the same folder is another deployment, and nobody's here to take back.
"""

from __future__ import annotations

from collections.abc import Sequence

from kfold.ledger import Record
from kfold.plan.steps import Step
from kfold.verbs import applyset
from kfold.verbs.world import Run


def left_sets(run: Run, step: Step) -> list[Record]:
    """The sets in this cluster of configs that left the file. They are the first config's to take back: one step's alone."""
    names = [config.name for config in run.configs]
    file = step.config.position.file
    if not file or names[:1] != [step.config.name]:
        return []
    place = run.cluster.identity().uid
    return [
        record
        for record in run.world.ledger.records("cluster", "set")
        if record.effect.place == place
        and record.effect.details.get(applyset.FILE) == file
        and record.effect.config not in names
    ]


def is_left(record: Record, sets: Sequence[Record]) -> bool:
    """Whether an object is of one of these sets still: one that another config has now is that one's."""
    details = record.effect.details
    of_set = (record.effect.place, record.effect.config, details.get("set"))  # a set's ID is the same in every cluster
    return any((one.effect.place, one.effect.config, one.effect.details["set"]) == of_set for one in sets)


def is_unfinished(run: Run, step: Step) -> bool:
    """Whether there is anything of such sets that the next deployment takes back. Hooks wait for `delete`."""
    sets = left_sets(run, step)
    if not sets:
        return False
    if any(is_left(record, sets) for record in run.world.ledger.records("cluster", "object")):
        return True
    ids = {str(record.effect.details["set"]) for record in sets}
    hooked = {record.effect.details.get("set") for record in run.world.ledger.records(kind="hook")}
    return any(not applyset.members_of_record(run.world, run.cluster, one) for one in ids - hooked)
