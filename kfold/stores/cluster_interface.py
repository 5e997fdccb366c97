"""What kfold asks of a cluster: the protocol, its values and its errors. No I/O, no heavy import.

`kfold.stores.cluster.Cluster` and `kfold.stores.fake_cluster.FakeCluster` keep one contract (tests/stores/cluster).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kfold.errors import StoreError

FIELD_MANAGER = "kfold"
"""Our name in managedFields. Every write of ours is a server-side apply under this name (but for the first one of a
set's parent, which has to be exclusive); only what is put back after us goes under the name of who had it before."""

Deletion = Literal["requested", "gone", "replaced"]
"""`requested`: the server accepted it (the object may stay for a while: finalizers, grace period).
`gone`: there is no such object any more. `replaced`: the name belongs to another object now, which was not touched."""

Propagation = Literal["Background", "Foreground", "Orphan"]


class ClusterError(StoreError):
    """The cluster refused, failed, or does not answer.

    `code` is the HTTP status, 0 where no answer came. `reason` is the API's word (NotFound, Conflict, Forbidden,
    Invalid, …), or "Unreachable", "Timeout", "Credentials" for what never became an answer.
    """

    def __init__(self, message: str, *, code: int = 0, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class OwnedField:
    """A field that an apply wanted and that `manager` holds. `field` is a path such as `.spec.replicas`."""

    manager: str
    field: str


class FieldConflict(ClusterError):
    """Another manager owns fields that this apply sets to other values (HTTP 409, cause FieldManagerConflict)."""

    def __init__(self, message: str, conflicts: tuple[OwnedField, ...], *, hint: str = "") -> None:
        super().__init__(message, code=409, reason="Conflict", hint=hint)
        self.conflicts = conflicts


class ObjectReplaced(ClusterError):
    """The object with the expected UID is gone; the name is free or belongs to another object. Nothing was changed."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, code=409, reason="Conflict", hint=hint)


class UnknownKind(ClusterError):
    """The cluster does not serve this kind (a CRD that is not installed, a version that was removed)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, code=404, reason="NotFound", hint=hint)


@dataclass(frozen=True, order=True)
class ObjectRef:
    """Names one object. `namespace` is "" for an object of the whole cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}" + (f" in {self.namespace}" if self.namespace else "")


@dataclass(frozen=True)
class ClusterIdentity:
    """Which cluster this is. `uid` is the UID of the namespace kube-system; where reading that is forbidden it is
    `endpoint:` and a hash of server URL and certificate authority. Equal `uid` means the same cluster.
    """

    uid: str
    server: str
    context: str


@dataclass(frozen=True)
class ObjectState:
    """An object as the cluster has it.

    `manager_hash` hashes the `fieldsV1` of our own Apply entry: it changes when anyone edits, forces or drops a field
    that we set, and not otherwise; None where we own nothing. It tells *which* fields are ours, not their values: what
    another run of kfold applied shows in the annotations.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    manager_hash: str | None
    deletion_timestamp: str | None
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.api_version, self.kind, self.namespace, self.name)


