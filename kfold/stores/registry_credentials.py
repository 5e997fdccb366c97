"""Who a registry is told that we are: Docker's own configuration and credential helpers (docker/cli, cli/config).

A helper is asked for the one registry that is talked to, once. Those of other registries are never started: they may be
slow (seconds), broken, or wait for somebody who is not there.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfold.stores.registry_interface import RegistryError

HELPER_SECONDS = 30.0
"""How long a credential helper may take. gcloud's takes 3 s; one that opens a browser is not for us."""
_HUB = "https://index.docker.io/v1/"
_NOT_FOUND = "credentials not found"
"""What a helper prints, with exit code 1, where it knows nothing (docker-credential-helpers, credentials/error.go)."""
_TOKEN_USER = "<token>"
"""A helper's user name where the secret is an identity token (docker/cli, credentials/native_store.go)."""


@dataclass(frozen=True)
class Login:
    """A user with a password, or an identity token; neither where nothing is configured.

    `source` is for a person. `helper`: a credential helper was asked.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    source: str = ""
    helper: bool = False

    def told(self) -> str:
        """Who asked, and where that comes from; never the secret."""
        who = f'user "{self.user}"' if self.user else "an identity token" if self.identity_token else ""
        return f"{who} from {self.source}" if who else f"nobody: {self.source}"


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the docker client keeps its configuration."""
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")


def login(host: str, environment: Mapping[str, str] = os.environ) -> Login:
    """What Docker's configuration says for a registry. Raises RegistryError: a broken file, a helper that fails or hangs."""
    file = config_folder(environment) / "config.json"
    config = _read(file)
    helper = (config.get("credHelpers") or {}).get(host) or config.get("credsStore") or ""
    if helper:
        return _ask(str(helper), host, file, environment)
    for name, entry in (config.get("auths") or {}).items():
        if _hostname(str(name)) == host and isinstance(entry, Mapping):
            return _entry(entry, file, str(name))
    return Login(source=f"{file} has no login for {host}")


def _read(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RegistryError(f"{file} cannot be read: {error}", hint="It is Docker's configuration: mend it.") from None
    return config if isinstance(config, dict) else {}


def _hostname(name: str) -> str:
    """The registry that an entry is for; older clients wrote URLs (docker/cli, credentials.ConvertToHostname)."""
    host = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def _entry(entry: Mapping[str, Any], file: Path, name: str) -> Login:
    source = f'{file} (auths, "{name}")'
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := str(entry.get("auth") or ""):
        try:
            user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise RegistryError(f"the login in {source} is damaged", hint=f"`docker login {name}` writes it anew.")
    return Login(user, password.rstrip("\0"), str(entry.get("identitytoken") or ""), source)


def _ask(helper: str, host: str, file: Path, environment: Mapping[str, str]) -> Login:
    program = f"docker-credential-{helper}"
    source = f"{program} (named in {file})"
    found = shutil.which(program, path=environment.get("PATH"))
    if not found:
        raise RegistryError(
            f"{program}, which {file} names for {host}, is not on PATH",
            hint="Install it, or take `credsStore` or `credHelpers` out of that file and `docker login` again.",
        )
    try:
        child = subprocess.Popen(
            [found, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            # a group of its own: a terminal's Ctrl+C is for us, and what hangs is ended with all that it started
            start_new_session=True,
        )
    except OSError as error:
        raise RegistryError(f"{source} cannot be started: {error.strerror}") from None
    with child:
        try:
            out, problem = child.communicate((_HUB if host == "docker.io" else host).encode(), HELPER_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise RegistryError(
                f"{source} did not answer within {HELPER_SECONDS:g} s for {host}",
                hint=f"Try it by hand: `echo {host} | {program} get`.",
            ) from None
    said = out.decode(errors="replace")
    if child.returncode:
        if _NOT_FOUND in said:
            return Login(source=f"{program} has no login for {host}", helper=True)
        # its standard output may hold a secret even then; its error text is meant for a person
        told = (problem.decode(errors="replace").strip() or "no message").splitlines()[-1]
        raise RegistryError(
            f"{source} failed for {host}: {told}", hint=f"Try it by hand: `echo {host} | {program} get`."
        )
    try:
        answer = json.loads(said)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(f"{source} did not answer as a credential helper does", hint="Is it the right one?") from None
    if user == _TOKEN_USER:
        return Login("", "", secret, program, helper=True)
    return Login(user, secret, "", program, helper=True)


HELPER = "kfold"
_HELPER_VARIABLE = "KFOLD_REGISTRY_LOGIN"
_HELPER_SCRIPT = f"""#!/bin/sh
# Tells the docker client that kfold started what kfold was told already; the secret is in no file.
[ "$1" = get ] || exit 0
read -r _
printf '%s' "${_HELPER_VARIABLE}"
[ "${_HELPER_VARIABLE}" != "{_NOT_FOUND}" ]
"""


def for_docker(host: str, known: Login, folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which a docker client uses `known` for `host` and starts no credential helper of the user's.

    `folder` exists and is ours; the client's configuration is laid out there, with everything else of the user's own.
    """
    own = config_folder(environment)
    config = {name: value for name, value in _read(own / "config.json").items() if name not in ("credsStore", "auths")}
    name = _HUB if host == "docker.io" else host
    config["credHelpers"] = {name: HELPER}
    for entry in own.iterdir() if own.is_dir() else ():
        if entry.name != "config.json":
            (folder / entry.name).symlink_to(entry)  # contexts, plug-ins
    (folder / "config.json").write_text(json.dumps(config))
    programs = folder / "kfold-programs"
    programs.mkdir()
    script = programs / f"docker-credential-{HELPER}"
    script.write_text(_HELPER_SCRIPT)
    script.chmod(0o700)
    secret = known.identity_token or known.password
    answer = {"ServerURL": name, "Username": _TOKEN_USER if known.identity_token else known.user, "Secret": secret}
    return {
        "DOCKER_CONFIG": str(folder),
        "PATH": f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}",
        _HELPER_VARIABLE: json.dumps(answer) if secret else _NOT_FOUND,
    }
