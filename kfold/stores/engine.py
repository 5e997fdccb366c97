"""The Docker Engine, through `docker`: builds by BuildKit (buildx) or the legacy builder, the rest by python-on-whales.

The one question that a run with nothing to do asks (`names`) is a plain `docker image ls` (0.03 s): importing
python_on_whales alone takes 0.27 s.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfold.stores import process
from kfold.stores.engine_interface import BuildRequest, Container, EngineError, EngineImage, InUse, Names

if TYPE_CHECKING:
    from python_on_whales import DockerClient

_HINT = "Start it (Docker Desktop, `systemctl start docker`), or point DOCKER_HOST or `docker context use` at one."


class DockerEngine:
    """The engine that `environment` (DOCKER_HOST, DOCKER_CONTEXT) or docker's current context leads to."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(environment or {})
        self._mutex = threading.RLock()
        self._loaded: DockerClient | None = None

    def address(self) -> Mapping[str, str]:
        for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
            value = self._environment.get(variable) or os.environ.get(variable)
            if value:
                return {variable: value}
        return {"DOCKER_CONTEXT": self._ask("context", "show").strip()}

    @functools.cached_property
    def _identity(self) -> str:
        text = self._ask("info", "--format", "{{.ID}}").strip()
        if not text:
            raise EngineError("the Docker Engine does not say which one it is (`docker info` has no ID)", hint=_HINT)
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
        columns = "{{.Repository}}:{{.Tag}}\t{{.ID}}\t{{.Digest}}"
        ids, pulled = {}, set()
        for line in self._ask("image", "ls", "--no-trunc", "--format", columns).splitlines():
            name, image, digest = line.split("\t")
            if "<none>" not in name:
                ids[name] = image
                if digest != "<none>":
                    pulled.add(name)
        return Names(ids, frozenset(pulled))

    def labelled(self, labels: Mapping[str, str]) -> list[EngineImage]:
        filters = [part for key, value in labels.items() for part in ("--filter", f"label={key}={value}")]
        ids = self._ask("image", "ls", "--no-trunc", "--quiet", *filters).split()
        return [found for id_ in dict.fromkeys(ids) if (found := self.image(id_))]

    def image(self, reference: str) -> EngineImage | None:
        from python_on_whales.exceptions import DockerException, NoSuchImage

        try:
            found = self._client().image.inspect(reference)
            config = found.config
            return EngineImage(
                id=found.id,
                names=tuple(found.repo_tags or ()),
                labels=dict((config.labels if config else None) or {}),
                size=int(found.size or 0),
                created=found.created.isoformat() if found.created else "",
                pulled=bool(found.repo_digests),
            )
        except NoSuchImage:
            return None
        except DockerException as error:
            raise self._error(error) from error

    def build(self, request: BuildRequest, on_line: Callable[[str], None], stop: threading.Event) -> str:
        buildkit = self.builder() == "buildkit"
        with tempfile.TemporaryDirectory(prefix="kfold-build-") as folder:
            image_file = Path(folder, "image-id")
            arguments = self._build_command(request, image_file, Path(folder))
            environment = {
                **self._environment,
                "DOCKER_BUILDKIT": "1" if buildkit else "0",
                # an attestation would turn the image into an index with a time in it: another ID for the same inputs
                "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            }
            context = None if buildkit else legacy_context(request, Path(folder, "context.tar"))
            try:
                process.run(arguments, on_line=on_line, stop=stop, environment=environment, standard_input=context)
            except process.ChildFailed as error:
                raise EngineError(_why(error.output), hint=self._hint(error.output)) from error
            image = image_file.read_text().strip()
        found = self.image(image)
        if found is None:
            raise EngineError(
                f"the builder made {image}, but the engine does not have it",
                hint="The current buildx builder builds elsewhere: `docker buildx use default`.",
            )
        return found.id

    def _build_command(self, request: BuildRequest, image_file: Path, folder: Path) -> list[str]:
        if self.builder() == "buildkit":
            # BuildKit takes `<dockerfile>.dockerignore` from beside the Dockerfile: a copy elsewhere lets us add to it
            # without writing into the user's folder
            dockerfile = folder / request.dockerfile.name
            shutil.copyfile(request.dockerfile, dockerfile)
            Path(f"{dockerfile}.dockerignore").write_text("".join(f"{pattern}\n" for pattern in request.ignore))
            arguments = ["docker", "buildx", "build", "--load", "--progress=plain", "--file", str(dockerfile)]
        else:
            # --force-rm: a failed step of the legacy builder leaves its container otherwise
            arguments = ["docker", "build", "--force-rm", "--file", LEGACY_DOCKERFILE]
        arguments += ["--iidfile", str(image_file)]
        for name, value in sorted(request.build_args.items()):
            arguments += ["--build-arg", name if value is None else f"{name}={value}"]
        for name, value in sorted(request.labels.items()):
            arguments += ["--label", f"{name}={value}"]
        if request.target:
            arguments += ["--target", request.target]
        if request.no_cache:
            arguments.append("--no-cache")
        return [*arguments, str(request.context) if self.builder() == "buildkit" else "-"]

    def tag(self, image: str, name: str) -> None:
        from python_on_whales.exceptions import DockerException

        try:
            self._client().image.tag(image, name)
        except DockerException as error:
            raise self._error(error) from error

    def remove(self, reference: str) -> bool:
        from python_on_whales.exceptions import DockerException, NoSuchImage

        try:
            self._client().image.remove(reference)
        except NoSuchImage:
            return False
        except DockerException as error:
            text = str(error.stderr or "")
            if "No such image" in text:
                return False
            if "is using" in text or "being used" in text or "must be forced" in text:
                raise InUse(text.strip().splitlines()[-1]) from error
            raise self._error(error) from error
        return True

    def containers(self) -> list[Container]:
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

                host, context = self._environment.get("DOCKER_HOST"), self._environment.get("DOCKER_CONTEXT")
                self._loaded = DockerClient(host=host, context=None if host else context)
            return self._loaded

    def _ask(self, *arguments: str) -> str:
        try:
            return process.answer(["docker", *arguments], environment=self._environment)
        except process.ChildFailed as error:
            raise self._unanswered(error.message) from error

    def _error(self, error: Any) -> EngineError:
        lines = str(error.stderr or error).strip().splitlines()
        return self._unanswered(lines[-1] if lines else str(error))

    @staticmethod
    def _unanswered(text: str) -> EngineError:
        if "Cannot connect" in text or "daemon running" in text or "connection refused" in text:
            return EngineError(f"the Docker Engine does not answer: {text}", hint=_HINT)
        return EngineError(f"the Docker Engine refused: {text.removeprefix('Error response from daemon: ')}")

    def _hint(self, output: tuple[str, ...]) -> str:
        text = "\n".join(output)
        if "Cannot connect" in text:
            return _HINT
        if "no space left" in text:
            return (
                "The engine's disk is full: `doit prune` frees what is superseded, `docker system df` shows the rest."
            )
        if self.builder() == "legacy" and ("unknown instruction" in text.lower() or "requires BuildKit" in text):
            return "This Dockerfile needs BuildKit: install Docker's buildx plug-in."
        return ""


def plugin_folders() -> list[Path]:
    """Where the docker client looks for its plug-ins (docker/cli, cli-plugins/manager)."""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    extra: list[str] = []
    try:
        extra = json.loads((own / "config.json").read_text()).get("cliPluginsExtraDirs") or []
    except (OSError, ValueError, AttributeError):
        pass  # no configuration, or one that docker itself complains about
    system = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")
    return [own / "cli-plugins", *(Path(folder) for folder in extra), *(Path(base, "cli-plugins") for base in system)]


LEGACY_DOCKERFILE = ".kfold-dockerfile"
"""What the Dockerfile is called in the context that the legacy builder is sent."""


def legacy_context(request: BuildRequest, path: Path) -> Path:
    """The context for the legacy builder as a tar file: just what the Dockerfile reads (as Skaffold sends it).

    Owners and times do not count for the builder's cache, so they are left out.
    """

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(path, "w") as archive:
        for name in request.files:
            archive.add(request.context / name, name, recursive=False, filter=plain)
        archive.add(request.dockerfile.resolve(), LEGACY_DOCKERFILE, filter=plain)
    return path


def _why(output: tuple[str, ...]) -> str:
    """The line of a builder's output that says what went wrong."""
    for line in reversed(output):
        text = line.strip()
        if text.startswith(("ERROR:", "Error", "error:")) or "returned a non-zero code" in text:
            return f"build failed: {text.removeprefix('ERROR: ')}"
    return f"build failed: {output[-1].strip()}" if output else "build failed without a word"
