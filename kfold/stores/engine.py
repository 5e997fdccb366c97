"""The Docker Engine: builds by BuildKit or the legacy builder, names and images.

What is asked or done once an artifact goes to the engine's own socket where there is one (2 ms), else through `docker`
(40 ms) or python-on-whales (0.27 s to import, and more programs a call). Those also tell what is wrong, in docker's words.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kfold.errors import StoreError
from kfold.plan.reference import split_tag
from kfold.stores import build_failure, legacy_builder, process
from kfold.stores.direct_build import DirectBuild, Unsuitable
from kfold.stores.engine_answers import container_of, image_of, names_of
from kfold.stores.engine_interface import (
    LABEL_KEY,
    UNFINISHED,
    BuildRequest,
    Container,
    EngineError,
    EngineImage,
    InUse,
    Names,
    PushFailed,
)
from kfold.stores.engine_socket import NoAnswer, context_name, settings, settings_folder, socket_of

if TYPE_CHECKING:
    from python_on_whales import DockerClient

_PUSHED = re.compile(r": digest: (sha256:[0-9a-f]{64}) size: ")
"""The last line of `docker push`: `1.0: digest: sha256:… size: 528`."""
_DENIED = "Become a member of the group `docker` (`usermod -aG docker $USER`, then log in again), or use rootless Docker."
_NO_DOCKER = "Install Docker (docs.docker.com/get-docker): its client `docker` and an engine."


def _ignore(text: str) -> None:
    """Nobody listens."""


class DockerEngine:
    """The engine that `environment` (DOCKER_HOST, DOCKER_CONTEXT) or docker's current context leads to.

    `address`: what leads there at any later time, where that is something else (minikube's port changes).
    """

    def __init__(self, environment: Mapping[str, str] | None = None, *, address: Mapping[str, str] | None = None) -> None:
        self._environment = dict(environment or {})
        self._address = address
        if "DOCKER_CONTEXT" in self._environment:
            self._environment.setdefault("DOCKER_HOST", "")  # docker lets DOCKER_HOST win; empty is unset
        self._mutex = threading.RLock()
        self._loaded: DockerClient | None = None
        self._socket = socket_of({**os.environ, **self._environment})

    def address(self) -> Mapping[str, str]:
        if self._address:
            return self._address
        for environment in (self._environment, os.environ):
            for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
                if value := environment.get(variable):
                    return {variable: value}
        return {"DOCKER_CONTEXT": context_name({**os.environ, **self._environment})}

    @functools.cached_property
    def _identity(self) -> str:
        told = self._told("GET", "/info")
        text = str(told.get("ID") or "") if told else self._ask("info", "--format", "{{.ID}}").strip()
        if not text:
            nameless = "the Docker Engine does not say which one it is (`docker info` has no ID)"
            raise EngineError(nameless, hint=build_failure.NO_ENGINE)
        return text

    def identity(self) -> str:
        return self._identity

    @functools.cached_property
    def _builder(self) -> str:
        if os.environ.get("DOCKER_BUILDKIT") == "0":
            return "legacy"
        # asking `docker buildx version` starts two programs (0.06 s); docker finds its plug-ins by name in these folders
        return "buildkit" if any(os.access(folder / "docker-buildx", os.X_OK) for folder in plugin_folders()) else "legacy"

    def builder(self) -> str:
        return self._builder

    def names(self) -> Names:
        listed = self._told("GET", "/images/json")
        if isinstance(listed, list):
            return names_of(listed)
        columns = ["--no-trunc", "--format", "{{.Repository}}:{{.Tag}}\t{{.ID}}\t{{.Digest}}"]
        ids: dict[str, str] = {}
        pulled, unnamed = set(), set()
        for line in self._list_images(*columns):
            name, image, digest = line.split("\t")
            if "<none>" in name:
                unnamed.add(image)
                continue
            ids[name] = image
            if digest not in ("<none>", image):
                pulled.add(name)
        return Names(ids, frozenset(pulled), frozenset(unnamed))

    def labelled(self, labels: Mapping[str, str]) -> list[EngineImage]:
        return self._listed(labels)

    def unfinished(self, labels: Mapping[str, str]) -> list[EngineImage]:
        return [image for image in self._listed({**labels, LABEL_KEY: UNFINISHED}, intermediate=True) if not image.names]

    def _listed(self, labels: Mapping[str, str], *, intermediate: bool = False) -> list[EngineImage]:
        wanted = [f"{key}={value}" for key, value in labels.items()]
        query = {"filters": json.dumps({"label": wanted}), "all": "1" if intermediate else "0"}
        listed = self._told("GET", "/images/json", query)
        if isinstance(listed, list):
            ids = [str(image["Id"]) for image in listed]
        else:
            filters = [part for label in wanted for part in ("--filter", f"label={label}")]
            options = ["--all"] if intermediate else []
            ids = self._list_images("--no-trunc", "--quiet", *options, *filters)
        found = self._inspect(list(dict.fromkeys(ids)))
        return sorted(found, key=lambda image: (image.layers, image.created))

    def _list_images(self, *options: str) -> list[str]:
        """`docker image ls`. Since version 29 the client leaves out what has no name, unless it is asked for that alone."""
        listed = self._ask("image", "ls", *options).splitlines()
        return [*listed, *self._ask("image", "ls", *options, "--filter", "dangling=true").splitlines()]

    def image(self, reference: str) -> EngineImage | None:
        return next(iter(self._inspect([reference])), None)

    def _inspect(self, references: Sequence[str]) -> list[EngineImage]:
        """The images of these references that are there, by one question."""
        if not references:
            return []
        told = [self._told("GET", f"/images/{quote(one, safe='/:@')}/json", none=(404,)) for one in references]
        if None not in told:
            return [image_of(entry) for entry in told if entry]
        try:
            answer = self._ask("image", "inspect", *references)
        except EngineError as error:
            if "no such image" not in error.message.lower():
                raise
            # one went since it was listed: docker then says which are there, and that it failed
            return [] if len(references) == 1 else [image for one in references for image in self._inspect([one])]
        return [image_of(entry) for entry in json.loads(answer)]

    def build(
        self,
        request: BuildRequest,
        on_line: Callable[[str], None],
        stop: threading.Event,
        on_layer: Callable[[str], None] = _ignore,
    ) -> str:
        buildkit = self.builder() == "buildkit"
        layers = legacy_builder.Layers(on_layer)

        def hear(line: str) -> None:
            if not buildkit:
                layers.line(line)
            if line.strip():
                on_line(line)

        with tempfile.TemporaryDirectory(prefix=f"kfold-build-{os.getpid()}-", dir=request.scratch) as folder:
            image_file, metadata = Path(folder, "image-id"), Path(folder, "metadata")
            environment = {
                **self._environment,
                "DOCKER_BUILDKIT": "1" if buildkit else "0",
                # an attestation would turn the image into an index with a time in it: another ID for the same inputs
                "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
                "BUILDX_METADATA_PROVENANCE": "disabled",
            }
            try:
                arguments = self._build_command(request, image_file, metadata, Path(folder))
                context = None if buildkit else legacy_builder.context(request, Path(folder, "context.tar"))
            except OSError as error:
                hint = "It may have gone while the build began: run this again."
                raise EngineError(f"{str(error.filename)!r} cannot be read: {error.strerror}", hint=hint) from error
            try:
                image = self._build_directly(request, hear, stop) if buildkit else ""
                if not image:
                    process.run(arguments, on_line=hear, stop=stop, environment=environment, standard_input=context)
            except process.ChildFailed as error:
                hint = build_failure.hint(error.output, buildkit=buildkit, request=request)
                raise EngineError(build_failure.reason(error.output), hint=hint) from error
            made = [image] if image else _told_ids(image_file, metadata)
        found = next((found for image in made if (found := self.image(image))), None)
        if found is None:
            raise EngineError(
                f"the builder made {made[0]}, but the engine does not have it",
                hint="The current buildx builder builds elsewhere: `docker buildx use default`.",
            )
        # a base of a lower variant runs there as well, and the image keeps that one's (containerd/platforms: Only)
        if request.platform and request.platform.split("/")[:2] != found.platform.split("/")[:2]:
            if not found.names:  # the builder's cache may have made it somebody's, of that ID
                self.remove(found.id)
            raise build_failure.other_platform(found.platform, request, buildkit=buildkit)
        return found.id

    def _build_directly(self, request: BuildRequest, on_line: Callable[[str], None], stop: threading.Event) -> str:
        """The image's ID, or "" where buildx is to build it. Raises ChildFailed, Interrupted."""
        if self._socket is None:
            return ""
        try:
            return DirectBuild(self._socket, request, {**os.environ, **self._environment}).run(on_line, stop)
        except Unsuitable:
            return ""

    def _build_command(self, request: BuildRequest, image_file: Path, metadata: Path, folder: Path) -> list[str]:
        if self.builder() == "buildkit":
            # BuildKit takes `<dockerfile>.dockerignore` from beside the Dockerfile: a copy elsewhere lets us add to it
            # without writing into the user's folder
            dockerfile = folder / request.dockerfile.name
            shutil.copyfile(request.dockerfile, dockerfile)
            # a `#` in the first column would make a comment of a pattern
            lines = (f" {pattern}\n" if pattern.startswith("#") else f"{pattern}\n" for pattern in request.ignore)
            Path(f"{dockerfile}.dockerignore").write_text("".join(lines), errors="surrogateescape")
            arguments = ["docker", "buildx", "build", "--load", "--progress=plain", "--file", str(dockerfile)]
            arguments += ["--metadata-file", str(metadata)]
        else:
            # --force-rm: a failed step of the legacy builder leaves its container otherwise
            arguments = ["docker", "build", "--force-rm", "--file", legacy_builder.DOCKERFILE]
        arguments += ["--iidfile", str(image_file)]
        for name, value in sorted(request.build_args.items()):
            arguments += ["--build-arg", name if value is None else f"{name}={value}"]
        for name, value in sorted(request.labels.items()):
            arguments += ["--label", f"{name}={value}"]
        if request.target:
            arguments += ["--target", request.target]
        if request.platform:
            arguments += ["--platform", request.platform]
        if request.no_cache:
            arguments.append("--no-cache")
        return [*arguments, str(request.context) if self.builder() == "buildkit" else "-"]

    def tag(self, image: str, name: str) -> None:
        repository, tag = split_tag(name)
        if self._told("POST", f"/images/{quote(image, safe='/:@')}/tag", {"repo": repository, "tag": tag}) is not None:
            return
        from python_on_whales.exceptions import DockerException

        try:
            self._client().image.tag(image, name)
        except DockerException as error:
            raise self._error(error) from error

    def push(
        self, name: str, on_line: Callable[[str], None], stop: threading.Event, environment: Mapping[str, str]
    ) -> str:
        said: list[str] = []

        def hear(line: str) -> None:
            said.append(line)
            on_line(line)

        try:
            process.run(
                ["docker", "push", name], on_line=hear, stop=stop, environment={**self._environment, **environment}
            )
        except process.ChildFailed as error:
            last = error.output[-1] if error.output else "no word"
            raise PushFailed(f"the engine could not push {name}: {last}", output=error.output) from error
        found = next((match[1] for line in reversed(said) if (match := _PUSHED.search(line))), "")
        if not found:
            raise PushFailed(f"the engine pushed {name} and did not say which digest it has there", output=tuple(said[-20:]))
        return found

    def remove(self, reference: str, *, parents: bool = True) -> bool:
        options = {"noprune": "0" if parents else "1"}
        told = self._told("DELETE", f"/images/{quote(reference, safe='/:@')}", options, none=(404,))
        if told is not None:
            return bool(told)
        from python_on_whales.exceptions import DockerException, NoSuchImage

        try:
            self._client().image.remove(reference, prune=parents)
        except NoSuchImage:
            return False
        except DockerException as error:
            text = str(error.stderr or "")
            if "No such image" in text:
                return False
            if any(words in text for words in ("is using", "being used", "must be forced", "dependent child images")):
                raise InUse(text.strip().splitlines()[-1]) from error
            raise self._error(error) from error
        return True

    def remove_step(self, container: str) -> bool:
        told = self._told("DELETE", f"/containers/{container}", {"v": "1"}, none=(404,))
        if told is not None:
            return bool(told)
        try:
            return bool(self._ask("container", "rm", "--volumes", container))
        except EngineError as error:
            text = error.message.lower()
            if "no such container" in text:
                return False
            if any(words in text for words in ("is running", "running container", "already in progress")):
                raise InUse(error.message) from error
            raise

    def prune_build_cache(self) -> str:
        # both builders end with a line such as `Total:\t1.2GB` or `Total reclaimed space: 1.2GB`
        lines = self._ask("builder", "prune", "--force").strip().splitlines()
        return lines[-1].rpartition(":")[2].strip() if lines else "0B"

    def containers(self) -> list[Container]:
        listed = self._told("GET", "/containers/json", {"all": "1"})
        if isinstance(listed, list):
            return [container_of(one) for one in listed]
        from python_on_whales.exceptions import DockerException, NoSuchContainer

        found = []
        try:
            for container in self._client().container.list(all=True):
                try:
                    running = bool(container.state.running)
                    found.append(Container(container.id, container.name, container.image, running))
                except NoSuchContainer:
                    continue  # it ended and was removed between the list and the look
        except DockerException as error:
            raise self._error(error) from error
        return found

    def _client(self) -> DockerClient:
        with self._mutex:
            if self._loaded is None:
                from python_on_whales import DockerClient

                # python-on-whales hands no environment to docker, and `--context default` still follows DOCKER_HOST
                variables = [f"{name}={value}" for name, value in self._environment.items()]
                # nor does it start docker in a session of its own: a terminal's Ctrl+C would end it without a word
                session = [program] if (program := shutil.which("setsid")) else []
                self._loaded = DockerClient(client_call=[*session, "env", *variables, "docker"])
            return self._loaded

    def _told(self, method: str, path: str, query: Mapping[str, str] | None = None, none: Sequence[int] = ()) -> Any:
        """The engine's own answer; empty for a status of `none`; None for docker to ask again, and say what is wrong."""
        if self._socket is None:
            return None
        try:
            status, answer = self._socket.ask(method, path, query)
        except NoAnswer:
            return None
        if status in none:
            return {}
        if status == 204:
            return True  # done, and nothing to tell
        return ({} if answer is None else answer) if status in (200, 201) else None

    def _ask(self, *arguments: str) -> str:
        try:
            return process.answer(["docker", *arguments], environment=self._environment)
        except process.ChildFailed as error:
            raise self._unanswered(error.message) from error
        except StoreError as error:
            raise EngineError(error.message, hint="" if shutil.which("docker") else _NO_DOCKER) from error

    def _error(self, error: Any) -> EngineError:
        lines = str(error.stderr or error).strip().splitlines()
        return self._unanswered(lines[-1] if lines else str(error))

    @staticmethod
    def _unanswered(text: str) -> EngineError:
        if "permission denied" in text and "connect" in text:
            return EngineError(f"the Docker Engine may not be used: {text}", hint=_DENIED)
        silence = ("Cannot connect", "daemon running", "connection refused", "error during connect")
        if any(words in text for words in silence):
            return EngineError(f"the Docker Engine does not answer: {text}", hint=build_failure.NO_ENGINE)
        if "unable to resolve docker endpoint" in text:
            return EngineError(f"the Docker Engine cannot be found: {text}", hint="`docker context ls` shows what there is.")
        return EngineError(f"the Docker Engine refused: {text.removeprefix('Error response from daemon: ')}")


def _told_ids(image_file: Path, metadata: Path) -> list[str]:
    """What a builder says that it made. buildx tells the config's digest as the ID, by which containerd's image store knows
    no image (docker/buildx, commands/build: getImageID; mended after 0.29); the manifest's is in the metadata."""
    told = [image_file.read_text().strip()]
    with suppress(OSError, ValueError, KeyError):
        told.append(str(json.loads(metadata.read_bytes())["containerimage.digest"]))
    return told


def plugin_folders() -> list[Path]:
    """Where the docker client looks for its plug-ins (docker/cli, cli-plugins/manager)."""
    own = settings_folder(os.environ)
    extra: list[str] = settings(own).get("cliPluginsExtraDirs") or []
    system = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")
    return [own / "cli-plugins", *(Path(folder) for folder in extra), *(Path(base, "cli-plugins") for base in system)]
