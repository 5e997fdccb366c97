"""Nodes -> the policy of `prune:`, which Skaffold does not have."""

from __future__ import annotations

import re

from kfold.config.model import PrunePolicy
from kfold.config.nodes import MappingNode
from kfold.config.problems import Problems

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"(?:\d+[smhd])+")


def prune_policy(document: MappingNode, version: str, problems: Problems) -> PrunePolicy:
    """`prune: {keep: 2, maxAge: 7d}`. Problems with values, and in a Skaffold file with the field, go to `problems`."""
    if document.has("prune") and not version.startswith("kfold/"):
        problems.add(
            f"`prune` is no field of {version}",
            document.keys["prune"],
            "It belongs to kfold alone: with `apiVersion: kfold/v1` in a kfold.yaml it is one.",
        )
    node = document.mapping("prune")
    written = node.text("maxAge")
    if written and not _AGE.fullmatch(written):
        problems.add(f"`{written}` is no age", node.place("maxAge"), "Such as 12h, 7d or 1h30m.")
        written = ""
    return PrunePolicy(node.integer("keep") or 0, seconds(written) if written else None)


def seconds(age: str) -> float:
    """A Go duration of whole numbers, and days.

    >>> seconds("1d12h"), seconds("90s")
    (129600.0, 90.0)
    """
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", age)))
