"""Go's `filepath.Match` patterns as regular expressions: the wildcards of COPY, ADD and of ignore files.

`*` and `?` stop at a slash, `[a-z]` and `[^a-z]` are classes (`[!a]` is not a negation), `\\` quotes what follows.
This is neither Python's `fnmatch` (whose `*` crosses slashes) nor gitignore.
"""

from __future__ import annotations

import re

WILDCARDS = "*?["


def has_wildcard(pattern: str) -> bool:
    """Whether `pattern` stands for more than the one path that it spells."""
    return any(character in WILDCARDS for character in pattern)


def character_class(pattern: str, start: int) -> tuple[str, int]:
    """The class that opens at `pattern[start]` as a regular expression, and the index behind it.

    Raises:
        ValueError: the class never ends, is empty, or has a range without an end.
    """
    index = start + 1
    negated = pattern[index : index + 1] == "^"
    index += negated
    parts: list[str] = []
    while True:
        # A `]` right after the opening is an empty class, which Go refuses (a POSIX shell would take it literally).
        if pattern[index : index + 1] == "]" and parts:
            return f"[{'^' if negated else ''}{''.join(parts)}]", index + 1
        low, index = _class_character(pattern, index)
        if pattern[index : index + 1] == "-":
            high, index = _class_character(pattern, index + 1)
            if low <= high:
                parts.append(f"{_quoted(low)}-{_quoted(high)}")
            else:
                parts.append(_NEVER)  # Go accepts [z-a]: it matches nothing
        else:
            parts.append(_quoted(low))


# A class must not become empty; no path holds a NUL.
_NEVER = r"\x00"


def _class_character(pattern: str, index: int) -> tuple[str, int]:
    character = pattern[index : index + 1]
    if character == "\\":
        index += 1
        character = pattern[index : index + 1]
    elif character in ("-", "]"):
        raise ValueError(f"syntax error in pattern {pattern!r}: `{character}` cannot stand there in a class")
    if not character:
        raise ValueError(f"syntax error in pattern {pattern!r}: a `[` is never closed")
    return character, index + 1


def _quoted(character: str) -> str:
    return f"\\U{ord(character):08x}"


def component(pattern: str) -> re.Pattern[str]:
    """A pattern for one path component (no slash in it), to be used with `fullmatch`.

    Raises:
        ValueError: the pattern is malformed.
    """
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        character = pattern[index]
        index += 1
        if character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[":
            text, index = character_class(pattern, index - 1)
            parts.append(text)
        elif character == "\\":
            if index == len(pattern):
                raise ValueError(f"syntax error in pattern {pattern!r}: nothing follows the last `\\`")
            parts.append(re.escape(pattern[index]))
            index += 1
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts), re.DOTALL)
