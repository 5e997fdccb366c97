"""Which kinds a cluster serves, asked as little as possible: a built-in table, a file, then one request a group."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfold.stores.cluster_interface import ClusterError, UnknownKind
from kfold.stores.http import Transport
from kfold.stores.kinds import BUILTIN, Kind, group_of, group_path


class Discovery:
    """Looks kinds up. Thread-safe. `cache_file` names a file of our own for this very cluster, None for memory alone;
    it is asked only when the built-in table does not know.

    The file is never believed when it says no: an unknown kind is asked anew, so a CRD installed a second ago is found.
    It is not believed either when it cannot be read: then it is written anew.
    """

    def __init__(self, transport: Transport, cache_file: Callable[[], Path | None]) -> None:
        self._transport = transport
        self._cache_file = cache_file
        self._cache: Path | None = None
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Kind] | None = None

    def find(self, api_version: str, kind: str) -> Kind:
        """Raises UnknownKind, ClusterError."""
        builtin = BUILTIN.get((api_version, kind))
        if builtin is not None:
            return builtin
        with self._lock:
            if self._known is None:
                self._known = self._load()
            found = self._known.get((api_version, kind))
            if found is None:
                served = self._ask(api_version)
                self._known.update(served)
                found = served.get((api_version, kind))
                if found is None:
                    kinds = ", ".join(sorted(name for _, name in served))
                    raise UnknownKind(f"the cluster does not know the kind {kind} of {api_version}",
                                      hint=f"{api_version} has {kinds}" if kinds else
                                      "is its CustomResourceDefinition installed, and the apiVersion right?")
                self._save()
            return found

    def version_of(self, group: str, kind: str) -> str:
        """The apiVersion of a kind, the cluster's preferred one first. Raises UnknownKind, ClusterError."""
        for api_version, name in BUILTIN:
            if (group_of(api_version), name) == (group, kind):
                return api_version
        with self._lock:
            if self._known is None:
                self._known = self._load()
            for api_version, name in self._known:
                if (group_of(api_version), name) == (group, kind):
                    return api_version
        unknown = UnknownKind(f"the cluster does not know the kind {kind} of {group or 'the core group'}",
                              hint="was its CustomResourceDefinition removed?")
        if not group:
            raise unknown
        try:
            answer = self._transport.request("GET", f"/apis/{group}", doing=f"ask for the versions of {group}")
        except UnknownKind:
            raise unknown from None
        versions = [answer.get("preferredVersion") or {}, *(answer.get("versions") or ())]
        for version in dict.fromkeys(str(entry.get("groupVersion")) for entry in versions):
            if (version, kind) in self._ask(version):
                return version
        raise unknown

    def other_versions(self, api_version: str, kind: str) -> list[Kind]:
        """The same kind in other versions of its group, for an object whose version is not served any more."""
        group = group_of(api_version)
        if not group:
            return []
        try:
            answer = self._transport.request("GET", f"/apis/{group}", doing=f"ask for the versions of {group}")
        except UnknownKind:
            return []
        found = []
        for version in answer.get("versions") or ():
            name = str(version.get("groupVersion"))
            if name != api_version and (other := self._ask(name).get((name, kind))) is not None:
                found.append(other)
        return found

    def served(self) -> list[tuple[str, str]]:
        """(apiVersion, kind) of all that can be listed and deleted (metrics cannot), asked anew: one request a version of a
        group, since some kinds are in a version alone that is not the preferred one. Each kind once.

        Raises ClusterError."""
        answer = self._transport.request("GET", "/apis", doing="ask which kinds there are")
        versions = ["v1"]
        for group in answer.get("groups") or ():
            first = str(group["preferredVersion"]["groupVersion"])
            versions += dict.fromkeys([first, *(str(one["groupVersion"]) for one in group.get("versions") or ())])
        found: dict[tuple[str, str], str] = {}
        for version in versions:
            listed = self._transport.request("GET", group_path(version), doing=f"ask for the kinds of {version}")
            for entry in listed.get("resources") or ():
                if "/" not in entry["name"] and {"list", "delete"} <= set(entry.get("verbs") or ()):
                    found.setdefault((version.rpartition("/")[0], str(entry["kind"])), version)
        return [(version, kind) for (_, kind), version in found.items()]

    def forget(self, api_version: str, kind: str) -> None:
        """The cluster answered that it does not serve this kind after all (a CRD was removed)."""
        with self._lock:
            if self._known is not None and self._known.pop((api_version, kind), None) is not None:
                self._save()

    def _ask(self, api_version: str) -> dict[tuple[str, str], Kind]:
        try:
            answer = self._transport.request("GET", group_path(api_version),
                                             doing=f"ask for the kinds of {api_version}")
        except UnknownKind:
            return {}
        # names with a slash are sub-resources (deployments/scale)
        return {(api_version, entry["kind"]): Kind(api_version, entry["kind"], entry["name"], bool(entry["namespaced"]))
                for entry in answer.get("resources") or () if "/" not in entry["name"]}

    def _load(self) -> dict[tuple[str, str], Kind]:
        self._cache = self._cache_file()
        if self._cache is None:
            return {}
        try:
            entries: Any = json.loads(self._cache.read_text())
            kinds = [Kind(str(a), str(k), str(p), bool(n)) for a, k, p, n in entries]
        except (OSError, ValueError, TypeError):
            return {}
        return {(kind.api_version, kind.kind): kind for kind in kinds}

    def _save(self) -> None:
        if self._cache is None or self._known is None:
            return
        entries = [[kind.api_version, kind.kind, kind.plural, kind.namespaced] for kind in self._known.values()]
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self._cache.parent, prefix=self._cache.name)
            with os.fdopen(handle, "w") as file:
                json.dump(entries, file)
            Path(draft).replace(self._cache)  # two processes may write at once: each file is whole
        except OSError as error:
            raise ClusterError(f"the discovery cache {self._cache} cannot be written: {error.strerror}") from None
