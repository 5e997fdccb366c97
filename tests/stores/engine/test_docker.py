"""What only the real engine can show: its builders' contexts, its messages, its child programs, and where it is found."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kfold.errors import KfoldError
from kfold.stores.engine import DockerEngine
from kfold.stores.engine_interface import BuildRequest, EngineError
from tests.engine import REPOSITORY, docker, wait_until
from tests.images.lab import Lab
from tests.stores.engine.conftest import Subject, request
from tests.stores.engine.test_contract import removed

pytestmark = pytest.mark.engine

ODD_NAMES = (
    *("with space.txt", "-leading", "#x", "!y", "caf\u00e9", "a'b\"c", "[z].txt", "dollar$HOME", "new\nline", "deep/-x/#y"),
)


def build(subject: Subject, asked: BuildRequest) -> str:
    return subject.engine.build(asked, lambda line: None, threading.Event())


def files(corner: Lab, image: str) -> set[str]:
    """The paths below /out that are no directories."""
    return {path for path, entry in corner.export(image).items() if path and not entry.isdir()}


def test_the_context_is_what_no_ignore_file_keeps_out(real: Subject, corner: Lab) -> None:
    for path in ("a.txt", "b.md", "docs/c.md", "docs/keep.md", ".kfold/ledger.db", "docs/.kfold/x", "node_modules/m.js"):
        real.write(path, path)
    real.write(".dockerignore", "**/*.md\n!docs/keep.md\nnode_modules\n!**/.kfold\n")
    found = files(corner, build(real, real.request("COPY . /out/")))
    assert found == {"a.txt", "docs/keep.md", "Dockerfile", ".dockerignore"}


def test_ignore_files_that_keep_themselves_and_the_dockerfile_out(real: Subject, corner: Lab) -> None:
    real.write("a.txt", "a")
    real.write(".dockerignore", "Dockerfile\n.dockerignore\n")
    assert files(corner, build(real, real.request("COPY . /out/"))) == {"a.txt"}


def test_an_ignored_dockerfile_leaves_a_wanted_ignore_file(real: Subject, corner: Lab) -> None:
    real.write("a.txt", "a")
    real.write(".dockerignore", "Dockerfile\n")
    assert files(corner, build(real, real.request("COPY . /out/"))) == {"a.txt", ".dockerignore"}


def test_the_dockerfiles_own_ignore_file_beats_the_contexts(real: Subject, corner: Lab) -> None:
    for path in ("a.txt", "b.txt"):
        real.write(path, path)
    real.write(".dockerignore", "a.txt\n")
    real.write("other.Dockerfile", f"FROM {real.base}\nCOPY *.txt /out/\n")
    real.write("other.Dockerfile.dockerignore", "b.txt\n")
    assert files(corner, build(real, request(real.folder, real.engine, dockerfile="other.Dockerfile"))) == {"a.txt"}


def test_a_dockerfile_outside_of_the_context(real: Subject, corner: Lab) -> None:
    real.write("a.txt", "a")
    outside = real.folder.parent / "outside.Dockerfile"
    outside.write_text(f"FROM {real.base}\nCOPY . /out/\n")
    asked = request(real.folder, real.engine, dockerfile="outside.Dockerfile")
    assert asked.dockerfile == outside
    assert files(corner, build(real, asked)) == {"a.txt"}


def test_a_dockerfile_that_is_a_link_out_of_the_context(real: Subject, corner: Lab) -> None:
    outside = real.folder.parent / "outside.Dockerfile"
    outside.write_text(f"FROM {real.base}\nCOPY a.txt /out/\n")
    real.write("a.txt", "a")
    (real.folder / "Dockerfile").symlink_to(outside)
    assert files(corner, build(real, request(real.folder, real.engine))) == {"a.txt"}


def test_odd_names(real: Subject, corner: Lab) -> None:
    for path in ODD_NAMES:
        real.write(f"tree/{path}", path)
    found = files(corner, build(real, real.request("COPY tree /out/")))
    assert found == set(ODD_NAMES)


def test_odd_names_that_are_ignored(real: Subject, corner: Lab) -> None:
    for path in ("#x", "!y", "caf\u00e9", "with space.txt", "a.txt"):
        real.write(path, path)
    real.write(".dockerignore", " #x\n\\!y\ncaf\u00e9\n  with space.txt  \n# a.txt\nDockerfile\n.dockerignore\n")
    assert files(corner, build(real, real.request("COPY . /out/"))) == {"a.txt"}


def test_a_context_in_an_odd_folder(real: Subject, corner: Lab) -> None:
    folder = real.folder / "-odd folder #1 \u00fc"
    folder.mkdir()
    (folder / "-Dockerfile").write_text(f"FROM {real.base}\nCOPY a.txt /out/\n")
    (folder / "a.txt").write_text("a")
    assert files(corner, build(real, request(folder, real.engine, dockerfile="-Dockerfile"))) == {"a.txt"}


def test_links_and_modes_and_empty_folders(real: Subject, corner: Lab) -> None:
    real.write("tree/run.sh", "echo").chmod(0o755)
    real.write("tree/deep/data", "d").chmod(0o644)
    (real.folder / "tree" / "empty").mkdir()
    (real.folder / "tree" / "link").symlink_to("deep/data")
    (real.folder / "tree" / "nowhere").symlink_to("not/there")
    found = corner.export(build(real, real.request("COPY tree /out/")))
    assert found["run.sh"].mode & 0o777 == 0o755
    assert found["deep/data"].mode & 0o777 == 0o644
    assert found["deep"].mode & 0o777 == found["empty"].mode & 0o777 == 0o755
    assert (found["link"].linkname, found["nowhere"].linkname) == ("deep/data", "not/there")


def test_target_build_arguments_and_no_cache(real: Subject, corner: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_ENVIRONMENT", "outside")
    text = (
        f"FROM {real.base} AS one\nARG GIVEN\nARG FROM_ENVIRONMENT\n"
        "RUN mkdir /out && echo $GIVEN $FROM_ENVIRONMENT $RANDOM$RANDOM > /out/one\nFROM one AS two\nRUN touch /out/two\n"
    )
    real.write("Dockerfile", text)
    arguments = {"GIVEN": "a b=c", "FROM_ENVIRONMENT": None}
    first = build(real, request(real.folder, real.engine, target="one", build_args=arguments))
    assert files(corner, first) == {"one"}
    assert corner.text(first, "/out/one").startswith("a b=c outside ")
    again = build(real, request(real.folder, real.engine, target="one", build_args=arguments))
    assert again == first
    anew = build(real, request(real.folder, real.engine, target="one", build_args=arguments, no_cache=True))
    assert anew != first


def test_a_file_that_vanished_is_told_or_not_needed(real: Subject) -> None:
    real.write("a.txt", "a")
    asked = real.request("COPY a.txt /out/")
    (real.folder / "a.txt").unlink()
    with pytest.raises(EngineError, match=r"a\.txt"):
        build(real, asked)


@pytest.mark.parametrize("real", ["legacy"], indirect=True)  # BuildKit makes it for the platform that was asked for
def test_an_image_for_another_platform_stays_where_somebody_named_it(real: Subject) -> None:
    """The builder's cache may give what is made by the way the ID that an image has already."""
    real.write("a.txt", "a")
    asked = real.request("COPY a.txt /")
    image = build(real, asked)
    real.engine.tag(image, real.name())
    other = replace(asked, platform="linux/s390x")
    with pytest.raises(EngineError, match="was asked for linux/s390x"):
        build(real, other)
    assert real.listed() == {image}
    assert real.engine.remove(real.name())
    with pytest.raises(EngineError, match="was asked for linux/s390x"):
        build(real, other)
    assert real.listed() == set()


