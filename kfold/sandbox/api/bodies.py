"""Bodies of requests: JSON and YAML, bounded, with the real server's errors for what cannot be read."""

from __future__ import annotations

import json
import math
from typing import Any

import yaml
from aiohttp import web

from kfold.sandbox.api import errors, protobuf
from kfold.sandbox.api.schema import Schema

LIMIT = 3 * 1024 * 1024
"""Bytes of a body, as on the real server."""

DEPTH = 500
"""How deep a body may be nested: below what Python's own recursion allows."""

JSON = "application/json"
YAML = "application/yaml"
APPLY = "application/apply-patch+yaml"
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
)


VALUES = 1_000_000
"""Values of a YAML body with its aliases written out: a few lines of them can stand for more than any memory holds."""


class Twice(dict[str, Any]):
    """A mapping in which keys were said twice: the last values count, `again` are the keys."""

    again: tuple[str, ...] = ()


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    twice = Twice(result)
    keys = [key for key, _ in pairs]
    twice.again = tuple(key for key in result if keys.count(key) > 1)
    return twice


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with JSON's types: no timestamps, and keys are strings."""

    def mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        self.flatten_mapping(node)
        pairs = self.construct_pairs(node, deep=True)
        return _mapping([(key if isinstance(key, str) else json.dumps(key), value) for key, value in pairs])


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


async def read(request: web.Request) -> bytes:
    """The body. Raises ApiError 413."""
    if (request.content_length or 0) > LIMIT:
        raise errors.too_large(LIMIT)
    body = bytearray()
    async for chunk in request.content.iter_chunked(65536):
        body += chunk
        if len(body) > LIMIT:
            raise errors.too_large(LIMIT)
    return bytes(body)


async def document(request: web.Request, schema: Schema) -> Any:
    """The document of a create, update or delete; None for an empty body.

    JSON, YAML, or protobuf of the kinds of `schema`. Raises ApiError 400, 413, 415.
    """
    body = await read(request)
    if not body:
        return None
    kind = request.content_type
    if kind == "application/octet-stream" and not request.headers.get("Content-Type"):
        kind = JSON
    if kind == protobuf.TYPE:
        return protobuf.decode(schema, body)
    if kind not in (JSON, YAML):
        raise errors.unsupported_media_type(errors.MEDIA_TYPES)
    return parsed(body, is_yaml=kind == YAML)


def parsed(body: bytes, *, is_yaml: bool) -> Any:
    """The value of a body. YAML includes JSON, which is read as such where it begins like it (30 times as fast)."""
    try:
        text = body.decode()
        if is_yaml and not text.lstrip().startswith("{"):
            depth = 0
            for event in yaml.parse(text, Loader=_Loader):
                # before it is built: the C library builds nested values on a stack whose end is the process's
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > DEPTH:
                    raise ValueError("nested too deeply")
            value = yaml.load(text, Loader=_Loader)
        else:
            value = json.loads(text, object_pairs_hook=_mapping)
        return _checked(value)
    except (ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError, RecursionError) as error:
        # all of them are PyYAML's ways to refuse a value that does not fit its tag
        text = str(error).splitlines()[0] if str(error) else "nested too deeply"
        raise errors.bad_request(f"the body could not be read as {'YAML' if is_yaml else 'JSON'}: {text}") from error


def _checked(value: Any) -> Any:
    """The value, which is made of JSON's types alone. Raises ValueError for what could not be written as JSON again."""
    waiting, count = [(value, 1)], 0
    while waiting:
        item, depth = waiting.pop()
        count += 1
        if depth > DEPTH or count > VALUES:
            raise ValueError("nested too deeply" if depth > DEPTH else "too many values")
        if isinstance(item, dict):
            waiting.extend((child, depth + 1) for pair in item.items() for child in pair)
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
        elif isinstance(item, str):
            item.encode()  # half of a character (a lone surrogate) has no UTF-8
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError(f"{item} is no JSON value")
        elif not (item is None or isinstance(item, int | float)):
            raise ValueError(f"{type(item).__name__} is no JSON type")
    return value


def duplicates(value: Any, path: str = "") -> list[str]:
    """The paths of the fields of a parsed body that were said twice."""
    found: list[str] = []
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        found += [f"{prefix}{key}" for key in getattr(value, "again", ())]
        for key, item in value.items():
            if isinstance(item, dict | list):
                found += duplicates(item, f"{prefix}{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                found += duplicates(item, f"{path}[{index}]")
    return found
