"""The real world for tests: the Docker Engine's state as a value, and kfold run as a program of its own.

Nothing here pretends: `docker` is the real client, `doit` a process of its own. Every wait has a deadline.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from kfold.stores.engine_socket import socket_of
from tests.forked import Forked, fork

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples"

Answer = TypeVar("Answer")


def wait_until(
    condition: Callable[[], Answer], what: str, *, seconds: float = 30.0, tell: Callable[[], str] = str
) -> Answer:
    """Ask `condition` until its answer is true, and return that answer.

    `what` completes "waited for …"; `tell` gives what to show when the deadline (`seconds`) passes.
    Raises AssertionError then.
    """
    begun = time.monotonic()
    while not (answer := condition()):
        waited = time.monotonic() - begun
        if waited > seconds:
            raise AssertionError(f"waited {seconds:g} s for {what}\n{tell()}".rstrip())
        # between two questions, never instead of one; what takes long is asked less often
        time.sleep(min(max(0.02, waited / 10), 0.1))
    return answer


def docker(*arguments: str, check: bool = True, input: bytes | None = None, seconds: float = 120.0) -> str:
    """Run the real docker client and return its standard output. Raises AssertionError with its error text."""
    done = subprocess.run(["docker", *arguments], input=input, capture_output=True, timeout=seconds)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def ask_engine(path: str, **query: str) -> Any:
    """What the engine itself answers to a GET; None where there is no such thing.

    For what is asked often: by the docker client a question takes 0.04 s of a processor, and a test asks after every step.
    """
    engine = _socket()
    assert engine is not None, "the tests' engine is reached by a socket"
    status, answer = engine.ask("GET", path, query)
    assert status in (200, 404), answer
    return answer if status == 200 else None


_socket = cache(lambda: socket_of(os.environ))


@dataclass(frozen=True)
class EngineState:
    """What a Docker Engine holds: each set has one line of text a thing. Two states compare by `==`.

    Images come twice: every image by ID (dangling and intermediate ones too), every name with the ID it points to.
    """

    containers: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()

    def difference(self, after: EngineState) -> list[str]:
        """What a person reads: "image sha256:… came", "name web:1 = sha256:… went". Empty where the two are equal."""
        lines = []
        for kind in ("containers", "images", "names", "networks", "volumes"):
            here, there = getattr(self, kind), getattr(after, kind)
            lines += [f"{kind[:-1]} {thing} went" for thing in sorted(here - there)]
            lines += [f"{kind[:-1]} {thing} came" for thing in sorted(there - here)]
        return lines


def engine_state(containing: str = "", ask: Callable[..., Any] = ask_engine) -> EngineState:
    """Ask the engine what it holds. `containing`: only what has that text in its name (on a shared engine). `ask`: which."""

    containers = set()
    for container in ask("/containers/json", all="1"):
        containers |= {f"{name.removeprefix('/')} ({container['Id'][:12]})" for name in container["Names"]}
    images, names = set(), set()
    for image in ask("/images/json", all="1"):
        called = {*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())}
        if any(containing in name for name in called) or not containing:
            images.add(image["Id"])
        names |= {f"{name} = {image['Id']}" for name in image["RepoTags"] or () if "<none>" not in name}
    networks = [network["Name"] for network in ask("/networks")]
    volumes = [volume["Name"] for volume in ask("/volumes")["Volumes"] or ()]
    return EngineState(
        containers=frozenset(name for name in containers if containing in name),
        images=frozenset(images),
        names=frozenset(name for name in names if containing in name),
        networks=frozenset(name for name in networks if containing in name),
        volumes=frozenset(name for name in volumes if containing in name),
    )


def image_ids(name: str) -> list[str]:
    """The IDs of the images that have a name in this repository (`name` without tag), newest first."""
    asked = ask_engine("/images/json", filters=json.dumps({"reference": [name]}))
    return [image["Id"] for image in sorted(asked, key=lambda image: image["Created"], reverse=True)]


@dataclass(frozen=True)
class Finished:
    """A program that ended: exit code (negative: the signal), its output (both streams as they came), seconds taken."""

    code: int
    output: str
    seconds: float

    def succeeded(self) -> Finished:
        """Itself; raises AssertionError with the output where the program failed."""
        assert self.code == 0, f"exit {self.code} after {self.seconds:.1f} s\n{self.output}"
        return self

    def failed(self, code: int = 1) -> Finished:
        """Itself; raises AssertionError unless it ended with `code`, and without a traceback."""
        assert self.code == code, f"exit {self.code} instead of {code}\n{self.output}"
        assert "Traceback (most recent call last)" not in self.output, self.output
        return self


class Running:
    """A program at work, in a process group of its own, whose output can be waited for while it runs.

    kfold's own programs are forked from a process that has imported them (`tests/forked.py`).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str],
        echo: Callable[[str], object] | None = None,
    ) -> None:
        self.started = time.monotonic()
        words = [str(word) for word in command]
        self._pipe, writing = os.pipe()
        with open(writing, "wb"):
            self.process: subprocess.Popen[bytes] | Forked = fork(words, folder, environment, writing) or subprocess.Popen(
                words,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl+C reaches a whole group, and never that of the tests
            )
        self._chunks: list[bytes] = []
        self._echo = echo
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with open(self._pipe, "rb", buffering=0) as pipe:
            while chunk := pipe.read(65536):
                self._chunks.append(chunk)
                if self._echo:
                    self._echo(chunk.decode(errors="replace"))

    @property
    def output(self) -> str:
        """What it has printed so far, both streams."""
        return b"".join(self._chunks).decode(errors="replace")

    def wait_for(self, text: str, *, after: int = 0, seconds: float = 60.0, unless: str = "") -> int:
        """Wait until `text` is printed at or behind offset `after` of the output; returns the offset behind it.

        Raises AssertionError with the output when the program ends first, prints `unless` first (no need to wait any
        longer then), or the deadline passes.
        """

        def found() -> int:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(2)
            position = self.output.find(text, after)
            if position >= 0:
                return position + len(text)
            assert not unless or self.output.find(unless, after) < 0, f"{unless!r} instead of {text!r}\n{self.output}"
            assert not ended, f"ended with {self.process.returncode} before it printed {text!r}\n{self.output}"
            return 0

        return wait_until(found, f"the output {text!r}", seconds=seconds, tell=lambda: self.output)

    def interrupt(self, signal_number: int = signal.SIGINT) -> None:
        """What a terminal does on Ctrl+C: the signal goes to the whole process group."""
        os.killpg(self.process.pid, signal_number)

    def kill(self) -> None:
        """SIGKILL to the program itself (not to its children): a crash."""
        self.process.kill()

    def wait(self, *, seconds: float = 60.0) -> Finished:
        """Wait for its end. Past the deadline the whole group is killed and AssertionError raised with the output."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"still running after {seconds:g} s\n{self.output}") from None
        # Children that outlive it (a sandbox, a daemon) may hold the pipe open: do not wait for its end for ever.
        self._reader.join(2)
        return Finished(code, self.output, time.monotonic() - self.started)

    def end(self) -> None:
        """Kill the whole group if it still runs: for the end of a test that failed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self._reader.join(2)