def test_what_fails_is_told(real: Subject) -> None:
    with pytest.raises(EngineError, match=r"build failed: .*(exit code|non-zero code): 7"):
        build(real, real.request("RUN exit 7"))


def test_a_heredoc_on_an_old_engine_is_explained(real: Subject, engine: str) -> None:
    lines: list[str] = []
    (real.folder / "Dockerfile").write_text(f"FROM {real.base}\nCOPY <<EOF /out/greeting\nhello\nEOF\n")
    asked = request(real.folder, real.engine)
    if int(engine.split(".")[0]) >= 23 and real.engine.builder() == "buildkit":
        assert build(real, asked)
        return
    with pytest.raises(EngineError, match="unknown instruction") as failure:
        real.engine.build(asked, lines.append, threading.Event())
    assert "heredoc" in failure.value.hint and "# syntax=" in failure.value.hint


def test_a_killed_process_takes_its_build_along(real: Subject, corner: Lab, tmp_path: Path) -> None:
    """`kill -9` reaches no child of ours by itself: the builder would go on and make the image after all."""
    before = corner.state()
    pause = f"sleep 8.{os.getpid() % 1000:03d}{len(real.engine.builder())}"  # a command line of our own to look for
    asked = real.request(f"COPY Dockerfile /out/\nRUN {pause}\nRUN touch /finished")
    program = tmp_path / "build.py"
    place, file = str(asked.context), str(asked.dockerfile)
    program.write_text(
        "import pathlib, sys, threading\n"
        "from kfold.stores.engine import DockerEngine\n"
        "from kfold.stores.engine_interface import BuildRequest\n"
        f"asked = BuildRequest(pathlib.Path({place!r}), pathlib.Path({file!r}), '', {{}}, False,"
        f" {dict(asked.labels)!r}, {asked.files!r}, {asked.ignore!r})\n"
        "DockerEngine().build(asked, lambda line: print(line, flush=True), threading.Event(),"
        " lambda layer: print('LAYER', layer, flush=True))\n"
    )
    heard: list[str] = []
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            heard.append(line)
            if f"RUN {pause}" in line:
                break
        wait_until(lambda: _processes(pause), "the build to sleep", tell=lambda: "".join(heard))
        os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not _processes(real.token), "the builder's client to end", seconds=10)
    wait_until(lambda: not _processes(pause), "the step to end", seconds=30)
    layers = [line.removeprefix("LAYER ").strip() for line in heard if line.startswith("LAYER")]
    assert bool(layers) == (real.engine.builder() == "legacy")
    for layer in reversed(layers):
        wait_until(lambda layer=layer: removed(real, layer), f"layer {layer} to be let go")
    wait_until(lambda: corner.state() == before, "the engine to be as it was", tell=lambda: str(corner.state()))


