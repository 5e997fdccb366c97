"""Lost records, beyond the engine: names in nodes are found again; of what registries have it is only told.

`name:<image ID>` is a name that only kfold gives, in nodes too, and a node is this engine's. A registry is everybody's: its
tags `kfold-<content key>` may be any machine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kfold.config.model import Config
from kfold.errors import KfoldError
from kfold.ledger import Effect
from kfold.plan.facts import Facts
from kfold.plan.reference import parse
from kfold.plan.steps import pushes
from kfold.stores.node_interface import Node, Nodes
from kfold.verbs.node_loads import refuse_stopped
from kfold.verbs.repository import image_name, key_tag
from kfold.verbs.world import World


def find_elsewhere(world: World, facts: Facts, configs: Iterable[Config], clusters: Iterable[tuple[str, str]]) -> None:
    """Record what the nodes of these clusters (kind's or k3d's; product, name) have of these configs, and tell what of other
    places is not known. What another checkout records is that one's."""
    configs, nodes = list(configs), world.open_nodes({})
    theirs = {_key(record.effect) for copy in world.ledger.others() for record in copy.records}
    for product, cluster in clusters:
        for node in nodes.nodes(product, cluster):
            try:
                refuse_stopped(node)
                for effect, digest in _loaded(world, facts, configs, nodes, node):
                    if _key(effect) not in theirs and world.ledger.find(effect) is None:
                        world.ledger.done(world.ledger.intend(effect), digest)
                        world.tell("line", f" - found again: {effect.name} in node {node.name}")
            except KfoldError as error:
                world.tell("warning", f"what node {node.name} has is not looked for: {error.message}")
    for place, told in _pushed(world, facts, configs):
        world.tell("line", f" - {place}: {told}")


def _key(effect: Effect) -> tuple[str, str, str, str]:
    return effect.store, effect.kind, effect.place, effect.name


def _loaded(
    world: World, facts: Facts, configs: Iterable[Config], nodes: Nodes, node: Node
) -> Iterator[tuple[Effect, str]]:
    """The names that kfold gave in a node, and what each points at."""
    engine = world.engine
    contents = nodes.look(node.id)
    for config in configs:
        for artifact in config.artifacts:
            start = str(parse(f"{image_name(artifact, facts)}:x")).removesuffix("x")
            for name, entry in contents.names.items():
                image = f"sha256:{name.removeprefix(start)}"
                if not name.startswith(start) or len(image) != len("sha256:") + 64:
                    continue
                if not contents.is_of(entry, image) and not nodes.look(node.id, [entry.digest]).is_of(entry, image):
                    continue
                details = {
                    "artifact": artifact.image, "image": image, "chain": "", "derived": True, "size": 0, "node": node.name,
                    "container": node.id, "kind": node.kind, "cluster": node.cluster, "address": dict(engine.address()),
                }  # fmt: skip
                place = f"{engine.identity()}/{node.id}"
                yield Effect("node", "name", place, name, config.name, details=details), entry.digest


def _pushed(world: World, facts: Facts, configs: Iterable[Config]) -> Iterator[tuple[str, str]]:
    """Repositories, and what is to be said of them."""
    for config in configs:
        for artifact in config.artifacts if pushes(config, facts) else ():
            reference = parse(image_name(artifact, facts))
            registry = world.open_registry(reference.domain, reference.domain in facts.insecure_registries)
            try:
                tags = [tag for tag in registry.tags(reference.path) if tag.startswith(key_tag(""))]
            except KfoldError as error:
                yield reference.name, f"what was pushed is not known, nor whether it is there: {error.message}"
                continue
            if tags:
                shown = ", ".join(tags[:3]) + (f" and {len(tags) - 3} more" if len(tags) > 3 else "")
                yield reference.name, f"{shown} stay: which machine pushed them is not known"
