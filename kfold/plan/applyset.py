"""ApplySets as kubectl implements them (KEP-3659): the names, labels and annotations of a set's parent and members.

The text of the KEP and kubectl's code differ (`applyset.k8s.io`, a tooling label): the code is followed, so that
`kubectl get -l applyset.kubernetes.io/part-of=ID` lists a set of ours, and `kubectl apply --prune --applyset` refuses it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping

from kfold.version import VERSION

PART_OF = "applyset.kubernetes.io/part-of"
"""Label of a member: the ID of its set. An object belongs to one set at most."""
ID = "applyset.kubernetes.io/id"
"""Label of the parent: the ID of its set."""
TOOLING = "applyset.kubernetes.io/tooling"
"""Annotation of the parent: which tool works on the set. Each tool leaves those of the others alone."""
KINDS = "applyset.kubernetes.io/contains-group-kinds"
"""Annotation of the parent: the kinds of all members (a superset after a run that was cut off), sorted."""
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
"""Annotation of the parent: the namespaces of all members but the parent's own, sorted."""

CONFIG = "kfold.dev/config"
"""Label of the parent: the name of the config. With the namespace it says which set this is, and is how it is found."""
NAMESPACE = "kfold.dev/namespace"
"""Label of the parent: the effective namespace of the deployment. The parent may lie in another one."""

TOOL = "kfold"

GroupKind = tuple[str, str]
"""(group, kind); the group of the core API is empty."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


def parent_name(config: str, namespace: str) -> str:
    """The name of the parent of (config, effective namespace); of no two sets the same, wherever the parents lie.

    A namespace has no dot, so the first part is always it. What cannot stand in a name is told apart by a hash.
    """
    plain = bool(_NAME.fullmatch(config)) and ".." not in config and ".-" not in config and "-." not in config
    word = config if plain else f"{_slug(config)}.x{hashlib.sha256(config.encode()).hexdigest()[:8]}"
    return f"{TOOL}.{namespace}.{word}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "config"


def set_id(name: str, namespace: str) -> str:
    """The ID of the set whose parent is this ConfigMap (`V1ApplySetIdFormat` of kubectl)."""
    text = ".".join((name, namespace, "ConfigMap", ""))
    return f"applyset-{base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()}-v1"


def format_kinds(kinds: Iterable[GroupKind]) -> str:
    """`ConfigMap,Deployment.apps`."""
    return ",".join(sorted(f"{kind}.{group}" if group else kind for group, kind in kinds))


def parse_kinds(text: str) -> frozenset[GroupKind]:
    """The reverse of `format_kinds`. A kind has no dot, so the first one begins the group."""
    parts = (part.strip().partition(".") for part in text.split(",") if part.strip())
    return frozenset((group, kind) for kind, _, group in parts)


def parse_namespaces(text: str) -> frozenset[str]:
    """The namespaces of the annotation."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def parent_labels(config: str, namespace: str, set_id: str) -> dict[str, str]:
    """The labels of a parent."""
    return {ID: set_id, CONFIG: config, NAMESPACE: namespace, "app.kubernetes.io/managed-by": TOOL}


def hints(kinds: Iterable[GroupKind], namespaces: Iterable[str]) -> dict[str, str]:
    """The annotations of a parent. `namespaces`: without the parent's own."""
    return {TOOLING: f"{TOOL}/v{VERSION}", KINDS: format_kinds(kinds), NAMESPACES: ",".join(sorted(namespaces))}


def is_ours(annotations: Mapping[str, str]) -> bool:
    """Whether a parent is worked on by kfold, in any version."""
    return annotations.get(TOOLING, "").partition("/")[0] == TOOL


def selector(config: str, namespace: str = "") -> str:
    """The label selector that finds parents of a config, of one effective namespace or of all."""
    return f"{CONFIG}={config}" + (f",{NAMESPACE}={namespace}" if namespace else "")
