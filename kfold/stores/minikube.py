"""minikube: its profiles by their files, and what only its own program can do (v1.18 and later).

Command lines and exit codes are those of minikube's `docker-env`, `image` and `profile` commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kfold.errors import StoreError
from kfold.stores import process

ADDRESS = "KFOLD_MINIKUBE_PROFILE"
"""The variable of an engine's address that names a profile: its port is another one after each start of minikube."""

ON_THIS_MACHINE = 51
"""`docker-env` with the driver `none` (ExDriverConflict): the profile uses the engine of this machine."""
NO_DOCKER = (14, 64, 81)
"""The runtime is not docker (14 ExProgramUsage; 64 was that in old versions), or there are several nodes (81)."""
NOT_RUNNING = (85, 89)
"""The guest is not there (ExGuestNotFound), or does not run (ExGuestUnavailable)."""

PROFILE_LIST_SECONDS = 5.0
_COMMAND_SECONDS = 60.0
_LOAD_SECONDS = 600.0


class NoDockerInside(StoreError):
    """The profile's nodes have no Docker Engine that could build: images are brought in by `minikube image load`."""


@dataclass(frozen=True)
class ListedProfile:
    """One line of `minikube profile list`: the name, and `host:port` of each API server."""

    name: str
    servers: tuple[str, ...]


def installed(environment: Mapping[str, str]) -> bool:
    return shutil.which("minikube", path=environment.get("PATH")) is not None


def homes(environment: Mapping[str, str]) -> list[Path]:
    """minikube's folders: `$MINIKUBE_HOME` (or `.minikube` in it) where that is set, and `$HOME/.minikube`."""
    found = []
    if configured := environment.get("MINIKUBE_HOME"):
        found.append(Path(configured) if Path(configured).name == ".minikube" else Path(configured, ".minikube"))
    return [*found, Path(environment.get("HOME") or Path.home(), ".minikube")]


def home_of(file: str, environment: Mapping[str, str]) -> Path | None:
    """The minikube folder that a file of a kubeconfig lies in, or None."""
    if not file:
        return None
    paths = {Path(file), Path(os.path.realpath(file))}
    for home in homes(environment):
        if any(path.is_relative_to(base) for path in paths for base in (home, Path(os.path.realpath(home)))):
            return home
    return None


def profile_in(file: str) -> str:
    """The profile that a client certificate belongs to (`…/profiles/NAME/client.crt`), or ""."""
    parts = Path(file).parts
    return parts[-2] if len(parts) > 2 and parts[-3] == "profiles" else ""


