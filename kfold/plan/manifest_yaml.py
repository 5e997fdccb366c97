"""The YAML of manifests: documents with the place where each begins."""

from __future__ import annotations

import re
from typing import Any

import yaml

from kfold.errors import ConfigError, Position


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as kubectl reads it: no timestamps (`2024-01-01` is text) and no base 60 (`22:22` is text)."""


_BASE_60_FREE = {
    "tag:yaml.org,2002:int": re.compile(r"^(?:[-+]?0b[01_]+|[-+]?0[0-7_]*|[-+]?[1-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*\.?(?:[eE][-+]?[0-9]+)"
        r"|[-+]?[0-9][0-9_]*\.|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _BASE_60_FREE.get(tag, pattern)) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def documents(text: str, *, file: str) -> list[tuple[Any, Position]]:
    """The documents of a file that are not empty. Raises ConfigError for what is no YAML."""
    found: list[tuple[Any, Position]] = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            where = Position(file, node.start_mark.line + 1, node.start_mark.column + 1)
            content = loader.construct_document(node)
            if content is not None:
                found.append((content, where))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
        raise ConfigError(f"broken YAML: {error.problem}", where=where, hint="Mend the manifest.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"broken YAML: {error}", where=Position(file), hint="Mend the manifest.") from error
    finally:
        loader.dispose()
    return found
