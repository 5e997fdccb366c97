"""What kfold asks of a Docker Engine: the protocol, its values and its errors. No I/O, no heavy import."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kfold.errors import StoreError

LABEL_CONFIG = "dev.kfold.config"
LABEL_ARTIFACT = "dev.kfold.artifact"
LABEL_KEY = "dev.kfold.content-key"
"""The labels of an image that kfold built. Nothing of a run or a machine is in them: same inputs, same image ID."""

LABEL_APART = "dev.kfold.apart"
"""A label of a build besides: a random word, where images that kfold did not build carry the others. What is made then is
another image than any of them (the builder's cache would give the same ID to the same inputs), and known by it alone."""

UNFINISHED = "unfinished"
"""LABEL_KEY of what a build has not finished (legacy builder: each step is an image). It beats a key that FROM brought."""

STEP = "container "
"""Before the ID of a container, among IDs of images: it is that of a build's step."""


class EngineError(StoreError):
    """The engine refused, failed, or does not answer."""


class PushFailed(EngineError):
    """The engine could not push. `output`: its last lines, in which the registry's own words are."""

    def __init__(self, message: str, *, hint: str = "", output: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.output = output


class InUse(EngineError):
    """The engine will not remove this image: a container, another name or an image made from it uses it."""


@dataclass(frozen=True)
class EngineImage:
    """An image in the engine. `id` is `sha256:…`; `names` are `name:tag`; `size` in bytes; `created` RFC 3339.

    `pulled`: the engine knows a name for it by another digest, a registry's: its reference means the same elsewhere.
    `layers`: how many file system layers it has. `platform`: `linux/arm64`.
    """

    id: str
    names: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    created: str = ""
    pulled: bool = False
    layers: int = 0
    platform: str = ""


@dataclass(frozen=True)
class Names:
    """Every `name:tag` of an engine with its image ID, and those of them that a registry knows by digest too.

    `unnamed`: the IDs of the images that have no name (without those that are only parents of others).
    """

    ids: dict[str, str]
    pulled: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()

    def has(self, image: str) -> bool:
        """Whether the engine has an image of this ID."""
        return image in self.unnamed or image in self.ids.values()


@dataclass(frozen=True)
class Container:
    """A container of the engine, running or not, and the ID of its image."""

    id: str
    name: str
    image: str
    running: bool


@dataclass(frozen=True)
class BuildRequest:
    """One image to build. Paths are absolute. A build argument of None is taken from the environment by the builder.

    `files` are what the Dockerfile reads, below the context; `ignore` the patterns that keep the rest out of the image
    (kfold's own state folder among them, which no .dockerignore of a user names). `scratch`: an existing folder for files
    that are needed while the build lasts (the system's, where there is none). `platform`: what it is for; "": the builder's.
    """

    context: Path
    dockerfile: Path
    target: str
    build_args: Mapping[str, str | None]
    no_cache: bool
    labels: Mapping[str, str]
    files: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    scratch: Path | None = None
    platform: str = ""


def shown_name(name: str) -> str:
    """A name as an engine lists it: without Docker Hub's host and its folder `library` (distribution/reference, Familiar).

    >>> shown_name("docker.io/library/web:1"), shown_name("docker.io/team/web"), shown_name("localhost:5000/web")
    ('web:1', 'team/web', 'localhost:5000/web')
    """
    host, slash, path = name.partition("/")
    if not slash or host not in ("docker.io", "index.docker.io"):
        return name
    folder, slash, rest = path.partition("/")
    return rest if folder == "library" and slash and "/" not in rest else path


class Engine(Protocol):
    """A Docker Engine. All methods may be called from several threads. Every method raises EngineError."""

    def identity(self) -> str:
        """What tells this engine from another (`docker info`, ID). Asked once."""
        ...

    def address(self) -> Mapping[str, str]:
        """The environment variables that lead to this engine from anywhere (DOCKER_HOST or DOCKER_CONTEXT)."""
        ...

    def builder(self) -> str:
        """`buildkit` where the buildx plug-in is there, else `legacy`."""
        ...

    def names(self) -> Names:
        """Every `name:tag` of the engine, by one question."""
        ...

    def labelled(self, labels: Mapping[str, str]) -> list[EngineImage]:
        """The images that carry all these labels, oldest first.

        An image that somebody made FROM one of them has inherited its labels: it comes after it.
        """
        ...

    def unfinished(self, labels: Mapping[str, str]) -> list[EngineImage]:
        """What builds with these labels (LABEL_KEY does not count) made on their way, and has no name; oldest first.

        Parents of finished images are among them. BuildKit leaves nothing of the kind.
        """
        ...

    def image(self, reference: str) -> EngineImage | None:
        """An image by name or ID, or None."""
        ...

    def build(
        self,
        request: BuildRequest,
        on_line: Callable[[str], None],
        stop: threading.Event,
        on_layer: Callable[[str], None] = ...,
    ) -> str:
        """Build an image without a name and return its ID. It is for the platform that was asked for, or is not there.

        `on_layer` hears the ID of each intermediate image that this build, and only this build, made (legacy builder):
        they are the image's parents then, and go with it, but stay when there is no image in the end. Before, it hears
        STEP and the ID of the container that the step runs in: it goes with the step, but stays when the engine is killed.
        """
        ...

    def tag(self, image: str, name: str) -> None:
        """Point `name` (`name:tag`) at an image, wherever it pointed before."""
        ...

    def remove(self, reference: str, *, parents: bool = True) -> bool:
        """Remove one name, or an image that has no name (by ID). Never by force. False if there was no such thing.

        An image that goes takes its parents with it (`docker rmi`): those without a name that nothing else uses.
        `parents=False` keeps them. Raises InUse where a container uses the image and this was its last name, where an
        image that is to go by ID has several names, or is what another image was made from.
        """
        ...

    def remove_step(self, container: str) -> bool:
        """Remove the container that a build ran a step in, by ID, with its volumes. Never by force. False if there was none.

        Raises InUse while it runs, or is being removed.
        """
        ...

    def push(
        self, name: str, on_line: Callable[[str], None], stop: threading.Event, environment: Mapping[str, str]
    ) -> str:
        """Push `name:tag` to its registry; returns the digest that the engine says it has there.

        `environment`: what logs the client in (Registry.client_environment). Raises PushFailed, Interrupted.
        """
        ...

    def prune_build_cache(self) -> str:
        """`docker builder prune`: what no build uses at the moment. Returns how much that freed, in the engine's words."""
        ...

    def containers(self) -> list[Container]:
        """All containers, running or not."""
        ...
