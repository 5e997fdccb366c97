"""Any sequence of requests and of the garbage collector's work keeps the store's promises."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kfold.sandbox.api import patches
from kfold.sandbox.api.apply import apply
from kfold.sandbox.api.deletion import FOREGROUND, ORPHAN, PROPAGATIONS
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.fields import parse_fields_v1
from kfold.sandbox.api.resources import CONFIGMAPS, Resource
from kfold.sandbox.api.validation import decoded
from kfold.sandbox.api.watch import WatchRequest, watch
from kfold.sandbox.controllers.garbage import GarbageCollector
from kfold.sandbox.kubelet.recorder import Recorder
from kfold.sandbox.server import bootstrap, open_store

Json = dict[str, Any]

HOLD = "kfold.dev/hold"
NAMES = st.sampled_from("abcd")
DATA = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["1", "2", ""]), max_size=3)
LOOP = asyncio.Runner()
MANAGERS = st.sampled_from(["one", "two", "three"])


class Cluster(RuleBasedStateMachine):
    """ConfigMaps that own each other, written by three managers. Beside the store goes what a watch made of its events."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.schema = open_store(None)
        bootstrap(self.store, 1)
        self.collector = GarbageCollector(self.store, Recorder(self.store, "node"))
        self.queue: dict[tuple[str, ...], None] = {}
        self.store.subscribe(self._on_event)
        self.revisions: list[int] = []
        self.seen: dict[str, Json] = {}
        self.start = self.store.revision

    def _on_event(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> None:
        self.revisions.append(int(obj["metadata"]["resourceVersion"]))
        self.queue |= dict.fromkeys(self.collector.keys(kind, resource, obj, old))

    def _list(self) -> dict[str, Json]:
        return {obj["metadata"]["name"]: obj for obj in self.store.list(CONFIGMAPS, "default")}

    def _ask(self, write: Any) -> None:
        """One request: refused with a code of the client's and without a trace, or done."""
        before = self.store.revision
        try:
            write()
        except ApiError as refused:
            assert refused.code in (404, 409, 422), refused.message
            assert self.store.revision == before, "a refusal changes nothing"

    def _body(self, name: str, data: Json, owners: set[str] = frozenset(), blocks: bool = False) -> Json:  # type: ignore[assignment]
        metadata: Json = {"name": name, "namespace": "default"}
        alive = self._list()
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": alive[owner]["metadata"]["uid"]}
            for owner in sorted(owners & set(alive) - {name})
        ]
        if references:
            metadata["ownerReferences"] = [reference | {"blockOwnerDeletion": blocks} for reference in references]
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **({"data": dict(data)} if data else {})}

    @initialize()
    def begin(self) -> None:
        self._ask(lambda: self.store.create(CONFIGMAPS, self._body("a", {})))

    @rule(name=NAMES, data=DATA, manager=MANAGERS, owners=st.sets(NAMES, max_size=2), blocks=st.booleans())
    def create(self, name: str, data: Json, manager: str, owners: set[str], blocks: bool) -> None:
        self._ask(lambda: self.store.create(CONFIGMAPS, self._body(name, data, owners, blocks), manager=manager))

    @rule(name=NAMES, data=DATA, manager=MANAGERS, stale=st.booleans())
    def replace(self, name: str, data: Json, manager: str, stale: bool) -> None:
        body = self._body(name, data)
        body["metadata"] |= {"resourceVersion": str(self.start)} if stale else {}
        self._ask(lambda: self.store.update(CONFIGMAPS, body, manager=manager))

    @rule(name=NAMES, data=DATA, manager=MANAGERS, force=st.booleans())
    def apply(self, name: str, data: Json, manager: str, force: bool) -> None:
        def write() -> None:
            live = self.store.peek(CONFIGMAPS, "default", name)
            result = apply(self.schema, CONFIGMAPS, live, self._body(name, data), manager=manager, force=force)
            obj = decoded(self.schema, CONFIGMAPS, result)[0] | {"metadata": result["metadata"]}
            (self.store.create if live is None else self.store.update)(CONFIGMAPS, obj, manager="")

        self._ask(write)

    @rule(name=NAMES, data=st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["1", None])), manager=MANAGERS)
    def patch(self, name: str, data: Json, manager: str) -> None:
        def write() -> None:
            live = self.store.get(CONFIGMAPS, "default", name)
            result = patches.strategic_merge_patch(self.schema.of(CONFIGMAPS), live, {"data": data})
            self.store.update(CONFIGMAPS, decoded(self.schema, CONFIGMAPS, result)[0], manager=manager)

        self._ask(write)

    @rule(name=NAMES, holds=st.booleans())
    def hold(self, name: str, holds: bool) -> None:
        def write() -> None:
            live = self.store.get(CONFIGMAPS, "default", name)
            others = [entry for entry in live["metadata"].get("finalizers") or [] if entry != HOLD]
            live["metadata"]["finalizers"] = [*others, HOLD] if holds else others
            self.store.update(CONFIGMAPS, live)

        self._ask(write)

    @rule(name=NAMES, how=st.sampled_from(PROPAGATIONS), dry_run=st.integers(0, 4).map(lambda number: not number))
    def delete(self, name: str, how: str, dry_run: bool) -> None:
        self._ask(lambda: self.store.delete(CONFIGMAPS, "default", name, propagation=how, dry_run=dry_run))

    @rule()
    def collect(self) -> None:
        """The garbage collector comes to rest, and nothing is left without an owner that had one."""
        for _ in range(500):
            if not self.queue:
                break
            key = next(iter(self.queue))
            del self.queue[key]
            self.collector.sync(key)
        assert not self.queue, "it never rests"
        alive = {obj["metadata"]["uid"]: obj for obj in self._list().values()}
        for obj in alive.values():
            metadata = obj["metadata"]
            going, finalizers = metadata.get("deletionTimestamp"), metadata.get("finalizers") or []
            owners = [reference["uid"] for reference in metadata.get("ownerReferences") or []]
            assert going or not owners or any(uid in alive for uid in owners), f"an orphan: {metadata}"
            assert not (going and ORPHAN in finalizers), "its dependents are free, and it stays"
            if going and FOREGROUND in finalizers:
                waits = [one for one in alive.values() for reference in one["metadata"].get("ownerReferences") or []
                         if reference["uid"] == metadata["uid"] and reference.get("blockOwnerDeletion")]  # fmt: skip
                assert waits, "it waits for nothing"

    @invariant()
    def revisions_rise(self) -> None:
        """Every commit has a revision of its own."""
        assert self.revisions == list(range(self.store.revision - len(self.revisions) + 1, self.store.revision + 1))

    @invariant()
    def a_watch_says_what_a_list_says(self) -> None:
        """Events since the last look, laid over what was seen then, are the list of now."""
        for kind, obj in self._events(self.start):
            name = obj["metadata"]["name"]
            assert (kind == "ADDED") == (name not in self.seen)
            assert kind == "ADDED" or self.seen[name]["metadata"]["uid"] == obj["metadata"]["uid"]
            if kind == "DELETED":
                del self.seen[name]
            else:
                self.seen[name] = obj
        self.start = self.store.revision
        assert self.seen == self._list()

    def _events(self, revision: int | None) -> list[tuple[str, Json]]:
        async def collect() -> list[tuple[str, Json]]:
            return [
                event async for event in watch(self.store, WatchRequest(CONFIGMAPS, "default", None, revision, timeout=0.0))
            ]

        return LOOP.run(collect())

    @invariant()
    def all_data_is_owned(self) -> None:
        for obj in self._list().values():
            owned: set[Any] = set()
            for entry in obj["metadata"].get("managedFields", []):
                paths = parse_fields_v1(entry["fieldsV1"])
                assert paths, "no manager is kept who owns nothing"
                owned |= paths
            there = {f"f:{key}" for key in obj.get("data", {})}
            assert there == {path[1] for path in owned if path[0] == "f:data" and len(path) == 2 and path[1] != "."}

    def teardown(self) -> None:
        self.collect()
        assert [obj for _, obj in self._events(None)] == list(self._list().values()), "a watch from nothing says it, too"
        self.store.close()


@pytest.fixture(autouse=True, scope="module")
def loop() -> Iterator[None]:
    yield
    LOOP.close()


Cluster.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestCluster = Cluster.TestCase
