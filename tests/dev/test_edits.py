"""`doit dev`: the first deploy, log lines, and edits that arrive; only what changed is done again."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.engine import Running, wait_until
from tests.scenarios.application import (
    Application,
    ApplicationFactory,
    ExampleFactory,
    container,
    count,
    workload,
)

WATCHING = "Watching for changes..."


def save(path: Path, text: str) -> None:
    """As editors do: another file, renamed over the first."""
    other = path.with_name(f".{path.name}.swp")
    other.write_text(text, encoding="utf-8")
    other.replace(path)


def iterations(dev: Running) -> int:
    return dev.output.count(WATCHING)


def test_edits_of_every_kind(application: ApplicationFactory) -> None:
    app = application()
    folder = app.project.folder
    app.project.write("data/deep/more.txt", "one\n")
    app.project.replace("Dockerfile", "CMD", "COPY data /app/data\nCMD")
    app.project.replace("app.sh", "    sleep", '    echo "$MODE: $(cat /app/data/deep/*.txt)"\n    sleep')
    app.project.write(".dockerignore", "*.log\n")
    app.project.write("data/noise.log", "ignored\n")
    app.deploys(workload("Deployment", "hello", container("hello", app.name)))

    dev = app.dev()
    dev.wait_for("[hello] Hello, world!")
    dev.wait_for(WATCHING)
    assert iterations(dev) == 1
    assert app.place.there("deployments", "hello")["status"]["availableReplicas"] == 1

    save(folder / "greeting.txt", "Hello, rename!\n")
    dev.wait_for("[hello] Hello, rename!")
    save(folder / "data" / "deep" / "more.txt", "two\n")
    dev.wait_for("[hello] : two")
    (folder / "data" / "deep" / "new.txt").write_text("added\n")
    dev.wait_for("[hello] added")
    (folder / "data" / "deep" / "new.txt").unlink()
    wait_until(lambda: iterations(dev) == 5, "the iteration after a file was deleted", tell=lambda: dev.output)
    save(folder / "Dockerfile", app.project.read("Dockerfile").replace("COPY data", "ENV MODE=loud\nCOPY data"))
    dev.wait_for("[hello] loud: two")
    wait_until(lambda: iterations(dev) == 6, "the iteration's end", tell=lambda: dev.output)

    # a manifest: deployed again, nothing built
    images, behind = app.images(), len(dev.output)
    app.deploys(workload("Deployment", "hello", container("hey", app.name)))
    dev.wait_for("[hey] loud: two", after=behind)
    wait_until(lambda: iterations(dev) == 7, "the iteration's end", tell=lambda: dev.output)
    assert app.images() == images and "Building" not in dev.output[behind:]

    # what no build reads: nothing at all. The edit behind it is the only one that is seen.
    behind = len(dev.output)
    save(folder / "data" / "noise.log", "still ignored\n")
    (folder / "unrelated.txt").write_text("read by nobody\n")
    os.utime(folder / "greeting.txt")
    save(folder / "kfold.yaml", app.project.read("kfold.yaml").replace("buildArgs:", "buildArgs:\n          UNUSED: '1'"))
    dev.wait_for(WATCHING, after=behind)
    save(folder / "greeting.txt", "Hello, end!\n")
    dev.wait_for("[hey] Hello, end!", after=behind)
    wait_until(lambda: iterations(dev) == 9, "the iteration's end", tell=lambda: dev.output)

    dev.interrupt()
    output = dev.wait().succeeded().output
    assert count(output, "Cleaning up...") == 1 and count(output, "Pruning images...") == 1, output
    assert app.place.held() == {}
    assert len(app.images()) == 1, "all but the current image went"
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


def test_an_artifact_that_others_require(example: ExampleFactory) -> None:
    app = example("microservices")
    dev = app.dev()
    dev.wait_for("[reader] The server says: Make it work, then make it undo.")
    dev.wait_for(WATCHING)
    before, behind = app.place.held(), len(dev.output)

    script = app.project.folder / "reader" / "reader.sh"
    save(script, script.read_text().replace("The server says", "It says"))
    dev.wait_for("[reader] It says: Make it work", after=behind)
    wait_until(lambda: iterations(dev) == 2, "the iteration's end", tell=lambda: dev.output)
    server = f"deployments/{app.name}-server"
    assert app.place.held()[server] == before[server]
    assert f"Building [{app.name}-server" not in dev.output[behind:]

    behind = len(dev.output)
    save(app.project.folder / "server" / "quote.txt", "Undo it.\n")
    dev.wait_for("[reader] It says: Undo it.", after=behind)
    assert f"Building [{app.name}-server for " in dev.output[behind:]
    wait_until(lambda: iterations(dev) == 3, "the iteration's end", tell=lambda: dev.output)
    dev.interrupt()
    dev.wait().succeeded()
    assert app.place.held() == {}
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()


class Noise:
    """Writes a file over and over, in a thread, until it is stopped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.written = 0

    def _write(self) -> None:
        while not self._end.wait(0.02):
            self._path.write_text(f"{self.written}\n")
            self.written += 1

    def __enter__(self) -> Noise:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def builds(app: Application, dev: Running) -> int:
    return dev.output.count(f"Building [{app.name}]...")


def test_a_file_that_never_rests(application: ApplicationFactory) -> None:
    """It holds no build up, and each build takes in what gathered: no build a write."""
    app = application()
    folder = app.project.folder
    app.project.write("noise/read.txt", "0\n")
    app.project.write("noise/unread.txt", "0\n")
    app.project.replace("Dockerfile", "CMD", "COPY noise/read.txt /app/\nCMD")
    dev = app.dev()
    dev.wait_for("[hello] Hello, world!")
    dev.wait_for(WATCHING)
    assert builds(app, dev) == 1

    with Noise(folder / "noise" / "unread.txt") as unread:
        wait_until(lambda: unread.written > 50, "a second of writing")
        save(folder / "greeting.txt", "Hello, one!\n")
        dev.wait_for("[hello] Hello, one!")
        wait_until(lambda: iterations(dev) == 2, "the iteration's end", tell=lambda: dev.output)
    assert builds(app, dev) == 2, "a file that the build does not read made builds"

    with Noise(folder / "noise" / "read.txt") as read:
        wait_until(lambda: read.written > 50, "a second of writing")
        save(folder / "greeting.txt", "Hello, two!\n")
        dev.wait_for("[hello] Hello, two!")
        made, written = builds(app, dev), read.written
    assert 2 < made < 2 + written / 10, (made, written)
    # it comes to rest: at most the build under way, the one for what gathered meanwhile, and the last edit's
    save(folder / "greeting.txt", "Hello, three!\n")
    dev.wait_for("[hello] Hello, three!")
    assert builds(app, dev) <= made + 3, dev.output
    dev.interrupt()
    dev.wait().succeeded()
    assert app.place.held() == {}
