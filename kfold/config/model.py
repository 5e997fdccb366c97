"""What a config says, after reading, checking and filling in defaults. Immutable; each part knows its place.

The vocabulary and the defaults are Skaffold's (v2.24, schema v4beta14), since its users bring their `skaffold.yaml`.
Relative paths are kept as written and count from the folder of the config's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from kfold.errors import Position


@dataclass(frozen=True)
class HostHook:
    """A program of this host that runs beside a step. `os`: only on these (Go's names; none: on all). `folder`: where it
    runs. `undo` takes back what `command` did; empty where nothing does.
    """

    command: tuple[str, ...]
    undo: tuple[str, ...] = ()
    os: tuple[str, ...] = ()
    folder: str = ""
    position: Position = Position("")


@dataclass(frozen=True)
class ContainerHook:
    """A program that runs in every running container whose Pod and own name match these globs (empty: any name)."""

    command: tuple[str, ...]
    undo: tuple[str, ...] = ()
    pod_name: str = ""
    container_name: str = ""
    position: Position = Position("")


Hook = HostHook | ContainerHook
SomeHook = TypeVar("SomeHook", bound=Hook, covariant=True)


@dataclass(frozen=True)
class Hooks(Generic[SomeHook]):
    """What runs before a step and after it, in order."""

    before: tuple[SomeHook, ...] = ()
    after: tuple[SomeHook, ...] = ()


NO_HOOKS: Hooks[HostHook] = Hooks()


@dataclass(frozen=True)
class Requirement:
    """`requires:` of an artifact: the reference of `image` reaches the Dockerfile as build argument `alias`."""

    image: str
    alias: str
    position: Position


@dataclass(frozen=True)
class DockerBuild:
    """`docker:` of an artifact. A `build_args` value of None: taken from the environment (`--build-arg NAME`)."""

    dockerfile: str = "Dockerfile"
    target: str = ""
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    no_cache: bool = False
    position: Position = Position("")


@dataclass(frozen=True)
class Artifact:
    """An image that the config builds. `image` is its name without tag; `context` a folder. `platforms`: those that it can
    be built for; none: any.
    """

    image: str
    context: str
    docker: DockerBuild
    requires: tuple[Requirement, ...]
    position: Position
    hooks: Hooks[HostHook] = NO_HOOKS
    platforms: tuple[str, ...] = ()
    platforms_position: Position = Position("")


GitVariant = Literal["Tags", "CommitSha", "AbbrevCommitSha", "TreeSha", "AbbrevTreeSha", "Branches"]


@dataclass(frozen=True)
class GitCommit:
    """The commit names the tag: `prefix` + ref + `-dirty` (unless `ignore_changes`)."""

    variant: GitVariant = "Tags"
    prefix: str = ""
    ignore_changes: bool = False


@dataclass(frozen=True)
class Sha256:
    """The tag is `latest`; the digest does the work."""


@dataclass(frozen=True)
class EnvTemplate:
    """A Go template over the environment and IMAGE_NAME."""

    template: str
    position: Position = Position("")


@dataclass(frozen=True)
class DateTime:
    """The time of the build in a Go layout. `timezone`: an IANA name, "Local" or "UTC"."""

    format: str = "2006-01-02_15-04-05.999_MST"
    timezone: str = "Local"


@dataclass(frozen=True)
class InputDigest:
    """The tag is a digest of the artifact's inputs."""


@dataclass(frozen=True)
class CustomTemplate:
    """A Go template over named components, each of them another policy (GIT, DATE, SHA, INPUT_DIGEST are built in)."""

    template: str
    components: tuple[tuple[str, TagPolicy], ...] = ()
    position: Position = Position("")


TagPolicy = GitCommit | Sha256 | EnvTemplate | DateTime | InputDigest | CustomTemplate


@dataclass(frozen=True)
class ManifestSource:
    """One entry of `manifests.rawYaml`: a file or a glob. `default` where the config says nothing (`k8s/*.yaml`)."""

    path: str
    position: Position
    default: bool = False


@dataclass(frozen=True)
class KubectlDeploy:
    """`deploy.kubectl`. `default_namespace` is where objects without a namespace go; None: the context's own."""

    default_namespace: str | None = None
    hooks: Hooks[Hook] = NO_HOOKS


@dataclass(frozen=True)
class PrunePolicy:
    """`keep`: how many images of an artifact stay in engine and nodes besides the current one. `max_age` in seconds: younger
    ones stay; None: no age counts.

    In a registry superseded images go by age only: what is pushed may be somebody's to pull.
    """

    keep: int = 0
    max_age: float | None = None


@dataclass(frozen=True)
class Config:
    """One document of the file ("module").

    `name` is metadata.name, or the folder's name where that is absent (`named` is then False, and it is said once).
    `push` is build.local.push: None leaves it to the cluster. `status_check_deadline` in seconds. `build_hooks` run before
    the first and after the last of its artifacts that are built. `keep`: volume claims and namespaces of the manifests are
    never deleted. `platforms`: what its artifacts are built for; none: the builder's own.
    """

    name: str
    named: bool
    api_version: str
    artifacts: tuple[Artifact, ...]
    tag_policy: TagPolicy
    push: bool | None
    manifests: tuple[ManifestSource, ...]
    kubectl: KubectlDeploy
    status_check: bool
    status_check_deadline: int
    position: Position
    build_hooks: Hooks[HostHook] = NO_HOOKS
    prune: PrunePolicy = PrunePolicy()
    keep: bool = False
    platforms: tuple[str, ...] = ()
