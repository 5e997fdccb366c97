"""A Dockerfile as BuildKit reads it: stages and instructions with their lines, variables not yet replaced.

Source: BuildKit's `frontend/dockerfile` (parser, instructions) and the Dockerfile reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kfold.errors import ConfigError, Position
from kfold.plan.dockerfile_words import split_words, unquoted

_BUILDING = ("FROM", "ARG", "ENV", "RUN", "COPY", "ADD", "WORKDIR", "USER", "SHELL", "ONBUILD")
_DESCRIBING = ("CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "STOPSIGNAL", "VOLUME")
INSTRUCTIONS = frozenset((*_BUILDING, *_DESCRIBING))
_WITH_HEREDOCS = frozenset(("ADD", "COPY", "RUN"))
_DIRECTIVES = ("escape", "syntax", "check")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass(frozen=True)
class Heredoc:
    """A `<<NAME` of an instruction and its text; `expands` unless NAME was quoted."""

    name: str
    content: str
    expands: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction: its upper-case name, its `--flags` in order, and the rest as written over all its lines."""

    name: str
    flags: tuple[tuple[str, str], ...]
    arguments: str
    line: int
    heredocs: tuple[Heredoc, ...] = ()

    def words(self) -> tuple[str, ...]:
        """The arguments of COPY, ADD and FROM: the strings of the JSON form, or what white space parts."""
        if self.arguments.startswith("["):
            try:
                words = json.loads(self.arguments)
            except ValueError:
                words = None  # no JSON: BuildKit, too, then takes the brackets for text
            if isinstance(words, list) and all(isinstance(word, str) for word in words):
                return tuple(words)
        return tuple(self.arguments.split())

    def flag_values(self, name: str) -> list[str]:
        """All values given to `--name`."""
        return [value for flag, value in self.flags if flag == name]


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it. `base` is as written; `name` lower-cased, "" without AS."""

    index: int
    name: str
    base: str
    line: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile. `global_arguments`: the ARGs before the first FROM; `syntax`: the frontend image, or ""."""

    file: str
    syntax: str
    escape: str
    global_arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]

    def position(self, line: int) -> Position:
        """Where a line of this file is."""
        return Position(self.file, line)


def parse(text: str, *, file: str) -> Dockerfile:
    """Parse a Dockerfile's text; `file` is its name for messages.

    Raises:
        ConfigError: no Dockerfile that BuildKit would read. With a `# syntax=` line unknown instructions pass, since
            that frontend may know them.
    """
    reader = _Reader(text, file)
    global_arguments: list[Instruction] = []
    stages: list[Stage] = []
    body: list[Instruction] = []
    for instruction in reader.instructions():
        where = Position(file, instruction.line)
        if instruction.name not in INSTRUCTIONS and not reader.syntax:
            raise ConfigError(
                f"unknown instruction: {instruction.name}",
                where=where,
                hint=f"Known: {', '.join(sorted(INSTRUCTIONS))}.",
            )
        if instruction.name == "FROM":
            _close(stages, body)
            stages.append(_stage(instruction, len(stages), where))
        elif stages:
            _check(instruction, where)
            body.append(instruction)
        elif instruction.name == "ARG":
            global_arguments.append(instruction)
        else:
            raise ConfigError(
                f"no build stage in current context: {instruction.name} stands before the first FROM",
                where=where,
                hint="Only ARG may stand before the first FROM.",
            )
    _close(stages, body)
    if not stages:
        raise ConfigError("the Dockerfile has no FROM", where=Position(file), hint="It needs at least one stage.")
    return Dockerfile(file, reader.syntax, reader.escape, tuple(global_arguments), tuple(stages))


def _close(stages: list[Stage], body: list[Instruction]) -> None:
    if stages:
        stages[-1] = replace(stages[-1], instructions=tuple(body))
    body.clear()


def _stage(instruction: Instruction, index: int, where: Position) -> Stage:
    words = instruction.words()
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise ConfigError(
                f'invalid name for build stage: "{words[2]}"',
                where=where,
                hint="A name starts with a letter and holds letters, digits, `_`, `-` and `.`.",
            )
    elif len(words) != 1:
        raise ConfigError("FROM requires either one argument, or three: FROM <source> [AS <name>]", where=where)
    return Stage(index, name, words[0], instruction.line, ())


