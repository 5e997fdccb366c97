"""The YAML of manifests: documents with the place where each begins."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from kfold.errors import ConfigError, Position


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as kubectl reads it: no timestamps (`2024-01-01` is text) and no base 60 (`22:22` is text)."""


_BASE_60_FREE = {
    "tag:yaml.org,2002:int": re.compile(
        r"^(?:[-+]?0b[01]+|[-+]?0o[0-7]+|[-+]?0[0-7_]*|[-+]?[1-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+)$"
    ),
    "tag:yaml.org,2002:float": re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*\.?(?:[eE][-+]?[0-9]+)"
        r"|[-+]?[0-9][0-9_]*\.|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
_NOT_OF_GO = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _BASE_60_FREE.get(tag, pattern)) for tag, pattern in resolvers if tag not in _NOT_OF_GO]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


MAX_DEPTH = 200
"""Levels of a document. Of real ones, the schemas of custom resources go deepest, to about 60."""
MAX_VALUES = 1_000_000
"""Values of a document, each alias counted as what it stands for: a few lines can stand for gigabytes."""


def documents(text: str, *, file: str) -> list[tuple[Any, Position]]:
    """The documents of a file that are not empty, as JSON has them. Raises ConfigError for what is no YAML or JSON."""
    found: list[tuple[Any, Position]] = []
    where = Position(file)
    loader = None
    try:
        loader = _Loader(text)
        while loader.check_node():
            where = Position(file)
            node = loader.get_node()
            where = Position(file, node.start_mark.line + 1, node.start_mark.column + 1)
            content = _Plain(where).copy(loader.construct_document(node), 0)
            if content is not None:
                found.append((content, where))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Position(file, mark.line + 1, mark.column + 1) if mark else where
        raise ConfigError(f"broken YAML: {error.problem}", where=where, hint="Mend the manifest.") from error
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, TypeError) as error:
        # the last four are what PyYAML's own constructors let out: `!!bool x` is a KeyError
        raise ConfigError(f"broken YAML: {error}", where=where, hint="Mend the manifest.") from error
    finally:
        if loader is not None:
            loader.dispose()
    return found


class _Plain:
    """Copies a document into what JSON can say, which is what an API server is told. Aliases become copies."""

    def __init__(self, where: Position) -> None:
        self._where = where
        self._count = 0

    def copy(self, value: Any, depth: int) -> Any:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_VALUES:
            raise self._refused("is nested too deeply, or grows too large by its aliases")
        if isinstance(value, dict):
            return {self._key(key): self.copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in value]
        if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise self._refused(f"has a value that JSON cannot say ({type(value).__name__})")

    def _key(self, key: Any) -> str:
        """Keys as kubectl turns them into text: `1: x` is `"1": x`."""
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (str, int, float)):
            return str(key)
        raise self._refused(f"has a key that is no text: {key!r}")

    def _refused(self, what: str) -> ConfigError:
        return ConfigError(f"the document {what}", where=self._where, hint="Mend the manifest.")
