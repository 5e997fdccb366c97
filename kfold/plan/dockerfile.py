"""What a Dockerfile reads: the files of its context, its base images, its arguments. Only for the stages a build needs.

BuildKit builds the target stage and what it refers to; Skaffold counts the files of all stages, whatever the target.
The legacy builder builds every stage up to the target: `all_stages`.
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from kfold.errors import ConfigError, Position
from kfold.plan.dockerfile_parser import Dockerfile, Heredoc, Instruction, Stage, parse, parse_line
from kfold.plan.dockerfile_words import WordError, expand, split_words

__all__ = ["BaseImage", "Copy", "Dockerfile", "Heredoc", "Instruction", "Sources", "Stage", "parse", "sources"]

EVERYTHING = "."
"""The pattern that stands for the whole context."""

UNKNOWN = "*"
"""What a variable that only the builder knows counts as: any text, so that no file is missed."""

_PLATFORM = (
    "TARGETSTAGE",
    *(f"{side}{part}" for side in ("TARGET", "BUILD") for part in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")),
)
_REMOTE = re.compile(r"(?:https?|git|ssh|ftp)://|git@[^:/]+:", re.IGNORECASE)


@dataclass(frozen=True)
class Copy:
    """What one instruction reads from the context.

    `patterns` are relative to the context, cleaned, with Go's wildcards; "." is everything. `excludes` come from
    `--exclude` and count from each match. `instruction` is COPY, ADD or RUN.
    """

    instruction: str
    patterns: tuple[str, ...]
    excludes: tuple[str, ...]
    position: Position


@dataclass(frozen=True)
class BaseImage:
    """What a base image leaves to the build: its variables (ENV), and its ONBUILD instructions as text."""

    environment: Mapping[str, str]
    onbuild: Sequence[str]


@dataclass(frozen=True)
class Sources:
    """What the needed stages of a Dockerfile read.

    Attributes:
        copies: the files of the context.
        base_images: images of FROM, `--from` and mounts that are no stage; without `scratch` and without those whose
            name only the builder knows.
        arguments: the names of all ARGs of the file, needed stage or not (a build argument of another name is unused).
        heredocs: whether a needed stage has one (the legacy builder cannot build it).
        mounts: whether a needed stage uses `RUN --mount` (BuildKit only).
        syntax: the frontend image of `# syntax=`, or "".
        guessed: whether a name of an image or stage holds what only the builder knows (`FROM base-$TARGETARCH`).
    """

    copies: tuple[Copy, ...]
    base_images: tuple[str, ...]
    arguments: frozenset[str]
    heredocs: bool
    mounts: bool
    syntax: str
    guessed: bool


def sources(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str | None],
    target: str = "",
    *,
    all_stages: bool = False,
    base_image: Callable[[str], BaseImage | None] | None = None,
) -> Sources:
    """What building `target` (a stage's name or number; "" is the last stage) with `build_args` reads.

    Arguments that the builder sets by itself (TARGETARCH, …) match any text unless `build_args` gives them. `base_image`
    is asked for each image of a FROM, by its name as written; without it, or where it does not know, a base image is
    taken to bring no variables and no ONBUILD.

    Raises:
        ConfigError: no such target, an empty base name, a bad substitution.
    """
    return _Walk(dockerfile, build_args, base_image or (lambda _: None)).run(target, all_stages=all_stages)


@dataclass
class _Scope:
    """The variables of a stage after its instructions. ENV beats ARG, whichever comes first."""

    arguments: dict[str, str]
    environment: dict[str, str]
    onbuild: list[Instruction]

    def variables(self) -> dict[str, str]:
        return self.arguments | self.environment


class _Walk:
    """Reads stages, each once and only when something needs it."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        build_args: Mapping[str, str | None],
        base_image: Callable[[str], BaseImage | None],
    ) -> None:
        self.dockerfile = dockerfile
        self.base_image = base_image
        self.given = {name: value for name, value in build_args.items() if value is not None}
        self.globals = {name: self.given.get(name, UNKNOWN) for name in _PLATFORM}
        for instruction in dockerfile.global_arguments:
            self._declare(instruction, self.globals, self.globals)
        self.scopes: dict[int, _Scope] = {}
        self.pending: list[int] = []
        self.copies: dict[Copy, None] = {}
        self.bases: dict[str, None] = {}
        self.heredocs = False
        self.mounts = False
        self.guessed = False

    def run(self, target: str, *, all_stages: bool) -> Sources:
        last = self._target(target)
        self.pending = list(range(last + 1)) if all_stages else [last]
        while self.pending:
            # In order of the file, a stage's bases are read before it.
            for index in sorted(self._unread(self.pending.pop())):
                self._stage(index)
        return Sources(
            tuple(sorted(self.copies, key=lambda copy: copy.position)),
            tuple(self.bases),
            frozenset(_declared(self.dockerfile)),
            self.heredocs,
            self.mounts,
            self.dockerfile.syntax,
            self.guessed,
        )

    def _target(self, target: str) -> int:
        stages = self.dockerfile.stages
        if not target:
            return stages[-1].index
        for stage in stages:
            if stage.name == target.lower():
                return stage.index
        if target.isdecimal() and int(target) < len(stages):
            return int(target)
        names = ", ".join(stage.name for stage in stages if stage.name)
        raise ConfigError(
            f"target stage {target!r} is not in the Dockerfile",
            where=Position(self.dockerfile.file),
            hint=f"Its named stages: {names}." if names else "None of its stages has a name (FROM … AS name).",
        )

    def _unread(self, index: int) -> set[int]:
        """The stage and those that it builds on, without the ones that were read."""
        found: set[int] = set()
        open_ends = [index]
        while open_ends:
            index = open_ends.pop()
            if index not in self.scopes and index not in found:
                found.add(index)
                base = self._base_name(self.dockerfile.stages[index])
                open_ends.extend(self._stages_named(base, before=index))
        return found

    def _base_name(self, stage: Stage) -> str:
        base = self._expand(stage.base, self.globals, stage.line)
        if not base:
            raise ConfigError(
                f"base name ({stage.base}) should not be blank",
                where=self.dockerfile.position(stage.line),
                hint="Give the ARG a default before the first FROM, or set it in `buildArgs`.",
            )
        return base

    def _stage(self, index: int) -> None:
        stage = self.dockerfile.stages[index]
        base = self._base_name(stage)
        scope = _Scope({}, {}, [])
        parents = self._stages_named(base, before=index)
        for parent in parents:
            inherited = self.scopes[parent]
            scope.arguments |= inherited.arguments
            scope.environment |= inherited.environment
            # What an ONBUILD leaves behind runs in the next stage, and only there.
            for trigger in inherited.onbuild:
                self._instruction(trigger, stage, scope)
        if not parents:
            self._base(base)
            outside = self.base_image(base) if base in self.bases else None
            if outside is not None:
                scope.environment |= outside.environment
                for text in outside.onbuild:
                    self._instruction(replace(parse_line(text), line=stage.line), stage, scope)
        for instruction in stage.instructions:
            self._instruction(instruction, stage, scope)
        self.scopes[index] = scope

    def _instruction(self, instruction: Instruction, stage: Stage, scope: _Scope) -> None:
        self.heredocs |= bool(instruction.heredocs)
        match instruction.name:
            case "ARG":
                self._declare(instruction, scope.arguments, scope.variables())
            case "ENV":
                for name, value in self._assignments(instruction, scope.variables()):
                    scope.environment[name] = value or ""
            case "ONBUILD":
                scope.onbuild.append(_trigger(instruction))
            case "COPY" | "ADD":
                self._copy(instruction, stage, scope)
            case "RUN":
                for mount in instruction.flag_values("mount"):
                    self.mounts = True
                    self._mount(mount, instruction, stage, scope)

    def _copy(self, instruction: Instruction, stage: Stage, scope: _Scope) -> None:
        outside = instruction.flag_values("from")
        if outside:
            self._from(self._expand(outside[-1], scope.variables(), instruction.line), stage)
            return
        variables = scope.variables()
        words = (self._expand(word, variables, instruction.line) for word in self._local(instruction))
        excludes = (self._expand(word, variables, instruction.line) for word in instruction.flag_values("exclude"))
        # A variable may hold an address, so this is asked once more after the replacement.
        self._reads(instruction, [word for word in words if not _REMOTE.match(word)], tuple(excludes))

    @staticmethod
    def _local(instruction: Instruction) -> list[str]:
        return [word for word in instruction.words()[:-1] if not word.startswith("<<") and not _REMOTE.match(word)]

    def _mount(self, mount: str, instruction: Instruction, stage: Stage, scope: _Scope) -> None:
        fields = next(csv.reader([mount]), [])
        options = {name.strip().lower(): value for name, _, value in (field.partition("=") for field in fields)}
        kind = options.get("type", "bind")
        if options.get("from"):
            self._from(self._expand(options["from"], scope.variables(), instruction.line), stage)
        elif kind == "bind":
            source = options.get("source", options.get("src", "")) or EVERYTHING
            self._reads(instruction, [self._expand(source, scope.variables(), instruction.line)], ())

    def _reads(self, instruction: Instruction, words: Sequence[str], excludes: tuple[str, ...]) -> None:
        patterns = tuple(dict.fromkeys(_without_double_stars(_inside(word)) for word in words))
        if patterns:
            position = self.dockerfile.position(instruction.line)
            self.copies[Copy(instruction.name, patterns, excludes, position)] = None

    def _from(self, name: str, stage: Stage) -> None:
        if name.isdecimal() and int(name) < stage.index:
            self.pending.append(int(name))
            return
        found = self._stages_named(name, before=stage.index)
        self.pending.extend(found)
        if not found:
            self._base(name)

    def _base(self, name: str) -> None:
        if name not in ("", "scratch") and UNKNOWN not in name:
            self.bases[name] = None

    def _stages_named(self, name: str, *, before: int) -> list[int]:
        """Earlier stages of that name, the latest first one only; several where a part of the name is unknown."""
        lowered = name.lower()
        if UNKNOWN in name:
            self.guessed = True
            return [stage.index for stage in self.dockerfile.stages[:before] if fnmatchcase(stage.name, lowered)]
        same = [stage.index for stage in self.dockerfile.stages[:before] if stage.name and stage.name == lowered]
        return same[-1:]

    def _declare(self, instruction: Instruction, into: dict[str, str], variables: Mapping[str, str]) -> None:
        scope = dict(variables)
        for name, default in self._assignments(instruction, scope):
            value = self.given.get(name, default)
            if value is None:
                value = self.globals.get(name)
            if value is not None:
                into[name] = scope[name] = value

    def _assignments(self, instruction: Instruction, variables: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
        words = split_words(instruction.arguments, escape=self.dockerfile.escape)
        if instruction.name == "ENV" and words and "=" not in words[0]:
            # The old form: the rest of the line is the value.
            value = instruction.arguments[len(words[0]) :].strip()
            yield words[0], self._expand(value, variables, instruction.line)
            return
        for word in words:
            name, equals, value = word.partition("=")
            name = self._expand(name, variables, instruction.line)
            yield name, self._expand(value, variables, instruction.line) if equals else None

    def _expand(self, word: str, variables: Mapping[str, str], line: int) -> str:
        try:
            return expand(word, variables, escape=self.dockerfile.escape)
        except WordError as error:
            raise ConfigError(f"{error} (in {word!r})", where=self.dockerfile.position(line)) from None


def _trigger(instruction: Instruction) -> Instruction:
    """The instruction that an ONBUILD holds back."""
    return replace(parse_line(instruction.arguments), line=instruction.line, heredocs=instruction.heredocs)


def _declared(dockerfile: Dockerfile) -> Iterator[str]:
    everywhere = [*dockerfile.global_arguments, *(line for stage in dockerfile.stages for line in stage.instructions)]
    for instruction in everywhere:
        if instruction.name == "ARG":
            for word in split_words(instruction.arguments, escape=dockerfile.escape):
                yield word.partition("=")[0]


def _inside(path: str) -> str:
    """`path` below the context's root: a leading slash means that root, and `..` cannot leave it."""
    return posixpath.normpath("/" + path).lstrip("/") or EVERYTHING


def _without_double_stars(pattern: str) -> str:
    """`**` spans directories with `COPY --parents` only; taken for all below its parent, no file is missed."""
    parts = pattern.split("/")
    return "/".join(parts[: parts.index("**")]) or EVERYTHING if "**" in parts else pattern
