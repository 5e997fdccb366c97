"""What a verb is handed: the stores it may ask, the outcomes of the steps before it, and where to report."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kfold import state_folder
from kfold.config.model import Config
from kfold.errors import Interrupted, KfoldError
from kfold.events import Event, Level, Report
from kfold.ledger import Ledger
from kfold.plan.facts import Facts
from kfold.plan.steps import Step, short_names
from kfold.state_folder import StateFolder
from kfold.stores.cluster_interface import ClusterStore
from kfold.stores.engine_interface import LABEL_ARTIFACT, LABEL_CONFIG, Engine, EngineImage, Names
from kfold.stores.files import FileDigests
from kfold.stores.git import Git
from kfold.stores.node_interface import Nodes
from kfold.stores.registry_interface import Registry

OpenCluster = Callable[[str, tuple[str, ...]], ClusterStore]
"""Opens the cluster of (context, kubeconfig files). An empty context is the current one."""

OpenRegistry = Callable[[str, bool], Registry]
"""Opens the registry of a host. True: the user says that its TLS is not to be checked, or that it has none."""

OpenEngine = Callable[[Mapping[str, str]], Engine]
"""Opens the engine that these environment variables lead to; none: the user's current one."""


OpenNodes = Callable[[Mapping[str, str]], Nodes]
"""Opens the nodes that are containers of the engine that these environment variables lead to."""


@dataclass(frozen=True)
class Built:
    """The outcome of `build`: the artifact's image in the engine. `built_at`: seconds since the epoch.

    `digest`: set where the image was found in its registry instead; `image` is "" then, the engine does not have it.
    `parts`: of several platforms, the image of each; there is none of the whole then.
    """

    artifact: str
    key: str
    image: str
    built_at: float
    inputs: Mapping[str, str]
    digest: str = ""
    parts: Mapping[str, Built] = field(default_factory=dict)


@dataclass(frozen=True)
class Tagged:
    """The outcome of `tag`, `load` and `push`: the names, and `reference`, which manifests get (immutable).

    `images`: what the engine has under those names. `parts`: platform -> reference, where there is an image for each.
    """

    artifact: str
    reference: str
    names: tuple[str, ...]
    images: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class World:
    """The stores of one project, open for as long as the process works on it; shared by all runs and threads."""

    folder: Path
    state: StateFolder
    environment: Mapping[str, str]
    ledger: Ledger
    open_engine: OpenEngine
    open_cluster: OpenCluster
    open_nodes: OpenNodes
    open_registry: OpenRegistry
    report: Report
    stop: threading.Event
    hooked: set[object] = field(default_factory=set)
    """Containers that a hook has run in; none is hooked twice while the process works (Skaffold)."""
    deleted_from: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Identity of a cluster that this process deleted from -> how it was reached: what is others' there may use images."""

    @cached_property
    def engine(self) -> Engine:
        return self.open_engine({})

    @cached_property
    def files(self) -> FileDigests:
        state_folder.make(self.state.path)
        return FileDigests(self.state.digests)

    def tell(self, level: Level, text: str, subject: str = "") -> None:
        self.report(Event(level, text, subject))

    def go_on(self) -> None:
        """Raises Interrupted once the run was asked to end. Called between two changes, never inside one."""
        if self.stop.is_set():
            raise Interrupted("stopped before it was done")


@dataclass
class Run:
    """One walk over the graph: what its steps found and made so far. Asked at most once a store, not once a step."""

    world: World
    facts: Facts
    configs: tuple[Config, ...] = ()
    outcomes: dict[str, Any] = field(default_factory=dict)
    scratch: dict[str, Any] = field(default_factory=dict)
    """Between the question "is it up to date?" and the action of one step: what was computed need not be again."""
    changes: int = 0
    walked: Collection[str] | None = None
    """Names of the tasks that doit walks this time; None where that is not known (then it is all of them)."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def git(self) -> Git:
        return Git()

    _asked: dict[str, Future[Any]] = field(default_factory=dict)
    _built_before: dict[str, list[EngineImage]] = field(default_factory=dict)
    _looked_for: set[str] = field(default_factory=set)

    def ask_ahead(self, objects: Callable[[ClusterStore], Any]) -> None:
        """Ask engine and cluster at once, in threads, for what a run with nothing to do will want to know."""
        pool = ThreadPoolExecutor(2, thread_name_prefix="kfold-ask")
        self._asked["names"] = pool.submit(self.world.engine.names)
        self._asked["objects"] = pool.submit(lambda: objects(self.cluster))
        pool.shutdown(wait=False)

    @cached_property
    def engine_names(self) -> Names:
        """The names in the engine, asked once a run; `tag` keeps them true."""
        asked = self._asked.pop("names", None)
        names: Names = asked.result() if asked else self.world.engine.names()
        return names

    def built_before(self, labels: Mapping[str, str]) -> list[EngineImage]:
        """The images with these labels. One question a config to begin with, not one an artifact; asked again, a new one."""
        engine, config, artifact = self.world.engine, labels[LABEL_CONFIG], labels[LABEL_ARTIFACT]
        with self._mutex:
            if config not in self._built_before:
                self._built_before[config] = engine.labelled({LABEL_CONFIG: config})
            listed = self._built_before[config]
            first = artifact not in self._looked_for
            self._looked_for.add(artifact)
        if not first:
            return engine.labelled(labels)
        found = [image for image in listed if labels.items() <= image.labels.items()]
        return [image for image in found if engine.image(image.id)]  # it may have gone since

    def asked_objects(self) -> Any:
        """The answer to `ask_ahead`'s question to the cluster, once; None where it was not asked. Raises its error."""
        asked = self._asked.pop("objects", None)
        return asked.result() if asked else None

    @cached_property
    def cluster(self) -> ClusterStore:
        target = self.facts.target
        if target.refusal:
            raise KfoldError(target.refusal)
        return self.world.open_cluster(target.context, target.kubeconfig)

    def builds_of(self, config: Config) -> set[str]:
        """Names of the steps that build artifacts of a config, as far as they are walked this time."""
        images = short_names(artifact.image for one in self.configs for artifact in one.artifacts)
        names = {f"build:{images[artifact.image]}" for artifact in config.artifacts}
        return names if self.walked is None else names & set(self.walked)

    def outcome(self, name: str, kind: type[Any]) -> Any:
        """What the step `name` found or made. Its absence means that doit was told to ignore it."""
        found = self.outcomes.get(name)
        if not isinstance(found, kind):
            raise KfoldError(f"{name} did not run", hint=f"`doit reset-dep` or `doit forget {name}` brings it back.")
        return found

    def changed(self) -> None:
        """Count one change of the world, for the line that says that nothing had to change."""
        with self._mutex:
            self.changes += 1

    def namespace(self, step: Step) -> str:
        """Where objects without a namespace go: the user's word, the config's, the context's."""
        return self.facts.namespace or step.config.kubectl.default_namespace or self.facts.target.namespace
