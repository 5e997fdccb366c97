"""`load` and its reverse: images in the nodes of a cluster whose nodes are containers of this engine (kind, k3d).

Where the cluster's Pods run on this very engine there is nothing to bring anywhere. Nodes get the one name that manifests
name, `name:<image ID>`. Their containerd adds names of its own: the image's ID (the CRI's), digests. All of them go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfold.errors import KfoldError
from kfold.ledger import Record
from kfold.ledger.journal import Copy
from kfold.plan.steps import Step
from kfold.stores.engine_interface import InUse
from kfold.stores.node_interface import Contents, Entry, Nodes
from kfold.verbs import minikube_load
from kfold.verbs.node_loads import Loads, refuse_stopped
from kfold.verbs.undo import Kept, Result, Undone
from kfold.verbs.world import Run, Tagged, World


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> Tagged | None:
    """On a shared engine the tagged image is where it is needed; else every node must have it."""
    tagged: Tagged = run.outcome(step.needs[0], Tagged)
    target = run.facts.target
    if target.refusal:
        return None
    if (values.get("reference"), values.get("target", "")) != (tagged.reference, _target(run)):
        return None
    if target.unpushed == "shared":
        return tagged
    there = minikube_load.holds(run, tagged) if target.kind == minikube_load.KIND else Loads.of(run).present(tagged)
    return tagged if there else None


def do(run: Run, step: Step) -> tuple[Tagged, dict[str, Any]]:
    """Bring the image into the nodes that lack it, and with it those of the artifacts that are tagged by now."""
    target = run.facts.target
    if target.refusal:
        raise KfoldError(target.refusal)
    tagged: Tagged = run.outcome(step.needs[0], Tagged)
    if target.unpushed == "load" and target.kind == minikube_load.KIND:
        minikube_load.load(run, step, tagged)
    elif target.unpushed == "load":
        Loads.of(run).load([tagged, *_others(run)])
    return tagged, {"reference": tagged.reference, "target": _target(run)}


def _others(run: Run) -> list[Tagged]:
    """What other steps of this walk will load, as far as it is tagged: layers that images share move once."""
    found = []
    for name, outcome in list(run.outcomes.items()):
        verb, _, subject = name.partition(":")
        loads = run.walked is None or f"load:{subject}" in run.walked
        if verb == "tag" and isinstance(outcome, Tagged) and loads and f"load:{subject}" not in run.outcomes:
            found.append(outcome)
    return found


def _target(run: Run) -> str:
    """What a result is for: the cluster, where images are loaded into it."""
    target = run.facts.target
    return f"{target.kind} {target.cluster}" if target.unpushed == "load" else ""


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """The image is another one, the cluster is another one, or a node lacks it."""
    if run.facts.target.refusal:
        return []
    tagged: Tagged = run.outcome(step.needs[0], Tagged)
    if values.get("reference") != tagged.reference:
        return ["the image is another one than the last run's"]
    return [f"a node of {_target(run)} lacks it"] if _target(run) else []


def undo(world: World, record: Record) -> Result:
    """Take the name out of the node, with those that containerd made of it, or point it back.

    Raises NodeStopped where the node does not run and InUse where a container in it uses the image: the record stays.
    """
    effect = record.effect
    details = effect.details
    if details["kind"] == minikube_load.KIND:
        return minikube_load.undo(world, record)
    engine = world.open_engine(details["address"])
    container, name = details["container"], effect.name
    if effect.place != f"{engine.identity()}/{container}":
        raise KfoldError(
            f"the engine that node {details['node']} runs on is another one now",
            hint="Start that one, then run this again; or, if it is gone for good, `doit prune --all --forget`.",
        )
    nodes = world.open_nodes(details["address"])
    node = nodes.node(container)
    if node is None:
        world.ledger.gone(record)
        return Kept(f"node {details['node']} is gone, and {name} with it")
    if not effect.made:
        world.ledger.gone(record)
        return Undone()
    refuse_stopped(node)
    if record.state != "done":
        nodes.end_load(container, effect.mark)
    contents = nodes.look(container)
    entry = contents.names.get(name)
    if entry is not None and entry.digest not in contents.configs:
        contents = nodes.look(container, [entry.digest])
    before = effect.before or {}
    theirs = entry is not None and not _ours(record, entry, contents)
    result: Result = Undone()
    if entry is not None and entry.digest == before.get("digest"):
        result = Kept(f"{name} in node {node.name} stays: it points where it did before")
    elif theirs:
        result = Kept(f"{name} in node {node.name} stays: it points at another image now")
    going = _going(record, "" if theirs or entry is None else entry.digest, contents)
    if going:
        _refuse_used(nodes, container, going, contents, node.name)
    record = world.ledger.undoing(record)
    if entry is not None and not isinstance(result, Kept) and before:
        nodes.point(container, name, Entry(before["digest"], before["media_type"]))
        world.tell("line", f"pointed {name} back in node {node.name}")
        going = [one for one in going if one != name]
    if going:
        nodes.remove(container, going)
        world.tell("line", f"unloaded {name} from node {node.name}")
    if theirs and (heir := _moved_on(world, record)):
        nodes.keep(container, record.identity, False)
        world.ledger.bequeath(record, heir)
        return result
    if before:
        nodes.keep(container, before["digest"], False)
    world.ledger.gone(record)
    return result


def _moved_on(world: World, record: Record) -> Copy | None:
    """The project that moved the name from our image to its own: what it pointed at before us is that one's to put back."""
    if not record.identity:
        return None
    others = world.ledger.others()
    return next((copy for copy in others if any(one.state == "done" and one.moved_on(record) for one in copy.records)), None)


def _ours(record: Record, entry: Entry, contents: Contents) -> bool:
    """Whether the name points at what we loaded; of a load that was cut off, at the image that it was to point at."""
    image = record.effect.details["image"]
    if record.identity:
        return entry.digest == record.identity
    return contents.is_of(entry, image)


def _going(record: Record, digest: str, contents: Contents) -> list[str]:
    """The names to remove: ours, and those that containerd made, unless somebody else's name needs them.

    `digest`: what our name points at; "" where it is not there, or not ours.
    """
    name, image = record.effect.name, str(record.effect.details["image"])
    own = [name] if digest else []
    by_id = contents.names.get(image)
    digest = digest or record.identity or (by_id.digest if by_id else "")
    made = [one for one, entry in contents.names.items() if entry.digest == digest and _is_derived(one, digest)]
    others = [one for one, entry in contents.names.items() if entry.digest == digest and one not in (name, *made)]
    return own + (made if record.effect.details["derived"] and not others else [])


def _is_derived(name: str, digest: str) -> bool:
    """Whether containerd or the CRI made this name of an image: its config's digest, or a name with its own."""
    return name.startswith("sha256:") or name.endswith(f"@{digest}")


def _refuse_used(nodes: Nodes, container: str, going: list[str], contents: Contents, node: str) -> None:
    """Raises InUse where a container in the node would lose its image."""
    digests = {contents.names[name].digest for name in going}
    named = {name for name, entry in contents.names.items() if entry.digest in digests}
    if named > set(going):
        return  # the image stays under another name
    for user in nodes.users(container):
        if user.image in named:
            state = "uses" if user.running else "has ended there and was not removed yet; it uses"
            raise InUse(f"container {user.id[:12]} in node {node} {state} it")
