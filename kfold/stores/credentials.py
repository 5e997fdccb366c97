"""Who we are to a cluster: bearer tokens, client certificates, token files and exec plugins, kept fresh.

The rules are client-go's: a token file beats a token and is read again (a mounted token rotates), an exec plugin's
answer is kept until it expires or the server answers 401. Exec protocol: client.authentication.k8s.io/v1 and v1beta1,
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kfold.errors import Position
from kfold.stores.cluster_interface import ClusterError
from kfold.stores.kubeconfig import ContextEntry, ExecPlugin

_PLUGIN_DEADLINE = 60.0
"""Seconds that an exec plugin may take: some open a browser or ask a slow cloud service."""
_TOKEN_FILE_AGE = 10.0
"""Seconds that a token file's content is trusted; client-go's number."""


@dataclass(frozen=True)
class Credential:
    """What to show the server. `expires` is seconds since the epoch, None for never."""

    token: str = field(default="", repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    expires: float | None = None


class Credentials:
    """Hands out the current credential of a context. Thread-safe; an exec plugin runs once for all threads."""

    def __init__(self, entry: ContextEntry, environment: Mapping[str, str]) -> None:
        self._entry = entry
        self._environment = environment
        self._lock = threading.Lock()
        self._current: Credential | None = None

    def current(self) -> Credential:
        """The credential, fetched anew when it has expired. Raises ClusterError (reason "Credentials")."""
        with self._lock:
            if self._current is None or (self._current.expires is not None and self._current.expires <= time.time()):
                self._current = self._fetch()
            return self._current

    def refused(self, credential: Credential) -> bool:
        """The server answered 401 to `credential`. True if asking again can give another one."""
        with self._lock:
            renewable = self._entry.exec_plugin is not None or self._entry.token_file is not None
            if renewable and self._current is credential:
                self._current = None
            return renewable

    def _fetch(self) -> Credential:
        entry = self._entry
        if entry.exec_plugin is not None:
            return self._run(entry.exec_plugin)
        token, expires = entry.token, None
        if entry.token_file is not None:
            try:
                token = entry.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise self._failure(f"the token file {entry.token_file} cannot be read: {error}") from None
            expires = time.time() + _TOKEN_FILE_AGE
        return Credential(token, entry.client_certificate, entry.client_key, expires)

    def _run(self, plugin: ExecPlugin) -> Credential:
        if plugin.interactive:
            raise self._failure(f"{plugin.command} needs a terminal of its own (interactiveMode: Always)")
        spec: dict[str, Any] = {"interactive": False}
        if plugin.provide_cluster_info:
            spec["cluster"] = self._cluster_info()
        request = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
        environment = {**self._environment, **dict(plugin.environment), "KUBERNETES_EXEC_INFO": json.dumps(request)}
        try:
            # a list of arguments, no shell: the kubeconfig's words go to the program as they are
            done = subprocess.run([plugin.command, *plugin.arguments], env=environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=_PLUGIN_DEADLINE, check=False)
        except FileNotFoundError:
            raise self._failure(f"the credential plugin {plugin.command} is not installed",
                                plugin.install_hint) from None
        except subprocess.TimeoutExpired:
            raise self._failure(f"the credential plugin {plugin.command} gave no answer in {_PLUGIN_DEADLINE:.0f} s") \
                from None
        except OSError as error:
            raise self._failure(f"the credential plugin {plugin.command} cannot be run: {error.strerror}") from None
        if done.returncode:
            # its stderr is for people; its stdout may hold a token and is never shown
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise self._failure(f"the credential plugin {plugin.command} failed with exit code {done.returncode}", said)
        return self._parse(plugin, done.stdout)

    def _parse(self, plugin: ExecPlugin, output: bytes) -> Credential:
        try:
            answer = json.loads(output)
            status = answer["status"]
            token, certificate, key = (status.get(name) for name in
                                       ("token", "clientCertificateData", "clientKeyData"))
            expires = status.get("expirationTimestamp")
            seconds = datetime.fromisoformat(expires).timestamp() if expires else None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._failure(f"the answer of the credential plugin {plugin.command} is no ExecCredential") from None
        if answer.get("apiVersion") != plugin.api_version:
            raise self._failure(f"the credential plugin {plugin.command} answered with apiVersion "
                                f"{answer.get('apiVersion')}, the kubeconfig says {plugin.api_version}")
        if not token and not (certificate and key):
            raise self._failure(f"the credential plugin {plugin.command} gave no token and no certificate with key")
        return Credential(token or "", certificate.encode() if certificate else None, key.encode() if key else None,
                          seconds)

    def _cluster_info(self) -> dict[str, Any]:
        entry = self._entry
        info: dict[str, Any] = {"server": entry.server, "insecure-skip-tls-verify": entry.insecure}
        if entry.ca is not None:
            info["certificate-authority-data"] = base64.b64encode(entry.ca).decode()
        if entry.tls_server_name:
            info["tls-server-name"] = entry.tls_server_name
        if entry.proxy_url:
            info["proxy-url"] = entry.proxy_url
        for extension in entry.raw_cluster.get("extensions") or ():
            if extension.get("name") == "client.authentication.k8s.io/exec":
                info["config"] = extension.get("extension")
        return info

    def _failure(self, message: str, hint: str = "") -> ClusterError:
        error = ClusterError(f'{message} (user "{self._entry.user}" of context "{self._entry.name}")',
                             reason="Credentials", hint=hint)
        error.where = Position(str(self._entry.file))
        return error


def of(entry: ContextEntry, environment: Mapping[str, str] | None = None) -> Credentials:
    """The credentials of a context; plugins get `environment`, by default the process's own."""
    return Credentials(entry, os.environ if environment is None else environment)
