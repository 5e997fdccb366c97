"""The node of the sandbox: makes the Pods that the store holds come about on the Docker Engine."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import CONFIGMAPS, NODES, PERSISTENTVOLUMECLAIMS, PODS, SECRETS, SERVICES, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet import cleaning, logs, pause
from kfold.sandbox.kubelet.adoption import UID
from kfold.sandbox.kubelet.engine import Engine, EngineError
from kfold.sandbox.kubelet.exec import attach, execute
from kfold.sandbox.kubelet.exits import Exits
from kfold.sandbox.kubelet.messages import Messages
from kfold.sandbox.kubelet.network import Network, ensure
from kfold.sandbox.kubelet.pods import PodWorker
from kfold.sandbox.kubelet.proxy import ServiceProxy
from kfold.sandbox.kubelet.recorder import Recorder
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]

log = logging.getLogger(__name__)

SETTING = "KFOLD_SANDBOX_PODS"
"""`published` in the environment: reach Pods by published ports, as on Docker Desktop."""

NODE = "kfold-sandbox"
"""The name of the one Node."""


async def prepare(engine: Engine, name: str) -> Network:
    """What a sandbox needs on the engine before anything else: its image and its network. Raises EngineError, StoreError."""
    label = f"{cleaning.LABEL}={name}"
    network, _ = await asyncio.gather(ensure(engine, cleaning.network_name(name), label), _prepare_image(engine, name))
    return network


async def _prepare_image(engine: Engine, name: str) -> None:
    reference = cleaning.pause_reference(name)
    if await engine.image(reference) is None:
        version = await engine.call("GET", "/version")
        changes = ['ENTRYPOINT ["/pause"]', f"LABEL {cleaning.LABEL}={name}"]
        await engine.import_image(reference, pause.filesystem(version["Arch"]), changes)


class Kubelet:
    """Runs the Pods that are bound to the Node; `engine` is open and stays the caller's.

    `network` is what `prepare` gave, `resolver` the address that the cluster's DNS is to have.
    """

    def __init__(self, store: Store, engine: Engine, name: str, network: Network, resolver: str) -> None:
        self.store = store
        self.engine = engine
        self.name = name
        self.label = f"{cleaning.LABEL}={name}"
        self.network = network.name
        self.pause = cleaning.pause_reference(name)
        self.address = network.gateway
        self.publishes = False
        self.messages = Messages(engine, f"{network.name}-messages", "")
        self.services = ServiceProxy(
            store,
            engine,
            label=self.label,
            network=network.name,
            image=self.pause,
            cluster_ips=network.cluster_ips,
            resolver=resolver,
        )
        self.recorder = Recorder(store, NODE)
        self.exits = Exits(engine, self.label)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Take over what runs already, and follow the store from now on.

        Raises StoreError or EngineError when the engine cannot be used.
        """
        self.services.start()
        info, _ = await asyncio.gather(self.engine.call("GET", "/info"), self.exits.start())
        # Docker Desktop runs containers in a virtual machine, whose networks this machine has no way into
        self.publishes = info["OperatingSystem"] == "Docker Desktop" or os.environ.get(SETTING) == "published"
        volume = f"{self.network}-messages"
        mountpoint = await self.engine.create_volume(volume, {cleaning.LABEL: self.name})
        self.messages = Messages(self.engine, volume, "" if self.publishes else mountpoint)
        self._describe_node(info)
        known = {pod["metadata"]["uid"] for pod in self.store.peek_all(PODS)}
        found = await self.engine.containers(self.label, UID)
        adopted = {entry["Labels"][UID] for entry in found}
        await self._remove_strangers([entry for entry in found if entry["Labels"][UID] not in known])
        self._unsubscribe = self.store.subscribe(self._on_event)
        for pod in self.store.list(PODS):
            fresh = pod["metadata"]["uid"] not in adopted
            # what runs here is ended here, whatever node its Pod names now
            if (pod["spec"].get("nodeName") == NODE or not fresh) and not (fresh and _is_over(pod)):
                self._begin(pod, fresh=fresh)

    async def stop(self) -> None:
        """Stop following; containers keep running and are found again by the next start. `clean` removes them."""
        if self._unsubscribe:
            self._unsubscribe()
        workers, self._workers = list(self._workers.values()), {}
        await asyncio.gather(*(worker.forget() for worker in workers), *self._tasks, return_exceptions=True)
        await self.services.stop()
        await self.exits.stop()

    async def clean(self) -> None:
        """Remove all that this sandbox has on the engine. After `stop`."""
        await cleaning.clean(self.engine, self.name)

    def open_log(self, pod: Json, options: logs.LogOptions) -> AsyncIterator[bytes]:
        """The log of one container, piece by piece. Raises ApiError 400 at once when there is none to read."""
        container = logs.container_of(pod, options)
        run = logs.run_of(pod, container, previous=options.previous)
        return logs.read(self.engine, run, options)

    async def open_exec(self, request: web.Request, pod: Json) -> web.StreamResponse:
        return await execute(self.engine, request, pod)

    async def open_attach(self, request: web.Request, pod: Json) -> web.StreamResponse:
        return await attach(self.engine, request, pod)

    def reach(self, pod: Json, port: int) -> tuple[str, int]:
        """Where this process finds a port of the Pod. Raises StoreError where it cannot."""
        worker = self._workers.get(pod["metadata"]["uid"])
        return worker.reach(port) if worker else (pod["status"]["podIP"], port)

    # --- following the store

    def _on_event(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> None:
        if resource.key == PODS.key:
            self._on_pod(kind, obj, old)
        elif resource.key in (CONFIGMAPS.key, SECRETS.key, SERVICES.key, PERSISTENTVOLUMECLAIMS.key):
            if kind == "DELETED" and resource.key == PERSISTENTVOLUMECLAIMS.key:
                self._discard_claim(obj)
            for worker in self._workers.values():
                if worker.namespace == obj["metadata"]["namespace"]:
                    worker.wake()

    def _on_pod(self, kind: str, pod: Json, old: Json | None) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if kind == "DELETED":
            if worker:
                worker.terminate(0, gone=True)
            return
        here = pod["spec"].get("nodeName") == NODE
        if worker is None:
            if here and not _is_over(pod):
                self._begin(pod, fresh=True)
        elif here and old is not None and _manifest(old) != _manifest(pod):
            worker.update(self.store.get(PODS, worker.namespace, worker.name))
        if pod["metadata"].get("deletionTimestamp") and (worker := self._workers.get(uid)):
            worker.terminate(int(pod["metadata"].get("deletionGracePeriodSeconds", 30)), gone=False)

    def _discard_claim(self, claim: Json) -> None:
        """A claim that is gone takes its data along (reclaim policy Delete)."""
        if name := claim["spec"].get("volumeName"):
            task = asyncio.create_task(self.engine.remove_volume(f"{self.network}-{name}"))
            self._tasks.add(task)
            task.add_done_callback(self._discarded)

    def _discarded(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a volume stays until the sandbox ends: %s", error)

    def _begin(self, pod: Json, *, fresh: bool) -> None:
        metadata = pod["metadata"]
        worker = PodWorker(self, self.store.get(PODS, metadata["namespace"], metadata["name"]), fresh=fresh)
        self._workers[metadata["uid"]] = worker
        if metadata.get("deletionTimestamp"):
            worker.terminate(int(metadata.get("deletionGracePeriodSeconds", 30)), gone=False)

    def ended(self, uid: str) -> None:
        """Nothing of that Pod is left."""
        self._workers.pop(uid, None)

    # --- the engine

    async def _remove_strangers(self, entries: list[Json]) -> None:
        """Containers of Pods that the store does not have (it was removed while nobody looked)."""
        for entry in entries:
            try:
                await cleaning.remove(self.engine, entry, 0)
            except EngineError as error:
                log.warning("container %s of a Pod that is gone: %s", entry["Id"][:12], error)

    def _describe_node(self, info: Json) -> None:
        """The Node object, with what is true of the engine's machine."""
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(info["Architecture"], info["Architecture"])
        labels = {
            "kubernetes.io/hostname": NODE,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": architecture,
            "node-role.kubernetes.io/control-plane": "",
        }
        try:
            node = self.store.get(NODES, None, NODE)
        except ApiError:
            body: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
            body["spec"] = {"providerID": f"kfold-sandbox://{self.name}"}
            node = self.store.create(NODES, body)
        node["metadata"]["labels"] = {**labels, **(node["metadata"].get("labels") or {})}
        node = self.store.update(NODES, node)
        size = {"cpu": str(info["NCPU"]), "memory": f"{info['MemTotal'] // 1024}Ki", "pods": "110"}
        node["status"] = {
            "capacity": size,
            "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": self.address}, {"type": "Hostname", "address": NODE}],
            "conditions": [
                _node_condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                _node_condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                _node_condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                _node_condition("Ready", "True", "KubeletReady"),
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "architecture": architecture,
                "bootID": info.get("ID", ""),
                "containerRuntimeVersion": f"docker://{info['ServerVersion']}",
                "kernelVersion": info["KernelVersion"],
                "kubeProxyVersion": "",
                "kubeletVersion": "v1.37.0+kfold-sandbox",
                "machineID": info.get("ID", ""),
                "operatingSystem": "linux",
                "osImage": info["OperatingSystem"],
                "systemUUID": f"{platform.node()}-{os.getuid()}",
            },
        }
        self.store.update_status(NODES, node, manager="kubelet")


def _manifest(pod: Json) -> tuple[Json, Json | None]:
    """What a running Pod follows: its spec and its labels."""
    return pod["spec"], pod["metadata"].get("labels")


def _is_over(pod: Json) -> bool:
    """Whether the Pod has been ended, and only finalizers keep it in the API."""
    metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
    return metadata.get("deletionGracePeriodSeconds") == 0 and phase in ("Succeeded", "Failed")


def _node_condition(kind: str, status: str, reason: str) -> Json:
    moment = now()
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }
