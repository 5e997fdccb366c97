"""What one Pod has mounted: its claims and volumes, waited for and filled, and their files kept as their objects are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfold.sandbox.api.resources import PERSISTENTVOLUMECLAIMS
from kfold.sandbox.kubelet import volumes
from kfold.sandbox.kubelet.adoption import volume_labels
from kfold.sandbox.kubelet.env import ConfigurationError

if TYPE_CHECKING:
    from kfold.sandbox.kubelet.pods import PodWorker

Json = dict[str, Any]


class Mounting:
    """The volumes of one Pod."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker

    async def of_sandbox(self) -> list[Json]:
        """The mounts of the sandbox container; waits until all claims are bound, and for ever for an unknown kind."""
        node, pod = self._worker.node, self._worker.pod
        for volume in pod["spec"].get("volumes") or []:
            while kind := volumes.unsupported(volume):
                said = f'MountVolume.SetUp failed for volume "{volume["name"]}" : the sandbox has no volumes of type {kind}'
                self._worker.event("Warning", "FailedMount", said, None)
                await self._worker.changed(60)
        mounts = volumes.sandbox_mounts(pod, volume_labels(pod, node.label), await self._claims())
        return mounts + node.messages.sandbox_mounts()

    async def of_container(self, spec: Json) -> tuple[list[Json], list[str]]:
        """(Mounts, Binds) of one run. Raises ConfigurationError, EngineError."""
        pod, sandbox = self._worker.pod, self._worker.runtime.sandbox
        mounts, binds = volumes.container_mounts(pod, spec, await self._mountpoints(spec), await self._claims())
        return mounts, binds + await self._worker.node.messages.binds(sandbox, spec)

    async def fill(self) -> None:
        """Write the volumes' contents; wait while a ConfigMap or Secret is missing."""
        wanted = self._worker.pod["spec"].get("volumes") or []
        while wanted:
            try:
                archive, digests = volumes.archive(self._worker.seen(), self._worker.lookup)
            except ConfigurationError as error:
                self._worker.event("Warning", "FailedMount", f"MountVolume.SetUp failed: {error}", None)
                await self._worker.changed(60)
                continue
            await self._worker.finish(self._worker.engine.put_archive(self._worker.runtime.sandbox, archive))
            self._worker.runtime.volumes = digests
            return

    async def refresh(self) -> None:
        if not self._worker.pod["spec"].get("volumes"):
            return
        try:
            _, digests = volumes.archive(self._worker.seen(), self._worker.lookup)
            stale = {name for name, digest in digests.items() if self._worker.runtime.volumes.get(name) != digest}
            if stale:
                archive, written = volumes.archive(self._worker.seen(), self._worker.lookup, stale)
                await self._worker.finish(self._worker.engine.put_archive(self._worker.runtime.sandbox, archive))
                self._worker.runtime.volumes |= written
        except ConfigurationError:
            return  # deleted under a running Pod: its files stay, as on a real node

    async def _mountpoints(self, spec: Json) -> dict[str, str]:
        used = {mount["name"] for mount in spec.get("volumeMounts") or [] if mount.get("subPath")}
        found = {}
        for volume in self._worker.pod["spec"].get("volumes") or []:
            if volume["name"] in used and "hostPath" not in volume:
                source = volumes.volume_source(self._worker.pod, volume, await self._claims())
                info = await self._worker.engine.call("GET", f"/volumes/{source}")
                found[volume["name"]] = info["Mountpoint"]
        return found

    async def _claims(self) -> dict[str, str]:
        """Claim name -> engine volume of those that the Pod uses; waits until they are bound."""
        found: dict[str, str] = {}
        for volume in self._worker.pod["spec"].get("volumes") or []:
            while name := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                claim = self._worker.node.store.peek(PERSISTENTVOLUMECLAIMS, self._worker.namespace, name)
                if claim and (claim.get("status") or {}).get("phase") == "Bound":
                    found[name] = f"{self._worker.node.network}-{claim['spec']['volumeName']}"
                    break
                self._worker.event("Warning", "FailedMount", f'persistentvolumeclaim "{name}" not found or not bound', None)
                await self._worker.changed(60)
        return found
