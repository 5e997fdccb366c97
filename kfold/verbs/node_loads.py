"""What one run loads into the nodes of its cluster: several images at once, each change recorded before it is made."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from kfold.errors import KfoldError
from kfold.events import Event
from kfold.human import size as human_size
from kfold.ledger import Effect, Record
from kfold.plan.reference import parse
from kfold.stores.cluster_interface import ClusterError, ObjectRef
from kfold.stores.node_interface import Contents, Entry, LoadRequest, Node, NodeImage, NodeStopped
from kfold.verbs.lent_names import LentNames
from kfold.verbs.world import Run, Tagged

TOLD = 0.2
"""Seconds between two words on how far a load is."""


class Loads:
    """The loads of one run. Each node is asked at most once before it is changed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._world = run.world
        self._target = run.facts.target
        self._engine = run.world.engine
        # what leads to the user's own engine leads to its containers; to ask for its address takes a question
        self._store = run.world.open_nodes({})
        self._lent = LentNames(run.world, self._engine)
        self._mutex = threading.RLock()
        self._looks: dict[str, Future[Contents]] = {}
        self._nodes: list[Node] | None = None
        self._done: set[str] = set()

    @staticmethod
    def of(run: Run) -> Loads:
        """The one of this run."""
        found: Loads | None = run.scratch.get("loads")
        if found is None:
            found = run.scratch.setdefault("loads", Loads(run))
        return found

    # what is there

    def present(self, tagged: Tagged) -> bool:
        """Whether every node of the cluster has what an earlier run loaded or found, and nothing else by that name."""
        records = self._records(tagged.reference)
        with self._mutex:
            for container in records:
                self._look(container)
        nodes = self._all()
        if not nodes or {node.id for node in nodes} - records.keys():
            return False
        return all(self._has(node, records[node.id]) for node in nodes)

    def _has(self, node: Node, record: Record) -> bool:
        contents = self._look(node.id).result()
        entry = contents.names.get(record.effect.name)
        chain = record.effect.details["chain"]
        unpacked = not chain or chain in contents.snapshots
        return record.state == "done" and entry is not None and entry.digest == record.identity and unpacked

    def _records(self, reference: str) -> dict[str, Record]:
        """Container -> the record of this name in it. (A container's ID is no other engine's too.)"""
        name = str(parse(reference))
        return {
            record.effect.details["container"]: record
            for record in self._world.ledger.records("node", "name")
            if record.effect.name == name
            and self._cluster == (record.effect.details["kind"], record.effect.details["cluster"])
        }

    @property
    def _cluster(self) -> tuple[str, str]:
        return self._target.kind, self._target.cluster

    def _all(self) -> list[Node]:
        with self._mutex:
            if self._nodes is None:
                self._nodes = self._store.nodes(*self._cluster)
            return self._nodes

    def _look(self, container: str) -> Future[Contents]:
        """Asked in a thread of its own, so that all nodes answer at the same time."""
        with self._mutex:
            if container not in self._looks:
                pool = ThreadPoolExecutor(1, thread_name_prefix="kfold-node")
                self._looks[container] = pool.submit(self._store.look, container)
                pool.shutdown(wait=False)
            return self._looks[container]

    # what is to be there

    def load(self, wanted: Sequence[Tagged]) -> None:
        """Bring these images into the nodes that lack them, in one go. Raises KfoldError."""
        with self._mutex:
            new = {tagged.reference: tagged for tagged in wanted if tagged.reference not in self._done}
            if not new:
                return
            self._world.ledger.claim()
            self._lent.sweep()
            nodes = self._running()
            images = self._store.images(list(new))
            with ThreadPoolExecutor(len(nodes)) as pool:
                looks = list(pool.map(lambda node: self._store.look(node.id, blobs=True), nodes))
            contents = {node.id: look for node, look in zip(nodes, looks, strict=True)}
            for image in images:
                _check_platform(image, nodes, contents)
            todo: dict[str, list[NodeImage]] = {}
            records: list[Record] = []
            mark = uuid.uuid4().hex
            for image in images:
                for node in nodes:
                    record = self._intend(new[image.source], image, node, contents[node.id], mark)
                    if record is not None:
                        records.append(record)
                        todo.setdefault(node.id, []).append(image)
            if todo:
                self._move(todo, contents, nodes, records, mark)
            self._done |= new.keys()

    def _running(self) -> list[Node]:
        """The cluster's nodes, all of which must run: one that comes back would start Pods of images that it lacks."""
        nodes = self._all()
        kind, cluster = self._cluster
        if not nodes:
            raise KfoldError(
                f'no container of this engine is a node of the {kind} cluster "{cluster}"',
                hint=f"`{'kind get clusters' if kind == 'kind' else 'k3d cluster list'}` shows what there is; DOCKER_HOST "
                "or DOCKER_CONTEXT choose another engine.",
            )
        known = {ref.name for ref in _cluster_nodes(self._run)}
        if known and not known & {node.name for node in nodes}:
            raise KfoldError(
                f'context "{self._target.context}" leads to another {kind} cluster "{cluster}" than that of this engine: '
                f"its nodes are {', '.join(sorted(known))}, here they are {', '.join(node.name for node in nodes)}",
                hint="Choose the engine that the cluster runs on: DOCKER_HOST, DOCKER_CONTEXT.",
            )
        for node in nodes:
            refuse_stopped(node)
        return nodes

    def _intend(
        self, tagged: Tagged, image: NodeImage, node: Node, contents: Contents, mark: str
    ) -> Record | None:
        """The record of what is about to be loaded into a node; None where nothing is: what is there is found, not made."""
        ledger = self._world.ledger
        entry = contents.names.get(image.name)
        there = contents.has(image)
        if entry is not None and not there and entry.digest not in contents.configs:
            # the CRI has no name for it: then its manifest says which image it is
            there = self._store.look(node.id, [entry.digest]).has(image)
        effect = Effect(
            store="node",
            kind="name",
            place=f"{self._engine.identity()}/{node.id}",
            name=image.name,
            config=next((c.name for c in self._run.configs for a in c.artifacts if a.image == tagged.artifact), ""),
            mark=mark,
            before=None if entry is None else {"digest": entry.digest, "media_type": entry.media_type},
            made=not there,
            details={
                "artifact": tagged.artifact,
                "image": image.id,
                "chain": image.chain,
                # no name by digest was there before us: those that come with it are taken with it
                "derived": not any(
                    ("@" in name or name.startswith("sha256:")) and contents.is_of(one, image.id)
                    for name, one in contents.names.items()
                ),
                "size": image.size,
                "node": node.name,
                "container": node.id,
                "kind": node.kind,
                "cluster": node.cluster,
                "address": dict(self._engine.address()),
            },
        )
        known = self._known(effect, there, entry)
        if known is not None:
            effect = replace(effect, details={**effect.details, "derived": known.effect.details["derived"]})
        if not there:
            return ledger.intend(effect, anew=True)
        assert entry is not None
        if known is None or known.state != "done" or known.identity != entry.digest:
            ledger.done(ledger.intend(effect), entry.digest)
        return None

    def _known(self, effect: Effect, there: bool, entry: Entry | None) -> Record | None:
        """The record of this name in this node, if it still tells what came before us. One that does not is let go."""
        known = self._world.ledger.find(effect)
        if known is None:
            return None
        before = known.effect.before or {}
        cut_off = known.state != "done" and there
        moved = (entry.digest if entry else None) not in (before.get("digest"), known.identity or None)
        if not cut_off and (moved or (not there and not known.effect.made)):
            if before:
                self._store.keep(effect.details["container"], before["digest"], False)
            self._world.ledger.gone(known)
            return None
        return known

    def _move(
        self,
        todo: Mapping[str, Sequence[NodeImage]],
        contents: Mapping[str, Contents],
        nodes: Sequence[Node],
        records: Sequence[Record],
        mark: str,
    ) -> None:
        world, started = self._world, time.monotonic()
        world.go_on()
        for record in records:
            if record.effect.before:
                self._store.keep(record.effect.details["container"], record.effect.before["digest"], True)
        artifacts = list(dict.fromkeys(str(record.effect.details["artifact"]) for record in records))
        kind, cluster = self._cluster
        label = f'{kind} "{cluster}"'
        told = ", ".join(artifacts) if len(artifacts) < 5 else f"{len(artifacts)} images"
        world.tell("heading", f"Loading {told} into {label}...")
        request = LoadRequest(todo, contents, mark, self._lent.lend, Progress(self._run))
        try:
            moved = self._store.load(request, world.stop)
        except BaseException:
            self._settle(records)
            raise
        finally:
            for container in todo:
                self._looks.pop(container, None)
        for record in records:
            world.ledger.done(record, moved.digests[record.effect.details["container"]][record.effect.name])
            self._run.changed()
        names = ", ".join(node.name for node in nodes if node.id in todo)
        why = f" (whole images: {moved.whole})" if moved.whole else ""
        taken = time.monotonic() - started
        world.tell("line", f" - {told} -> {names}: {human_size(moved.sent)} in {taken:.1f} s{why}")
        if moved.whole and not world.environment.get("CI"):
            self._lent.prime({str(record.effect.details["image"]) for record in records})

    def _settle(self, records: Sequence[Record]) -> None:
        """After a load that failed: what arrived all the same is recorded, the rest is let go. A node that does not answer
        keeps its records for `prune`."""
        for container in dict.fromkeys(record.effect.details["container"] for record in records):
            mine = [record for record in records if record.effect.details["container"] == container]
            with contextlib.suppress(KfoldError):
                self._store.end_load(container, mine[0].effect.mark)
                names = self._store.look(container).names
                for record in mine:
                    entry, before = names.get(record.effect.name), record.effect.before
                    if entry is not None and entry.digest != (before or {}).get("digest"):
                        self._world.ledger.done(record, entry.digest)
                        continue
                    if before:
                        self._store.keep(container, before["digest"], False)
                    self._world.ledger.gone(record)


