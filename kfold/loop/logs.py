"""Log lines of the application's containers, as they come, each with its container's name before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kfold.errors import KfoldError
from kfold.events import Event, Report
from kfold.stores.cluster_interface import ClusterStore, LineStream

POLL = 0.3
"""Seconds between two looks for new containers."""


@dataclass(frozen=True)
class Followed:
    """Which Pods are the application's: those that run one of `images` or are themselves deployed (`uids`)."""

    namespaces: frozenset[str]
    images: frozenset[str]
    uids: frozenset[str]


class LogTail:
    """Follows the containers of the application until it is closed. A log that breaks off is taken up again."""

    def __init__(self, cluster: ClusterStore, followed: Callable[[], Followed], report: Report) -> None:
        self._cluster = cluster
        self._followed = followed
        self._report = report
        self._since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._end = threading.Event()
        self._mutex = threading.Lock()
        self._streams: dict[str, LineStream | None] = {}
        self._threads: list[threading.Thread] = []
        self._looker = threading.Thread(target=self._look, daemon=True)

    def start(self) -> None:
        self._looker.start()

    def close(self) -> None:
        """End all streams; what has arrived is printed."""
        self._end.set()
        with self._mutex:
            streams = [stream for stream in self._streams.values() if stream is not None]
        for stream in streams:
            stream.close()
        for thread in [self._looker, *self._threads]:
            if thread.is_alive():
                thread.join(2)

    def _look(self) -> None:
        while not self._end.is_set():
            followed = self._followed()
            for namespace in followed.namespaces:
                try:
                    pods = self._cluster.pods(namespace)
                except KfoldError:
                    continue  # the next look asks again; a deploy tells what is wrong with the cluster
                for pod in pods:
                    if _is_followed(pod, followed):
                        for name, container_id in containers(pod):
                            self._follow(pod, name, container_id)
            self._end.wait(POLL)

    def _follow(self, pod: dict[str, Any], container: str, container_id: str) -> None:
        with self._mutex:
            if container_id in self._streams:
                return
            self._streams[container_id] = None
        thread = threading.Thread(target=self._print, args=(pod["metadata"], container, container_id), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _print(self, pod: dict[str, Any], container: str, container_id: str) -> None:
        try:
            stream = self._cluster.logs(pod["namespace"], pod["name"], container, follow=True, since_time=self._since)
            with self._mutex:
                self._streams[container_id] = stream
            if self._end.is_set():
                stream.close()
            for line in stream:
                self._report(Event("output", line.decode(errors="replace"), container))
        except KfoldError:
            # the container is gone, or not there yet: a later look takes it up again
            with self._mutex:
                self._streams.pop(container_id, None)


def _is_followed(pod: dict[str, Any], followed: Followed) -> bool:
    if pod["metadata"].get("uid") in followed.uids:
        return True
    spec = pod.get("spec") or {}
    images = {c.get("image") for kind in ("containers", "initContainers") for c in spec.get(kind) or ()}
    return bool(images & followed.images)


def containers(pod: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, ID) of the containers of a Pod that were started: each run of a container has an ID of its own."""
    status = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            if container.get("containerID") and "waiting" not in (container.get("state") or {}):
                yield str(container["name"]), str(container["containerID"])
