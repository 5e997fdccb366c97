"""The functions of a template: Go's own, and those of Sprig that tag and build-argument templates use.

Arguments stand in Sprig's order: the value that a pipeline hands on comes last. Source: text/template, and Sprig v3.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kfold.plan.go_format import NO_VALUE, printf, quoted, text_of
from kfold.plan.go_time import format_time

_EXPANDABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


@dataclass(frozen=True)
class TemplateFunction:
    """A function and what it takes: `s` string, `i` whole number, `b` boolean, `l` list, `a` anything; `*` repeats."""

    takes: str
    call: Callable[..., object]

    def __call__(self, *values: object) -> object:
        """Call it with checked arguments.

        Raises:
            ValueError: the number or the kind of the arguments is wrong, or the function refuses them.
        """
        kinds = self.takes
        repeats = kinds.endswith("*")
        if repeats:
            kinds = kinds[:-1]
            kinds = kinds[:-1] + kinds[-1] * max(0, len(values) - len(kinds) + 1)
        if len(values) != len(kinds):
            wanted = f"at least {len(self.takes) - 2}" if repeats else str(len(kinds))
            raise ValueError(f"wrong number of args: want {wanted} got {len(values)}")
        for kind, value in zip(kinds, values, strict=True):
            _check(kind, value)
        return self.call(*values)


def _check(kind: str, value: object) -> None:
    fits = {
        "a": True,
        "s": isinstance(value, str),
        "i": isinstance(value, int) and not isinstance(value, bool),
        "l": isinstance(value, list | tuple),
        "b": isinstance(value, bool),
    }
    if not fits[kind]:
        wanted = {"s": "string", "i": "int", "l": "list", "b": "bool"}[kind]
        got = NO_VALUE if value is None else repr(value)
        raise ValueError(f"wrong type for value; expected {wanted}; got {got}")


def truth(value: object) -> bool:
    """Whether Go's `if` takes `value` for true: not the zero of its type."""
    return not (value is None or value is False or value in (0, "") or (_sized(value) and len(value) == 0))  # type: ignore[arg-type]


def _sized(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def functions(environment: Mapping[str, str], now: datetime | None) -> dict[str, TemplateFunction]:
    """All functions by name. `and` and `or` are here for their names only: they do not evaluate all arguments."""

    def current() -> datetime:
        if now is None:
            raise ValueError("the time is not known here")
        return now

    def substitute(match: re.Match[str]) -> str:
        return environment.get(match[1] or match[2] or "", "")

    table: dict[str, tuple[str, Callable[..., object]]] = {
        "env": ("s", lambda name: environment.get(name, "")),
        "expandenv": ("s", lambda text: _EXPANDABLE.sub(substitute, text)),
        "now": ("", current),
        "date": (
            "sa",
            lambda layout, moment: format_time(moment if isinstance(moment, datetime) else current(), layout),
        ),
        **_GO,
        **_SPRIG,
    }
    return {name: TemplateFunction(takes, call) for name, (takes, call) in table.items()}


def _number_kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return {int: "int", float: "float", str: "string", type(None): "nil"}.get(type(value), "other")


def _comparable(one: object, other: object) -> None:
    if _number_kind(one) != _number_kind(other):
        raise ValueError("incompatible types for comparison")
    if _number_kind(one) == "other":
        raise ValueError("non-comparable type")


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if None not in (first, other):
            _comparable(first, other)
        if first == other:
            return True
    return False


def _less(one: object, other: object) -> bool:
    _comparable(one, other)
    if _number_kind(one) in ("bool", "nil"):
        raise ValueError("invalid type for comparison")
    return bool(one < other)  # type: ignore[operator]


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogateescape"))
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    raise ValueError(f"len of type {_number_kind(value)}")


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple | str):
            if isinstance(key, bool) or not isinstance(key, int):
                raise ValueError(f"cannot index slice/array with {text_of(key)}")
            if not 0 <= key < _length(value):
                raise ValueError(f"index out of range: {key}")
            value = value.encode(errors="surrogateescape")[key] if isinstance(value, str) else value[key]
        else:
            raise ValueError("index of untyped nil" if value is None else f"can't index item of {text_of(value)}")
    return value


def _slice(value: object, *bounds: int) -> object:
    if not isinstance(value, str | list | tuple) or len(bounds) > 2:
        raise ValueError(f"cannot slice {text_of(value)}")
    start, end = (*bounds, *(0, _length(value))[len(bounds) :])
    if not 0 <= start <= end <= _length(value):
        raise ValueError(f"index out of range: {start}:{end}")
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")[start:end].decode(errors="replace")
    return value[start:end]


def print_values(*values: object) -> str:
    """Go's fmt.Sprint: a space only between two values that are both no strings."""
    out = ""
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            out += " "
        out += text_of(value)
    return out