class LineStream(Protocol):
    """Log lines, as bytes without their end, until the container ends or somebody calls `close`, from any thread."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class ClusterStore(Protocol):
    """One cluster, reached by one context. All methods may be called from several threads at once.

    Every method raises ClusterError: unreachable, forbidden, refused. An error is never an empty answer.
    """

    def identity(self) -> ClusterIdentity:
        """Asked once; later calls answer from memory."""
        ...

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind live in a namespace. Raises UnknownKind."""
        ...

    def served_kinds(self) -> list[tuple[str, str]]:
        """(apiVersion, kind) of everything that can be listed and deleted, each group in the version that the cluster
        prefers."""
        ...

    def version_of(self, group: str, kind: str) -> str:
        """The apiVersion to ask for objects of this group ("" is the core group) and kind. Raises UnknownKind."""
        ...

    def list_kind(self, api_version: str, kind: str, namespace: str | None = None, *,
                  label_selector: str = "") -> list[ObjectState]:
        """All objects of one kind, in one namespace or (None) in all. Raises UnknownKind."""
        ...

    def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        """The object, or None where there is none of that name. Raises UnknownKind."""
        ...

    def apply(self, manifest: Mapping[str, Any], *, uid: str | None = None, force: bool = False,
              dry_run: bool = False, new: bool = False) -> ObjectState:
        """Server-side apply as FIELD_MANAGER; creates or changes. The server refuses unknown and duplicate fields.

        A namespaced manifest must say its namespace. `uid`: change the object with this UID only. `force`: take
        fields over from other managers. `new`: create only, and change nothing where one is (ClusterError 409; also
        where a try of ours got no answer). A `metadata.resourceVersion` in the manifest: change the object as it was
        then only (ClusterError 409). Raises FieldConflict, ObjectReplaced, UnknownKind.
        """
        ...

    def create(self, manifest: Mapping[str, Any]) -> ObjectState:
        """Creates an object that is not there yet. Its fields are FIELD_MANAGER's by an Update, so only what never changes
        belongs into it. Raises ClusterError 409 where the name is taken; also where a
        try of ours got no answer.
        """
        ...

    def patch(self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], *, manager: str) -> ObjectState:
        """A JSON patch (RFC 6902) under somebody's name in managedFields: all of it, or nothing.

        Raises ClusterError 422 where a `test` among the operations fails, 404 where there is no such object.
        """
        ...

    def delete(self, ref: ObjectRef, *, uid: str, propagation: Propagation = "Background",
               resource_version: str = "") -> Deletion:
        """Asks for the deletion of the object with this UID, and of nothing else. Does not wait.

        `resource_version`: as it was then only (ClusterError 409 where it was changed since)."""
        ...

    def pods(self, namespace: str, label_selector: str = "") -> list[dict[str, Any]]:
        """The Pods of a namespace as the API shows them."""
        ...

    def logs(self, namespace: str, pod: str, container: str, *, follow: bool = False, since_time: str | None = None,
             previous: bool = False, tail: int | None = None, timestamps: bool = False) -> LineStream:
        """A container's log. `since_time` is RFC 3339; `tail` counts lines; `previous`: of the run before."""
        ...

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], *,
                on_line: Callable[[str], None], stop: threading.Event) -> int:
        """Runs a command in a container to its end; its lines (both streams) go to `on_line`. Returns its exit code.

        Raises Interrupted when `stop` is set; the command may go on all the same.
        """
        ...

    def events(self, namespace: str, involved_uid: str | None = None) -> list[dict[str, Any]]:
        """Events of a namespace (of one object), oldest first."""
        ...

    def warm_up(self) -> None:
        """Starts loading in the background what the first change will need. Returns at once."""
        ...

    def close(self) -> None:
        """Closes all connections. The store can still be used: it opens new ones."""
        ...


def object_state(raw: Mapping[str, Any], *, api_version: str = "", kind: str = "") -> ObjectState:
    """Reads an API object. Items of a list lack apiVersion and kind on a real server: the caller gives them."""
    metadata = raw.get("metadata") or {}
    return ObjectState(
        api_version=raw.get("apiVersion") or api_version,
        kind=raw.get("kind") or kind,
        namespace=metadata.get("namespace") or "",
        name=metadata.get("name") or "",
        uid=metadata.get("uid") or "",
        resource_version=metadata.get("resourceVersion") or "",
        manager_hash=manager_hash(metadata.get("managedFields")),
        deletion_timestamp=metadata.get("deletionTimestamp"),
        finalizers=tuple(metadata.get("finalizers") or ()),
        annotations=metadata.get("annotations") or {},
        labels=metadata.get("labels") or {},
        raw=raw,
    )


def manager_hash(managed_fields: object) -> str | None:
    """SHA-256 of the `fieldsV1` of our own Apply entry (no sub-resource), or None where there is none."""
    for entry in managed_fields if isinstance(managed_fields, list) else ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            text = json.dumps(entry.get("fieldsV1") or {}, sort_keys=True, separators=(",", ":"))
            return hashlib.sha256(text.encode()).hexdigest()
    return None


def manifest_ref(manifest: Mapping[str, Any]) -> ObjectRef:
    """Which object a manifest is about. Raises ClusterError if apiVersion, kind or metadata.name is missing."""
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if not (isinstance(api_version, str) and isinstance(kind, str) and isinstance(name, str) and name):
        raise ClusterError("the manifest is no Kubernetes object: it needs apiVersion, kind and metadata.name",
                           code=400, reason="BadRequest")
    assert isinstance(metadata, Mapping)
    return ObjectRef(api_version, kind, str(metadata.get("namespace") or ""), name)
