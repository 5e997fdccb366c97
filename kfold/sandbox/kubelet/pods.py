"""The life of one Pod: sandbox, volumes, init containers, containers, end, removal. One coroutine per Pod."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from kfold.errors import StoreError
from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import CONFIGMAPS, NODES, PODS, SECRETS, SERVICES
from kfold.sandbox.kubelet import configuration, env, names, services, status
from kfold.sandbox.kubelet.adoption import adopt, container_labels
from kfold.sandbox.kubelet.containers import ContainerRunner
from kfold.sandbox.kubelet.ephemeral import EphemeralContainers
from kfold.sandbox.kubelet.mounting import Mounting
from kfold.sandbox.kubelet.runtime import Container, Kind, Runtime, of_pod, seconds_of, timestamp_of
from kfold.sandbox.kubelet.termination import Termination

if TYPE_CHECKING:
    from kfold.sandbox.kubelet.kubelet import Kubelet

Json = dict[str, Any]

log = logging.getLogger(__name__)

RETRY, LONGEST = 2.0, 60.0
"""Seconds before a Pod whose sandbox could not be made (the engine refused or is away) is tried again, and the most they
double to: a host port that another program holds may be held for ever, and each try is an Event."""


class SandboxLost(Exception):
    """The sandbox container ended without us: the Pod's network is gone, all its containers start anew."""


