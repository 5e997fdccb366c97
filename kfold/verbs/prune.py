"""`prune`: images that are superseded, or all; store by store in the reverse order of how they came there.

Superseded is every image of an artifact but the newest; `all` takes the newest too. An image that something uses stays, and
so does a name that kfold did not give; what another checkout of this user has too is left to that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from kfold.config.model import PrunePolicy
from kfold.errors import KfoldError
from kfold.human import age as human_age
from kfold.human import size as human_size
from kfold.ledger import Record
from kfold.plan.facts import Target
from kfold.plan.retention import Extent
from kfold.stores.registry_interface import RegistryError
from kfold.verbs import build, build_hooks, load, push, tag
from kfold.verbs.heirs import takes_over
from kfold.verbs.hook_undo import Undoing, preview_hooks
from kfold.verbs.image_users import engine_of
from kfold.verbs.report import CleanupReport, Fate
from kfold.verbs.undo import Kept, Result
from kfold.verbs.versions import IMAGE_STORES, Candidate, candidates
from kfold.verbs.world import World

UNDO: Mapping[tuple[str, str], Callable[[World, Record], Result]] = {
    ("registry", "tag"): push.undo_tag,
    ("registry", "manifest"): push.undo_manifest,
    ("engine", "image"): build.undo,
    ("engine", "name"): tag.undo,
    ("node", "name"): load.undo,
}
"""Store and kind of an effect -> its reverse."""

_WAITS = {"manifest": "tag", "image": "name"}
"""Kind -> what stays in the same place and keeps it there. Nothing else waits for what cannot be taken back."""


def prune(
    world: World,
    extent: Extent,
    artifact: str = "",
    policies: Mapping[str, PrunePolicy] | None = None,
    report: CleanupReport | None = None,
    target: Target | None = None,
    *,
    forget: bool = False,
) -> None:
    """Remove what goes, and say how much that was. Raises KfoldError naming what had to stay; its records stay too.

    `forget`: of what cannot be reached the record goes. What is the base of another image that goes is tried again after
    that one.
    """
    report = report or CleanupReport()
    held: list[str] = []
    going = []
    for candidate in candidates(world, extent, artifact, policies, target):
        if candidate.goes:
            going.append(candidate)
        elif candidate.held:
            _add(report, "failed" if extent == "all" else "kept", candidate.records, candidate.why)
            text = f"image {candidate.image[7:19]} of {candidate.artifact} stays: {candidate.why}"
            if text not in held:  # once, whatever stores have it
                held.append(text)
                world.tell("line", f" - {text}")
        else:
            _add(report, "kept", candidate.records, candidate.why)
    problems = [*held] if extent == "all" else []
    taking = _Taking(world, report, forget)
    while going:
        before = taking.places()
        for candidate in going:
            taking.take_back(candidate)
        again = taking.again(before)
        going = [candidate for candidate in going if any(record.id in again for record in candidate.records)]
    if taking.freed:
        # not what the disk gets back: that only the engine could tell, and BuildKit's cache holds what it has built
        shared = "layers that other images or the build cache have are on the disk still"
        world.tell("line", f"Removed images of {human_size(taking.freed)} in all; {shared}")
    whys: set[str] = set()
    for record, why in taking.failed.values():
        _add(report, "failed", [record], why)
        problems += [f"{_shown(record)} stays: {why}"] if why not in whys else []
        whys.add(why)
    if problems:
        words = "doit prune --all" if extent == "all" else "doit prune"
        raise KfoldError("\n".join(problems), hint=f"The record is kept: run `{words}` again when the cause is gone.")


def _add(report: CleanupReport, fate: Fate, records: Iterable[Record], why: str = "") -> None:
    for record in records:
        effect = record.effect
        more = {"artifact": effect.details.get("artifact", "")}
        if effect.kind == "image" and "size" in effect.details:
            more["size"] = effect.details["size"]
        report.add(fate, store=effect.store, kind=effect.kind, name=_shown(record), id=record.identity, why=why, **more)


class _Taking:
    """Undoes images with their names, store by store: what fails in one stops no other.

    `freed`: bytes of the images that went so far. `failed`: number of a record -> the record, and why it stays.
    """

    def __init__(self, world: World, report: CleanupReport, forget: bool) -> None:
        self.freed = 0
        self.failed: dict[int, tuple[Record, str]] = {}
        self._world = world
        self._report = report
        self._forget = forget
        self._silent: dict[str, str] = {}
        """Host of a registry that does not answer -> its error: it is asked once, not once a tag."""

    def places(self) -> Counter[str]:
        """How much is recorded of each place."""
        return Counter(record.effect.place for record in self._world.ledger.records())

    def again(self, before: Counter[str]) -> set[int]:
        """Numbers of the failed records to be tried again: something went in their place, and may have held them."""
        now = self.places()
        found = {id for id, (record, _) in self.failed.items() if now[record.effect.place] < before[record.effect.place]}
        for id in found:
            del self.failed[id]
        return found

    def take_back(self, candidate: Candidate) -> None:
        """One image."""
        there = {record.id for record in self._world.ledger.records()}
        for record in candidate.records:
            if record.id not in there or record.id in self.failed:
                continue  # dealt with in an earlier try
            why = self._away(record, candidate) or self._held(record, candidate)
            if not why:
                try:
                    self._undo(record, candidate)
                    continue
                except KfoldError as error:
                    why = f"{error.message} ({error.hint.rstrip('.')})" if error.hint else error.message
                    if isinstance(error, RegistryError) and not error.code:
                        self._silent[_host(record)] = why
            if self._forget and self._away(record, candidate):
                self._world.ledger.gone(record)
                self._world.tell("warning", f"{_shown(record)} is forgotten, and stays if it is there: {why}")
                _add(self._report, "kept", [record], f"forgotten: {why}")
            else:
                self.failed[record.id] = record, why

    def _away(self, record: Record, candidate: Candidate) -> str:
        """Why a record's engine or registry cannot be asked, "" where it was not found to be away."""
        if record.effect.store == "registry":
            return self._silent.get(_host(record), "")
        return candidate.away.get(engine_of(record), "")

    def _held(self, record: Record, candidate: Candidate) -> str:
        """Why a record has to wait for another one, "" where it has not."""
        wanted = (_WAITS.get(record.effect.kind), record.effect.place)
        stayed = (self.failed[one.id] for one in candidate.records if one.id in self.failed)
        return next((why for one, why in stayed if (one.effect.kind, one.effect.place) == wanted), "")

    def _undo(self, record: Record, candidate: Candidate) -> None:
        """One record; or leave it to another checkout. Raises KfoldError: it stays."""
        world, heir = self._world, candidate.left_to.get(record.id)
        if heir and world.ledger.leave(record, heir, lambda theirs: takes_over(record, candidate.records, theirs)):
            world.tell("line", f" - {_shown(record)} stays: the checkout {heir.project} has it too")
            _add(self._report, "kept", [record], f"the checkout {heir.project} has it too")
            return
        world.go_on()
        result = UNDO[record.effect.store, record.effect.kind](world, record)
        if isinstance(result, Kept):
            world.tell("line", f" - {result.why}")
            _add(self._report, "kept", [record], result.why)
        else:
            self.freed += result.freed
            _add(self._report, "removed", [record])


