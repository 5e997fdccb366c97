"""Reads kubeconfig files the way kubectl does, quickly: PyYAML's C loader, no Kubernetes client.

The rules are those of client-go's `clientcmd`: several files in $KUBECONFIG are merged and the first file that names a
cluster, user, context or current-context wins; paths inside a file are relative to that file; `*-data` beats its file.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kfold.errors import KfoldError, Position

CHOOSE_CONTEXT = "`doit deploy context=NAME`, KFOLD_CONTEXT=NAME or `kfold deploy --kube-context NAME`"
"""How a person says which context is meant."""

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_IMPERSONATION = ("as", "as-uid", "as-groups", "as-user-extra")


@dataclass(frozen=True)
class ExecPlugin:
    """A program that hands out credentials (client.authentication.k8s.io). `command` is a name on PATH or a path."""

    api_version: str
    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    provide_cluster_info: bool = False
    install_hint: str = ""
    interactive: bool = False
    """The plugin says `interactiveMode: Always`: it cannot work without a terminal of its own."""


@dataclass(frozen=True)
class ContextEntry:
    """One context, with its cluster and user looked up and their files read. Secrets are not part of its `repr`.

    `supported` is False where kfold's own small HTTP client does not know the way to authenticate or to connect
    (`unsupported` names it); the official client is used then.
    """

    name: str
    file: Path
    cluster: str
    user: str
    server: str
    namespace: str = "default"
    ca: bytes | None = field(default=None, repr=False)
    """PEM of the certificate authority; None means the system's own."""
    insecure: bool = False
    tls_server_name: str = ""
    client_certificate: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    exec_plugin: ExecPlugin | None = None
    proxy_url: str = field(default="", repr=False)
    supported: bool = True
    unsupported: str = ""
    raw_cluster: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The cluster entry as written, with absolute paths: for exec plugins and for the official client."""
    raw_user: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class _Named:
    """One named entry and the file that it came from."""

    value: Mapping[str, Any]
    file: Path


@dataclass(frozen=True)
class Kubeconfig:
    """All kubeconfig files as one. `current` is None and `contexts` empty where there is no cluster at all."""

    files: tuple[Path, ...]
    current: str | None
    contexts: tuple[str, ...]
    _contexts: Mapping[str, _Named] = field(default_factory=dict, repr=False)
    _clusters: Mapping[str, _Named] = field(default_factory=dict, repr=False)
    _users: Mapping[str, _Named] = field(default_factory=dict, repr=False)
    _hidden: Mapping[tuple[str, str], tuple[_Named, ...]] = field(default_factory=dict, repr=False)
    """What a file says of (section, name) after another file said something of it."""

    def contradiction(self, name: str) -> str:
        """What two files (or two entries of one) say differently of a context's cluster; "" where nothing.

        kubectl takes the first file's word, and is wrong whenever the second was meant.
        """
        context = self._contexts[name]
        cluster = _text(context, "cluster")
        pairs = [("context", "contexts", name, context), ("cluster", "clusters", cluster, self._clusters.get(cluster))]
        for what, section, named, first in pairs:
            for other in self._hidden.get((section, named), ()):
                keys = ("cluster",) if what == "context" else ("server",)
                if first is not None and any(first.value.get(key) != other.value.get(key) for key in keys):
                    told = " and ".join(f"{one.value.get(keys[0])!r} ({one.file})" for one in (first, other))
                    return (
                        f'two {what}s are named "{named}": their {keys[0]} is {told}\n'
                        f"  Rename one (`kubectl config rename-context`), or choose the file: KUBECONFIG={first.file}"
                    )
        return ""

    def context(self, name: str | None = None) -> ContextEntry:
        """The context `name`, or the current one.

        Raises KfoldError: there is no such context (those that exist are listed), none is current, its cluster or user
        is not defined, or one of its files cannot be read.
        """
        wanted = name if name is not None else self.current
        if wanted is None:
            where = Position(str(self.files[0])) if self.files else None
            if not self.contexts:
                raise KfoldError("no kube context: no kubeconfig names a cluster", where=where,
                                 hint="set KUBECONFIG, or start the embedded cluster with `kfold sandbox up`")
            raise KfoldError("no current context", where=where, hint=self._choose())
        entry = self._contexts.get(wanted)
        if entry is None:
            where = Position(str(self.files[0])) if self.files else None
            raise KfoldError(f'unknown context "{wanted}"', where=where, hint=self._choose())
        cluster_name = _text(entry, "cluster")
        user_name = _text(entry, "user")
        cluster = self._clusters.get(cluster_name)
        if cluster is None:
            raise KfoldError(f'context "{wanted}" uses cluster "{cluster_name}", which is not defined',
                             where=Position(str(entry.file)), hint=_known("clusters", self._clusters))
        user = self._users.get(user_name) if user_name else _Named({}, entry.file)
        if user is None:
            raise KfoldError(f'context "{wanted}" uses user "{user_name}", which is not defined',
                             where=Position(str(entry.file)), hint=_known("users", self._users))
        return _resolve(wanted, entry, cluster_name, cluster, user_name, user)

    def _choose(self) -> str:
        return _known("contexts", self._contexts) + f"; choose one: {CHOOSE_CONTEXT}"


def load(environment: Mapping[str, str], *, paths: Sequence[Path] | None = None) -> Kubeconfig:
    """Reads `paths`, else the files of $KUBECONFIG, else ~/.kube/config. Files that do not exist are left out.

    A path given in `paths` must exist. Raises KfoldError (with the file, line and column) for an unreadable file,
    broken YAML, or a file that is no kubeconfig.
    """
    current: str | None = None
    merged: dict[str, dict[str, _Named]] = {"contexts": {}, "clusters": {}, "users": {}}
    files: list[Path] = []
    hidden: dict[tuple[str, str], tuple[_Named, ...]] = {}
    for path in paths if paths is not None else _default_paths(environment):
        file = path.absolute()
        content = _read(file, required=paths is not None)
        if content is None:
            continue
        files.append(file)
        current = current or content.get("current-context") or None
        for section, entries in merged.items():
            for entry in content.get(section) or ():
                name, value = _entry(file, section, entry)
                if name in entries:
                    hidden[section, name] = (*hidden.get((section, name), ()), _Named(value, file))
                else:
                    entries[name] = _Named(value, file)
    contexts = merged["contexts"]
    return Kubeconfig(tuple(files), current, tuple(contexts), contexts, merged["clusters"], merged["users"], hidden)


def _default_paths(environment: Mapping[str, str]) -> list[Path]:
    listed = environment.get("KUBECONFIG", "")
    if listed:
        # kubectl reads a file that is listed twice once, and ignores empty parts
        return [Path(part) for part in dict.fromkeys(listed.split(os.pathsep)) if part]
    home = environment.get("HOME", "")
    return [Path(home) / ".kube" / "config"] if home else []


def _read(file: Path, *, required: bool) -> Mapping[str, Any] | None:
    where = Position(str(file))
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        if required:
            raise KfoldError("this kubeconfig does not exist", where=where) from None
        return None
    except OSError as error:
        raise KfoldError(f"the kubeconfig cannot be read: {error.strerror}", where=where,
                         hint="check the file's permissions, or set KUBECONFIG") from None
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            where = Position(str(file), mark.line + 1, mark.column + 1)
        # `problem` alone: the full text of a YAMLError quotes the line, which may hold a token
        raise KfoldError(f"the kubeconfig is not valid YAML: {getattr(error, 'problem', None) or 'cannot be decoded'}",
                         where=where) from None
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise KfoldError(f"this is not a kubeconfig: it holds a {type(content).__name__}, not a mapping", where=where)
    for section, expected in (("contexts", list), ("clusters", list), ("users", list), ("current-context", str)):
        value = content.get(section)
        if value is not None and not isinstance(value, expected):
            raise KfoldError(f"this is not a kubeconfig: {section} must be a {_NAMES[expected]}", where=where)
    return content


_NAMES: Mapping[type, str] = {list: "list", str: "string"}


def _entry(file: Path, section: str, entry: object) -> tuple[str, Mapping[str, Any]]:
    kind = section.removesuffix("s")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise KfoldError(f"each entry of {section} needs a name", where=Position(str(file)))
    value = entry.get(kind)
    if value is not None and not isinstance(value, Mapping):
        raise KfoldError(f'{kind} "{entry["name"]}" must be a mapping', where=Position(str(file)))
    return str(entry["name"]), value or {}


def _resolve(
    name: str, context: _Named, cluster_name: str, cluster: _Named, user_name: str, user: _Named
) -> ContextEntry:
    where = Position(str(cluster.file))
    server = _text(cluster, "server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise KfoldError(f'cluster "{cluster_name}" has no usable server: "{server}"', where=where,
                         hint="it must be a URL such as https://127.0.0.1:6443")
    insecure = bool(cluster.value.get("insecure-skip-tls-verify", False))
    ca = _pem(cluster, "certificate-authority", f'cluster "{cluster_name}"')
    if insecure and ca is not None:
        # client-go refuses this pair too: it cannot be told which of the two is meant
        raise KfoldError(f'cluster "{cluster_name}" has a certificate authority and insecure-skip-tls-verify',
                         where=where, hint="keep one of the two")
    for key in _IMPERSONATION:
        if user.value.get(key):
            raise KfoldError(f'user "{user_name}" impersonates somebody ("{key}"), which kfold does not do',
                             where=Position(str(user.file)), hint="use a user of its own for this context")
    certificate = _pem(user, "client-certificate", f'user "{user_name}"')
    key_pem = _pem(user, "client-key", f'user "{user_name}"')
    token_file = _path(user, "tokenFile")
    proxy_url = _text(cluster, "proxy-url")
    unsupported = ""
    if user.value.get("auth-provider"):
        unsupported = "auth-provider"
    elif user.value.get("username") or user.value.get("password"):
        unsupported = "basic authentication"
    elif proxy_url and not proxy_url.startswith("http://"):
        unsupported = "a proxy that is not http://"
    return ContextEntry(
        name=name, file=context.file, cluster=cluster_name, user=user_name, server=server,
        namespace=_text(context, "namespace") or "default", ca=ca, insecure=insecure,
        tls_server_name=_text(cluster, "tls-server-name"), client_certificate=certificate, client_key=key_pem,
        token=_text(user, "token"), token_file=token_file, exec_plugin=_exec(user, user_name), proxy_url=proxy_url,
        supported=not unsupported, unsupported=unsupported,
        raw_cluster=_absolute(cluster, ("certificate-authority",)),
        raw_user=_absolute(user, ("client-certificate", "client-key", "tokenFile")),
    )


def _exec(user: _Named, user_name: str) -> ExecPlugin | None:
    plugin = user.value.get("exec")
    if not plugin:
        return None
    where = Position(str(user.file))
    if not isinstance(plugin, Mapping) or not isinstance(plugin.get("command"), str) or not plugin["command"]:
        raise KfoldError(f'exec of user "{user_name}" needs a command', where=where)
    version = plugin.get("apiVersion")
    if version not in _EXEC_VERSIONS:
        raise KfoldError(f'exec of user "{user_name}" has apiVersion "{version}"', where=where,
                         hint=f"known are {' and '.join(_EXEC_VERSIONS)}; a newer plugin may speak one of them")
    command = plugin["command"]
    if "/" in command and not Path(command).is_absolute():
        command = str(user.file.parent / command)  # client-go: relative to the kubeconfig, not to the working folder
    try:
        arguments = tuple(str(argument) for argument in plugin.get("args") or ())
        environment = tuple((str(pair["name"]), str(pair["value"])) for pair in plugin.get("env") or ())
    except (TypeError, KeyError):
        raise KfoldError(f'exec of user "{user_name}": args and env must be lists', where=where) from None
    return ExecPlugin(
        api_version=str(version), command=command, arguments=arguments, environment=environment,
        provide_cluster_info=bool(plugin.get("provideClusterInfo", False)),
        install_hint=str(plugin.get("installHint") or "").strip(),
        interactive=plugin.get("interactiveMode") == "Always",
    )


def _text(entry: _Named, key: str) -> str:
    value = entry.value.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise KfoldError(f"{key} must be a string", where=Position(str(entry.file)))
    return value


def _path(entry: _Named, key: str) -> Path | None:
    text = _text(entry, key)
    return entry.file.parent / text if text else None


def _pem(entry: _Named, key: str, owner: str) -> bytes | None:
    where = Position(str(entry.file))
    data = _text(entry, f"{key}-data")
    if data:
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except binascii.Error:
            raise KfoldError(f"{key}-data of {owner} is not base64", where=where) from None
    path = _path(entry, key)
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise KfoldError(f"{key} of {owner} cannot be read: {path}: {error.strerror}", where=where) from None


def _absolute(entry: _Named, keys: Sequence[str]) -> Mapping[str, Any]:
    return {**entry.value, **{key: str(path.absolute()) for key in keys if (path := _path(entry, key)) is not None}}


def _known(what: str, entries: Mapping[str, object]) -> str:
    return f"{what}: {', '.join(sorted(entries))}" if entries else f"there are no {what}"