class PodWorker:
    """Brings one Pod about and keeps its status; `terminate()` when the API says that it has to go."""

    def __init__(self, node: Kubelet, pod: Json, *, fresh: bool) -> None:
        self.node = node
        self.engine, self.exits = node.engine, node.exits
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        self.runtime: Runtime = of_pod(pod)
        self.runners: dict[str, ContainerRunner] = {}
        self.termination, self.mounting = Termination(self), Mounting(self)
        self.ephemeral = EphemeralContainers(self)
        self._fresh = fresh  # nothing of it can be on the engine yet: no need to look
        self._known = fresh  # what runs of it on the engine is in `runtime`
        self._changed = asyncio.Event()
        self._pending: set[asyncio.Task[Any]] = set()
        self._aliases: list[str] = []
        self._life = asyncio.create_task(self._supervise(), name=f"pod {self.namespace}/{self.name}")
        self._end: asyncio.Task[None] | None = None

    # --- what the kubelet calls

    def update(self, pod: Json) -> None:
        """The Pod's manifest changed: labels, or an image, which is replaced in place."""
        old, self.pod = self.pod, pod
        for container in self.runtime.containers:
            spec = _spec_of(pod, container.name)
            if spec and spec.get("image") != container.spec.get("image"):
                if runner := self.runners.get(container.name):
                    self._spawn(runner.replace(spec))
                container.spec = spec
            elif spec and spec.get("resources") != container.spec.get("resources"):
                self._spawn(self._resize(container, spec))
        self.ephemeral.follow(pod)
        if old["metadata"].get("labels") != pod["metadata"].get("labels") or old["spec"] != pod["spec"]:
            self.wake()

    def wake(self) -> None:
        """Something the Pod may wait for has changed (ConfigMap, Secret, Service, its own manifest)."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def terminate(self, grace: int, *, gone: bool) -> None:
        """End the Pod: `grace` seconds for its processes; `gone`: the API has removed it already. Again: only sooner."""
        self.termination.shorten(grace)
        if self._end is None:
            self._end = asyncio.create_task(self._terminate(gone), name=f"end of {self.namespace}/{self.name}")

    async def forget(self) -> None:
        """Stop looking after the Pod and leave its containers as they are (the sandbox's process ends)."""
        tasks = [task for task in (self._life, self._end) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._pending, return_exceptions=True)

    # --- what containers ask and the Pod's end

    def reach(self, port: int) -> tuple[str, int]:
        """Where this process finds a port of the Pod. Raises StoreError for one that is not published but has to be."""
        if not self.node.publishes:
            return self.runtime.ip or self.runtime.host_ip, port
        if port not in self.runtime.published:
            raise StoreError(f"port {port} is not declared in the Pod, and this engine lets only declared ports be reached")
        return "127.0.0.1", self.runtime.published[port]

    def event(self, kind: str, reason: str, message: str, container: Container | None) -> None:
        field = ""
        if container:
            field = f"spec.{_FIELDS.get(container.kind, 'initContainers')}{{{container.name}}}"
        record = self.node.recorder.normal if kind == "Normal" else self.node.recorder.warning
        record("kubelet", self.pod, reason, message, field)

    def publish(self) -> None:
        """Write the Pod's status, if it differs."""
        self._write(lambda pod: status.pod_status(pod, self.runtime))
        if self._aliases_wanted() != self._aliases:
            self.wake()

    async def changed(self, seconds: float) -> None:
        """Until something changed, `seconds` at most."""
        # not wait_for: before Python 3.12 it loses a cancellation that comes in the same moment as the change, and a Pod
        # whose ConfigMap is deleted together with it would never end
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._changed.wait()

    async def finish(self, request: Any) -> Any:
        """Await a call to the engine that has to come to its end even when the Pod is told to go meanwhile.

        A create or start that is cut off half-way may still happen: its container would never be found.
        """
        return await asyncio.shield(self._spawn(request))

    async def tell(self, container: Container) -> None:
        """Take down the message that the container's current run left."""
        if container.current:
            await self.finish(self.node.messages.tell(container.current, container.spec))

    def seen(self) -> Json:
        """The Pod as the downward API shows it: its status of now, and the node's size where a container has no limits."""
        size = self.node.store.get(NODES, None, self.pod["spec"]["nodeName"])["status"]["allocatable"]
        seen = copied(self.pod)
        for container in [*(seen["spec"].get("initContainers") or []), *seen["spec"]["containers"]]:
            own = container.get("resources") or {}
            limits = own.get("limits") or {}
            requests = {"cpu": "0", "memory": "0", **limits, **(own.get("requests") or {})}
            container["resources"] = {"limits": {**size, **limits}, "requests": requests}
        return {**seen, "status": status.pod_status(self.pod, self.runtime)}

    def lookup(self, kind: str, name: str) -> Json | None:
        try:
            return self.node.store.get(CONFIGMAPS if kind == "configmap" else SECRETS, self.namespace, name)
        except ApiError:
            return None

    async def create(self, container: Container, image: Json, number: int) -> str:
        """Make (not start) a container. Raises ConfigurationError, EngineError."""
        spec = container.spec
        config = configuration.container_config(
            self.pod,
            spec,
            image=image,
            variables=env.environment(
                self.seen(), spec, self.lookup, services.variables(self.node.store.peek_all(SERVICES), self.pod)
            ),
            sandbox=self.runtime.sandbox,
            labels=container_labels(self.pod, self.node.label, container.name, number),
            mounts=await self.mounting.of_container(spec),
        )
        if target := self.ephemeral.target(spec):
            config["HostConfig"]["PidMode"] = f"container:{target}"
        name = f"k8s_{container.name}_{self.name}_{self.namespace}_{self.uid}_{number}"
        return str(await self.finish(self.engine.create_container(name, config)))

    # --- life

    def _spawn(self, request: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(request)
        self._pending.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._pending.discard(task)
        if not task.cancelled():
            task.exception()  # who awaited it may have been told to go: then nobody else takes the error

    async def _supervise(self) -> None:
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        began = seconds_of((self.pod.get("status") or {}).get("startTime") or "") or time.time()
        wait = RETRY
        while True:
            try:
                async with asyncio.timeout(None if deadline is None else began + deadline - time.time()) as limit:
                    await self._live()
                return
            except SandboxLost:
                self.event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", None)
            except Exception as error:
                if isinstance(error, TimeoutError) and limit.expired():
                    self.runtime.reason = "DeadlineExceeded"
                    self.runtime.message = "Pod was active on the node longer than the specified deadline"
                    await self.termination.stop_all()
                    self.publish()
                    return
                self._complain(error)
                if self.runtime.sandbox:
                    self.event("Warning", "FailedSync", f"error syncing pod, will be tried again: {error}", None)
                else:
                    self.event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", None)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST)

    def _complain(self, error: Exception) -> None:
        """Into the log: what the engine said, or a fault of ours, which must not leave the Pod to itself."""
        if isinstance(error, StoreError):
            log.warning("pod %s/%s: %s", self.namespace, self.name, error)
        else:
            log.exception("pod %s/%s", self.namespace, self.name, exc_info=error)

    async def _live(self) -> None:
        await self.node.services.settled()
        if not self._fresh:
            await self._adopt()
        self._fresh, self._known = False, True
        if (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        self.publish()
        await self._make_sandbox()
        self.runners = {entry.name: ContainerRunner(self, entry) for entry in self.runtime.containers}
        self.ephemeral.open()
        work = asyncio.create_task(self._run_containers())
        watch = asyncio.create_task(self.exits.wait(self.runtime.sandbox))
        keep = asyncio.create_task(self._keep_current())
        try:
            await asyncio.wait([work, watch, keep], return_when=asyncio.FIRST_COMPLETED)
            if keep.done():
                keep.result()
            if work.done():
                work.result()
            if not work.done():
                raise SandboxLost
        finally:
            work.cancel(), watch.cancel(), keep.cancel()
            await asyncio.gather(work, watch, keep, self.ephemeral.close(), return_exceptions=True)
        await self.engine.leave(self.node.network, self.runtime.sandbox)
        await self.engine.stop(self.runtime.sandbox, 0)

    async def _resize(self, container: Container, spec: Json) -> None:
        """The container's limits changed in place."""
        container.spec = spec
        if container.current and container.running:
            try:
                await self.engine.resize(container.current.id, configuration.resources(spec))
            except StoreError as error:
                self.event("Warning", "ResizeError", f"error resizing container {container.name}: {error}", container)
        self.publish()

    async def _adopt(self) -> None:
        await adopt(self.engine, self.pod, self.runtime)
        for container in self.runtime.containers:
            for attempt in (container.current, container.previous):
                if attempt and not attempt.running:
                    await self.node.messages.tell(attempt, container.spec)

    async def _run_containers(self) -> None:
        """Init containers one after the other, then all others; returns when the Pod has Succeeded or Failed."""
        sidecars: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    if not await self._initialize(group, sidecars):
                        return
                    self.publish()
                    await asyncio.gather(*[group.create_task(self.runners[one.name].run()) for one in self.runtime.apps])
                finally:
                    for task in sidecars:
                        task.cancel()
        except* StoreError as errors:
            raise errors.exceptions[0] from None  # one is enough: all are tried again
        await self.termination.stop_sidecars()
        self.publish()

    async def _initialize(self, group: asyncio.TaskGroup, sidecars: list[asyncio.Task[None]]) -> bool:
        """Run the init containers, of which `sidecars` go on in `group`; whether all that have to have succeeded."""
        for container in self.runtime.init:
            runner = self.runners[container.name]
            if container.kind is Kind.SIDECAR:
                sidecars.append(group.create_task(runner.run()))
                await runner.started.wait()
            elif not container.succeeded:
                await runner.run()
                if not container.succeeded:
                    return False
        return True

    # --- sandbox, volumes, names

    async def _make_sandbox(self) -> None:
        runtime, node = self.runtime, self.node
        runtime.host_ip = node.address
        if not runtime.sandbox:
            # Runs of a sandbox that is gone cannot go on.
            await self.termination.stop_all()
            self._aliases = self._aliases_wanted()
            labels = container_labels(self.pod, node.label, "POD", 0)
            config = configuration.sandbox_config(
                self.pod,
                image=node.pause,
                network=node.network,
                aliases=self._aliases,
                resolver=node.services.resolver,
                published=node.publishes,
                labels=labels,
                mounts=await self.mounting.of_sandbox(),
            )
            name = f"k8s_POD_{self.name}_{self.namespace}_{self.uid}_{time.time_ns()}"
            runtime.sandbox = str(await self.finish(self.engine.create_container(name, config)))
            await self.finish(self.engine.join(runtime.sandbox))
            runtime.volumes.clear()
        info = await self.engine.inspect(runtime.sandbox)
        if self.pod["spec"].get("hostNetwork"):
            runtime.ip = node.address
        else:
            if node.network not in info["NetworkSettings"]["Networks"]:
                # this process was killed while the Pod's names changed, see _refresh_aliases
                await self._connect(self._aliases_wanted())
                info = await self.engine.inspect(runtime.sandbox)
            endpoint = info["NetworkSettings"]["Networks"][node.network]
            runtime.ip = endpoint.get("IPAddress", "")
            self._note_ports(info)
            # the engine adds the container's own ID, which has no dot
            self._aliases = sorted(alias for alias in endpoint.get("Aliases") or [] if "." in alias)
        await self.mounting.fill()
        if timestamp_of(info["State"]["StartedAt"]):
            self.publish()

    async def _keep_current(self) -> None:
        """While the Pod runs: status, files of ConfigMaps and Secrets, and the names of Services follow their objects."""
        while True:
            changed = self._changed
            self.publish()  # a generation of the manifest has been seen
            await self.mounting.refresh()
            await self._refresh_aliases()
            await changed.wait()

    def _aliases_wanted(self) -> list[str]:
        if self.node.services.resolver or self.pod["spec"].get("hostNetwork"):
            return []  # the cluster's own DNS knows the names
        # Without readiness probes a Pod is ready as soon as it runs: then it has its names from the start, because
        # giving them later means leaving the network for a moment.
        gated = any(container.spec.get("readinessProbe") for container in self.runtime.apps)
        ready = not gated or all(container.ready for container in self.runtime.apps)
        return names.aliases(self.pod, self.node.store.peek_all(SERVICES, self.namespace), ready=ready)

    async def _refresh_aliases(self) -> None:
        wanted = self._aliases_wanted()
        if wanted == self._aliases or not self.runtime.sandbox:
            return
        network, sandbox = self.node.network, self.runtime.sandbox

        async def reconnect() -> None:
            await self.engine.disconnect(network, sandbox)
            await self._connect(wanted)
            self._note_ports(await self.engine.inspect(sandbox))  # the engine has chosen others

        await self.finish(reconnect())
        self._aliases = wanted

    def _note_ports(self, info: Json) -> None:
        found = info["NetworkSettings"].get("Ports") or {}
        tcp = {name.partition("/")[0]: bound for name, bound in found.items() if bound and name.endswith("/tcp")}
        self.runtime.published = {int(port): int(bound[0]["HostPort"]) for port, bound in tcp.items()}

    async def _connect(self, aliases: list[str]) -> None:
        """Join the network under these names, with the address that the Pod has (had) there."""
        endpoint: Json = {"Aliases": aliases}
        if self.runtime.ip:
            endpoint["IPAMConfig"] = {"IPv4Address": self.runtime.ip}
        await self.engine.connect(self.node.network, self.runtime.sandbox, endpoint)

    # --- end

    async def _terminate(self, gone: bool) -> None:
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        await asyncio.gather(*self._pending, return_exceptions=True)
        while True:
            try:
                if not self._known:  # this process was started when the Pod was ending already
                    await self._adopt()
                    self._known = True
                await self.termination.run()
                break
            except Exception as error:
                self._complain(error)
                self.event("Warning", "FailedKillPod", f"error killing pod: {error}", None)
                await asyncio.sleep(RETRY)
        if not gone:
            self.publish()
            with contextlib.suppress(ApiError):
                # finalizers keep it in the API as long as they are there
                self.node.store.delete(PODS, self.namespace, self.name, uid=self.uid, grace=0, propagation=None)
        self.node.ended(self.uid)

    def _write(self, make: Any) -> None:
        try:
            pod = self.node.store.get(PODS, self.namespace, self.name)
            if pod["metadata"]["uid"] == self.uid:
                pod["status"] = make(pod)
                self.node.store.update_status(PODS, pod, manager="kubelet")
        except ApiError as error:
            if error.code != 404:
                log.warning("status of pod %s/%s: %s", self.namespace, self.name, error)


_FIELDS = {Kind.APP: "containers", Kind.EPHEMERAL: "ephemeralContainers"}


def _spec_of(pod: Json, name: str) -> Json | None:
    entries = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return next((entry for entry in entries if entry["name"] == name), None)
