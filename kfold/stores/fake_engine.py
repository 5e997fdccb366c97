"""A Docker Engine in a JSON file: keeps the contract of Engine without an engine, and fails when it is told to.

Its state survives the process, so a test can kill a run and ask afterwards what the engine holds. What is real: image IDs
(equal inputs, equal ID), labels and their inheritance from the base image, names that move, removal name by name and never
of what a container uses. A build copies nothing and runs nothing, but the files that it is handed must be there, and two
instructions are understood: `RUN false` fails as a failing command does, and `RUN sleep N` takes N seconds unless it is
stopped. What is not: layers and their sizes, a cache, registries, containers that do anything (`put_container`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kfold.errors import Interrupted
from kfold.stores.engine_interface import BuildRequest, Container, EngineError, EngineImage, InUse, Names, PushFailed

_ERRORS: Mapping[str, type[EngineError]] = {kind.__name__: kind for kind in (EngineError, InUse)}

HOST = "linux/amd64"
"""The platform that it builds for by itself."""


def _ignore(text: str) -> None:
    """Nobody listens."""


class FakeEngine:
    """See the module. `path` is the state file; two FakeEngines on one file are two clients of one engine.

    Thread-safe and process-safe: each call holds the file's lock (`build` only at its beginning and end). `calls` lists the
    methods called on this instance.
    """

    def __init__(self, path: Path, *, builder: Literal["buildkit", "legacy"] = "buildkit") -> None:
        self.path = path
        self.calls: list[str] = []
        self._builder = builder
        self._lock = threading.RLock()

    # --- the contract -------------------------------------------------------------------------------------------

    def identity(self) -> str:
        with self._state("identity") as state:
            return str(state["identity"])

    def address(self) -> Mapping[str, str]:
        return {"DOCKER_HOST": f"fake://{self.path}"}

    def builder(self) -> str:
        return self._builder

    def names(self) -> Names:
        with self._state("names") as state:
            ids = dict(state["names"])
            pulled = frozenset(name for name, image in ids.items() if state["images"][image]["pulled"])
            return Names(ids, pulled, frozenset(state["images"]) - frozenset(ids.values()))

    def labelled(self, labels: Mapping[str, str]) -> list[EngineImage]:
        with self._state("labelled") as state:
            images = (_image(state, id_) for id_ in state["images"])
            found = [image for image in images if labels.items() <= image.labels.items()]
            return sorted(found, key=lambda image: (image.layers, image.created))

    def unfinished(self, labels: Mapping[str, str]) -> list[EngineImage]:
        with self._state("unfinished"):
            return []  # its builds have no steps

    def image(self, reference: str) -> EngineImage | None:
        with self._state("image") as state:
            found = _find(state, reference)
            return _image(state, found) if found else None

    def build(
        self,
        request: BuildRequest,
        on_line: Callable[[str], None],
        stop: threading.Event,
        on_layer: Callable[[str], None] = _ignore,
    ) -> str:
        with self._state("build", effect=lambda state: self._made(state, request)) as state:
            bases = {name: state["names"][name] for name in _bases(request) if name in state["names"]}
        try:
            text = request.dockerfile.read_text(errors="replace")
            self._run(text, on_line, stop)
            content = _digest(request, text, bases)
        except OSError as error:
            raise EngineError(f"{str(error.filename)!r} cannot be read: {error.strerror}") from error
        with self._state("", write=True) as state:
            return self._store(state, request, content, bases)

    def tag(self, image: str, name: str) -> None:
        with self._state("tag", write=True) as state:
            found = _find(state, image)
            if found is None:
                raise EngineError(f"the Docker Engine refused: No such image: {image}")
            state["names"][_with_tag(name)] = found

    def remove(self, reference: str, *, parents: bool = True) -> bool:
        with self._state("remove", write=True) as state:
            image = _find(state, reference)
            if image is None:
                return False
            names = [name for name, target in state["names"].items() if target == image]
            by_name = _with_tag(reference) in names
            if by_name and len(names) > 1:
                del state["names"][_with_tag(reference)]
                return True
            user = next((one for one in state["containers"].values() if one["image"] == image), None)
            if len(names) > 1:
                raise InUse(f"{image} has several names: {', '.join(sorted(names))}")
            if user is not None:
                how = "running" if user["running"] else "stopped"
                raise InUse(f"{reference}: image is being used by {how} container {user['name']}")
            for name in names:
                del state["names"][name]
            del state["images"][image]
            return True

    def remove_step(self, container: str) -> bool:
        with self._state("remove_step", write=True) as state:
            found = next((id_ for id_ in state["containers"] if id_.startswith(container)), "")
            if found and state["containers"][found]["running"]:
                raise InUse(f"You cannot remove a running container {found}")
            return bool(state["containers"].pop(found, None))

    def push(
        self, name: str, on_line: Callable[[str], None], stop: threading.Event, environment: Mapping[str, str]
    ) -> str:
        with self._state("push") as state:
            raise PushFailed(f"the engine could not push {name}: {state['identity']} is a fake and has no registry")

    def prune_build_cache(self) -> str:
        with self._state("prune_build_cache"):
            return "0B"

    def containers(self) -> list[Container]:
        with self._state("containers") as state:
            return [Container(id_, one["name"], one["image"], one["running"]) for id_, one in state["containers"].items()]

    # --- what a test does to it ---------------------------------------------------------------------------------

    def fail(self, method: str, error: EngineError, times: int = 1, *, after_effect: bool = False) -> None:
        """The next `times` calls of `method` raise `error`, in whichever process they happen.

        `after_effect`: the call does its work first and its answer is lost, as when a connection breaks.
        """
        with self._state("", write=True) as state:
            state["failures"].append({
                "method": method, "times": times, "after_effect": after_effect, "type": type(error).__name__,
                "message": error.message, "hint": error.hint,
            })  # fmt: skip

    def put_image(self, *names: str, labels: Mapping[str, str] | None = None, pulled: bool = False) -> str:
        """An image that somebody else made; returns its ID."""
        with self._state("", write=True) as state:
            image = f"sha256:{hashlib.sha256(uuid.uuid4().bytes).hexdigest()}"
            state["images"][image] = _stored(dict(labels or {}), size=1, layers=1, pulled=pulled)
            state["names"].update({_with_tag(name): image for name in names})
            return image

    def put_container(self, name: str, image: str, *, running: bool = True) -> str:
        """A container of an image; returns its ID."""
        with self._state("", write=True) as state:
            found = _find(state, image)
            assert found is not None, f"no image {image}"
            container = uuid.uuid4().hex * 2
            state["containers"][container] = {"name": name, "image": found, "running": running}
            return container

    def remove_container(self, name: str) -> None:
        """It stops, if it runs, and goes."""
        with self._state("", write=True) as state:
            state["containers"] = {id_: one for id_, one in state["containers"].items() if one["name"] != name}

    def snapshot(self) -> dict[str, Any]:
        """Images with their contents, names and containers: to compare before and after."""
        with self._state("") as state:
            return {part: state[part] for part in ("images", "names", "containers")}

    # --- inside -------------------------------------------------------------------------------------------------

    def _made(self, state: dict[str, Any], request: BuildRequest) -> None:
        """The whole effect of a build, for one whose answer is lost."""
        bases = {name: state["names"][name] for name in _bases(request) if name in state["names"]}
        self._store(state, request, _digest(request, request.dockerfile.read_text(errors="replace"), bases), bases)

    @staticmethod
    def _run(text: str, on_line: Callable[[str], None], stop: threading.Event) -> None:
        steps = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        for number, step in enumerate(steps, 1):
            on_line(f"Step {number}/{len(steps)} : {step}")
            pause = re.fullmatch(r"RUN sleep ([0-9.]+)", step)
            if stop.wait(float(pause[1]) if pause else 0):
                raise Interrupted("`docker` was stopped")
            if step == "RUN false":
                raise EngineError("build failed: the command `false` returned a non-zero code: 1")

    @staticmethod
    def _store(state: dict[str, Any], request: BuildRequest, content: str, bases: Mapping[str, str]) -> str:
        inherited: dict[str, str] = {}
        layers = 1
        for base in bases.values():
            inherited |= state["images"][base]["labels"]
            layers = max(layers, state["images"][base]["layers"] + 1)
        labels = {**inherited, **request.labels}
        image = f"sha256:{hashlib.sha256(json.dumps([content, sorted(labels.items())]).encode()).hexdigest()}"
        made = _stored(labels, size=len(request.files), layers=layers, platform=request.platform or HOST)
        state["images"].setdefault(image, made)
        return image

    @contextmanager
    def _state(
        self, method: str, *, write: bool = False, effect: Callable[[dict[str, Any]], None] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The state, under the lock, with this method's failures raised before or after its effect."""
        with self._lock, self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if method:
                self.calls.append(method)
            state = json.loads(self.path.read_text()) if self.path.exists() else self._save(_empty())
            failure = next((entry for entry in state["failures"] if entry["method"] == method), None)
            if failure is not None:
                failure["times"] -= 1
                if failure["times"] <= 0:
                    state["failures"].remove(failure)
                self._save(state)
                if not failure["after_effect"]:
                    raise _error(failure)
                if effect is not None:
                    effect(state)
                    self._save(state)
            yield state
            if write:
                self._save(state)
            if failure is not None:
                raise _error(failure)

    def _save(self, state: dict[str, Any]) -> dict[str, Any]:
        draft = self.path.with_name(f"{self.path.name}.new")
        draft.write_text(json.dumps(state))
        draft.replace(self.path)  # a killed process leaves the old state or the new one, never half of it
        return state


