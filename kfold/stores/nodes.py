"""The nodes of kind and k3d: containers of this engine, spoken to by commands that run in them, without `--privileged`.

Their containerd is asked itself. What the cluster reports of a node (`status.images`) is no answer: the kubelet lists 50
images at most, and late.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from kfold.plan.reference import parse
from kfold.stores import image_archive, node_scripts, process
from kfold.stores.engine_interface import EngineError
from kfold.stores.engine_socket import NoAnswer, socket_of
from kfold.stores.node_interface import (
    Contents,
    Entry,
    LoadRequest,
    Moved,
    Node,
    NodeError,
    NodeImage,
    NodeStopped,
    User,
)

LABELS = {
    "kind": ("io.x-k8s.kind.cluster", "io.x-k8s.kind.role", ("control-plane", "worker")),
    "k3d": ("k3d.cluster", "k3d.role", ("server", "agent")),
}
"""Kind of cluster -> the labels of its containers: its name, the role, and the roles that run Pods. (Others are load
balancers and registries; kind: pkg/cluster/constants, k3d: pkg/types.)"""

_NAMED = [label for labels in LABELS.values() for label in labels[:2]]
_COLUMNS = "\t".join(["{{.Names}}", "{{.ID}}", "{{.State}}", *(f'{{{{.Label "{label}"}}}}' for label in _NAMED)])


class ContainerNodes:
    """The nodes that are containers of the engine that `environment` (DOCKER_HOST, DOCKER_CONTEXT) leads to."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = dict(environment or {})
        self._names: dict[str, str] = {}
        self._socket = socket_of({**os.environ, **self.environment})

    # which there are

    def nodes(self, kind: str, cluster: str) -> list[Node]:
        return [node for node in self._listed("label", f"{LABELS[kind][0]}={cluster}") if node.kind == kind]

    def node(self, id: str) -> Node | None:
        return next(iter(self._listed("id", id)), None)

    def _listed(self, field: str, value: str) -> list[Node]:
        found = []
        for name, id_, state, known in self._rows(field, value):
            for kind, (cluster, role, roles) in LABELS.items():
                if known.get(cluster) and known.get(role) in roles:
                    found.append(Node(name, id_, kind, known[cluster], state))
            self._names[id_] = name
        return sorted(found)

    def _rows(self, field: str, value: str) -> list[tuple[str, str, str, dict[str, str]]]:
        """Name, ID, state and labels of the containers that fit."""
        if self._socket is not None:
            with suppress(NoAnswer):
                query = {"all": "1", "filters": json.dumps({field: [value]})}
                status, rows = self._socket.ask("GET", "/containers/json", query)
                if status == 200:
                    named = [row for row in rows if row["Names"]]  # one that is being removed has none
                    return [(row["Names"][0].lstrip("/"), row["Id"], row["State"], row["Labels"]) for row in named]
        listing = ("ps", "--all", "--no-trunc", "--filter", f"{field}={value}", "--format", _COLUMNS)
        lines = (line.split("\t") for line in self.docker(*listing).splitlines())
        return [(name, id_, state, dict(zip(_NAMED, labels, strict=True))) for name, id_, state, *labels in lines]

    # what is in them

    def look(self, id: str, manifests: Sequence[str] = (), *, blobs: bool = False) -> Contents:
        return node_scripts.contents(self.ask(id, node_scripts.HOLDINGS if blobs else node_scripts.LOOK, *manifests))

    def users(self, id: str) -> list[User]:
        return node_scripts.users(self.run(id, node_scripts.USERS))

    def images(self, sources: Sequence[str]) -> list[NodeImage]:
        return [
            NodeImage(
                name=str(parse(source)),
                source=source,
                id=image["Id"],
                layers=tuple(image["RootFS"].get("Layers") or ()),
                size=int(image.get("Size") or 0),
                platform=f"{image['Os']}/{image['Architecture']}",
            )
            for source, image in zip(sources, self._inspected(sources), strict=True)
        ]

    def _inspected(self, sources: Sequence[str]) -> list[Any]:
        if self._socket is not None:
            with suppress(NoAnswer):
                told = [self._socket.ask("GET", f"/images/{quote(source, safe='/:@')}/json") for source in sources]
                if all(status == 200 for status, _ in told):
                    return [image for _, image in told]
        try:
            found: list[Any] = json.loads(
                process.answer(["docker", "image", "inspect", *sources], environment=self.environment)
            )
        except process.ChildFailed as error:
            raise EngineError(f"the engine does not have an image that is to be loaded: {error.message}") from error
        return found

    # what changes them

    def load(self, request: LoadRequest, stop: threading.Event) -> Moved:
        from kfold.stores.node_loading import Loading  # a run with nothing to load does without

        return Loading(self, request, stop).run()

    def remove(self, id: str, names: Sequence[str]) -> None:
        left = node_scripts.entries(node_scripts.sections(self.run(id, node_scripts.REMOVE, *names)).get("@images", []))
        if still := [name for name in names if name in left]:
            raise NodeError(f"node {self.name(id)} does not let go of {', '.join(still)}")

    def keep(self, id: str, digest: str, kept: bool) -> None:
        self.run(id, node_scripts.KEEP, digest, "kfold" if kept else "")

    def point(self, id: str, name: str, entry: Entry) -> None:
        size = int(self.run(id, node_scripts.SIZE, entry.digest).strip() or 0)
        names = {name: (image_archive.Blob(entry.digest, size), entry.media_type)}
        self.feed(id, [name], b"".join(image_archive.archive(names, [])))

    def end_load(self, id: str, mark: str) -> None:
        self.run(id, node_scripts.END_LOAD, mark)

    # talking to one

    def name(self, id: str) -> str:
        """The container's name, as far as it is known."""
        return self._names.get(id) or id[:12]

    def _asked_name(self, id: str) -> str:
        """The container's name, for a message: asked where no list of nodes has told it."""
        with suppress(EngineError):
            self._names.setdefault(id, self.docker("inspect", "--format", "{{.Name}}", id).strip().lstrip("/"))
        return self.name(id)

    def ask(self, id: str, script: str, *arguments: str) -> str:
        """As `run`, for a script that changes nothing: over the engine's socket, where there is one, 0.05 s sooner."""
        with suppress(NoAnswer):
            if self._socket is not None:
                code, output, errors = self._socket.run(id, ["sh", "-c", script, "kfold", *arguments])
                if code:
                    raise self.failure(id, errors)
                return output
        return self.run(id, script, *arguments)

    def run(self, id: str, script: str, *arguments: str) -> str:
        """The answer to a script that runs in a node. Raises NodeError."""
        command = ["docker", "exec", id, "sh", "-c", script, "kfold", *arguments]
        try:
            return process.answer(command, environment=self.environment)
        except process.ChildFailed as error:
            raise self.failure(id, "\n".join(error.output)) from error

    def feed(self, id: str, names: Sequence[str], archive: bytes) -> None:
        """Have a node import an archive."""
        from kfold.stores.node_import import Import

        Import(self, id, names, "").run([archive])

    def docker(self, *arguments: str) -> str:
        """The answer of the docker client. Raises EngineError."""
        try:
            return process.answer(["docker", *arguments], environment=self.environment)
        except process.ChildFailed as error:
            raise EngineError(f"the Docker Engine refused: {error.message}") from error

    def failure(self, id: str, text: str) -> NodeError:
        """What the words of docker and ctr mean."""
        name, last = self._asked_name(id), (text.strip().splitlines() or ["no message"])[-1]
        if "is not running" in last:
            return NodeStopped(f"node {name} does not run", hint=f"Start it (`docker start {name}`), then run this again.")
        if "is paused" in last:
            hint = f"Let it go on (`docker unpause {name}`), then run this again."
            return NodeStopped(f"node {name} is paused", hint=hint)
        if "No such container" in last:
            return NodeError(f"node {name} is gone", hint="Run this again: it goes by the nodes that there are then.")
        if re.search(r"failed to dial|connect: |context deadline exceeded|containerd\.sock", text):
            hint = f"Start it again (`docker restart {name}`), then run this again."
            return NodeStopped(f"containerd in node {name} does not answer", hint=hint)
        if "no space left on device" in text:
            hint = f"`doit prune` removes superseded images (`docker exec {name} df -h`). Then run this again."
            return NodeError(f"the disk of node {name} is full", hint=hint)
        return NodeError(f"node {name}: {last.removeprefix('ctr: ')}")
