"""Label selectors as text, as kubectl and the API take them: `app=web,tier!=db,env in (dev,test),managed,!old`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kfold.errors import KfoldError

_TERM = re.compile(
    r"\s*(?:(?P<set_key>[^\s,=!()]+)\s+(?P<set_op>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<key>[^\s,=!()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s,=!()]*)"
    r"|(?P<absent>!)?\s*(?P<exists>[^\s,=!()]+))\s*(?:,|$)"
)


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether `labels` satisfy every term. An empty selector matches all. Raises KfoldError if it is malformed."""
    position = 0
    matched = True
    while position < len(selector):
        term = _TERM.match(selector, position)
        if term is None:
            raise KfoldError(f'"{selector}" is not a label selector', hint="such as app=web,tier!=db")
        matched = matched and _term_matches(term, labels)
        position = term.end()
    return matched


def _term_matches(term: re.Match[str], labels: Mapping[str, str]) -> bool:
    if term["set_key"]:
        inside = labels.get(term["set_key"]) in [value.strip() for value in term["values"].split(",")]
        return inside if term["set_op"] == "in" else not inside
    if term["key"]:
        equal = labels.get(term["key"]) == term["value"]
        return not equal if term["op"] == "!=" else equal
    return (term["exists"] in labels) != bool(term["absent"])
