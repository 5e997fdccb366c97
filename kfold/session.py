"""One process's work on one project: its options, its world, and the signals that ask it to end.

Shared by doit's task creation (`tasks.py`), doit's reporter and the dev loop's nested runs.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kfold import signals
from kfold.console import Console
from kfold.errors import KfoldError
from kfold.events import Event
from kfold.state_folder import NAME, StateFolder, journals

if TYPE_CHECKING:
    from kfold.stores.cluster_interface import ClusterStore
    from kfold.stores.engine_interface import Engine
    from kfold.stores.node_interface import Nodes
    from kfold.stores.registry_interface import Registry
    from kfold.targets.facts import Targets
    from kfold.verbs.world import World

CONFIG_FILES = ("kfold.yaml", "skaffold.yaml", "skaffold.yml")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a run to end: Ctrl+C, a supervisor, a terminal that is closed."""

VARIABLES = (
    "namespace", "context", "push", "profile", "config", "default_repo", "insecure_registry", "keep_pull_policy",
    "platform",
)  # fmt: skip
"""Every option, by its name as a doit variable."""


@dataclass(frozen=True)
class Options:
    """What all verbs share: `doit deploy namespace=x context=y push=no`, `kfold deploy -n x`, or KFOLD_NAMESPACE, …"""

    namespace: str = ""
    context: str = ""
    push: bool | None = None
    config: str = ""
    default_repo: str | None = None
    insecure_registries: tuple[str, ...] = ()
    keep_pull_policy: bool = False
    platforms: tuple[str, ...] = ()

    @classmethod
    def of(cls, variables: Mapping[str, str], environment: Mapping[str, str]) -> Options:
        """Variables of the command line win over the environment. Raises KfoldError for a value that means nothing."""

        def value(name: str) -> str:
            return variables.get(name) or environment.get(f"KFOLD_{name.upper()}", "")

        if value("profile"):
            raise KfoldError("profiles are not supported yet", hint="Leave `profile=` and KFOLD_PROFILE unset.")

        def choice(name: str) -> bool | None:
            said = value(name).lower()
            if said not in ("", "yes", "no", "true", "false"):
                raise KfoldError(f"{name}={said} means nothing", hint=f"Say {name}=yes or {name}=no.")
            return said in ("yes", "true") if said else None

        # an empty one is a word too: it switches off what the settings say (Skaffold)
        places = ((variables, "default_repo"), (environment, "KFOLD_DEFAULT_REPO"), (environment, "SKAFFOLD_DEFAULT_REPO"))
        repo = next((place[name].rstrip("/") for place, name in places if name in place), None)
        return cls(
            namespace=value("namespace"),
            context=value("context"),
            push=choice("push"),
            config=value("config"),
            default_repo=repo,
            insecure_registries=tuple(part for part in value("insecure_registry").split(",") if part),
            keep_pull_policy=bool(choice("keep_pull_policy")),
            platforms=_platforms(value("platform")),
        )


def _platforms(said: str) -> tuple[str, ...]:
    if not said:
        return ()
    from kfold.config.platforms import NoPlatform, parse

    try:
        return tuple(dict.fromkeys(parse(part) for part in said.split(",") if part))
    except NoPlatform as error:
        raise KfoldError(f"platform={said}: {error}", hint=error.hint) from None