def _check(instruction: Instruction, where: Position) -> None:
    if instruction.name in ("COPY", "ADD") and len(instruction.words()) < 2:
        raise ConfigError(
            f"{instruction.name} requires at least two arguments: {instruction.name} <source>... <destination>",
            where=where,
        )


class _Reader:
    """Takes a text apart into instructions."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        # Only line feeds end a line; `splitlines` would also break at form feeds and the like.
        self.lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        self.number = 0
        self.escape = "\\"
        self.syntax = ""
        self._read_directives()
        self.continuation = re.compile(re.escape(self.escape) + r"[ \t]*$")

    def _read_directives(self) -> None:
        seen: set[str] = set()
        for number, line in enumerate(self.lines, 1):
            match = _DIRECTIVE.fullmatch(line.strip())
            if match is None or match[1].lower() not in _DIRECTIVES:
                return
            name, value = match[1].lower(), match[2]
            if name in seen:
                raise ConfigError(f"only one {name} parser directive can be used", where=Position(self.file, number))
            seen.add(name)
            if name == "syntax":
                self.syntax = value
            elif name == "escape":
                if value not in ("\\", "`"):
                    raise ConfigError(
                        f"invalid escape token '{value}' does not match ` or \\", where=Position(self.file, number)
                    )
                self.escape = value

    def instructions(self) -> Iterator[Instruction]:
        while self.number < len(self.lines):
            line = self.lines[self.number].lstrip()
            self.number += 1
            start = self.number
            if not line or line.startswith("#"):
                continue
            yield self._instruction(self._join(line), start)

    def _join(self, line: str) -> str:
        """`line` with its continuation lines; comments and empty lines between them are dropped."""
        joined = self.continuation.sub("", line)
        ended = joined == line
        while not ended and self.number < len(self.lines):
            line = self.lines[self.number]
            self.number += 1
            stripped = line.lstrip()
            if not stripped or stripped.startswith("#"):
                continue
            text = self.continuation.sub("", line)
            ended = text == line
            joined += text
        return joined

    def _instruction(self, line: str, start: int) -> Instruction:
        instruction = parse_line(line, line_number=start, escape=self.escape)
        held = parse_line(instruction.arguments) if instruction.name == "ONBUILD" else instruction
        if held.name not in _WITH_HEREDOCS or "<<" not in held.arguments or held.arguments.startswith("["):
            return instruction
        return replace(instruction, heredocs=tuple(self._heredocs(held.arguments, Position(self.file, start))))

    def _heredocs(self, arguments: str, where: Position) -> Iterator[Heredoc]:
        for word in split_words(arguments, escape=self.escape):
            match = _HEREDOC.fullmatch(word)
            if match is None:
                continue
            name = re.sub(r"[\"']", "", match[2])
            if not name:
                continue
            content: list[str] = []
            while True:
                if self.number == len(self.lines):
                    raise ConfigError(
                        f"unterminated heredoc: no line {name!r} ends it", where=where, hint=f"Add a line {name}."
                    )
                line = self.lines[self.number]
                self.number += 1
                if match[1]:
                    line = line.lstrip("\t")
                if line == name:
                    break
                content.append(f"{line}\n")
            yield Heredoc(name, "".join(content), expands=name == match[2])


def parse_line(line: str, *, line_number: int = 0, escape: str = "\\") -> Instruction:
    """One joined line: the instruction's name, its flags, and the rest. Heredocs are not looked for."""
    name, *others = re.split(r"[\t\v\f\r ]+", line.strip(), maxsplit=1)
    text = others[0] if others else ""
    flags: list[tuple[str, str]] = []
    while text.startswith("--"):
        word = split_words(text, escape=escape)[0]
        text = text[len(word) :].lstrip()
        if word == "--":
            break
        flag, _, value = unquoted(word[2:], escape=escape).partition("=")
        flags.append((flag, value))
    return Instruction(name.upper(), tuple(flags), text, line_number)
