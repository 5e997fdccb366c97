"""A Pod's volumes as volumes of the engine, and the files that belong into them.

Every volume is an engine volume of the Pod's own, mounted into the sandbox container at /volumes/NAME: one tar archive
sent to the sandbox fills them all, and a volume in memory lives as long as the Pod. So nothing is written on this machine,
and an engine inside a virtual machine (Docker Desktop) works alike. Only hostPath is a bind mount, of the engine's host.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from dataclasses import dataclass
from typing import Any

from kfold.sandbox.kubelet.env import ConfigurationError, Lookup, data_of, field, resource_field

Json = dict[str, Any]

FOLDER = "volumes"
"""Where the sandbox container mounts the Pod's volumes."""

FILLED = ("configMap", "secret", "downwardAPI", "projected")
SUPPORTED = ("emptyDir", "hostPath", "persistentVolumeClaim", *FILLED)


@dataclass(frozen=True)
class File:
    """One file in a volume; `path` is relative to it, `mode` the permission bits."""

    path: str
    data: bytes
    mode: int


def unsupported(volume: Json) -> str:
    """The kind of a volume (`nfs`, `csi`, ...) that the sandbox cannot mount; empty where it can."""
    return ", ".join(sorted(set(volume) - {"name", *SUPPORTED}))


def engine_name(pod: Json, volume: Json) -> str:
    """The name of the engine's volume for a volume of the Pod."""
    return f"kfold-sandbox-{pod['metadata']['uid']}-{volume['name']}"


def sandbox_mounts(pod: Json, labels: dict[str, str], claims: dict[str, str]) -> list[Json]:
    """The mounts of the sandbox container: all volumes but bind mounts. The engine makes those that are missing.

    `claims`: name of a PersistentVolumeClaim -> name of its engine volume.
    """
    mounts = []
    for volume in pod["spec"].get("volumes") or []:
        if "hostPath" in volume:
            continue
        options: Json = {"NoCopy": True, "Labels": labels}
        if "persistentVolumeClaim" in volume:
            # it outlives the Pod: only the sandbox's own label
            options["Labels"] = {key: value for key, value in labels.items() if not key.startswith("io.kubernetes.")}
        if (volume.get("emptyDir") or {}).get("medium") == "Memory":
            driver = {"type": "tmpfs", "device": "tmpfs", "o": "mode=0777"}
            options["DriverConfig"] = {"Name": "local", "Options": driver}
        mounted = volume_source(pod, volume, claims)
        target = f"/{FOLDER}/{volume['name']}"
        mounts.append({"Type": "volume", "Source": mounted, "Target": target, "VolumeOptions": options})
    return mounts


