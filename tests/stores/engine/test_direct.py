"""Builds over the engine's socket: the same image as buildx makes, without a client; and what is left to buildx."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.errors import Abandoned
from kfold.stores import direct_build
from kfold.stores.buildkit_trace import Trace
from kfold.stores.engine_interface import BuildRequest, EngineError
from kfold.stores.engine_socket import EngineSocket, NoAnswer, endpoint
from kfold.stores.process import NotStarted
from tests.engine import docker
from tests.images.lab import Lab
from tests.stores.engine import conftest
from tests.stores.engine.conftest import Subject, request


@pytest.fixture
def subject(corner: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    yield from conftest._real(corner, "buildkit", tmp_path, monkeypatch)


@pytest.fixture
def no_client(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is no `docker` to start: what works now, works over the socket alone."""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        yield


def build(subject: Subject, asked: BuildRequest, lines: list[str] | None = None) -> str:
    return subject.engine.build(asked, [].append if lines is None else lines.append, threading.Event())


def by_buildx(subject: Subject, asked: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setenv("BUILDX_BUILDER", "default")
        return build(subject, asked)


@pytest.mark.engine
def test_both_ways_make_the_same_files_and_share_the_cache(
    subject: Subject, corner: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("tree/closed", "tree/empty"):
        (subject.folder / folder).mkdir(parents=True)
    subject.write("tree/closed/file", "x").chmod(0o600)
    (subject.folder / "tree/closed").chmod(0o700)
    (subject.folder / "tree/empty").chmod(0o750)
    subject.write("tree/program", "x").chmod(0o4755)
    (subject.folder / "tree" / "link").symlink_to("closed/file")
    os.link(subject.folder / "tree" / "program", subject.folder / "tree" / "same")
    long = f"tree/{'long' * 30}/{'name' * 30}"
    subject.write(long, "x")
    asked = subject.request("COPY tree /out/\nRUN cat /proc/sys/kernel/random/uuid > /out/once")

    def content(image: str) -> dict[str, object]:
        return {
            path: (entry.mode, entry.type, entry.linkname, entry.uid, entry.gid, entry.size, entry.isdir() or entry.mtime)
            for path, entry in corner.export(image).items()
        }

    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        ours = build(subject, asked)
    assert by_buildx(subject, asked, monkeypatch) == ours
    fresh = request(subject.folder, subject.engine, labels={"token": subject.token}, no_cache=True)
    theirs = content(by_buildx(subject, fresh, monkeypatch))
    theirs["once"] = content(ours)["once"]
    assert content(ours) == theirs


@pytest.mark.engine
def test_it_needs_no_client(subject: Subject, no_client: None) -> None:
    lines: list[str] = []
    subject.write("a.txt", "a")
    asked = subject.request("ARG WORD\nCOPY a.txt /out/\nRUN echo said $WORD", build_args={"WORD": "this"})
    image = build(subject, asked, lines)
    assert subject.engine.image(image) is not None
    assert any(line.endswith("said this") for line in lines), lines
    assert any("COPY a.txt" in line for line in lines), lines
    assert any(" DONE " in line for line in lines), lines
    subject.engine.tag(image, subject.name())
    assert subject.engine.names().ids[subject.name()] == image
    assert subject.engine.remove(subject.name()) and subject.engine.image(image) is None
    assert not subject.engine.remove(subject.name())


@pytest.mark.engine
def test_platforms_need_no_client_where_the_bases_are_for_them(subject: Subject, no_client: None) -> None:
    made = {}
    for platform in ("linux/amd64", "linux/arm64"):
        text = f"FROM scratch\nCOPY Dockerfile /out/\nENV MADE={subject.token}\n"
        subject.write("Dockerfile", text)
        asked = request(subject.folder, subject.engine, labels={"token": subject.token}, platform=platform)
        image = subject.engine.image(build(subject, asked))
        assert image is not None and image.platform == platform
        made[platform] = image.id
    assert len(set(made.values())) == 2
    own = subject.engine.image(subject.base)
    assert own is not None
    assert build(subject, subject.request("COPY Dockerfile /out/", platform=own.platform))
    for image_id in subject.listed():
        subject.engine.remove(image_id)
    # there may be such a base in a registry: that is a pull
    subject.write("Dockerfile", f"FROM {subject.base}\nCOPY Dockerfile /out/\n")
    with pytest.raises(NotStarted):
        build(subject, request(subject.folder, subject.engine, labels={"token": subject.token}, platform="linux/s390x"))


@pytest.mark.engine
def test_a_step_that_fails_is_told_with_its_lines(subject: Subject, no_client: None) -> None:
    lines: list[str] = []
    with pytest.raises(EngineError, match=r"build failed: .*exit code: 7"):
        build(subject, subject.request("RUN echo the reason; exit 7"), lines)
    assert any("the reason" in line for line in lines), lines
    assert subject.listed() == set()


SESSIONS = {
    "mount": ("RUN --mount=type=cache,target=/x cp /b.txt /out/ 2>/dev/null || mkdir -p /out && cp /token /out/b.txt", ""),
    "large": ("COPY b.txt /out/", "LARGEST"),
    "many": ("COPY b.txt /out/", "MOST"),
}


@pytest.mark.engine
@pytest.mark.parametrize(("dockerfile", "limit"), SESSIONS.values(), ids=SESSIONS.keys())
def test_what_is_left_to_buildx(
    subject: Subject, corner: Lab, monkeypatch: pytest.MonkeyPatch, dockerfile: str, limit: str
) -> None:
    subject.write("b.txt", "b")
    asked = subject.request(dockerfile)
    if limit:
        monkeypatch.setattr(direct_build, limit, 0)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        with pytest.raises(Exception, match="docker"):
            build(subject, asked)
    assert "b.txt" in corner.export(build(subject, asked))


@pytest.mark.engine
def test_what_a_base_image_adds_is_read_from_the_whole_context(
    subject: Subject, corner: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONBUILD and ENV of the base: they read files that the Dockerfile does not name."""
    base = f"{subject.name('onbuild')}"
    text = f"FROM {subject.base}\nENV PLACE=b.txt\nONBUILD COPY a.txt /out/\n"
    docker("build", "-q", "-t", base, "-f", str(subject.write("base/Dockerfile", text)), str(subject.folder / "base"))
    subject.write("a.txt", "a")
    subject.write("b.txt", "b")
    subject.write("Dockerfile", f"FROM {base}\nCOPY $PLACE /out/\n")
    image = build(subject, request(subject.folder, subject.engine, labels={"token": subject.token}))
    assert {"a.txt", "b.txt"} <= set(corner.export(image))
    # the same base, by an argument whose value the environment has
    subject.write("Dockerfile", f"ARG BASE={subject.base}\nFROM $BASE\nCOPY $PLACE /out/\n")
    monkeypatch.setenv("BASE", base)
    image = build(
        subject, request(subject.folder, subject.engine, build_args={"BASE": None}, labels={"token": subject.token})
    )
    assert {"a.txt", "b.txt"} <= set(corner.export(image))
    docker("rmi", base)


def test_an_engine_that_hangs_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what is sent and answers nothing: a request to end must end this all the same."""
    monkeypatch.setattr(direct_build, "GRACE", 0.2)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    asked = BuildRequest(tmp_path, tmp_path / "Dockerfile", "", {}, False, {}, ("Dockerfile",))
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/engine.sock")
        server.listen()
        build = direct_build.DirectBuild(EngineSocket(f"{short}/engine.sock"), asked, {"DOCKER_CONFIG": str(tmp_path)})
        stop.set()
        with pytest.raises(Abandoned):
            build.run([].append, stop)


@pytest.mark.parametrize(
    "variables",
    [{"BUILDX_BUILDER": "mine"}, {"SOURCE_DATE_EPOCH": "0"}, {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"},
     {"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY": "policy.json"}, {}],
)  # fmt: skip
def test_what_only_buildx_heeds_is_left_to_it(tmp_path: Path, variables: dict[str, str]) -> None:
    """A builder that was chosen, and variables that it acts on."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    asked = BuildRequest(tmp_path, tmp_path / "Dockerfile", "", {}, False, {}, ("Dockerfile",))
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    engine = EngineSocket("/nonexistent")
    direct_build.DirectBuild(engine, asked, environment)
    if not variables:
        (tmp_path / "buildx").mkdir()
        (tmp_path / "buildx" / "current").write_text(json.dumps({"Key": "unix:///x", "Name": "mine", "Global": False}))
    with pytest.raises(direct_build.Unsuitable):
        direct_build.DirectBuild(engine, asked, environment | variables)


@pytest.mark.parametrize(
    "text",
    ["FROM base-$TARGETARCH\nCOPY Dockerfile /\n", "FROM scratch\nCOPY --from=base-$TARGETARCH Dockerfile /\n",
     "FROM caf\udce9:1\nCOPY Dockerfile /\n", "FROM scratch\nARG WORD\nCOPY Dockerfile /\n"],
    ids=["a base that only the builder knows", "a source that only it knows", "a base that has no name", "an argument"],
)  # fmt: skip
def test_what_cannot_be_sent_as_it_is_meant(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_bytes(text.encode(errors="surrogateescape"))
    asked = BuildRequest(tmp_path, tmp_path / "Dockerfile", "", {"WORD": None}, False, {}, ("Dockerfile",))
    environment = {"DOCKER_CONFIG": str(tmp_path), **({"WORD": "caf\udce9"} if "WORD" in text else {})}
    with pytest.raises(direct_build.Unsuitable):
        direct_build.DirectBuild(EngineSocket("/nonexistent"), asked, environment)


def test_a_file_with_attributes_of_its_own_is_left_to_buildx(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    try:
        os.setxattr(tmp_path / "Dockerfile", "user.kfold", b"x")
    except (AttributeError, OSError) as error:
        pytest.skip(f"this file system keeps no extended attributes: {error}")
    asked = BuildRequest(tmp_path, tmp_path / "Dockerfile", "", {}, False, {}, ("Dockerfile",))
    with pytest.raises(direct_build.Unsuitable):
        direct_build.DirectBuild(EngineSocket("/nonexistent"), asked, {"DOCKER_CONFIG": str(tmp_path)})


def test_an_answer_that_breaks_off_on_a_kept_connection_is_no_answer() -> None:
    """The first answer is whole and keeps the connection; the second ends in its middle."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/engine.sock")
        server.listen()

        def serve() -> None:
            with server.accept()[0] as line:
                for answer in (whole, whole[:-1]):
                    line.recv(65536)
                    line.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        engine = EngineSocket(f"{short}/engine.sock")
        assert engine.ask("GET", "/info") == (200, {})
        with pytest.raises(NoAnswer):
            engine.ask("GET", "/info")
        serving.join()


def test_the_engine_is_where_dockers_own_client_finds_it(tmp_path: Path) -> None:
    name = "own"
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": "unix:///own.sock"}}}))
    where = {"DOCKER_CONFIG": str(tmp_path)}
    default = "unix:///var/run/docker.sock"
    assert endpoint(where) == default
    assert endpoint({**where, "DOCKER_CONTEXT": name}) == "unix:///own.sock"
    assert endpoint({**where, "DOCKER_CONTEXT": name, "DOCKER_HOST": "tcp://host:1"}) == "tcp://host:1"
    assert endpoint({**where, "DOCKER_CONTEXT": "none"}) == ""
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": name}))
    assert endpoint(where) == "unix:///own.sock"
    assert endpoint({**where, "DOCKER_CONTEXT": "default"}) == default
    (tmp_path / "config.json").write_text("{")
    assert endpoint(where) == default


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protobuf message."""

    def varint(whole: int) -> bytes:
        low, rest = whole & 0x7F, whole >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def moment(seconds: int, nanoseconds: int = 0) -> bytes:
    return field(1, seconds) + field(2, nanoseconds)


def test_a_trace_reads_as_docker_prints_it() -> None:
    lines: list[str] = []
    trace = Trace(lines.append)
    begun = field(1, b"one") + field(3, b"[1/2] RUN make") + field(5, moment(100))
    waiting = field(1, b"two") + field(3, b"[2/2] COPY a /")
    trace.report(field(1, begun) + field(1, waiting))
    trace.report(field(3, field(1, b"one") + field(2, moment(101, 500_000_000)) + field(3, 1) + field(4, b"first\nsec")))
    trace.report(field(3, field(1, b"one") + field(2, moment(102)) + field(4, b"ond\n\nlast")))
    trace.report(field(1, begun + field(6, moment(103, 250_000_000))))
    trace.report(field(1, waiting + field(4, 1) + field(5, moment(103)) + field(6, moment(103))))
    trace.report(field(1, begun.replace(b"one", b"bad") + field(6, moment(104)) + field(7, b"exit code: 7")))
    assert [line for line in lines if line] == [
        "#1 [1/2] RUN make",
        "#1 1.500 first",
        "#1 2.000 second",
        "#1 last",
        "#1 DONE 3.2s",
        "#2 [2/2] COPY a /",
        "#2 CACHED",
        "#3 [1/2] RUN make",
        "#3 ERROR: exit code: 7",
    ]


def test_warnings_read_as_buildx_tells_them() -> None:
    """As Docker Engine 28 reports a build check: a warning of the step that read the Dockerfile, which has ended."""
    lines: list[str] = []
    trace = Trace(lines.append)
    begun = field(1, b"one") + field(3, b"[internal] load build definition") + field(5, moment(100))
    trace.report(field(1, begun + field(6, moment(100))))
    trace.end()
    assert len(lines) == 2, "nothing to tell"
    check = b"LegacyKeyValueFormat: write ENV a=b (line 2)"
    trace.report(field(4, field(1, b"one") + field(2, 1) + field(3, check) + field(4, b"detail") + field(5, b"https://x")))
    trace.end()
    assert lines[2:] == [
        f"#1 WARN: {check.decode()}",
        "1 warning found (use docker --debug to expand):",
        f" - {check.decode()}",
    ]


@given(cut=st.integers(1, 40), noise=st.binary(max_size=60))
def test_what_is_no_trace_is_told_as_such(cut: int, noise: bytes) -> None:
    whole = field(1, field(1, b"one") + field(3, b"[1/2] RUN make") + field(5, moment(100)))
    lines: list[str] = []
    Trace(lines.append).report(whole)
    assert lines == ["#1 [1/2] RUN make"]
    with pytest.raises(ValueError):
        Trace(lines.append).report(whole[: min(cut, len(whole) - 1)])
    with suppress(ValueError):  # noise may be a message by chance; it is nothing worse
        Trace(lines.append).report(noise)
