"""Images into nodes, beside what kind does (`docker save` into `ctr images import`), in the same run on the same nodes.

`python -m tests.bench.loading [MB]`: needs an engine; makes its own nodes and images, and removes them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kfold.plan.facts import Facts, Target
from kfold.session import Options, Session
from kfold.stores.cluster_interface import ObjectState
from kfold.verbs.node_loads import Loads
from kfold.verbs.world import Run, Tagged
from tests.bench.table import Row, print_table
from tests.engine import docker
from tests.nodes.node import TestNode, cluster_name, node, node_image

TIMES = 3


class NoNodes:
    """A cluster that lists no Node objects: this is no measurement of an API server."""

    def list_kind(self, *arguments: object, **options: object) -> list[ObjectState]:
        return []


class Bench:
    """`base`: an image of `size` bytes in one layer. Each image that is made from it has one small layer more."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size, self._made = folder, size, 0
        self.token = f"kfold-bench-{os.getpid()}"
        self.images: list[str] = []

    def base(self) -> str:
        """A new base: no engine knows its digest."""
        with (self.folder / "big").open("wb") as file:
            for _ in range(self.size // 1_000_000):
                file.write(os.urandom(1_000_000))
        return self._build("FROM scratch\nCOPY big /big\n")

    def small(self, base: str) -> str:
        (self.folder / "small").write_bytes(os.urandom(20_000))
        return self._build(f"FROM {base}\nCOPY small /small\n")

    def _build(self, dockerfile: str) -> str:
        self._made += 1
        name = f"{self.token}:{self._made}"
        (self.folder / "Dockerfile").write_text(dockerfile)
        docker("build", "-q", "-t", name, str(self.folder), seconds=600)
        self.images.append(name)
        return name

    def load(self, cluster: str, *images: str) -> float:
        """The time of kfold's load: its questions, its ledger, the transfer."""
        with tempfile.TemporaryDirectory(dir=self.folder) as project:
            # CI: priming is measured by itself, and not at work beside what is measured
            session = Session(Options(), folder=Path(project), environment={**os.environ, "CI": "true"})
            target = Target("kind", "kind", ("bench",), "default", (), "load", cluster=cluster, unpushed="load")
            run = Run(session.world, Facts(target))
            run.__dict__["cluster"] = NoNodes()
            # the steps before a load have asked the engine who it is, and for the image
            session.world.engine.identity(), session.world.engine.address(), session.world.engine.image(images[0])
            begin = time.perf_counter()
            Loads(run).load([Tagged(image, image, (image,)) for image in images])
            taken = time.perf_counter() - begin
            again = Run(session.world, Facts(target))
            begin = time.perf_counter()
            loads = Loads(again)
            assert all(loads.present(Tagged(image, image, (image,))) for image in images)
            self.present = time.perf_counter() - begin
            session.close()
        return taken


def kind(image: str, one: TestNode) -> float:
    """kind's own pipeline."""
    begin = time.perf_counter()
    save = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    load = ["ctr", "-n", "k8s.io", "images", "import", "--all-platforms", "--digests", "-"]
    subprocess.run(["docker", "exec", "-i", one.id, *load], stdin=save.stdout, stdout=subprocess.DEVNULL, check=True)
    save.wait()
    return time.perf_counter() - begin


def emptied(*nodes: TestNode) -> None:
    for one in nodes:
        if names := list(one.images()):
            one.ctr("images", "rm", "--sync", *names)


def best(measure: Callable[[], float]) -> float:
    """The least of some: whatever else the machine does only adds."""
    return min(measure() for _ in range(TIMES))


def learnt(image: str) -> float:
    """The engine learns the digests of an image's layers, as by any push: what kfold's priming does, in the background."""
    from kfold.stores.push_endpoint import Endpoint

    begin = time.perf_counter()
    with Endpoint(None) as endpoint:
        docker("tag", image, endpoint.name("1"))
        docker("push", "-q", endpoint.name("1"), seconds=600)
        docker("rmi", endpoint.name("1"))
    return time.perf_counter() - begin


@contextmanager
def prepared(folder: Path, size: int) -> Iterator[tuple[Bench, TestNode, TestNode, TestNode]]:
    bench = Bench(folder, size)
    with ExitStack() as stack:
        image = stack.enter_context(node_image("bookworm"))
        one, two = cluster_name(), cluster_name()
        nodes = [node(image, one), node(image, two), node(image, two, "kind", "worker")]
        first, second, third = (stack.enter_context(made) for made in nodes)
        try:
            yield bench, first, second, third
        finally:
            docker("rmi", *bench.images, check=False)


def main(megabytes: int) -> None:
    rows = []
    folder = tempfile.TemporaryDirectory(prefix="kfold-bench-")
    with folder as name, prepared(Path(name), megabytes * 1_000_000) as (bench, one, two, three):
        print(f"making images of {megabytes} MB...", flush=True)
        base = bench.base()
        image = bench.small(base)

        def first(cluster: str, *nodes: TestNode) -> float:
            emptied(*nodes)
            return bench.load(cluster, image)

        def theirs_first() -> float:
            emptied(one)
            return kind(image, one)

        first(one.cluster, one)  # warms the page cache for both
        theirs = best(theirs_first)
        ours = best(lambda: first(one.cluster, one))
        rows.append(Row("first load, base made here", ours, "<= 1.0 x", theirs, "save | import"))
        both = best(lambda: first(two.cluster, two, three))
        rows.append(Row("first load, two nodes", both, "<= 1.7 x", ours, "one node"))
        rows.append(Row("priming, in the background", learnt(image)))
        theirs = best(lambda: kind(bench.small(base), one))
        ours = best(lambda: bench.load(one.cluster, bench.small(base)))
        rows.append(Row("one small layer changed", ours, "<= 1/30", theirs, "save | import"))
        both = best(lambda: bench.load(two.cluster, bench.small(base)))
        rows.append(Row("one small layer, two nodes", both, "<= 1.2 x", ours, "one node"))
        ten = [bench.small(base) for _ in range(10)]
        rows.append(Row("10 images, a small layer each", bench.load(one.cluster, *ten)))
        there: list[float] = []
        for _ in range(TIMES):
            bench.load(one.cluster, *ten)
            there.append(bench.present)
        rows.append(Row("10 images, already there", min(there), "<= 0.1 s"))
        emptied(one, two, three)
    print_table(rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 800)