def _host(record: Record) -> str:
    return record.effect.place.partition("/")[0]


def _shown(record: Record) -> str:
    """A tag is no name without its repository."""
    effect = record.effect
    if effect.store != "registry":
        return effect.name
    return f"{effect.place}{'@' if effect.kind == 'manifest' else ':'}{effect.name}"


def prune_images(
    world: World,
    extent: Extent,
    artifact: str = "",
    policies: Mapping[str, PrunePolicy] | None = None,
    report: CleanupReport | None = None,
    *,
    forget: bool = False,
    forget_hooks: bool = False,
    target: Target | None = None,
) -> None:
    """Remove images. `target`: the current cluster, asked what it uses. `forget`: of what cannot be
    reached the record goes; `forget_hooks`: of hooks that may be taken back in another folder. Raises KfoldError naming what
    had to stay though all was asked for."""
    hooked = extent == "all" and any(build_hooks.build_records(world, phase, artifact) for phase in build_hooks.PHASES)
    if not hooked and not any(world.ledger.records(store) for store in IMAGE_STORES):
        world.tell("line", "No images to prune.")
        return
    world.ledger.claim()
    world.tell("heading", "Pruning images...")
    how = Undoing(forget_hooks=forget_hooks, report=report or CleanupReport())
    problems: list[str] = []
    failure: KfoldError | None = None
    if extent == "all":
        problems += build_hooks.undo_build_hooks(world, "post-build", artifact, how)
    try:
        prune(world, extent, artifact, policies, how.report, target, forget=forget)
    except KfoldError as error:
        failure = error
    if extent == "all":
        problems += build_hooks.undo_build_hooks(world, "pre-build", artifact, how)
    if problems:
        texts = [*problems, *([failure.message] if failure else [])]
        raise KfoldError("\n".join(texts), hint="The record is kept: run `doit prune --all` again when the cause is gone.")
    if failure:
        raise failure


def prune_build_cache(world: World) -> None:
    """Have the engine prune its build cache: nobody owns what is in it, so that is never done without being asked for."""
    world.tell("heading", "Pruning the build cache...")
    world.tell("line", f"Reclaimed of the build cache: {world.engine.prune_build_cache()}")


def preview(
    world: World,
    extent: Extent,
    artifact: str = "",
    policies: Mapping[str, PrunePolicy] | None = None,
    target: Target | None = None,
) -> None:
    """What prune would do, store by store, and why."""
    if extent == "all":
        for phase in build_hooks.PHASES:
            preview_hooks(world, build_hooks.build_records(world, phase, artifact))
    for candidate in candidates(world, extent, artifact, policies, target):
        away = next((why for one in candidate.records if (why := candidate.away.get(engine_of(one)))), "")
        verb, why = "goes" if candidate.goes and not away else "stays", away if candidate.goes and away else candidate.why
        world.tell(
            "line",
            f" - {candidate.artifact} {candidate.image[7:19]} {verb}: {why} "
            f"({f'{human_size(candidate.size)}, ' if candidate.size else ''}{human_age(candidate.age)} old)",
        )
        for record in candidate.records:
            if record.effect.kind != "image":
                place = "" if record.effect.store == "engine" else f" ({record.effect.store} {record.effect.place})"
                left = candidate.left_to.get(record.id)
                world.tell("line", f"     {record.effect.name}{place}{f': left to {left.project}' if left else ''}")
