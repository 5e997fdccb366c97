"""The verbs: one file a verb with its reverse. Each takes what it needs from `World` and reports events."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from kfold.plan import verbs

MODULES: Mapping[verbs.Verb, str] = {
    verbs.BUILD: "build",
    verbs.TAG: "tag",
    verbs.LOAD: "load",
    verbs.PUSH: "push",
    verbs.RENDER: "render",
    verbs.DEPLOY: "deploy",
    verbs.WAIT: "wait",
}
"""The verbs that work, in the forward order, and their modules."""


def module(verb: verbs.Verb) -> Any:
    """The verb's module, imported when it is first needed (`doit list` needs none; together they take 0.1 s).

    Each offers `holds(run, step, values)` -> the outcome if the step is up to date, else None; `do(run, step)` -> the
    outcome and what doit's database keeps of it; `why(run, step, values)` -> why it is not up to date, in words.
    """
    return import_module(f"kfold.verbs.{MODULES[verb]}")
