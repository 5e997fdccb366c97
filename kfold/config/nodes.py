"""What stands in a YAML file: scalars, lists and mappings that know their place, with typed and safe access.

Scalars are resolved late, by the field that reads them, as Skaffold's parser (yaml.v3) does: a build argument `1.10`
stays the text "1.10", and `yes` is a boolean only where a boolean is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kfold.errors import ConfigError, Position

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# YAML 1.2 booleans, and the YAML 1.1 words that yaml.v3 still takes where the field is a boolean.
BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "True", "TRUE", "y", "Y", "yes", "on"), True),
    **dict.fromkeys(("false", "False", "FALSE", "n", "N", "no", "off"), False),
}
# No leading zero: 0600 is 384 for YAML 1.1 and 600 for YAML 1.2, so it is nobody's whole number. At most 18 digits: the
# number fits 64 bits, and int() refuses more than 4300 digits with an error of its own.
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17}|0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15})")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value. `plain`: written without quotes, so that it may be a number, a boolean or nothing."""

    text: str
    plain: bool
    position: Position
    weight: int = 1
    height: int = 0

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in NULLS

    @property
    def kind(self) -> str:
        if not self.plain:
            return "a string"
        if self.text in NULLS:
            return "nothing"
        if self.text.lower() in ("true", "false"):
            return "true or false"
        return "a number" if _NUMBER.fullmatch(self.text) else "a string"


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence. `weight` counts the values in it and `height` the levels below it, aliases expanded."""

    items: tuple[Node, ...]
    position: Position
    weight: int = 1
    height: int = 0
    kind: str = "a list"


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping with text keys, merge keys already applied. `keys` gives the place of each key.

    The typed getters treat null as "not given", as Skaffold does, and raise ConfigError at the value for a wrong type.
    """

    entries: Mapping[str, Node]
    keys: Mapping[str, Position]
    position: Position
    weight: int = 1
    height: int = 0
    kind: str = "a mapping"

    def get(self, key: str) -> Node | None:
        """The value of `key`; None where it is absent or null."""
        node = self.entries.get(key)
        return None if isinstance(node, ScalarNode) and node.is_null else node

    def has(self, key: str) -> bool:
        return self.get(key) is not None

    def mapping(self, key: str) -> MappingNode:
        """The mapping at `key`; an empty one where it is absent or null."""
        node = self.get(key)
        return MappingNode({}, {}, self.keys.get(key, self.position)) if node is None else as_mapping(node, key)

    def list(self, key: str) -> tuple[Node, ...]:
        """The items at `key`; none where it is absent or null."""
        node = self.get(key)
        if node is None:
            return ()
        if not isinstance(node, ListNode):
            raise wrong_type(node, key, "a list")
        return node.items

    def text(self, key: str, default: str = "") -> str:
        """The text at `key`, as written; `default` where it is absent or null."""
        node = self.get(key)
        return default if node is None else as_text(node, key)

    def boolean(self, key: str) -> bool | None:
        node = self.get(key)
        if node is None:
            return None
        if not isinstance(node, ScalarNode) or not node.plain or node.text not in BOOLEANS:
            raise wrong_type(node, key, "true or false")
        return BOOLEANS[node.text]

    def integer(self, key: str) -> int | None:
        node = self.get(key)
        if node is None:
            return None
        if not isinstance(node, ScalarNode) or not node.plain or not INTEGER.fullmatch(node.text):
            raise wrong_type(node, key, "a whole number")
        return int(node.text, 0)

    def place(self, key: str) -> Position:
        """Where the value of `key` stands; the mapping itself where the key is absent."""
        node = self.entries.get(key)
        return self.position if node is None else node.position


Node = ScalarNode | ListNode | MappingNode


def as_mapping(node: Node, name: str) -> MappingNode:
    """`node` as a mapping; a null is an empty one. `name` is what the error calls it."""
    if isinstance(node, MappingNode):
        return node
    if isinstance(node, ScalarNode) and node.is_null:
        return MappingNode({}, {}, node.position)
    raise wrong_type(node, name, "a mapping")


def as_text(node: Node, name: str) -> str:
    """`node` as text, as written. Any scalar but null will do."""
    if isinstance(node, ScalarNode) and not node.is_null:
        return node.text
    raise wrong_type(node, name, "a string")


def wrong_type(node: Node, name: str, expected: str) -> ConfigError:
    """The error for a value of the wrong type. It never shows the value: that may be a secret."""
    return ConfigError(f"`{name}`: expected {expected}, got {node.kind}", where=node.position)
