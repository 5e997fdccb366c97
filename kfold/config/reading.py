"""Text -> nodes: YAML with positions, anchors, merge keys and several documents, without PyYAML's constructors.

The nodes are built from parser events: nothing in a file can make an object, duplicate keys are seen, and nesting and
aliases stay within limits (PyYAML's composer over libyaml recurses in C, where too deep is a crash). libyaml is used
where PyYAML has it: the pure parser is about 15 times slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from kfold.config.nodes import ListNode, MappingNode, Node, ScalarNode
from kfold.config.problems import one_line
from kfold.errors import ConfigError, Position

MAX_DEPTH = 64
"""Levels of nesting. The deepest supported field is at 7."""
MAX_VALUES = 100_000
"""Values of a document with its aliases expanded. 100 artifacts with all their fields are about 2,000."""

# What YAML 1.1 and 1.2 call printable, turned round; lone surrogates are in it (a text decoded with surrogateescape).
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset({f"{_CORE}{name}" for name in ("null", "bool", "int", "float")})
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(data: bytes, *, file: str) -> str:
    """The text of a config file. UTF-8, with or without a byte order mark.

    Raises ConfigError with the place of the first byte that is not UTF-8.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError("the file is UTF-16", where=Position(file), hint="Save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace").removeprefix("\ufeff")
        raise ConfigError("the file is not UTF-8", where=_place(before, file), hint="Save it as UTF-8.") from None


def read_documents(text: str, *, file: str, loader: Any = _Loader) -> tuple[MappingNode, ...]:
    """The documents of `text`; empty ones are left out, and so are top-level keys with a "." first (anchor holders).

    Raises ConfigError at the first thing that is not good YAML.
    """
    text = text.removeprefix("\ufeff")
    if found := _UNPRINTABLE.search(text):
        raise ConfigError(
            f"the file holds the control character U+{ord(found.group()):04X}",
            where=_place(text[: found.start()], file),
            hint="Is this a text file in UTF-8?",
        )
    reader = _Reader(file, text, loader)
    return tuple(reader.documents())


