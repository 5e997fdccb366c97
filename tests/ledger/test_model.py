"""The ledger against a plain dict: after any walk of its protocol, in this process and read anew, both say the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kfold.ledger import Effect, Ledger, Record, Transition
from tests.ledger.effects import facts_of

Key = tuple[str, str, str, str]
# Text that SQL, JSON and file systems trip over; NUL and lone surrogates cannot come out of YAML or an engine.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(["'; DROP TABLE effects", "é\n"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda below: st.lists(below, max_size=2) | st.dictionaries(texts, below, max_size=2),
    max_leaves=4,
)
effects = st.builds(
    Effect,
    store=st.sampled_from(["engine", "cluster", "host"]),
    kind=st.sampled_from(["image", "name", "object"]),
    place=st.sampled_from(["p", "q"]),
    name=st.sampled_from(["a", "b", "web:1"]),
    config=texts,
    mark=texts,
    before=values,
    made=st.booleans(),
    details=st.dictionaries(texts, values, max_size=2),
)


def key(effect: Effect) -> Key:
    return effect.store, effect.kind, effect.place, effect.name


class Walk(RuleBasedStateMachine):
    """Every method in any order, each with a record that may be older than what the ledger holds by now."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / ".kfold" / "ledger.db"
        self.heard: list[tuple[Transition, Key]] = []
        self.now = 0.0
        self.model: dict[Key, Record] = {}
        self.ledger = self.reopened()

    def reopened(self) -> Ledger:
        return Ledger(self.path, listener=lambda what, effect: self.heard.append((what, key(effect))), clock=self.tick)

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    @rule(effect=effects, anew=st.booleans())
    def intend(self, effect: Effect, anew: bool) -> None:
        known = self.model.get(key(effect))
        record = self.ledger.intend(effect, anew=anew)
        if known is None:
            assert (record.effect, record.state, record.identity) == (effect, "intended", "")
            assert record.created == record.updated == self.now
        else:
            kept = replace(effect, before=known.effect.before, made=known.effect.made)
            identity = "" if anew else known.identity
            assert record == replace(known, effect=kept, state="intended", identity=identity, updated=self.now)
        self.model[key(effect)] = record
        self.expect("before-intended", "intended", key(effect))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), identity=texts, details=st.dictionaries(st.sampled_from(["size", "uid"]), values, max_size=2))
    def done(self, data: st.DataObject, identity: str, details: dict[str, Any]) -> None:
        known = data.draw(st.sampled_from(list(self.model.values())))
        moved = self.ledger.done(known, identity, **details)
        effect = replace(known.effect, details={**known.effect.details, **details})
        assert moved == replace(known, effect=effect, state="done", identity=identity, updated=self.now)
        self.model[key(effect)] = moved
        self.expect("before-done", "done", key(effect))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), identity=st.none() | texts)
    def undoing(self, data: st.DataObject, identity: str | None) -> None:
        known = data.draw(st.sampled_from(list(self.model.values())))
        moved = self.ledger.undoing(known, identity=identity)
        assert moved == replace(
            known, state="undoing", identity=known.identity if identity is None else identity, updated=self.now
        )
        self.model[key(known.effect)] = moved
        self.expect("before-undoing", "undoing", key(known.effect))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def gone(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(list(self.model.values())))
        self.ledger.gone(known)
        del self.model[key(known.effect)]
        self.expect("before-gone", "gone", key(known.effect))

    @rule()
    def close_and_open(self) -> None:
        self.ledger.close()
        self.ledger = self.reopened()

    def expect(self, before: Transition, after: Transition, where: Key) -> None:
        assert self.heard == [(before, where), (after, where)]
        self.heard.clear()

    @invariant()
    def says_what_the_model_says(self) -> None:
        if not hasattr(self, "path"):
            return
        expected = sorted(self.model.values(), key=lambda record: record.id)
        assert self.ledger.records() == expected
        assert facts_of(self.path) == expected, "another reader sees something else"
        for store in ("engine", "cluster", "host"):
            assert self.ledger.records(store) == [r for r in expected if r.effect.store == store]
        assert self.ledger.records(kind="name") == [r for r in expected if r.effect.kind == "name"]
        for known in expected:
            assert self.ledger.find(Effect(*key(known.effect), config="another")) == known  # type: ignore[arg-type]
        assert self.ledger.find(Effect("engine", "sandbox", "p", "a", config="")) is None

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
