"""A checkout of a project as a process works there: its own ledger, on a fake cluster that several share."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

from kfold.config.model import Hook, HostHook
from kfold.errors import KfoldError
from kfold.events import Event
from kfold.ledger import Ledger, Record
from kfold.plan import applyset as names
from kfold.plan.facts import Target
from kfold.state_folder import StateFolder
from kfold.stores.cluster_interface import ObjectRef
from kfold.stores.fake_cluster import FakeCluster
from kfold.verbs import applyset, hook_copy
from kfold.verbs.applyset import Parent
from kfold.verbs.deployment import delete_deployment
from kfold.verbs.hook_copy import HookCopy
from kfold.verbs.hook_effects import Occasion
from kfold.verbs.hooks import run_hooks
from kfold.verbs.world import World

PARENT = ObjectRef("v1", "ConfigMap", "default", names.parent_name("shop", "default"))
ADDRESS: dict[str, Any] = {"context": "here", "server": "https://fake", "kubeconfig": [], "target": "remote"}


def hook(name: str, undo: str = "") -> HostHook:
    """It adds its name to a file; the undo writes down that it ran, and what it was told."""
    undo = undo or f"echo {name} $KFOLD_HOOK >> undone"
    return HostHook(("sh", "-c", f"echo {name} >> made"), ("sh", "-c", undo))


class Checkout:
    """A folder of a project, and a process that works there. `user`: whose state and settings; another one is another
    machine's."""

    def __init__(self, folder: Path, user: Path, *, target: str = "remote") -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.user = folder, user
        self.said: list[str] = []
        self.cluster = FakeCluster(folder.parent / "cluster.json", context="here")
        self.address = {**ADDRESS, "target": target}
        state = StateFolder(folder / ".kfold")
        self.world = World(
            folder=folder,
            state=state,
            environment={"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(user / "config")},
            ledger=Ledger(state.ledger, journals=lambda: user / "ledgers", tell=self.said.append),
            open_engine=_none, open_nodes=_none, open_registry=lambda host, insecure: _none({}),
            open_cluster=lambda context, files: self.cluster,
            report=self._hear,
            stop=threading.Event(),
        )  # fmt: skip

    def _hear(self, event: Event) -> None:
        self.said.append(event.text)

    def runs(self, *hooks: Hook, phase: Any = "post-deploy", parent: Parent | None = None) -> None:
        """The hooks of a deployment. `parent`: as it was when this run looked."""
        world = self.world
        world.ledger.claim()
        known = applyset.recorded(world, self.cluster, "shop", "default")
        parent = parent or (applyset.at(self.cluster, PARENT, known.effect.details["set"]) if known else None)
        parent = parent or hook_copy.renewed(world, self.cluster, applyset.new(world, self.cluster, "shop", "default"))
        identity = self.cluster.identity()
        details = {"cluster": identity.uid, "namespaces": ["default"], **self.address}
        occasion = Occasion(phase, "shop", "shop", "default", identity.uid, {}, details)
        copy = HookCopy(world, self.cluster, parent, self.address)
        run_hooks(world, hooks, occasion, self.cluster, ["default"], copy)

    def delete(self, **options: Any) -> str:
        """`doit delete`; what went wrong, "" if nothing did. The process ends then."""
        target = Target("here", "remote", (), "default", (), "push")
        self.said.clear()
        try:
            delete_deployment(self.world, target=target, sets=[("shop", "default")], **options)
        except KfoldError as error:
            return str(error)
        finally:
            self.ends()
        return ""

    def ends(self) -> None:
        self.world.ledger.close(nothing_left=lambda: shutil.rmtree(self.folder / ".kfold"))

    def again(self) -> Checkout:
        """Another process there."""
        self.world.ledger.close()
        return Checkout(self.folder, self.user, target=str(self.address["target"]))

    def undone(self) -> list[str]:
        file = self.folder / "undone"
        return file.read_text().splitlines() if file.exists() else []

    def hooks(self) -> list[Record]:
        return self.world.ledger.records(kind="hook")


def _none(address: object) -> Any:
    raise AssertionError("no such store is asked")
