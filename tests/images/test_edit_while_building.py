"""Files that change while the builder reads them: no image may carry a content key that is not its content's."""

from __future__ import annotations

import sys
import threading

import pytest

from tests.images.conftest import Shop

pytestmark = pytest.mark.engine


def slow(shop: Shop) -> None:
    """The builder reads a.txt long after the build began: time for an edit. The pause is in no cache."""
    shop.dockerfile(f"RUN sleep 2; echo {shop.image} > /pause", "COPY a.txt /out/", "RUN sleep 2")


def content(shop: Shop) -> str:
    return shop.corner.text(shop.corner.names()[f"{shop.image}:latest"], "/out/a.txt")


def test_an_edit_while_it_is_built_and_back_again_later(shop: Shop, builder: str) -> None:
    slow(shop)
    running = shop.project.start_doit("tag")
    running.wait_for("Building [")
    shop.project.write("web/a.txt", "b\n")
    output = running.wait().succeeded().output
    assert content(shop) == "b\n", output
    shop.project.write("web/a.txt", "a\n")
    shop.tag()
    assert content(shop) == "a\n"
    shop.up_to_date()
    shop.prune_all()


def test_an_edit_that_is_taken_back_before_the_build_ends(shop: Shop) -> None:
    """Every digest is as it was; the builder has seen something else."""
    shop.project.environment["DOCKER_BUILDKIT"] = "0"
    slow(shop)
    running = shop.project.start_doit("tag")
    shop.project.write("web/a.txt", "a\n")
    running.wait_for("Building [")
    shop.project.write("web/a.txt", "b\n")
    running.wait_for("COPY a.txt")
    shop.project.write("web/a.txt", "a\n")
    assert "inputs changed meanwhile" in running.wait().succeeded().output
    assert content(shop) == "a\n"
    shop.prune_all()


def test_an_edit_and_then_a_kill(shop: Shop, builder: str) -> None:
    """The image of the killed run is there, with the labels; its key is not to be believed."""
    shop.dockerfile("COPY a.txt /out/")
    program = shop.folder.parent / "killed.py"
    program.write_text(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from kfold.stores.engine import DockerEngine\n"
        "real = DockerEngine.build\n"
        "def build(*arguments):\n"
        "    Path('web/a.txt').write_text('b\\n')\n"
        "    real(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "DockerEngine.build = build\n"
        "from doit.__main__ import main\n"
        "sys.argv[1:] = ['tag']\n"
        "sys.exit(main())\n"
    )
    shop.project.start(sys.executable, program).wait()
    assert shop.changes() and shop.records(), "the image was made"
    shop.project.write("web/a.txt", "a\n")
    shop.tag()
    assert content(shop) == "a\n"
    shop.prune_all()


def test_files_that_never_hold_still(shop: Shop) -> None:
    """They hold nothing up, and their image is never taken for any content: the next build is another one."""
    shop.dockerfile("COPY a.txt /out/")
    ended = threading.Event()
    path = shop.folder / "web" / "a.txt"

    def write() -> None:
        number = 0
        while not ended.wait(0.02):
            number += 1
            path.write_text(f"{number}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        output = shop.doit("tag").succeeded().output
    finally:
        ended.set()
        writer.join()
    assert "does not rest" in output and str(path) in output, output
    path.write_text("at rest\n")
    assert "Building [" in shop.doit("tag").succeeded().output
    assert content(shop) == "at rest\n"
    assert "Nothing to do" in shop.doit("tag").succeeded().output
    shop.prune_all()