@dataclass
class Session:
    """Made once a process. `deploying`: this run goes as far as the cluster. `interrupts` counts requests to end.

    `cleaned`: this run took things back, so it also takes `.kfold/` away once nothing is recorded in it any more.
    `asks`: the cluster may be asked what it is, since this process is there to run steps (`doit list` is not).
    `engine_profile`: the minikube profile whose engine is this run's; "" for the user's own engine. `one_platform`: no image
    is built for more than one platform.
    """

    options: Options
    folder: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stop: threading.Event = field(default_factory=threading.Event)
    verbs: set[str] = field(default_factory=set)
    deploying: bool = False
    interrupts: int = 0
    in_cleanup: bool = False
    cleaned: bool = False
    process: int = field(default_factory=os.getpid)
    walked: frozenset[str] | None = None
    """Names of the tasks that doit walks this time."""
    asks: bool = False
    engine_profile: str = ""
    one_platform: bool = False
    _hears: bool = False
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def state(self) -> StateFolder:
        return StateFolder(self.folder / NAME)

    @cached_property
    def console(self) -> Console:
        return Console(environment=self.environment)

    @cached_property
    def world(self) -> World:
        from kfold.ledger import Ledger
        from kfold.verbs.world import World

        atexit.register(self.close)
        return World(
            folder=self.folder,
            state=self.state,
            environment=self.environment,
            ledger=Ledger(self.state.ledger, journals=journals, tell=self._warn),
            open_engine=self._engine,
            open_cluster=self._cluster,
            open_nodes=self._nodes_of,
            open_registry=self._registry,
            report=self.console.report,
            stop=self.stop,
        )

    @cached_property
    def targets(self) -> Targets:
        from kfold.targets.facts import Targets

        return Targets(self.environment, self.state.cache, self._cluster)

    @cached_property
    def _engines(self) -> dict[tuple[tuple[str, str], ...], Engine]:
        return {}

    @cached_property
    def _clusters(self) -> dict[tuple[str, tuple[str, ...]], ClusterStore]:
        return {}

    def _engine(self, address: Mapping[str, str]) -> Engine:
        from kfold.stores import minikube
        from kfold.stores.engine import DockerEngine

        if not address and self.engine_profile:
            address = {minikube.ADDRESS: self.engine_profile}
        key = tuple(sorted(address.items()))
        profile = address.get(minikube.ADDRESS, "")
        with self._mutex:  # minikube's program is started once for all threads
            if key not in self._engines:
                found = minikube.remembered_environment(profile, self.environment, self.state.cache) if profile else address
                self._engines[key] = DockerEngine(found, address=address if profile else None)
            return self._engines[key]

    def _nodes_of(self, address: Mapping[str, str]) -> Nodes:
        from kfold.stores.nodes import ContainerNodes

        return ContainerNodes(address)

    def _cluster(self, context: str, files: tuple[str, ...]) -> ClusterStore:
        from kfold.stores import kubeconfig
        from kfold.stores.cluster import Cluster

        key = (context, files)
        if key not in self._clusters:
            paths = [Path(file) for file in files] or None
            entry = kubeconfig.load(self.environment, paths=paths).context(context or None)
            self._clusters[key] = Cluster(entry, cache=self.state.cache, environment=self.environment)
        return self._clusters[key]

    @cached_property
    def _registries(self) -> dict[tuple[str, bool], Registry]:
        return {}

    def _registry(self, host: str, insecure: bool) -> Registry:
        from kfold.stores.registry import HttpRegistry

        with self._mutex:  # one for all threads: it is logged in to once
            if (host, insecure) not in self._registries:
                self._registries[host, insecure] = HttpRegistry(host, insecure=insecure, environment=self.environment)
            return self._registries[host, insecure]

    def hear_signals(self) -> None:
        """From now on signals ask this run to end. For the main thread."""
        if not self._hears:
            self._hears = True
            signals.hear(SIGNALS, self.signalled)

    def signalled(self, number: int) -> None:
        """A signal asks the run to end. The first is orderly; one during cleanup ends that early, keeping the record."""
        if number == signal.SIGHUP and self.in_cleanup:
            return  # the terminal is gone: nobody presses anything there, and shell and kernel both say so
        self.interrupts += 1
        self.stop.set()

    def begin_cleanup(self) -> None:
        """What follows is cleanup: the request to end that led here is answered; only another one stops it."""
        self.in_cleanup = True
        self.takes_back(known=True)
        self.stop.clear()

    def takes_back(self, *, known: bool) -> None:
        """This run takes things back. `known`: there is a config to tell which steps there are; else `.kfold/` may be all
        that remembers them, so one in which nothing ever was recorded stays."""
        self.cleaned = known or self.state.ledger.exists() or not self.state.cache.exists()

    def _warn(self, text: str) -> None:
        self.console.report(Event("warning", text))

    def console_error(self, text: str) -> None:
        self.console.report(Event("error", text))

    def config_file(self) -> Path | None:
        """The project's config, or None. Raises KfoldError where the one that was named is not there."""
        if self.options.config:
            path = self.folder / self.options.config
            if not path.is_file():
                raise KfoldError(f"there is no config {path}", hint="Check KFOLD_CONFIG or `config=`.")
            return path
        return next((self.folder / name for name in CONFIG_FILES if (self.folder / name).is_file()), None)

    def close(self) -> None:
        """Let go of connections and the project's lock; of `.kfold/` too, where it has nothing to remember any more."""
        atexit.unregister(self.close)
        if os.getpid() == self.process:
            self.world.ledger.close(nothing_left=self._forget if self.cleaned else None)
            for cluster in self._clusters.values():
                cluster.close()

    def _forget(self) -> None:
        """Remove `.kfold/`; not where doit keeps results of the user's own tasks there."""
        import shutil

        from kfold.doit_backend import read_results

        if all(name.partition(":")[0] in self.verbs for name in read_results(str(self.state.results))):
            shutil.rmtree(self.state.path, ignore_errors=True)
