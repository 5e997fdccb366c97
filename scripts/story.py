"""The story of the first README command: deploy, see a log line, edit, see the new one, and take everything back.

Runs as `python -m scripts.story` from the clone, after scripts/environment has prepared the machine. On a terminal
`doit dev` is the user's to play with; without one the story edits and interrupts by itself. Both ways it works on a
copy of the example in a temporary folder and on kfold's embedded cluster, whatever the current kube context is, and
ends with a comparison: the Docker Engine must hold what it held before. Exit code 0, or 1 with what went wrong or
differs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.engine import EXAMPLES, REPOSITORY, EngineState, Running, docker, engine_state

EXAMPLE = "getting-started"
PULLED_BASE = "busybox:stable"  # what the example's Dockerfile names
MADE_BASE = "kfold-example-base:local"

FAILED = "save a change to try again"  # what `doit dev` says when it waits for the edit that repairs what is broken

FIRST_DEPLOY = 180.0  # seconds, as all of these; a slow machine pulls and builds within it
AFTER_EDIT = 60.0
CLEANUP = 90.0


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def echo(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def image_exists(name: str) -> bool:
    return bool(docker("images", "--quiet", name).strip())


@contextmanager
def base_image() -> Iterator[dict[str, str]]:
    """The example's base: environment variables for the build. What was pulled or made for it is removed at the end."""
    if "BASE" in os.environ or image_exists(PULLED_BASE):
        yield {}
        return
    say(f"Pulling the example's base image {PULLED_BASE} (removed at the end)")
    try:
        pulled = subprocess.run(["docker", "pull", "--quiet", PULLED_BASE], capture_output=True, text=True, timeout=60)
        problem = (pulled.stderr.strip().splitlines() or ["no reason given"])[-1] if pulled.returncode else ""
    except subprocess.TimeoutExpired:
        problem = "no answer within 60 seconds"
    if not problem:
        name, variables = PULLED_BASE, {}
    else:
        print(f"    That did not work: {problem}", flush=True)
        say(f"Making a base image from this machine's busybox instead: {MADE_BASE} (removed at the end)")
        subprocess.run([REPOSITORY / "scripts" / "base-image", MADE_BASE], check=True, stdout=subprocess.DEVNULL)
        name, variables = MADE_BASE, {"BASE": MADE_BASE}
    try:
        yield variables
    finally:
        docker("rmi", name, check=False)  # where something still uses it, the comparison shows it


def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "kfold.sandbox", *arguments], capture_output=True, text=True, timeout=60)


@contextmanager
def embedded_cluster() -> Iterator[dict[str, str]]:
    """An embedded cluster that runs: environment variables that lead to it. Down at the end unless it ran before."""
    ran_before = sandbox("status").returncode == 0
    if not ran_before:
        say("Starting the embedded cluster, kfold sandbox up (stopped at the end)")
        started = sandbox("up")
        if started.returncode:
            raise AssertionError(f"kfold sandbox up: exit {started.returncode}\n{started.stdout}{started.stderr}")
    try:
        yield {"KUBECONFIG": sandbox("kubeconfig", "--path").stdout.strip()}
    finally:
        if not ran_before:
            say("Stopping the embedded cluster, kfold sandbox down")
            stopped = sandbox("down")
            if stopped.returncode:
                raise AssertionError(f"kfold sandbox down: exit {stopped.returncode}\n{stopped.stdout}{stopped.stderr}")