def _processes(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and "pytest" not in command:
            found.append(command)
    return found


def test_a_stopped_build_leaves_no_process(real: Subject) -> None:
    stop = threading.Event()
    asked = real.request("RUN sleep 62")

    def hear(line: str) -> None:
        if "RUN sleep 62" in line:
            stop.set()

    with pytest.raises(KfoldError, match="stopped"):
        real.engine.build(asked, hear, stop)
    assert _processes(real.token) == []


def test_no_empty_line_of_a_builder_is_handed_on(real: Subject) -> None:
    heard: list[str] = []
    real.engine.build(real.request(f"RUN echo {real.token}; echo; echo; echo end"), heard.append, threading.Event())
    assert any(real.token in line for line in heard) and any("end" in line for line in heard)
    assert [line for line in heard if not line.strip()] == []


QUESTIONS = {
    "answer": "from kfold.stores import process; print(process.answer(['sh', '-c', 'touch asked; sleep 1; echo told']))",
    # a docker that takes its time, for an engine whose socket says that it cannot tell
    "client": "from kfold.stores.engine import DockerEngine; from kfold.stores.engine_socket import EngineSocket;"
    " EngineSocket.ask = lambda *_, **__: (500, None); DockerEngine().containers(); print('told')",
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_an_interrupt_from_a_terminal_does_not_end_a_question(engine: str, question: str, tmp_path: Path) -> None:
    """A terminal sends SIGINT to its whole process group; our own handler decides what it means for the run."""
    real = shutil.which("docker")
    slow = tmp_path / "docker"
    slow.write_text(f'#!/bin/sh\n[ -e asked ] || {{ touch asked; sleep 1; }}\nexec {real} "$@"\n')
    slow.chmod(0o755)
    program = f"import signal; signal.signal(signal.SIGINT, lambda *_: None)\n{question}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
        start_new_session=True,
    ) as child:  # fmt: skip
        wait_until(lambda: (tmp_path / "asked").exists(), "the question")
        os.killpg(child.pid, signal.SIGINT)
        output, _ = child.communicate(timeout=120)  # a look at each container
    assert "told" in output


DEAD = {
    "socket": {"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
    "port": {"DOCKER_HOST": "tcp://127.0.0.1:9"},
    "context": {"DOCKER_CONTEXT": "no-such-context"},
}


@pytest.mark.parametrize("environment", DEAD.values(), ids=DEAD.keys())
def test_an_engine_that_is_not_there(environment: dict[str, str], tmp_path: Path) -> None:
    engine = DockerEngine(environment)
    assert engine.address() == environment
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    asked = BuildRequest(tmp_path, tmp_path / "Dockerfile", "", {}, False, {}, ("Dockerfile",))
    calls = (
        engine.identity,
        engine.names,
        engine.containers,
        lambda: engine.labelled({"a": "b"}),
        lambda: engine.image("a:1"),
        lambda: engine.tag("a:1", "b:1"),
        lambda: engine.remove("a:1"),
        lambda: engine.build(asked, lambda line: None, threading.Event()),
    )
    for call in calls:
        with pytest.raises(EngineError) as failure:
            call()
        assert failure.value.hint, failure.value
        assert "docker" in failure.value.hint.lower()


def test_no_docker_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="`docker` is not installed") as failure:
        DockerEngine({"DOCKER_HOST": "tcp://127.0.0.1:9"}).names()
    assert "docs.docker.com" in failure.value.hint


def test_a_recorded_context_beats_the_host_of_the_moment(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = DockerEngine()
    address, identity = here.address(), here.identity()
    if "DOCKER_CONTEXT" not in address:
        pytest.skip("this machine's engine is found by DOCKER_HOST")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    recorded = DockerEngine(address)
    assert recorded.identity() == identity
    assert recorded.address() == address
    assert recorded.containers() is not None and recorded.names().ids


def test_names_of_pulled_and_nameless_images_are_told_apart(corner: Lab) -> None:
    names = DockerEngine().names()
    assert names.ids[corner.base] == corner.image
    assert corner.base not in names.pulled
    assert docker("image", "inspect", "--format", "{{.Id}}", corner.base).strip() == corner.image
