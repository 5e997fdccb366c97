"""Which files of a context an ignore file keeps out of the build. Docker's rules, which are not gitignore's.

The rules are those of moby's patternmatcher as BuildKit and the docker client walk a context with it: a pattern is
anchored at the context's root, `**` spans directories, the last matching pattern wins, `!` takes a path back, and what
matches a directory counts for everything below it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from kfold.errors import ConfigError, Position
from kfold.plan.glob import WILDCARDS, character_class

State = tuple[bool, ...]
"""What the directories above a path matched: one flag a run of patterns. Opaque to callers."""


@dataclass(frozen=True)
class _Run:
    """Neighbouring patterns of one polarity: their order among themselves does not matter, so one expression serves."""

    exception: bool
    expression: re.Pattern[str]


class Ignore:
    """The patterns of one ignore file. Immutable and safe to share between threads."""

    def __init__(self, patterns: Iterable[str] = (), *, where: Position | None = None) -> None:
        """`patterns` as they stand in a file: `!` marks an exception.

        Raises:
            ConfigError: a pattern is malformed.
        """
        self.patterns = tuple(patterns)
        runs: list[tuple[bool, list[str]]] = []
        prefixes: list[str] = []
        for pattern in self.patterns:
            exception = pattern.startswith("!")
            text = pattern[1:] if exception else pattern
            if not text:
                raise ConfigError('illegal exclusion pattern: "!"', where=where, hint="Write the pattern behind the `!`.")
            try:
                expression = _expression(text)
            except (ValueError, re.error) as error:
                raise ConfigError(f"pattern {pattern!r} is malformed: {error}", where=where) from None
            if exception:
                prefixes.append(_literal_prefix(text))
            if not runs or runs[-1][0] is not exception:
                runs.append((exception, []))
            runs[-1][1].append(expression)
        self._runs = tuple(
            _Run(exception, re.compile("|".join(f"(?:{part})" for part in parts), re.DOTALL)) for exception, parts in runs
        )
        self._exception_prefixes = tuple(prefixes)
        inclusions = [run.expression.pattern for run in self._runs if not run.exception]
        # A quick question for most paths: None means that no pattern but an exception matches the path itself.
        self.may_match = re.compile("|".join(inclusions) or r"(?!)", re.DOTALL).fullmatch
        self.root: State = (False,) * len(self._runs)

    @classmethod
    def parse(cls, text: str, *, file: str) -> Ignore:
        """Read the text of an ignore file; `file` is its name for messages.

        Raises:
            ConfigError: a pattern is malformed.
        """
        patterns: list[str] = []
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            # Only a `#` in the first column makes a comment; " #x" is the pattern "#x".
            if line.startswith("#"):
                continue
            pattern = line.strip()
            if not pattern:
                continue
            exception = pattern.startswith("!")
            if exception:
                pattern = pattern[1:].strip()
            if pattern:
                pattern = _clean(pattern)
                if len(pattern) > 1:
                    pattern = pattern.removeprefix("/")
            # A text that opens with a second `!` stays a pattern for a name that begins with one.
            entry = f"!{pattern}" if exception else pattern
            cls((entry,), where=Position(file, number))
            patterns.append(entry)
        return cls(patterns, where=Position(file))

    def __bool__(self) -> bool:
        return bool(self._runs)

    def step(self, path: str, above: State) -> tuple[bool, State]:
        """Whether `path` is ignored, given what its directory matched (`root` for the context itself).

        The second value is what `path`'s own children are judged with.
        """
        ignored = False
        state: list[bool] = []
        for run, matched in zip(self._runs, above, strict=True):
            # As in moby: a run that could not change the answer is not asked, and then does not count for children.
            if not matched and run.exception is ignored:
                matched = run.expression.fullmatch(path) is not None
            state.append(matched)
            if matched:
                ignored = not run.exception
        return ignored, tuple(state)

    def matches(self, path: str) -> bool:
        """Whether `path` (relative to the context, slashes) is kept out of the build."""
        ignored, state = False, self.root
        components = path.split("/")
        for count in range(1, len(components) + 1):
            ignored, state = self.step("/".join(components[:count]), state)
        return ignored

    def may_contain_exception_below(self, directory: str) -> bool:
        """Whether something below the ignored `directory` might be taken back. May say yes too often, never no."""
        below = f"{directory}/"
        return any(prefix.startswith(below) or below.startswith(prefix) for prefix in self._exception_prefixes)


NOTHING = Ignore()
"""An ignore file that is not there."""


def _clean(pattern: str) -> str:
    """Go's filepath.Clean, which, other than `normpath`, makes one slash of two leading ones."""
    cleaned = posixpath.normpath(pattern)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _literal_prefix(pattern: str) -> str:
    for index, character in enumerate(pattern):
        if character in WILDCARDS or character == "\\":
            return pattern[:index]
    return pattern


def _expression(pattern: str) -> str:
    """The regular expression of one cleaned pattern without its `!`.

    Raises:
        ValueError: the pattern is malformed.
    """
    # `**` in front of plain text is a suffix of the whole path, so that `**.pyc` matches "a/b.pyc".
    leading = pattern.startswith("**")
    rest = pattern[3:] if pattern.startswith("**/") else pattern[2:]
    if leading and rest and not any(character in WILDCARDS or character == "\\" for character in rest):
        before = "(?:.*/)?" if pattern.startswith("**/") else ".*"
        return before + re.escape(rest)
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        character = pattern[index]
        index += 1
        if character == "*" and pattern[index : index + 1] == "*":
            index += 1
            if pattern[index : index + 1] == "/":
                index += 1
            parts.append(".*" if index == len(pattern) else "(?:.*/)?")
        elif character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[":
            text, index = character_class(pattern, index - 1)
            parts.append(text)
        elif character == "\\":
            if index == len(pattern):
                raise ValueError("nothing follows the last `\\`")
            parts.append(re.escape(pattern[index]))
            index += 1
        else:
            parts.append(re.escape(character))
    return "".join(parts)
