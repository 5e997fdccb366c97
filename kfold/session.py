"""One process's work on one project: its options, its world, and the signals that ask it to end.

Shared by doit's task creation (`tasks.py`), doit's reporter and the dev loop's nested runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kfold.console import Console
from kfold.errors import KfoldError
from kfold.events import Event
from kfold.state_folder import NAME, StateFolder, journals

if TYPE_CHECKING:
    from kfold.stores.cluster_interface import ClusterStore
    from kfold.stores.engine_interface import Engine
    from kfold.verbs.world import World

CONFIG_FILES = ("kfold.yaml", "skaffold.yaml", "skaffold.yml")


@dataclass(frozen=True)
class Options:
    """What all verbs share: `doit deploy namespace=x context=y push=no`, `kfold deploy -n x`, or KFOLD_NAMESPACE, …"""

    namespace: str = ""
    context: str = ""
    push: bool | None = None
    config: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str], environment: Mapping[str, str]) -> Options:
        """Variables of the command line win over the environment. Raises KfoldError for a value that means nothing."""

        def value(name: str) -> str:
            return variables.get(name) or environment.get(f"KFOLD_{name.upper()}", "")

        if value("profile"):
            raise KfoldError("profiles are not supported yet", hint="Leave `profile=` and KFOLD_PROFILE unset.")
        push = value("push").lower()
        if push not in ("", "yes", "no", "true", "false"):
            raise KfoldError(f"push={push} means nothing", hint="Say push=yes or push=no.")
        return cls(value("namespace"), value("context"), push in ("yes", "true") if push else None, value("config"))


@dataclass
class Session:
    """Made once a process. `deploying`: this run goes as far as the cluster. `interrupts` counts requests to end."""

    options: Options
    folder: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stop: threading.Event = field(default_factory=threading.Event)
    verbs: set[str] = field(default_factory=set)
    deploying: bool = False
    interrupts: int = 0
    in_cleanup: bool = False
    process: int = field(default_factory=os.getpid)

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

        return World(
            folder=self.folder,
            state=self.state,
            environment=self.environment,
            ledger=Ledger(self.state.ledger, journals=journals, tell=self._warn),
            open_engine=self._engine,
            open_cluster=self._cluster,
            report=self.console.report,
            stop=self.stop,
        )

    @cached_property
    def _engines(self) -> dict[tuple[tuple[str, str], ...], Engine]:
        return {}

    @cached_property
    def _clusters(self) -> dict[tuple[str, tuple[str, ...]], ClusterStore]:
        return {}

    def _engine(self, address: Mapping[str, str]) -> Engine:
        from kfold.stores.engine import DockerEngine

        key = tuple(sorted(address.items()))
        if key not in self._engines:
            self._engines[key] = DockerEngine(address)
        return self._engines[key]

    def _cluster(self, context: str, files: tuple[str, ...]) -> ClusterStore:
        from kfold.stores import kubeconfig
        from kfold.stores.cluster import Cluster

        key = (context, files)
        if key not in self._clusters:
            paths = [Path(file) for file in files] or None
            entry = kubeconfig.load(self.environment, paths=paths).context(context or None)
            self._clusters[key] = Cluster(entry, cache=self.state.cache, environment=self.environment)
        return self._clusters[key]

    def signalled(self, number: int) -> None:
        """A signal asks the run to end. The first is orderly; one during cleanup ends that early, keeping the record."""
        self.interrupts += 1
        self.stop.set()

    def begin_cleanup(self) -> None:
        """What follows is cleanup: the request to end that led here is answered; only another one stops it."""
        self.in_cleanup = True
        self.stop.clear()

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
        """Let go of connections and the project's lock."""
        self.world.ledger.close()
        for cluster in self._clusters.values():
            cluster.close()
