"""`ctr images import` in nodes: one archive into one, or one stream into several at once."""

from __future__ import annotations

import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from kfold.errors import Interrupted
from kfold.stores import node_scripts
from kfold.stores.node_interface import Entry

if TYPE_CHECKING:
    from kfold.stores.nodes import ContainerNodes


def copies(read: Callable[[], bytes], ids: Sequence[str]) -> dict[str, Iterable[bytes]]:
    """A stream, once for each node. A node that no longer reads holds nobody up."""
    if len(ids) == 1:
        return {ids[0]: iter(read, b"")}
    queues = {id_: queue.Queue[bytes](16) for id_ in ids}
    ended: set[str] = set()

    def pump() -> None:
        data = b"-"
        while data and len(ended) < len(ids):
            try:
                data = read()
            except (OSError, ValueError):
                data = b""
            for id_, one in queues.items():
                while id_ not in ended:
                    with suppress(queue.Full):
                        one.put(data, timeout=0.1)
                        break

    def copy(id: str) -> Iterator[bytes]:
        try:
            while data := queues[id].get():
                yield data
        finally:
            ended.add(id)

    threading.Thread(target=pump, daemon=True).start()
    return {id_: copy(id_) for id_ in ids}


class Import:
    """`ctr images import` in one node."""

    def __init__(self, nodes: ContainerNodes, id: str, names: Sequence[str], mark: str) -> None:
        self._nodes = nodes
        self._id = id
        environment = ["--env", f"{node_scripts.MARK}={mark}"] if mark else []
        shell = ["sh", "-c", node_scripts.IMPORT, "kfold", *names]
        self._command = ["docker", "exec", "--interactive", *environment, id, *shell]

    def run(
        self,
        archive: Iterable[bytes],
        progress: Callable[[int], None] = lambda size: None,
        stop: threading.Event | None = None,
    ) -> Mapping[str, Entry]:
        """Feed it the archive; the node's names after it. Raises NodeError, or Interrupted."""
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=answer,
                stderr=errors,
                env={**os.environ, **self._nodes.environment},
                start_new_session=True,
            )
            assert child.stdin is not None
            parts = iter(archive)
            try:
                with suppress(BrokenPipeError), child.stdin as stdin:
                    for data in parts:
                        if stop is not None and stop.is_set():
                            raise Interrupted("stopped while images were loaded")
                        stdin.write(data)
                        progress(len(data))
                code = child.wait()
            finally:
                if isinstance(parts, Iterator) and hasattr(parts, "close"):
                    parts.close()
                child.kill()
                child.wait()
            answer.seek(0)
            errors.seek(0)
            if code:
                raise self._nodes.failure(self._id, errors.read().decode(errors="replace"))
            found = node_scripts.sections(answer.read().decode(errors="replace"))
            return node_scripts.entries(found.get("@images", []))