_GO: dict[str, tuple[str, Callable[..., object]]] = {
    "and": ("aa*", lambda *values: values[-1]),
    "or": ("aa*", lambda *values: values[-1]),
    "not": ("a", lambda value: not truth(value)),
    "eq": ("aa*", _equal),
    "ne": ("aa", lambda one, other: not _equal(one, other)),
    "lt": ("aa", _less),
    "le": ("aa", lambda one, other: _less(one, other) or one == other),
    "gt": ("aa", lambda one, other: _less(other, one)),
    "ge": ("aa", lambda one, other: _less(other, one) or one == other),
    "len": ("a", _length),
    "index": ("aa*", _index),
    "slice": ("ai*", _slice),
    "print": ("a*", print_values),
    "println": ("a*", lambda *values: " ".join(text_of(value) for value in values) + "\n"),
    "printf": ("sa*", printf),
}


def _integer(value: object) -> int:
    """Sprig's toInt64: what is no number counts as 0."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return int(text, 0)
        except ValueError:
            try:
                return int(float(text))
            except (ValueError, OverflowError):
                return 0
    if isinstance(value, float):
        return int(value) if abs(value) < 2**63 else 0
    return int(value) if isinstance(value, int) else 0


def _string(value: object) -> str:
    return text_of(value)


def _strings(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [_string(item) for item in value if item is not None]
    return [] if value is None else [_string(value)]


def _default(default: object, *given: object) -> object:
    return given[0] if given and truth(given[0]) else default


def _truncate(count: int, text: str) -> str:
    if count < 0:
        return text[count:] if len(text) + count > 0 else text
    return text[:count]


def _substring(start: int, end: int, text: str) -> str:
    if start < 0:
        return text[: max(end, 0)]
    if end < 0 or end > len(text):
        return text[start:]
    if start > end:
        raise ValueError(f"the end {end} lies before the start {start}")
    return text[start:end]


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="surrogateescape")
    except ValueError as error:
        return f"illegal base64 data: {error}"


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _pattern(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise ValueError(f"error parsing regexp {expression!r}: {error}") from None


def _replaced(expression: str, text: str, replacement: str) -> str:
    def fill(match: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            if reference.group() == "$$":
                return "$"
            name = reference[1] or reference[2]
            try:
                return match.group(int(name) if name.isdecimal() else name) or ""
            except IndexError:
                return ""

        return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", group, replacement)

    return _pattern(expression).sub(fill, text)


def _split(text: str, separator: str) -> list[str]:
    return list(text) if separator == "" else text.split(separator)


def _first(values: Sequence[object]) -> object:
    return values[0] if values else None


_SPRIG: dict[str, tuple[str, Callable[..., object]]] = {
    "default": ("aa*", _default),
    "empty": ("a", lambda value: not truth(value)),
    "coalesce": ("a*", lambda *values: next((value for value in values if truth(value)), None)),
    "ternary": ("aab", lambda yes, no, condition: yes if condition else no),
    "upper": ("s", str.upper),
    "lower": ("s", str.lower),
    "title": ("s", lambda text: re.sub(r"(?<![\w'])\w", lambda match: match.group().upper(), text)),
    "trim": ("s", str.strip),
    "trimAll": ("ss", lambda characters, text: text.strip(characters) if characters else text),
    "trimPrefix": ("ss", lambda prefix, text: text.removeprefix(prefix)),
    "trimSuffix": ("ss", lambda suffix, text: text.removesuffix(suffix)),
    "trunc": ("is", _truncate),
    "substr": ("iis", _substring),
    "replace": ("sss", lambda old, new, text: text.replace(old, new)),
    "contains": ("ss", lambda part, text: part in text),
    "hasPrefix": ("ss", lambda prefix, text: text.startswith(prefix)),
    "hasSuffix": ("ss", lambda suffix, text: text.endswith(suffix)),
    "nospace": ("s", lambda text: "".join(text.split())),
    "quote": ("a*", lambda *values: " ".join(quoted(_string(value)) for value in values if value is not None)),
    "squote": ("a*", lambda *values: " ".join(f"'{_string(value)}'" for value in values if value is not None)),
    "b64enc": ("s", lambda text: base64.b64encode(_bytes(text)).decode()),
    "b64dec": ("s", _decoded),
    "sha256sum": ("s", lambda text: hashlib.sha256(_bytes(text)).hexdigest()),
    "sha1sum": ("s", lambda text: hashlib.sha1(_bytes(text), usedforsecurity=False).hexdigest()),
    "join": ("sa", lambda separator, values: separator.join(_strings(values))),
    "list": ("a*", lambda *values: list(values)),
    "split": ("ss", lambda separator, text: {f"_{n}": part for n, part in enumerate(_split(text, separator))}),
    "splitList": ("ss", lambda separator, text: _split(text, separator)),
    "first": ("l", _first),
    "last": ("l", lambda values: _first(values[-1:])),
    "add": ("a*", lambda *values: sum(_integer(value) for value in values)),
    "sub": ("aa", lambda one, other: _integer(one) - _integer(other)),
    "int": ("a", _integer),
    "toString": ("a", _string),
    "regexMatch": ("ss", lambda expression, text: _pattern(expression).search(text) is not None),
    "regexReplaceAll": ("sss", _replaced),
}
