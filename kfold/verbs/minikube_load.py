"""`load` and its reverse for minikube with a runtime that is not docker: `minikube image load`, a name at a time.

The name is `name:<image ID>`: where it is there it is this image, so it need not be compared, and nothing is pointed back.
"""

from __future__ import annotations

from pathlib import Path

from kfold.errors import KfoldError
from kfold.ledger import Effect, Record
from kfold.plan.reference import parse
from kfold.plan.steps import Step
from kfold.stores import minikube
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Built, Run, Tagged, World

KIND = "minikube"
_NAMES = "minikube names"
"""Where a run keeps what the nodes hold: asking starts a program."""


def holds(run: Run, tagged: Tagged) -> bool:
    """Whether the nodes have the image, by a record of ours."""
    name, profile = _name(tagged), run.facts.target.cluster
    records = run.world.ledger.records("node", "name")
    known = any((one.effect.place, one.effect.name, one.state) == (_place(profile), name, "done") for one in records)
    return known and name in _names(run)


def load(run: Run, step: Step, tagged: Tagged) -> None:
    """Bring the image into the profile's nodes, unless they have it. Raises KfoldError."""
    world, profile = run.world, run.facts.target.cluster
    name = _name(tagged)
    built: Built = run.outcome(step.needs[0].replace("tag:", "build:", 1), Built)
    world.ledger.claim()
    there = name in _names(run)
    effect = Effect(
        store="node",
        kind="name",
        place=_place(profile),
        name=name,
        config=step.config.name,
        made=not there,
        details={
            "artifact": tagged.artifact,
            "image": built.image,
            "node": profile,
            "kind": KIND,
            "cluster": profile,
            "home": str(next((home for home in _homes(world) if (home / "profiles" / profile).is_dir()), "")),
        },
    )
    known = world.ledger.find(effect)
    if there and known is not None and known.effect.made:
        world.ledger.done(known, built.image)  # a load that was cut off had arrived
        return
    if known is not None and not there and not known.effect.made:
        world.ledger.gone(known)  # somebody else's went; the one that comes now is ours
    record = world.ledger.intend(effect)
    if not there:
        world.go_on()
        world.tell("heading", f'Loading {tagged.artifact} into minikube "{profile}"...', step.subject)
        minikube.load(tagged.reference, profile, world.environment)
        if name not in _names(run, anew=True):
            raise KfoldError(
                f'{tagged.reference} was loaded into minikube "{profile}", and is not there',
                hint=f"`minikube image ls -p {profile}` and `minikube logs -p {profile}` may tell more.",
            )
        run.changed()
    world.ledger.done(record, built.image)


def undo(world: World, record: Record) -> Result:
    """Take the name out of the nodes. Raises KfoldError, and keeps the record, where minikube does not or cannot."""
    effect = record.effect
    profile, home = effect.details["cluster"], effect.details["home"]
    if not effect.made:
        world.ledger.gone(record)
        return Undone()
    if home and not Path(home, "profiles", profile).exists():
        world.ledger.gone(record)
        return Kept(f'minikube profile "{profile}" is gone, and {effect.name} with it')
    record = world.ledger.undoing(record)
    if effect.name in minikube.images(profile, world.environment):
        minikube.remove(effect.name, profile, world.environment)
        # the program ends well even where a container holds the image
        if effect.name in minikube.images(profile, world.environment):
            raise KfoldError(
                f'{effect.name} stays in minikube "{profile}": something there uses it',
                hint="`doit delete` ends what was deployed; then run this again.",
            )
        world.tell("line", f'unloaded {effect.name} from minikube "{profile}"')
    world.ledger.gone(record)
    return Undone()


def names(world: World, profile: str) -> frozenset[str]:
    """What the profile's nodes hold. Raises StoreError."""
    return minikube.images(profile, world.environment)


def _names(run: Run, *, anew: bool = False) -> frozenset[str]:
    found: frozenset[str] | None = None if anew else run.scratch.get(_NAMES)
    if found is None:
        found = run.scratch[_NAMES] = names(run.world, run.facts.target.cluster)
    return found


def _homes(world: World) -> list[Path]:
    return minikube.homes(world.environment)


def _name(tagged: Tagged) -> str:
    return str(parse(tagged.reference))


def _place(profile: str) -> str:
    return f"{KIND}/{profile}"
