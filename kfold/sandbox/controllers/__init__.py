"""Controllers: what a cluster does with objects beyond keeping them. They talk to the store alone."""

from __future__ import annotations

from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers.claims import ClaimController
from kfold.sandbox.controllers.daemonset import DaemonSetController
from kfold.sandbox.controllers.deployment import DeploymentController
from kfold.sandbox.controllers.endpoints import EndpointsController
from kfold.sandbox.controllers.eviction import EvictionController
from kfold.sandbox.controllers.garbage import GarbageCollector
from kfold.sandbox.controllers.job import JobController
from kfold.sandbox.controllers.namespace import NamespaceController
from kfold.sandbox.controllers.replicaset import ReplicaSetController
from kfold.sandbox.controllers.runner import Runner
from kfold.sandbox.controllers.scheduler import Scheduler
from kfold.sandbox.controllers.statefulset import StatefulSetController
from kfold.sandbox.kubelet import NODE, Kubelet

__all__ = ["Controllers"]


class Controllers:
    """All controllers of one cluster. Start them after the kubelet, which makes the Node."""

    def __init__(self, store: Store, kubelet: Kubelet) -> None:
        recorder = kubelet.recorder
        self._runner = Runner(
            store,
            [
                Scheduler(store, recorder, NODE),
                ReplicaSetController(store, recorder),
                DeploymentController(store, recorder),
                JobController(store, recorder),
                StatefulSetController(store, recorder),
                DaemonSetController(store, recorder, NODE),
                ClaimController(store, recorder),
                EvictionController(store, recorder),
                GarbageCollector(store, recorder),
                NamespaceController(store, recorder),
                EndpointsController(store, recorder),
            ],
        )

    async def start(self) -> None:
        self._runner.start()

    async def stop(self) -> None:
        await self._runner.stop()
