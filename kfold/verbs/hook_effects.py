"""Hooks as effects: what the ledger keeps of a hook that has an undo. Pure. (Its copy in the cluster: `hook_copy.py`.)

Kept are the undo's words and folder as the config has them, the values of the SKAFFOLD_ variables that kfold itself made
(names of images, folders, contexts, namespaces: nothing of them is secret), and of the user's own variables the names that
the undo names, never a value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kfold.config.model import ContainerHook, Hook
from kfold.ledger import Effect
from kfold.plan.hook_variables import named_variables

Phase = Literal["pre-build", "post-build", "pre-deploy", "post-deploy"]
HOST = "host"
"""The place of what happened on this host: a ledger never leaves it."""

TAKEN_BACK = "taken back"
"""What `hook` says in the record of a hook whose undo ran, and whose copy in the cluster still stands."""


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
