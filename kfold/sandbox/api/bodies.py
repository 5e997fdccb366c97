"""Bodies of requests: JSON and YAML, bounded, with the real server's errors for what cannot be read."""

from __future__ import annotations

import json
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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with JSON's types: no timestamps."""


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
        raise errors.unsupported_media_type((JSON, YAML))
    return parsed(body, is_yaml=kind == YAML)


def parsed(body: bytes, *, is_yaml: bool) -> Any:
    """The value of a body. YAML includes JSON, which is read as such where it begins like it (30 times as fast)."""
    try:
        value = _parse(body.decode(), is_yaml)
        if _depth(value) > DEPTH:
            raise errors.bad_request("the body is nested too deeply")
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        text = str(error).splitlines()[0] if str(error) else "nested too deeply"
        raise errors.bad_request(f"the body could not be read as {'YAML' if is_yaml else 'JSON'}: {text}") from error
    return value


def _parse(text: str, is_yaml: bool) -> Any:
    if is_yaml and not text.lstrip().startswith("{"):
        return _plain(yaml.load(text, Loader=_Loader))
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_mapping)


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


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _plain(value: Any) -> Any:
    """YAML's values as JSON has them: keys are strings, and nothing but JSON's types."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{type(value).__name__} is no JSON type")


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting and deepest <= DEPTH:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict | list):
            below = item.values() if isinstance(item, dict) else item
            waiting.extend((child, depth + 1) for child in below if isinstance(child, dict | list))
    return deepest