class Progress:
    """Tells how far a load is, now and then."""

    def __init__(self, run: Run) -> None:
        self._report = run.world.report
        self._mutex = threading.Lock()
        self._count = 0
        self._told = time.monotonic()

    def __call__(self, size: int) -> None:
        with self._mutex:
            self._count += size
            if time.monotonic() - self._told < TOLD:
                return
            self._told = time.monotonic()
            self._report(Event("progress", f"   {human_size(self._count)} loaded"))


def refuse_stopped(node: Node) -> None:
    """Raises NodeStopped."""
    if node.state != "running":
        again = "unpause" if node.state == "paused" else "start"
        raise NodeStopped(f"node {node.name} is {node.state}", hint=f"`docker {again} {node.name}`, then run this again.")


def _check_platform(image: NodeImage, nodes: Sequence[Node], contents: Mapping[str, Contents]) -> None:
    for node in nodes:
        platform = contents[node.id].platform
        if image.platform != platform:
            raise KfoldError(
                f"image {image.source} is for {image.platform}, and node {node.name} is {platform}: it could not run there",
                hint=f"Build it for {platform} (`build.platforms`, `--platform`, or `FROM --platform` in its Dockerfile), "
                "or deploy to a cluster of its own kind.",
            )


def _cluster_nodes(run: Run) -> list[ObjectRef]:
    """The cluster's Node objects; none where they may not be listed."""
    try:
        return [state.ref for state in run.cluster.list_kind("v1", "Node")]
    except ClusterError:
        return []
