"""A registry, by the OCI Distribution Specification 1.1 (and Docker's own 2, which it came from)."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from kfold.stores.registry_credentials import for_docker
from kfold.stores.registry_errors import push_refusal
from kfold.stores.registry_http import Answer, RegistryHttp
from kfold.stores.registry_interface import MEDIA_TYPES, OCI_INDEX, STAND_IN, Manifest, RegistryError

SIDE_BY_SIDE = 16
"""Questions under way at once, where many tags are asked for."""
PAGE = 1000
"""Tags in one answer, where the registry gives as many."""
_STAND_IN_SIZE = 512
"""Bytes; only an index that is shorter is looked into."""


class HttpRegistry:
    """See the protocol. `insecure`: the user listed this host so. Connections are kept and used again."""

    def __init__(self, host: str, *, insecure: bool = False, environment: Mapping[str, str] = os.environ) -> None:
        self.host = host
        self.http = RegistryHttp(host, insecure=insecure, environment=environment)

    def digest(self, repository: str, reference: str) -> str:
        answer = self._look("HEAD", repository, reference)
        if answer is None:
            return ""
        small = int(answer.headers.get("content-length") or 0) < _STAND_IN_SIZE
        digest = answer.headers.get("docker-content-digest", "")
        if digest and not (small and answer.headers.get("content-type") == OCI_INDEX):
            return digest
        # a registry need not tell the digest (specification: MAY); and a stand-in shows only in its content
        manifest = self.manifest(repository, reference)
        return manifest.digest if manifest else ""

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        answer = self._look("GET", repository, reference)
        if answer is None:
            return None
        manifest = Manifest(answer.headers.get("content-type", "").partition(";")[0], answer.content)
        return None if self._is_stand_in(manifest) else manifest

    def _look(self, method: str, repository: str, reference: str) -> Answer | None:
        answer = self.http.send(
            method,
            f"/v2/{repository}/manifests/{reference}",
            repository=repository,
            accept=MEDIA_TYPES,
            expected=(200, 404),
            doing=f"looking for {repository}{'@' if ':' in reference else ':'}{reference}",
        )
        return answer if answer.status == 200 else None

    def _is_stand_in(self, manifest: Manifest) -> bool:
        return STAND_IN in (self._json(manifest.content).get("annotations") or {})

    def put(self, repository: str, reference: str, manifest: Manifest) -> None:
        self.http.send(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            repository=repository,
            body=manifest.content,
            media_type=manifest.media_type,
            expected=(200, 201, 202),
            doing=f"tagging {repository}{'@' if ':' in reference else ':'}{reference}",
        )

    def tags(self, repository: str) -> Sequence[str]:
        found: list[str] = []
        path = f"/v2/{repository}/tags/list?n={PAGE}"
        while path:
            doing = f"listing the tags of {repository}"
            answer = self.http.send("GET", path, repository=repository, expected=(200, 404), doing=doing)
            if answer.status == 404:
                return found
            found += self._json(answer.content).get("tags") or ()
            link = answer.headers.get("link", "")  # RFC 5988: `</v2/…?last=x>; rel="next"`
            path = urljoin(path, link.partition("<")[2].partition(">")[0]) if 'rel="next"' in link else ""
        return found

    def _json(self, content: bytes) -> dict[str, Any]:
        try:
            data = json.loads(content)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise RegistryError(f"{self.host} does not answer in JSON", hint="Is it a registry?")
        return data

    def has_blob(self, repository: str, digest: str) -> bool:
        doing = f"looking for {digest[:19]} in {repository}"
        path = f"/v2/{repository}/blobs/{digest}"
        return self.http.send("HEAD", path, repository=repository, expected=(200, 404), doing=doing).status == 200

    def blob(self, repository: str, digest: str) -> bytes:
        doing = f"reading {digest[:19]} of {repository}"
        return self.http.send("GET", f"/v2/{repository}/blobs/{digest}", repository=repository, doing=doing).content

    def upload(self, repository: str, content: bytes) -> str:
        digest = f"sha256:{sha256(content).hexdigest()}"
        doing = f"uploading to {repository}"
        path = f"/v2/{repository}/blobs/uploads/"
        begun = self.http.send("POST", path, repository=repository, body=b"", expected=(202,), doing=doing)
        where = begun.headers.get("location", "")
        path = f"{where}{'&' if '?' in where else '?'}digest={digest}"
        kind = "application/octet-stream"
        self.http.send(
            "PUT", path, repository=repository, body=content, media_type=kind, expected=(201,), doing=doing
        )
        return digest

    def tags_of(self, repository: str, digest: str) -> Sequence[str]:
        tags = self.tags(repository)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            found = list(pool.map(lambda tag: self.manifest(repository, tag), tags))
        return [tag for tag, one in zip(tags, found, strict=True) if one and digest in (one.digest, *one.children)]

    def remove_tag(self, repository: str, tag: str, *, keep: bool) -> bool:
        answer = self._look("GET", repository, tag)
        if answer is None:
            return False
        manifest = Manifest("", answer.content)
        if self._is_stand_in(manifest):
            self._delete(repository, manifest.digest)
            return False
        if self._delete(repository, tag, expected=(200, 202, 204, 404, 400, 405)) in (200, 202, 204, 404):
            return True
        if not keep and self.tags_of(repository, manifest.digest) == [tag]:
            return self.remove_manifest(repository, manifest.digest)
        # Nothing to delete must be answered by "not found": a registry that deletes nothing says so to that as well, and
        # then the tag must not be pointed away.
        self._delete(repository, f"sha256:{sha256(uuid.uuid4().bytes).hexdigest()}")
        stand_in = _stand_in()
        self.put(repository, tag, stand_in)
        self._delete(repository, stand_in.digest)
        return True

    def remove_manifest(self, repository: str, digest: str) -> bool:
        return self._delete(repository, digest) != 404

    def _delete(self, repository: str, reference: str, expected: Sequence[int] = (200, 202, 204, 404)) -> int:
        return self.http.send(
            "DELETE",
            f"/v2/{repository}/manifests/{reference}",
            repository=repository,
            expected=expected,
            doing=f"deleting {repository}{'@' if ':' in reference else ':'}{reference}",
        ).status

    def client_environment(self, folder: Path) -> Mapping[str, str]:
        login = self.http.login()
        return for_docker(self.host, login, folder, self.http.environment) if login.helper else {}

    def refused_push(self, repository: str, output: Sequence[str]) -> RegistryError:
        return push_refusal(self.host, repository, output, self.http.login())

    def close(self) -> None:
        self.http.close()


def _stand_in() -> Manifest:
    """An index of nothing, which no other has the digest of."""
    content = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [],
        "annotations": {STAND_IN: str(uuid.uuid4())},
    }
    return Manifest(OCI_INDEX, json.dumps(content).encode())
