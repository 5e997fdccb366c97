"""Image references: taking them apart, and telling whether two names mean the same image.

The grammar and the familiar names (`nginx` is `docker.io/library/nginx`) are those of distribution/reference, as the
engine and every registry client use them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from kfold.errors import ConfigError, Position

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library"
KO_PREFIX = "ko://"
NAME_LIMIT = 255
"""Characters of a whole name (domain and path), of distribution/reference."""

_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])"
    r"(?::[0-9]+)?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# The grammar allows any algorithm, but the engine and registries refuse all but these.
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True)
class Reference:
    """A whole image reference: `domain/path:tag@digest`. `tag` and `digest` are "" where not written."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The normalised name: `docker.io/library/nginx`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as the engine lists it: `nginx`, `user/app`, `ghcr.io/user/app`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        first, slash, rest = self.path.partition("/")
        return rest if first == OFFICIAL and slash and "/" not in rest else self.path

    @property
    def familiar(self) -> str:
        """The whole reference with its familiar name."""
        return f"{self.familiar_name}{self._suffix()}"

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return f"{self.name}{self._suffix()}"


def parse(text: str, *, where: Position | None = None) -> Reference:
    """Take a reference apart. It is not changed first: lower-casing is `artifact_name`'s.

    Raises:
        ConfigError: no image reference; the message says what is wrong with it.
    """

    def refuse(reason: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{text!r} is no image reference: {reason}", where=where, hint=hint)

    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise refuse(f"{digest!r} is no digest")
    name, tag = split_tag(rest)
    if tag and not _TAG.fullmatch(tag):
        raise refuse(
            f"{tag!r} is no tag",
            "A tag has up to 128 letters, digits, `_`, `.` and `-`, and starts with none of `.` `-`.",
        )
    if name.endswith(":") or rest.endswith(":"):
        raise refuse("nothing follows the last `:`")
    if not name:
        raise refuse("it has no name")
    domain, path = _split_domain(name)
    if _IDENTIFIER.fullmatch(name):
        raise refuse("64 hexadecimal digits are an image ID, not a name")
    if not _DOMAIN.fullmatch(domain):
        raise refuse(f"{domain!r} is no registry host")
    for component in path.split("/"):
        if not _COMPONENT.fullmatch(component):
            hint = "A name is in lower case." if component.lower() != component else ""
            raise refuse(f"{component!r} is no part of a name", hint)
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise refuse(f"its name is longer than {NAME_LIMIT} characters")
    return Reference(domain, path, tag, digest)


def split_tag(text: str) -> tuple[str, str]:
    """`name:tag` apart; a port (`host:5000/app`) is no tag. The tag is "" where there is none."""
    head, colon, tail = text.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (text, "")


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # A first part is a host if it could not be the name of a Docker Hub user.
    if not slash or not (any(mark in first for mark in ".:") or first == "localhost" or first.lower() != first):
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"{OFFICIAL}/{path}"
    return domain, path


def artifact_name(image: str) -> str:
    """The name that an artifact is built under: without `ko://`, its name lower-cased, the tag kept (Skaffold).

    >>> artifact_name("ko://GitHub.com/Me/App:V1")
    'github.com/me/app:V1'
    """
    rest, at, digest = image.removeprefix(KO_PREFIX).partition("@")
    name, tag = split_tag(rest)
    return name.lower() + (f":{tag}" if tag else "") + at + digest


_PROJECT_PREFIX = re.compile(rf"{_DOMAIN.pattern}/[a-z][a-z0-9-]{{4,28}}[a-z0-9]/?")
"""A registry host and a Google Cloud project (Skaffold's `prefixRegex`)."""

_MULTI_LEVEL_HOSTS = ("gcr.io", "-docker.pkg.dev")
_NAME_HASH = 12
"""Hex digits that tell apart two names which are the same once they are cut."""


def in_default_repo(name: str, repo: str, *, multi_level: bool = False) -> str:
    """The name of an artifact below the default repo, by Skaffold's rules (v2.24, docker/default_repo.go).

    `name` has no tag; an empty `repo` leaves it. `multi_level`: the registry takes names with folders (Google's always do).
    Skaffold cuts what is too long and lets two such names become one; here a hash of the whole name ends it.

    >>> in_default_repo("gcr.io/k8s-skaffold/ex", "localhost:5000")
    'localhost:5000/gcr_io_k8s-skaffold_ex'
    >>> in_default_repo("team/app", "gcr.io/my-project")
    'gcr.io/my-project/team/app'
    """
    repo = repo.rstrip("/")
    if not repo or name.startswith(repo):
        return name
    ours, theirs = (found[0] if (found := _PROJECT_PREFIX.match(text)) else "" for text in (repo, name))
    if not (multi_level or any(host in ours for host in _MULTI_LEVEL_HOSTS)):
        return _cut(f"{repo}/{re.sub('[/._:@]', '_', name)}")
    if ours and ours == theirs:
        return f"{repo}/{name.removeprefix(theirs)}"
    # a port is no part of a folder's name; Skaffold leaves it, and the engine refuses
    return _cut(f"{repo}/{name.replace(':', '_')}")


def _cut(name: str) -> str:
    if len(name) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_NAME_HASH]
    # no separator may stand before the one that comes, and none at the end of a folder
    return f"{name[: NAME_LIMIT - _NAME_HASH - 1].rstrip('._-/')}_{digest}"


def is_repository(text: str) -> bool:
    """Whether names can begin with this: a registry's host, or a folder in one."""
    try:
        parse(f"{text}/image")
    except ConfigError:
        return False
    return True


def as_nodes_know_it(reference: str, host: str, in_cluster: str) -> str:
    """A reference below `host` (as this machine reaches a local registry) by the name that the cluster's nodes know it by.

    >>> as_nodes_know_it("localhost:5001/web:1", "localhost:5001", "registry:5000")
    'registry:5000/web:1'
    """
    return f"{in_cluster}{reference.removeprefix(host)}" if reference.startswith(f"{host}/") else reference


def same_name(one: str, other: str) -> bool:
    """Whether two references name the same repository, whatever their tags and digests. False if one is unreadable."""
    try:
        return parse(artifact_name(one)).name == parse(artifact_name(other)).name
    except ConfigError:
        return False