class Story:
    """The example in a folder of its own, and the commands that a user gives in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.greeting = folder / "greeting.txt"

    def start(self, *arguments: str) -> Running:
        command = [sys.executable, "-m", "doit", *arguments]
        return Running(command, folder=self.folder, environment=self.environment, echo=echo)

    def run(self, *arguments: str) -> None:
        """A doit command to its end. Raises AssertionError where it fails."""
        say(f"doit {' '.join(arguments)}")
        finished = self.start(*arguments).wait(seconds=CLEANUP)
        if finished.code:
            raise AssertionError(f"doit {' '.join(arguments)}: exit {finished.code}")

    def by_itself(self) -> None:
        """The whole story without a person."""
        say("doit dev")
        dev = self.start("dev")
        try:
            shown = dev.wait_for(f"[{EXAMPLE}] Hello, world!", seconds=FIRST_DEPLOY, unless=FAILED)
            dev.wait_for("Watching for changes...", seconds=FIRST_DEPLOY)
            say('Editing greeting.txt: "Hello, kfold!"')
            self.greeting.write_text("Hello, kfold!\n", encoding="utf-8")
            shown = dev.wait_for(f"[{EXAMPLE}] Hello, kfold!", after=shown, seconds=AFTER_EDIT, unless=FAILED)
            say("Ctrl+C")
            dev.interrupt()
            shown = dev.wait_for("Cleaning up...", after=shown, seconds=CLEANUP)
            dev.wait_for("Pruning images...", after=shown, seconds=CLEANUP)
            finished = dev.wait(seconds=CLEANUP)
            if finished.code:
                raise AssertionError(f"doit dev: exit {finished.code} after Ctrl+C")
        finally:
            if dev.process.poll() is None:
                dev.interrupt()
                dev.wait(seconds=CLEANUP)

    def with_a_person(self) -> None:
        """`doit dev` in the foreground of this terminal; Ctrl+C is its business, not ours."""
        say("doit dev")
        print(f"    Try: edit {self.greeting} and save, in another window. Ctrl+C takes everything back.", flush=True)
        # What is ignored when a child starts stays ignored in it, so it starts before that.
        dev = subprocess.Popen([sys.executable, "-m", "doit", "dev"], cwd=self.folder, env=self.environment)
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = dev.wait()
        except SystemExit:
            dev.terminate()  # a closing terminal tells all its programs, `kill` only one
            dev.wait(CLEANUP)
            raise
        finally:
            signal.signal(signal.SIGINT, previous)
        if code:
            raise AssertionError(f"doit dev: exit {code}")


def tell(whole: bool) -> None:
    """The story, from an engine as it is to the same engine. Raises AssertionError where a step fails."""
    with ExitStack() as stack:
        variables = stack.enter_context(base_image())
        variables |= stack.enter_context(embedded_cluster())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kfold-"))) / EXAMPLE
        shutil.copytree(EXAMPLES / EXAMPLE, folder, ignore=shutil.ignore_patterns(".kfold", "__pycache__", ".doit.db*"))
        # Without this a child's lines come in blocks when its output is no terminal.
        story = Story(folder, os.environ | variables | {"PYTHONUNBUFFERED": "1"})
        try:
            if whole:
                story.by_itself()
            else:
                story.with_a_person()
        except BaseException:
            # What was deployed must not outlive the folder whose record knows of it.
            say("That failed; taking back what is left: doit delete, doit prune --all")
            for command in (["delete"], ["prune", "--all"]):
                story.start(*command).wait(seconds=CLEANUP)
            raise
        # `dev` keeps the current image, for a quick next start; here there is none.
        story.run("prune", "--all")


def is_ours(change: str) -> bool:
    """Whether a line of a difference is about what this story could have made: by its name, or by an image's label."""
    if "kfold" in change or EXAMPLE in change:
        return True
    kind, thing = change.split()[:2]
    if kind != "image":
        return False
    labels = docker("image", "inspect", "--format", "{{json .Config.Labels}}", thing, check=False)
    return "dev.kfold." in labels


def compare(before: EngineState) -> bool:
    """Print whether the engine holds what it held; true if it does. What others did meanwhile is told apart."""
    changes = before.difference(engine_state())
    difference = [line for line in changes if is_ours(line)]
    for line in changes:
        if line not in difference:
            say(f"Not of this story: {line}")
    counted = ", ".join(f"{len(getattr(before, kind))} {kind}" for kind in ("containers", "images", "networks", "volumes"))
    if difference:
        say("The Docker Engine does not hold what it held before:")
        print("\n".join(f"    {line}" for line in difference), flush=True)
    else:
        say(f"Nothing is left: the Docker Engine holds what it held before ({counted}).")
    return not difference


def main() -> int:
    with_terminal = sys.stdin.isatty() and sys.stdout.isatty()

    def end(number: int, _frame: object) -> None:
        if number == signal.SIGHUP and with_terminal:
            # The terminal is gone: writing to it would fail, in the middle of the cleanup.
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    before = engine_state()
    if MADE_BASE in {name.split(" = ")[0] for name in before.names}:
        say(f"Removing {MADE_BASE}, which an earlier run that was killed left behind")
        docker("rmi", MADE_BASE)
        before = engine_state()
    worked = True
    try:
        tell(whole=not with_terminal)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        problem, *details = str(error).splitlines()
        print("\n".join([f"getting-started: {problem}", *details[-10:]]), file=sys.stderr, flush=True)
        worked = False
    except KeyboardInterrupt:
        worked = False
    return 0 if compare(before) and worked else 1


if __name__ == "__main__":
    sys.exit(main())