def configured(profile: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The container runtime and the driver of a profile, by its own file; "" where it does not say."""
    for home in homes(environment):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            content = json.loads((home / "profiles" / profile / "config.json").read_text())
            kubernetes = content.get("KubernetesConfig") or {}
            return str(kubernetes.get("ContainerRuntime") or ""), str(content.get("Driver") or "")
    return "", ""


def profiles(environment: Mapping[str, str]) -> list[ListedProfile]:
    """The valid profiles of `minikube profile list`; none where the program is missing or fails (Skaffold's rule)."""
    if not installed(environment):
        return []
    try:
        answer = process.answer(
            ["minikube", "profile", "list", "-o", "json"], environment=environment, timeout=PROFILE_LIST_SECONDS
        )
        found = []
        for one in json.loads(answer).get("valid") or ():
            nodes = (one.get("Config") or {}).get("Nodes") or ()
            servers = tuple(f"{node.get('IP')}:{node.get('Port')}" for node in nodes)
            found.append(ListedProfile(str(one.get("Name") or ""), servers))
    except (StoreError, ValueError, AttributeError):
        return []
    return found


def docker_environment(profile: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead to a profile's Docker Engine; none where it is this machine's own.

    Raises NoDockerInside, and StoreError where minikube is not installed, not running, or refuses.
    """
    try:
        answer = _minikube(environment, "docker-env", "--shell", "none", "-p", profile)
    except process.ChildFailed as error:
        if error.code == ON_THIS_MACHINE or configured(profile, environment)[1] == "none":
            return {}
        if error.code in NO_DOCKER:
            raise NoDockerInside(
                f'minikube profile "{profile}" has no Docker Engine that builds: {error.message}',
                hint="With the containerd runtime images are built here and loaded; kfold knows the runtime once the "
                "cluster answers (`doit status`).",
            ) from error
        if error.code in NOT_RUNNING:
            raise StoreError(
                f'minikube profile "{profile}" does not answer: {error.message}', hint=f"`minikube start -p {profile}`"
            ) from error
        raise StoreError(
            f'`minikube docker-env -p {profile}` failed with exit code {error.code}: {error.message}',
            hint="Images are built in minikube's own engine; nothing was built elsewhere.",
        ) from error
    return parse_environment(answer)


def parse_environment(text: str) -> dict[str, str]:
    """`KEY=VALUE` lines; blank ones, comments and empty values say nothing (Skaffold, docker/client.go)."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and value and not name.startswith("#"):
            found[name] = value
    return found


def remembered_environment(profile: str, environment: Mapping[str, str], cache: Path) -> dict[str, str]:
    """`docker_environment`, from `cache` while the profile's files are as they were and its engine's port is open.

    The program takes from 0.1 s to a second, and a run with nothing to do must not pay that. Raises as it does.
    """
    from kfold import state_folder

    file = cache / f"minikube-{_key(profile, environment)}.json"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        kept = {str(name): str(value) for name, value in json.loads(file.read_text()).items()}
        if _answers(kept.get("DOCKER_HOST", "")):
            return kept
    found = docker_environment(profile, environment)
    state_folder.keep_one(file, json.dumps(found))
    return found


def _key(profile: str, environment: Mapping[str, str]) -> str:
    import hashlib

    parts: list[object] = [profile]
    for home in homes(environment):
        with contextlib.suppress(OSError):
            stat = (home / "profiles" / profile / "config.json").stat()
            parts += [str(home), stat.st_mtime_ns, stat.st_size]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _answers(docker_host: str) -> bool:
    """Whether anybody listens there: after a restart of minikube it is another port."""
    url = urlsplit(docker_host)
    if url.scheme != "tcp" or not url.hostname:
        return True  # this machine's own engine, or a way that cannot be tried in passing (ssh)
    try:
        socket.create_connection((url.hostname, url.port or 2376), timeout=1.0).close()
    except OSError:
        return False
    return True


# --- images of a profile whose runtime is not docker --------------------------------------------------------------


def images(profile: str, environment: Mapping[str, str]) -> frozenset[str]:
    """The names of all images in the profile's nodes, whole (`docker.io/library/web:1`). Raises StoreError."""
    answer = _minikube(environment, "image", "ls", "--format", "short", "-p", profile)
    return frozenset(line.strip() for line in answer.splitlines() if line.strip())


def load(image: str, profile: str, environment: Mapping[str, str]) -> None:
    """Bring an image of this machine's engine into every node of the profile. Raises StoreError."""
    try:
        # --daemon: without it minikube may take an image of that name from a registry
        _minikube(environment, "image", "load", "--daemon=true", image, "-p", profile, seconds=_LOAD_SECONDS)
    except process.ChildFailed as error:
        raise StoreError(
            f'{image} could not be loaded into minikube profile "{profile}": {error.message}',
            hint=f"`minikube status -p {profile}` tells whether it runs and has space.",
        ) from error


def remove(image: str, profile: str, environment: Mapping[str, str]) -> None:
    """Take a name out of every node of the profile. Raises StoreError."""
    try:
        _minikube(environment, "image", "rm", image, "-p", profile)
    except process.ChildFailed as error:
        raise StoreError(
            f'{image} could not be removed from minikube profile "{profile}": {error.message}',
            hint=f"Its record is kept. `minikube status -p {profile}` tells whether it runs.",
        ) from error


def _minikube(environment: Mapping[str, str], *arguments: str, seconds: float = _COMMAND_SECONDS) -> str:
    if not installed(environment):
        raise StoreError(
            "the cluster is minikube's, and the program `minikube` is not installed (or not on PATH)",
            hint="Install it (minikube.sigs.k8s.io/docs/start), or push images to a registry instead: "
            "`kfold config set local-cluster false`.",
        )
    return process.answer(["minikube", *arguments], environment=environment, timeout=seconds)