def container_mounts(
    pod: Json, container: Json, mountpoints: dict[str, str], claims: dict[str, str]
) -> tuple[list[Json], list[str]]:
    """(Mounts, Binds) of one container. `mountpoints`: volume name -> its folder on the engine's host, for subPath.

    Raises ConfigurationError for a volumeMount without its volume.
    """
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    mounts: list[Json] = []
    binds: list[str] = []
    for mount in container.get("volumeMounts") or []:
        volume = volumes.get(mount["name"])
        if volume is None:
            raise ConfigurationError(f'volumeMount "{mount["name"]}" has no volume of that name')
        # A real kubelet mounts these read-only whatever the manifest says (kubernetes/kubernetes#58720).
        read_only = bool(mount.get("readOnly")) or any(kind in volume for kind in FILLED)
        target, inside = mount["mountPath"], mount.get("subPath") or ""
        if "hostPath" in volume:
            source = posixpath.join(volume["hostPath"]["path"], inside) if inside else volume["hostPath"]["path"]
            if volume["hostPath"].get("type") in (None, "", "DirectoryOrCreate"):
                binds.append(f"{source}:{target}{':ro' if read_only else ''}")  # this form makes the directory
            else:
                mounts.append({"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only})
        elif inside:
            source = posixpath.join(mountpoints[volume["name"]], inside)
            mounts.append({"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only})
        else:
            options = {"NoCopy": True}
            mounted = volume_source(pod, volume, claims)
            mounts.append(
                {"Type": "volume", "Source": mounted, "Target": target, "ReadOnly": read_only, "VolumeOptions": options}
            )
    return mounts, binds


def volume_source(pod: Json, volume: Json, claims: dict[str, str]) -> str:
    """The engine volume behind a volume of the Pod. `claims`: see sandbox_mounts."""
    if claim := volume.get("persistentVolumeClaim"):
        return claims[claim["claimName"]]
    return engine_name(pod, volume)


def files(pod: Json, volume: Json, lookup: Lookup) -> list[File]:
    """What belongs into a volume that has given contents. Raises ConfigurationError while something is missing."""
    if source := volume.get("projected"):
        mode = source.get("defaultMode", 0o644)
        found: list[File] = []
        for part in source.get("sources") or []:
            kind = next((kind for kind in ("configMap", "secret", "downwardAPI") if kind in part), None)
            if kind is None:
                raise ConfigurationError(f"the sandbox has no projected source {', '.join(part)}")
            found += _files_of(kind, part[kind], mode, pod, lookup)
        return found
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            return _files_of(kind, volume[kind], volume[kind].get("defaultMode", 0o644), pod, lookup)
    return []


def _files_of(kind: str, source: Json, mode: int, pod: Json, lookup: Lookup) -> list[File]:
    if kind == "downwardAPI":
        return [
            File(item["path"], _downward(pod, item).encode(), item.get("mode", mode)) for item in source.get("items") or []
        ]
    name = source.get("secretName") or source.get("name") or ""
    found = lookup(kind.lower(), name)
    if found is None:
        if source.get("optional"):
            return []
        raise ConfigurationError(f'{kind.lower()} "{name}" not found')
    values = data_of(kind.lower(), found)
    items = source.get("items")
    if not items:
        return [File(key, value, mode) for key, value in sorted(values.items())]
    missing = [item["key"] for item in items if item["key"] not in values]
    if missing and not source.get("optional"):
        raise ConfigurationError(f"references non-existent {kind.lower()} key: {missing[0]}")
    return [File(item["path"], values[item["key"]], item.get("mode", mode)) for item in items if item["key"] in values]


def _downward(pod: Json, item: Json) -> str:
    if reference := item.get("fieldRef"):
        return field(pod, reference["fieldPath"])
    return resource_field(pod, {}, item["resourceFieldRef"])


def archive(pod: Json, lookup: Lookup, only: set[str] | None = None) -> tuple[bytes, dict[str, str]]:
    """(tar archive for the sandbox's root, volume name -> digest of its contents).

    `only`: the volumes to write. Filled volumes have the kubelet's layout: `KEY -> ..data/KEY`, `..data -> ..DIGEST`, so
    that all keys change in one moment. Raises ConfigurationError while something is missing.
    """
    digests: dict[str, str] = {}
    out = io.BytesIO()
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for volume in pod["spec"].get("volumes") or []:
            if "hostPath" in volume or (only is not None and volume["name"] not in only):
                continue
            writer = _Writer(tar, f"{FOLDER}/{volume['name']}", group)
            if not any(kind in volume for kind in FILLED):
                writer.folder("", 0o777)
                for path in _sub_paths(pod, volume["name"]):
                    writer.folder(path, 0o777)
                continue
            contents = files(pod, volume, lookup)
            digest = hashlib.sha256(repr(contents).encode()).hexdigest()[:16]
            digests[volume["name"]] = digest
            writer.folder("", 0o755)
            for item in contents:
                writer.file(f"..{digest}/{item.path}", item.data, item.mode)
            if not contents:
                writer.folder(f"..{digest}", 0o755)
            writer.link("..data", f"..{digest}")
            for first in sorted({item.path.split("/", 1)[0] for item in contents}):
                writer.link(first, f"..data/{first}")
    return out.getvalue(), digests


def _sub_paths(pod: Json, volume: str) -> list[str]:
    containers = [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or []]
    return sorted({mount["subPath"] for mount in mounts if mount["name"] == volume and mount.get("subPath")})


class _Writer:
    """Adds entries below one folder of a tar archive, with the folders that lead to them."""

    def __init__(self, tar: tarfile.TarFile, root: str, group: int | None) -> None:
        self._tar, self._root, self._group = tar, root, group
        self._made: set[str] = set()

    def folder(self, path: str, mode: int) -> None:
        self._add(path, tarfile.DIRTYPE, mode | (0o2070 if self._group else 0))
        self._made.add(path)

    def file(self, path: str, data: bytes, mode: int) -> None:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            if (parent := "/".join(parts[:count])) not in self._made:
                self.folder(parent, 0o755)
        self._add(path, tarfile.REGTYPE, mode | (0o040 if self._group else 0), data)

    def link(self, path: str, target: str) -> None:
        self._add(path, tarfile.SYMTYPE, 0o777, target=target)

    def _add(self, path: str, kind: bytes, mode: int, data: bytes = b"", target: str = "") -> None:
        member = tarfile.TarInfo(f"{self._root}/{path}" if path else self._root)
        member.type, member.mode, member.size, member.linkname = kind, mode, len(data), target
        member.gid = self._group or 0
        self._tar.addfile(member, io.BytesIO(data))