def _empty() -> dict[str, Any]:
    return {"identity": str(uuid.uuid4()), "images": {}, "names": {}, "containers": {}, "failures": []}


def _error(failure: Mapping[str, Any]) -> EngineError:
    return _ERRORS.get(failure["type"], EngineError)(failure["message"], hint=failure["hint"])


def _stored(
    labels: dict[str, str], *, size: int, layers: int, pulled: bool = False, platform: str = HOST
) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat()
    stored = asdict(EngineImage("", (), labels, size=size, created=created, pulled=pulled, layers=layers, platform=platform))
    del stored["id"], stored["names"]
    return stored


def _image(state: Mapping[str, Any], image: str) -> EngineImage:
    names = tuple(sorted(name for name, target in state["names"].items() if target == image))
    return EngineImage(image, names, **state["images"][image])


def _with_tag(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _find(state: Mapping[str, Any], reference: str) -> str | None:
    """An image by its name, its ID, or the beginning of its ID (12 digits or more)."""
    named: str | None = state["names"].get(_with_tag(reference))
    digits = reference.removeprefix("sha256:")
    if named or not re.fullmatch(r"[0-9a-f]{12,64}", digits):
        return named
    return next((image for image in state["images"] if image.startswith(f"sha256:{digits}")), None)


def _bases(request: BuildRequest) -> list[str]:
    """The images of the FROM lines, the values of build arguments put in."""
    arguments = {name: value or "" for name, value in request.build_args.items()}
    text = request.dockerfile.read_text(errors="replace") if request.dockerfile.is_file() else ""
    found = re.findall(r"^FROM +(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return [_with_tag(re.sub(r"\$\{?(\w+)\}?", lambda match: arguments.get(match[1], ""), name)) for name in found]


def _digest(request: BuildRequest, text: str, bases: Mapping[str, str]) -> str:
    """What an image is made of, as one hash. Raises OSError where a file is gone."""
    settings = [text, request.target, sorted(request.build_args.items()), sorted(bases.items()), request.platform or HOST]
    whole = hashlib.sha256(json.dumps(settings).encode())
    for name in sorted(request.files):
        path = request.context / name
        if path.is_symlink():
            content = f"-> {path.readlink()}".encode(errors="surrogateescape")
        elif path.is_dir():
            content = b""
        else:
            content = path.read_bytes()
        whole.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return whole.hexdigest()
