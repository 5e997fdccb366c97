"""Hooks as effects: what the ledger keeps of a hook that has an undo, and the copy of it that stands in the cluster. Pure.

Kept are the undo's words and folder as the config has them, the values of the SKAFFOLD_ variables that kfold itself made
(names of images, folders, contexts, namespaces: nothing of them is secret), and of the user's own variables the names that
the undo names, never a value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kfold.config.model import ContainerHook, Hook
from kfold.ledger import Effect, Record
from kfold.plan.hook_variables import named_variables

Phase = Literal["pre-build", "post-build", "pre-deploy", "post-deploy"]
HOST = "host"
"""The place of what happened on this host: a ledger never leaves it."""

COPY = "kfold.dev/hooks"
"""Annotation of a set's parent in the cluster: the copy of the records of its deploy hooks."""
COPY_VERSION = 1


@dataclass(frozen=True)
class Occasion:
    """Why hooks run now. `subject` is what output is prefixed with; `about` is what they are about (an image's reference, a
    namespace): the same hook about another thing is another effect. `place` is the cluster, for hooks in containers.
    """

    phase: Phase
    config: str
    subject: str
    about: str
    place: str
    variables: Mapping[str, str]
    details: Mapping[str, Any]


def effect_of(hook: Hook, occasion: Occasion, earlier: Sequence[Hook], environment: Mapping[str, str]) -> Effect:
    """The effect of a hook. `earlier`: those before it in the same list; one that is listed twice has two effects.

    Another command, undo or place makes another effect, so that an edited config never loses what the old one did.
    """
    again = sum(_words(other) == _words(hook) for other in earlier)
    text = json.dumps([occasion.about, _words(hook), again])
    in_container = isinstance(hook, ContainerHook)
    details = {
        **occasion.details,
        "phase": occasion.phase,
        "subject": occasion.subject,
        "where": str(hook.position),
        "command": list(hook.command),
        "undo": list(hook.undo),
        "hook": "intended",
    }
    if isinstance(hook, ContainerHook):
        details |= {"pod": hook.pod_name, "container": hook.container_name}
    else:
        details |= {
            "folder": hook.folder,
            "variables": dict(occasion.variables),
            "environment": named_variables(hook.undo, environment),
        }
    return Effect(
        store="cluster" if in_container else "host",
        kind="hook",
        place=occasion.place if in_container else HOST,
        name=f"{occasion.phase}|{occasion.config}|{occasion.place}|{hashlib.sha256(text.encode()).hexdigest()[:16]}",
        config=occasion.config,
        details=details,
    )


def _words(hook: Hook) -> list[Any]:
    if isinstance(hook, ContainerHook):
        return ["container", hook.command, hook.undo, hook.pod_name, hook.container_name]
    return ["host", hook.command, hook.undo, hook.folder]


def shown(words: Sequence[str]) -> str:
    """A command for a person: one line, not long."""
    text = " ".join(" ".join(words).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def noun(effect: Effect) -> str:
    """As messages name a hook: `kfold.yaml:12:9: the post-deploy hook "migrate up"`."""
    details = effect.details
    return f'{details["where"]}: the {details["phase"]} hook "{shown(details["command"])}"'


# the copy in the cluster

_COPIED = ("phase", "subject", "where", "command", "undo", "hook", "pod", "container", "containers", "folder", "variables",
           "environment", "cluster", "namespaces")  # fmt: skip


def to_annotation(records: Iterable[Record], host: str) -> str:
    """The records of deploy hooks as the text of the annotation COPY; "" where there is nothing to keep.

    `host` names this machine. Of each record goes along what an undo needs anywhere; not the kubeconfig, whose path means
    nothing elsewhere.
    """
    kept = [
        {
            "store": record.effect.store,
            "place": record.effect.place,
            "name": record.effect.name,
            "config": record.effect.config,
            "host": host if record.effect.store == "host" else "",
            "details": {key: record.effect.details[key] for key in _COPIED if key in record.effect.details},
        }
        for record in sorted(records, key=lambda record: record.id)
        if record.effect.kind == "hook" and str(record.effect.details["phase"]).endswith("-deploy")
    ]
    return json.dumps({"version": COPY_VERSION, "hooks": kept}, separators=(",", ":"), sort_keys=True) if kept else ""


@dataclass(frozen=True)
class CopiedHook:
    """One hook of the copy. `host`: the machine that it ran on; "" for one in containers, which can be undone anywhere."""

    effect: Effect
    host: str


def from_annotation(text: str, *, context: str, server: str, kubeconfig: Sequence[str], target: str) -> list[CopiedHook]:
    """The hooks of a copy, in the order in which they ran, as effects that lead to the cluster by this machine's kubeconfig.

    Raises ValueError for a text that this kfold does not understand: nothing of it may be taken for "no hooks".
    """
    if not text:
        return []
    try:
        document = json.loads(text)
        if document["version"] != COPY_VERSION:
            raise ValueError(f"version {document['version']} of the hooks' copy is not known")
        return [_copied(item, context, server, list(kubeconfig), target) for item in document["hooks"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the hooks' copy is damaged: {error!r}") from error


def _copied(item: Mapping[str, Any], context: str, server: str, kubeconfig: list[str], target: str) -> CopiedHook:
    if item["store"] not in ("host", "cluster"):
        raise ValueError(f"the hooks' copy is damaged: store {item['store']!r}")
    access = {"context": context, "server": server, "kubeconfig": kubeconfig, "target": target}
    details = {**item["details"], **access}
    for key in ("phase", "where", "command", "undo", "hook"):
        details[key]
    effect = Effect(
        store=item["store"],
        kind="hook",
        place=str(item["place"]),
        name=str(item["name"]),
        config=str(item["config"]),
        details=details,
    )
    return CopiedHook(effect, str(item["host"]))
