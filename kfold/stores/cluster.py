"""A Kubernetes cluster. The interface and its values are re-exported here from `cluster_interface`."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kfold.stores import container_exec
from kfold.stores.cluster_interface import (
    FIELD_MANAGER,
    ClusterError,
    ClusterIdentity,
    ClusterStore,
    Deletion,
    FieldConflict,
    LineStream,
    ObjectRef,
    ObjectReplaced,
    ObjectState,
    OwnedField,
    Propagation,
    UnknownKind,
    manifest_ref,
    object_state,
)
from kfold.stores.connection import proxy_for
from kfold.stores.credentials import Credentials
from kfold.stores.discovery import Discovery
from kfold.stores.http import HttpTransport, Transport
from kfold.stores.kinds import Kind
from kfold.stores.kubeconfig import ContextEntry
from kfold.stores.official import OfficialClient

__all__ = [
    "FIELD_MANAGER",
    "Cluster",
    "ClusterError",
    "ClusterIdentity",
    "ClusterStore",
    "Deletion",
    "FieldConflict",
    "LineStream",
    "ObjectRef",
    "ObjectReplaced",
    "ObjectState",
    "OwnedField",
    "Propagation",
    "UnknownKind",
    "manifest_ref",
    "object_state",
]

_NEVER = "1"
"""A resourceVersion that no object has (etcd's first write is revision 2). A server compares it with the object that is
there; where it makes one it does not look at it (apiserver: registry/generic/registry/store.go, Store.Update). Servers
before 1.23 refuse a Service with it (kubernetes/kubernetes#106745)."""

_PAGE = 500
"""Objects a page of a list; kubectl's number."""


class Cluster:
    """The cluster of one kubeconfig context; keeps the contract of ClusterStore. Thread-safe.

    `cache`: the folder where the kinds of custom resources are kept, a file a cluster; None keeps them in memory.
    `environment`: for credential plugins and proxies; the process's own by default.
    """

    def __init__(self, entry: ContextEntry, *, cache: Path | None = None,
                 environment: Mapping[str, str] | None = None) -> None:
        self._entry = entry
        environment = os.environ if environment is None else environment
        self._credentials = credentials = Credentials(entry, environment)
        self._proxy = proxy = proxy_for(entry, environment)
        self._official = OfficialClient(entry, credentials, proxy=proxy)
        ours = entry.supported and (not proxy or proxy.startswith("http://"))
        self._transport: Transport = HttpTransport(entry, credentials, proxy=proxy) if ours else self._official
        self._lock = threading.Lock()
        self._identity: ClusterIdentity | None = None
        self._cache = cache
        self._kinds = Discovery(self._transport, self._cache_file)

    def identity(self) -> ClusterIdentity:
        with self._lock:
            if self._identity is None:
                self._identity = ClusterIdentity(self._ask_uid(), self._entry.server, self._entry.name)
            return self._identity

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        return self._kind(api_version, kind).namespaced

    def served_kinds(self) -> list[tuple[str, str]]:
        return self._kinds.served()

    def version_of(self, group: str, kind: str) -> str:
        return self._kinds.version_of(group, kind)

    def list_kind(self, api_version: str, kind: str, namespace: str | None = None, *,
                  label_selector: str = "") -> list[ObjectState]:
        found = self._list(self._kind(api_version, kind), namespace, label_selector=label_selector)
        return [object_state(item, api_version=api_version, kind=kind) for item in found]

    def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        kind = self._kind(ref.api_version, ref.kind)
        try:
            return self._transport.request("GET", kind.path(ref.namespace, ref.name), doing=f"get {ref}")
        except UnknownKind:
            self._kinds.forget(ref.api_version, ref.kind)
            raise
        except ClusterError as error:
            if error.code == 404:
                return None
            raise

    def apply(self, manifest: Mapping[str, Any], *, uid: str | None = None, force: bool = False,
              dry_run: bool = False, new: bool = False) -> ObjectState:
        ref = manifest_ref(manifest)
        kind = self._kind(ref.api_version, ref.kind)
        if kind.namespaced and not ref.namespace:
            raise ClusterError(f"apply {ref}: the manifest says no namespace", code=400, reason="BadRequest")
        if uid is not None:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
        if new:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _NEVER}}
        return object_state(self._official.apply(kind, manifest, force=force, dry_run=dry_run, doing=f"apply {ref}"))

    def create(self, manifest: Mapping[str, Any]) -> ObjectState:
        ref = manifest_ref(manifest)
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
        path = self._kind(ref.api_version, ref.kind).path(ref.namespace)
        return object_state(self._transport.request("POST", path, query, manifest, doing=f"create {ref}"))

    def patch(self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], *, manager: str) -> ObjectState:
        kind = self._kind(ref.api_version, ref.kind)
        return object_state(self._official.patch(kind, ref, operations, manager=manager, doing=f"put back {ref}"))

    def delete(self, ref: ObjectRef, *, uid: str, propagation: Propagation = "Background",
               resource_version: str = "") -> Deletion:
        try:
            kind = self._kind(ref.api_version, ref.kind)
            return self._delete(kind, ref, uid, propagation, resource_version)
        except UnknownKind:
            # the version is not served any more, but the object may live on in another one; where none is left the
            # definition was deleted, and with it every object of the kind
            others = self._kinds.other_versions(ref.api_version, ref.kind)
            return self._delete(others[0], ref, uid, propagation, resource_version) if others else "gone"

    def pods(self, namespace: str, label_selector: str = "") -> list[dict[str, Any]]:
        return self._list(self._kind("v1", "Pod"), namespace, label_selector=label_selector)

    def logs(self, namespace: str, pod: str, container: str, *, follow: bool = False, since_time: str | None = None,
             previous: bool = False, tail: int | None = None, timestamps: bool = False) -> LineStream:
        query = [("container", container)]
        query += [(name, "true") for name, wanted in
                  (("follow", follow), ("previous", previous), ("timestamps", timestamps)) if wanted]
        if since_time is not None:
            query.append(("sinceTime", since_time))
        if tail is not None:
            query.append(("tailLines", str(tail)))
        path = self._kind("v1", "Pod").path(namespace, pod) + "/log"
        return self._transport.stream(path, query, doing=f"read the log of pod/{pod} in {namespace}")

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], *,
                on_line: Callable[[str], None], stop: threading.Event) -> int:
        path = self._kind("v1", "Pod").path(namespace, pod)
        return container_exec.execute(self._entry, self._credentials, self._proxy, path, container, command,
                                      on_line=on_line, stop=stop, doing=f"run a command in pod/{pod} in {namespace}")

    def events(self, namespace: str, involved_uid: str | None = None) -> list[dict[str, Any]]:
        selector = f"involvedObject.uid={involved_uid}" if involved_uid else ""
        found = self._list(self._kind("v1", "Event"), namespace, field_selector=selector)
        return sorted(found, key=_event_time)

    def warm_up(self) -> None:
        self._official.warm_up()

    def close(self) -> None:
        self._transport.close()
        self._official.close()

    # --- one request each ---------------------------------------------------------------------------------------

    def _list(self, kind: Kind, namespace: str | None, *, label_selector: str = "",
              field_selector: str = "") -> list[dict[str, Any]]:
        """All items, page by page. A list that expires in between (410) starts again, without pages."""
        where = f" in {namespace}" if namespace else ""
        query = [(name, value) for name, value in
                 (("labelSelector", label_selector), ("fieldSelector", field_selector)) if value]
        items: list[dict[str, Any]] = []
        page = [("limit", str(_PAGE))]
        while True:
            try:
                answer = self._transport.request("GET", kind.path(namespace), [*query, *page],
                                                 doing=f"list {kind.plural}{where}")
            except UnknownKind:
                self._kinds.forget(kind.api_version, kind.kind)
                raise
            except ClusterError as error:
                if error.code != 410 or not page:
                    raise
                items, page = [], []
                continue
            items += answer.get("items") or ()
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                # items of a list carry no apiVersion and kind of their own
                return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in items]
            page = [("limit", str(_PAGE)), ("continue", token)]

    def _delete(self, kind: Kind, ref: ObjectRef, uid: str, propagation: Propagation, version: str) -> Deletion:
        path = kind.path(ref.namespace, ref.name)
        conditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation,
                   "preconditions": conditions}
        try:
            self._transport.request("DELETE", path, body=options, doing=f"delete {ref}")
        except UnknownKind:
            raise
        except ClusterError as error:
            if error.code == 404:
                return "gone"
            if error.code != 409:
                raise
            # a conflict says that something changed, not what: look whose the name is now
            now = self.get(ObjectRef(kind.api_version, kind.kind, ref.namespace, ref.name))
            if now is None:
                return "gone"
            if now["metadata"]["uid"] != uid:
                return "replaced"
            raise
        return "requested"

    def _ask_uid(self) -> str:
        try:
            found = self._transport.request("GET", "/api/v1/namespaces/kube-system", doing="ask which cluster this is")
        except ClusterError as error:
            if error.code not in (403, 404):
                raise
            text = self._entry.server.encode() + b"\0" + (self._entry.ca or b"")
            return f"endpoint:{hashlib.sha256(text).hexdigest()}"
        return str(found["metadata"]["uid"])

    def _kind(self, api_version: str, kind: str) -> Kind:
        return self._kinds.find(api_version, kind)

    def _cache_file(self) -> Path | None:
        if self._cache is None:
            return None
        # by the cluster and not by its address: the next cluster on the same loopback port serves other kinds
        name = hashlib.sha256(self.identity().uid.encode()).hexdigest()[:16]
        return self._cache / f"kinds-{name}.json"


def _event_time(event: Mapping[str, Any]) -> str:
    """When an event last happened; RFC 3339 in UTC sorts as text. Events of the newer API have `eventTime` alone."""
    metadata = event.get("metadata") or {}
    return str(event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp") or "")