class _Reader:
    """Composes the events of one text. `anchors` are those of the current document."""

    def __init__(self, file: str, text: str, loader: Any) -> None:
        self.file = file
        self.text = text
        self.events = self._parse(loader)
        self.anchors: dict[str, Node | None] = {}

    def _parse(self, loader: Any) -> Iterator[Any]:
        try:
            yield from yaml.parse(self.text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            raise self._broken(error) from None
        except (yaml.YAMLError, ValueError, OverflowError):
            # The pure parser lets int() and chr() speak for themselves: `%YAML 9999…`, "\UFFFFFFFF".
            raise ConfigError("broken YAML", where=Position(self.file)) from None

    def _broken(self, error: yaml.MarkedYAMLError) -> ConfigError:
        mark = error.problem_mark or error.context_mark
        where = Position(self.file, mark.line + 1, mark.column + 1) if mark else Position(self.file)
        problem = ": ".join(part for part in (error.context, error.problem) if part)
        hint = ""
        if mark and self._character_at(mark.line, mark.column) == "\t":
            hint = "YAML is indented with spaces, never with tabs."
        elif "mapping values are not allowed" in problem:
            hint = 'Check the indentation, and put a value that contains ": " in quotes.'
        return ConfigError(f"broken YAML: {problem}", where=where, hint=hint)

    def _character_at(self, line: int, column: int) -> str:
        lines = self.text.splitlines()
        return lines[line][column : column + 1] if line < len(lines) else ""

    def documents(self) -> Iterator[MappingNode]:
        for event in self.events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            self.anchors = {}
            root = self._compose(next(self.events), 0)
            if isinstance(root, MappingNode):
                keys = [key for key in root.entries if not key.startswith(".")]
                yield MappingNode(
                    {key: root.entries[key] for key in keys}, {key: root.keys[key] for key in keys}, root.position
                )
            elif not (isinstance(root, ScalarNode) and root.is_null):
                raise ConfigError(
                    f"expected a mapping with `apiVersion` and `kind`, got {root.kind}", where=root.position
                )

    def _compose(self, event: Any, depth: int) -> Node:
        position = Position(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), position, depth)
        self._check_depth(depth, position)
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # open: an alias to it from inside would never end
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, position)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event.tag, f"{_CORE}seq", position)
            node = self._list(position, depth)
        else:
            self._check_tag(event.tag, f"{_CORE}map", position)
            node = self._mapping(position, depth)
        if node.weight > MAX_VALUES:
            raise ConfigError(f"the document holds more than {MAX_VALUES} values, aliases expanded", where=position)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, position: Position, depth: int) -> Node:
        if anchor not in self.anchors:
            raise ConfigError(f"there is no anchor `&{one_line(anchor)}` above", where=position)
        node = self.anchors[anchor]
        if node is None:
            raise ConfigError(f"the alias `*{one_line(anchor)}` stands inside its own anchor", where=position)
        self._check_depth(depth + node.height, position)
        return node

    def _scalar(self, event: Any, position: Position) -> ScalarNode:
        plain = bool(event.implicit[0])
        if event.tag in _SCALAR_TAGS:
            plain = True
        else:
            self._check_tag(event.tag, f"{_CORE}str", position)
        text: str = event.value
        if _UNUSABLE.search(text):  # escapes such as "\0": no path, name or argument can hold them
            raise ConfigError("the value holds a character that cannot be used (NUL or a surrogate)", where=position)
        return ScalarNode(text, plain, position)

    @staticmethod
    def _check_depth(depth: int, position: Position) -> None:
        if depth > MAX_DEPTH:
            raise ConfigError(f"nested deeper than {MAX_DEPTH} levels", where=position)

    @staticmethod
    def _check_tag(tag: str | None, expected: str, position: Position) -> None:
        if tag not in (None, "!", expected):
            shown = tag.replace(_CORE, "!!") if tag else ""
            raise ConfigError(f"the YAML tag `{one_line(shown)}` is not supported here", where=position)

    def _list(self, position: Position, depth: int) -> ListNode:
        items = []
        weight = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            item = self._compose(event, depth + 1)
            items.append(item)
            weight += item.weight
        return ListNode(tuple(items), position, weight, 1 + max((item.height for item in items), default=0))

    def _mapping(self, position: Position, depth: int) -> MappingNode:
        entries: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        merged: Node | None = None
        merge_position = position
        weight, height = 1, 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._compose(event, depth + 1)
            if not isinstance(key, ScalarNode):
                raise ConfigError(f"a key must be text, got {key.kind}", where=key.position)
            if key.plain and key.text in ("", "~"):
                raise ConfigError("a key is missing before the `:`", where=key.position)
            place = Position(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
            value = self._compose(next(self.events), depth + 1)
            weight += value.weight + 1
            height = max(height, value.height + 1)
            if key.plain and key.text == "<<":
                if merged is not None:
                    raise ConfigError(
                        f"`<<` is already given on line {merge_position.line}",
                        where=place,
                        hint="Use a list: `<<: [*a, *b]`.",
                    )
                merged, merge_position = value, place
                continue
            if key.text in entries:
                first = keys[key.text].line
                raise ConfigError(f"`{one_line(key.text)}` is already given on line {first}", where=place)
            entries[key.text] = value
            keys[key.text] = place
        for source in self._sources(merged):
            for name, value in source.entries.items():
                if name not in entries:
                    entries[name] = value
                    keys[name] = source.keys[name]
        return MappingNode(entries, keys, position, weight, height)

    @staticmethod
    def _sources(merged: Node | None) -> tuple[MappingNode, ...]:
        """The mappings that `<<` names; the first one wins (YAML merge key, 1.1 type repository)."""
        if merged is None:
            return ()
        candidates = merged.items if isinstance(merged, ListNode) else (merged,)
        sources = []
        for candidate in candidates:
            if not isinstance(candidate, MappingNode):
                raise ConfigError(f"`<<` merges mappings, got {candidate.kind}", where=candidate.position)
            sources.append(candidate)
        return tuple(sources)


def _place(before: str, file: str) -> Position:
    """The position after `before`."""
    line = before.count("\n")
    return Position(file, line + 1, len(before) - (before.rfind("\n") + 1) + 1)
