"""Names that images of the engine are lent while they are pushed to a node's endpoint: an engine pushes by name only.

Each is recorded as any other name: what a killed process lent is taken back by the next load, or by `prune`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from kfold.ledger import Effect, Record
from kfold.stores import priming
from kfold.stores.engine_interface import Engine
from kfold.verbs import tag
from kfold.verbs.world import World


class LentNames:
    """Those of one engine."""

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine

    @contextlib.contextmanager
    def lend(self, names: Mapping[str, str]) -> Iterator[None]:
        """Names in the engine for the time of a push, recorded as any other."""

        def take(record: Record) -> None:
            self._engine.remove(record.effect.name)
            self._world.ledger.gone(record)

        with ThreadPoolExecutor(4) as pool:
            records = list(pool.map(self._give, names.keys(), names.values()))
        try:
            yield
        finally:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(take, records))

    def _give(self, name: str, image: str, process: str = "") -> Record:
        """Name an image in the engine for a while. `process`: the priming that takes the name away."""
        ledger, engine = self._world.ledger, self._engine
        details = {"artifact": "", "ours": [image], "address": dict(engine.address()), "lent": True, "priming": process}
        record = ledger.intend(Effect("engine", "name", engine.identity(), name, "", details=details))
        engine.tag(image, name)
        return ledger.done(record, image)

    def prime(self, images: Iterable[str]) -> None:
        """Have the engine learn the digests of these images' layers, in the background, so that it gives them singly."""
        if any(priming.runs(record.effect.details.get("priming", "")) for record in self._world.ledger.records("engine")):
            return
        with priming.Priming(self._engine.address()) as process:
            if not process.repository:
                return
            names = {f"{process.repository}:{number}": image for number, image in enumerate(images)}
            for name, image in names.items():
                self._give(name, image, process.id)
            process.go(list(names))

    def sweep(self) -> None:
        """Take back the names that a killed process had lent, and forget those that a priming gave back."""
        for record in self._world.ledger.records("engine", "name"):
            details = record.effect.details
            lent = details.get("lent") and record.effect.place == self._engine.identity()
            if not lent:
                continue
            if not priming.runs(details.get("priming", "")):
                tag.undo(self._world, record)
            elif self._engine.image(record.effect.name) is None:
                self._world.ledger.gone(record)  # given back; it works on another one
