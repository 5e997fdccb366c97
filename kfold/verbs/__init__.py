"""The verbs: one file a verb with its reverse. Each takes what it needs from `World` and reports events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfold.plan import verbs
from kfold.verbs import build, deploy, load, render, tag, wait

VERBS: Mapping[verbs.Verb, Any] = {
    verbs.BUILD: build,
    verbs.TAG: tag,
    verbs.LOAD: load,
    verbs.PUSH: load,
    verbs.RENDER: render,
    verbs.DEPLOY: deploy,
    verbs.WAIT: wait,
}
"""Each module offers `holds(run, step, values)` -> the outcome if the step is up to date, else None; `do(run, step)` ->
the outcome and what doit's database keeps of it; `why(run, step, values)` -> why it is not up to date, in words."""
