"""Builds by BuildKit without buildx: a small context goes to the engine's socket as a tar, in one request.

`docker buildx build` starts three programs and a session for each image, which takes longer than BuildKit needs for a small
one. What such a session is for (large contexts, pulls with a login, secrets, other builders) is left to it; so is telling
why a build failed, unless it was a step's own command.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import re
import stat
import tarfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from kfold.errors import Abandoned, Interrupted, KfoldError
from kfold.plan.dockerfile import BaseImage, parse, sources
from kfold.plan.dockerignore import Ignore
from kfold.stores.engine_answers import platform_of
from kfold.stores.engine_interface import BuildRequest
from kfold.stores.engine_socket import EngineSocket, NoAnswer, context_name, settings, settings_folder
from kfold.stores.process import GRACE, LAST_LINES, ChildFailed

LARGEST = 4_000_000
"""Bytes of a context. A session sends what changed since the last build; a tar is sent whole and unpacked anew."""
MOST = 500
"""Files of a context."""

_STEERING = re.compile(r"BUILDX_|(EXPERIMENTAL_)?BUILDKIT_|SOURCE_DATE_EPOCH$|DOCKER_DEFAULT_PLATFORM$|DOCKER_API_VERSION$")
"""Environment variables that buildx acts on."""
_OWN_FAILURE = re.compile(r"(did not complete successfully|executor failed running \[.*\]): exit code: \d+$", re.DOTALL)
"""How BuildKit says that a RUN failed (since 0.10, and before). An engine that is stopped ends it with other words."""


class Unsuitable(Exception):
    """This build is one for buildx."""


class DirectBuild:
    """One build. `environment`: this process's, with what the engine is found by."""

    def __init__(self, engine: EngineSocket, request: BuildRequest, environment: Mapping[str, str]) -> None:
        """Reads the context. Raises Unsuitable."""
        self._engine, self._request = engine, request
        given = {name: environment.get(name) if value is None else value for name, value in request.build_args.items()}
        self._given = {name: value for name, value in given.items() if value is not None}
        steered = any(_STEERING.match(name) for name in environment)
        if steered or not _is_engines_own_builder(environment):
            raise Unsuitable
        try:
            self._dockerfile = self._place()
            self._check_bases()
            self._context = self._tar()
            # JSON would carry what is no UTF-8 in a form that the engine reads as something else
            "".join(self._given.values()).encode()
        except (OSError, ValueError, KfoldError) as error:
            raise Unsuitable from error
        self._id = f"kfold-{uuid.uuid4()}"

    def _place(self) -> str:
        """The Dockerfile's path in the context. It is sent with the rest, so no COPY may read it that is not to."""
        request = self._request
        place = request.dockerfile.relative_to(request.context).as_posix() if _within(request) else ""
        plain = place and stat.S_ISREG(request.dockerfile.lstat().st_mode) and ".." not in place.split("/")
        if not plain or (place not in request.files and Ignore(request.ignore).matches(place)):
            raise Unsuitable
        return place

    def _check_bases(self) -> None:
        """All base images are in the engine, for the platform that is built for (a pull needs the client's login), and add
        nothing to what is read."""
        request = self._request
        dockerfile = parse(request.dockerfile.read_bytes().decode(errors="surrogateescape"), file=str(request.dockerfile))

        @functools.cache
        def base(name: str) -> BaseImage:
            status, image = self._engine.ask("GET", f"/images/{quote(name, safe='/:@')}/json")
            if status != 200 or request.platform not in ("", platform_of(image)):
                raise Unsuitable
            config = image.get("Config") or {}
            variables = dict(one.partition("=")[::2] for one in config.get("Env") or ())
            return BaseImage(variables, tuple(config.get("OnBuild") or ()))

        known = sources(dockerfile, self._given, request.target, base_image=base)
        alone = sources(dockerfile, self._given, request.target)
        if known != alone or known.guessed or known.mounts or known.syntax:
            raise Unsuitable
        for name in known.base_images:
            base(name)

    def _tar(self) -> bytes:
        request, size = self._request, 0
        files = {*request.files, self._dockerfile}
        # a folder that no entry of its own describes is unpacked with a mode of its own
        folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
        names = sorted(files | folders)
        if len(names) > MOST:
            raise Unsuitable
        for name in names:
            file = (request.context / name).lstat()
            size += file.st_size
            if _attributes(request.context / name):
                raise Unsuitable  # a session sends them (the capabilities of a program), a tar of Python's does not
            if size > LARGEST or stat.S_IFMT(file.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                raise Unsuitable

        def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
            # a session sends all files as root's too
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            return entry

        buffer = io.BytesIO()
        # BuildKit knows a plain tar by its first kilobyte, in which a long name or an exact time does not end
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
            for name in names:
                archive.add(request.context / name, name, recursive=False, filter=plain)
        return buffer.getvalue()

    def run(self, on_line: Callable[[str], None], stop: threading.Event) -> str:
        """The image's ID. Raises Unsuitable where buildx is to try it again (and to tell what is wrong), ChildFailed for a
        step whose command failed, Interrupted (Abandoned, if the engine did not say that the build has ended).

        Should this process be killed, the engine sees the socket close, and ends the build.
        """
        from kfold.stores.buildkit_trace import Trace

        try:
            stream = self._engine.stream("/build", self._query(), self._context)
        except NoAnswer as error:
            raise Unsuitable from error
        last: deque[str] = deque(maxlen=LAST_LINES)

        def hear(line: str) -> None:
            last.append(line)
            on_line(line)

        over, late = threading.Event(), threading.Event()
        guard = threading.Thread(target=self._end_when_stopped, args=(stream.hang_up, stop, over, late), daemon=True)
        guard.start()
        trace, image, problem = Trace(hear), "", ""
        try:
            with closing(stream.messages()) as messages:
                for message in messages:
                    if message.get("id") == "moby.buildkit.trace":
                        trace.report(base64.b64decode(message["aux"]))
                    elif message.get("id") == "moby.image.id":
                        image = message["aux"]["ID"]
                    elif "error" in message or "message" in message:
                        problem = str(message.get("error") or message["message"])
        except (NoAnswer, ValueError, LookupError, TypeError):
            problem = problem or "the engine's answer ends in the middle"
        finally:
            over.set()
            if stop.is_set():
                guard.join()
        if stop.is_set():
            raise (Abandoned if late.is_set() else Interrupted)("`docker build` was stopped")
        if image and not problem:
            trace.end()
            return image
        if _OWN_FAILURE.search(problem):
            hear(f"ERROR: failed to solve: {problem}")
            raise ChildFailed("the build failed", 1, list(last))
        raise Unsuitable(problem)

    def _query(self) -> dict[str, str]:
        request = self._request
        query: dict[str, Any] = {
            "version": "2",  # BuildKit
            "buildid": self._id,
            "dockerfile": self._dockerfile,
            "buildargs": json.dumps(self._given),
            "labels": json.dumps(dict(request.labels)),
        }
        if request.target:
            query["target"] = request.target
        if request.platform:
            query["platform"] = request.platform
        if request.no_cache:
            query["nocache"] = "1"
        return query

    def _end_when_stopped(
        self, hang_up: Callable[[], None], stop: threading.Event, over: threading.Event, late: threading.Event
    ) -> None:
        while not over.is_set():
            if stop.wait(0.1):
                # asked like this the engine answers when the build has ended; an image cannot come after that
                threading.Thread(target=self._cancel, daemon=True).start()
                if not over.wait(GRACE):
                    late.set()
                    hang_up()
                return

    def _cancel(self) -> None:
        with suppress(NoAnswer):
            self._engine.ask("POST", "/build/cancel", {"id": self._id})


def _within(request: BuildRequest) -> bool:
    return request.dockerfile.is_relative_to(request.context)


def _is_engines_own_builder(environment: Mapping[str, str]) -> bool:
    """Whether buildx would build in the engine itself, with nothing added: no other builder was chosen (docker/buildx,
    store/nodegroup: `current`, `defaults/`), and no proxy is handed to builds (docker/cli, config.json: proxies)."""
    folder = settings_folder(environment)
    if settings(folder).get("proxies"):
        return False
    chosen = {"", context_name(environment)}
    try:
        current = json.loads((folder / "buildx" / "current").read_bytes())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    others = _names(folder / "buildx" / "defaults")
    return isinstance(current, dict) and current.get("Name") in chosen and not others


def _attributes(file: Path) -> set[str]:
    """Its extended attributes, but for what a host's own security modules keep there."""
    if not hasattr(os, "listxattr"):
        return set()  # macOS: its engine is in a machine of its own, which sees none of them
    return {name for name in os.listxattr(file, follow_symlinks=False) if not name.startswith("security.selinux")}


def _names(folder: Path) -> set[str]:
    found = set()
    with suppress(OSError):
        found = {path.read_text().strip() for path in folder.iterdir()}
    return found - {""}