def start(command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None) -> Running:
    """Start a program in `folder`. `environment`: the whole of it (default: this process's own)."""
    return Running(command, folder=folder, environment=os.environ if environment is None else environment)


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60.0,
) -> Finished:
    """Run a program to its end, with a deadline."""
    return start(command, folder=folder, environment=environment).wait(seconds=seconds)


@dataclass
class Project:
    """A folder with a config, and an environment in which kfold's own state stays away from the user's.

    `folder` is the project; `environment` is what every command of it gets and may be changed by a test.
    """

    folder: Path
    environment: dict[str, str]
    running: list[Running] = field(default_factory=list)

    def write(self, path: str, text: str) -> Path:
        """Write a file of the project, its folders included."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def read(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file: every `old` becomes `new`. Raises AssertionError where `old` is not there."""
        text = self.read(path)
        assert old in text, f"{path} does not contain {old!r}"
        self.write(path, text.replace(old, new))

    def start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> Running:
        """Start any program in the project's folder and environment; killed at the end of the test if it still runs."""
        running = start(command, folder=self.folder, environment={**self.environment, **(env or {})})
        self.running.append(running)
        return running

    def start_doit(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """`doit ARGUMENTS`, running."""
        return self.start(sys.executable, "-m", "doit", *arguments, env=env)

    def doit(self, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 120.0) -> Finished:
        """`doit ARGUMENTS`, to its end."""
        return self.start_doit(*arguments, env=env).wait(seconds=seconds)

    def kfold(self, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 120.0) -> Finished:
        """`kfold ARGUMENTS`, to its end."""
        return self.start(Path(sys.executable).parent / "kfold", *arguments, env=env).wait(seconds=seconds)

    def end(self) -> None:
        """Kill what the test left running."""
        for running in self.running:
            running.end()
