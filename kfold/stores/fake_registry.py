"""A registry in memory: keeps the contract of Registry without a server, and fails when it is told to.

As Debian's docker-registry it refuses a manifest whose parts it does not have; what it does not have is HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from kfold.stores.registry_interface import DeletionRefused, Manifest, RegistryError


class FakeRegistry:
    """See the module. `delete=False`: it refuses every deletion. Thread-safe."""

    def __init__(self, host: str = "fake:5000", *, delete: bool = True) -> None:
        self.host = host
        self._deletes = delete
        self._lock = threading.RLock()
        self._manifests: dict[str, dict[str, Manifest]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._blobs: dict[str, dict[str, bytes]] = {}
        self._failures: list[tuple[str, RegistryError]] = []

    def digest(self, repository: str, reference: str) -> str:
        with self._call("digest"):
            return self._digest(repository, reference)

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        with self._call("manifest"):
            return self._manifests.get(repository, {}).get(self._digest(repository, reference))

    def put(self, repository: str, reference: str, manifest: Manifest) -> None:
        with self._call("put"):
            layers = [str(layer["digest"]) for layer in manifest.data.get("layers") or ()]
            parts = [part for part in (manifest.config, *layers) if part]
            blobs, manifests = self._blobs.get(repository, {}), self._manifests.setdefault(repository, {})
            lacking = [part for part in parts if part not in blobs]
            lacking += [child for child in manifest.children if child not in manifests]
            if lacking:
                raise RegistryError(f"{self.host} refused (tagging): blob unknown to registry: {lacking[0]}", code=400)
            manifests[manifest.digest] = manifest
            if ":" not in reference:
                self._tags.setdefault(repository, {})[reference] = manifest.digest
            elif reference != manifest.digest:
                raise RegistryError(f"{self.host} refused (tagging): the digest is another one", code=400)

    def tags(self, repository: str) -> Sequence[str]:
        with self._call("tags"):
            return sorted(self._tags.get(repository, {}))

    def has_blob(self, repository: str, digest: str) -> bool:
        with self._call("has_blob"):
            return digest in self._blobs.get(repository, {})

    def blob(self, repository: str, digest: str) -> bytes:
        with self._call("blob"):
            try:
                return self._blobs[repository][digest]
            except KeyError:
                raise RegistryError(f"{self.host} refused (reading): blob unknown to registry", code=404) from None

    def upload(self, repository: str, content: bytes) -> str:
        with self._call("upload"):
            digest = f"sha256:{sha256(content).hexdigest()}"
            self._blobs.setdefault(repository, {})[digest] = content
            return digest

    def tags_of(self, repository: str, digest: str) -> Sequence[str]:
        with self._call("tags_of"):
            manifests = self._manifests.get(repository, {})
            tags = self._tags.get(repository, {}).items()
            return sorted(tag for tag, one in tags if digest in (one, *manifests[one].children))

    def remove_tag(self, repository: str, tag: str, *, keep: bool) -> bool:
        with self._call("remove_tag"):
            digest = self._digest(repository, tag)
            if not digest:
                return False
            self._refuse()
            del self._tags[repository][tag]
            if not keep and digest not in self._tags[repository].values():
                del self._manifests[repository][digest]
            return True

    def remove_manifest(self, repository: str, digest: str) -> bool:
        with self._call("remove_manifest"):
            self._refuse()
            tags = self._tags.get(repository, {})
            self._tags[repository] = {tag: one for tag, one in tags.items() if one != digest}
            return self._manifests.get(repository, {}).pop(digest, None) is not None

    def client_environment(self, folder: Path) -> Mapping[str, str]:
        return {}

    def refused_push(self, repository: str, output: Sequence[str]) -> RegistryError:
        return RegistryError(f"{self.host}/{repository}: {output[-1] if output else 'no word'}")

    # --- what a test does to it ---------------------------------------------------------------------------------

    def fail(self, method: str, error: RegistryError) -> None:
        """The next call of `method` raises `error` and does nothing."""
        self._failures.append((method, error))

    def _digest(self, repository: str, reference: str) -> str:
        digest = reference if ":" in reference else self._tags.get(repository, {}).get(reference, "")
        return digest if digest in self._manifests.get(repository, {}) else ""

    def _refuse(self) -> None:
        if not self._deletes:
            raise DeletionRefused(f"{self.host} deletes nothing: The operation is unsupported.", code=405)

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        with self._lock:
            failure = next((one for one in self._failures if one[0] == method), None)
            if failure is not None:
                self._failures.remove(failure)
                raise failure[1]
            yield


