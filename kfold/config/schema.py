"""The shape of a document, checked against the JSON schema that editors use too; findings get a place and a next step.

Patterns are in the schema for editors only: `kfold.config.building` checks names itself and says more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from kfold.config.nodes import BOOLEANS, INTEGER, ListNode, MappingNode, Node
from kfold.config.problems import Problems
from kfold.config.skaffold import FIELDS, MOVED

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
}


class _Plain(str):
    """A scalar without quotes: it is a string, and also what its text says where a field asks for that."""

    __slots__ = ()


def schema() -> dict[str, Any]:
    """The JSON schema of one document (draft 2020-12), as the package ships it."""
    text = resources.files("kfold").joinpath("schemas/kfold-v1.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def check_shape(document: MappingNode, problems: Problems) -> None:
    """Adds to `problems` every unknown field, wrong type, missing field and value that is out of range."""
    for error in _validator().iter_errors(_instance(document)):
        _report(document, error, problems)


@cache
def _validator() -> Validator:
    """jsonschema's validator with scalars as YAML has them. Imported here: it costs 0.12 s."""
    from jsonschema import Draft202012Validator, ValidationError, validators

    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "boolean": lambda _, value: isinstance(value, _Plain) and value in BOOLEANS,
            "integer": lambda _, value: isinstance(value, _Plain) and INTEGER.fullmatch(value) is not None,
            "number": lambda _, value: isinstance(value, _Plain),
        }
    )

    def limit(keyword: str) -> Any:
        def check(validator: Any, bound: int, value: Any, _schema: Any) -> Iterator[ValidationError]:
            if validator.is_type(value, "integer"):
                number = int(value, 0)
                if (number < bound) if keyword == "minimum" else (number > bound):
                    yield ValidationError("out of range")

        return check

    kind = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"minimum": limit("minimum"), "maximum": limit("maximum")}, type_checker=checker
    )
    return cast("Validator", kind(schema()))


def _instance(node: Node) -> Any:
    """The node as jsonschema wants it. Aliased nodes are shared and the reader limits what they expand to."""
    if isinstance(node, MappingNode):
        return {key: _instance(value) for key, value in node.entries.items()}
    if isinstance(node, ListNode):
        return [_instance(item) for item in node.items]
    if node.is_null:
        return None
    return _Plain(node.text) if node.plain else node.text


def _report(document: MappingNode, error: ValidationError, problems: Problems) -> None:
    node = _node_at(document, list(error.absolute_path))
    path = _path(list(error.absolute_path))
    rule = cast("Mapping[str, Any]", error.schema)
    name = path or "the document"
    match error.validator:
        case "additionalProperties" if isinstance(node, MappingNode):
            known = cast("Mapping[str, Any]", rule.get("properties", {}))
            for key in node.entries.keys() - known.keys():
                message, hint = _unknown(path, key, list(known))
                problems.add(message, node.keys[key], hint)
        case "type":
            problems.add(f"`{name}`: expected {_expected(rule['type'])}, got {node.kind}", node.position)
        case "required" if isinstance(node, MappingNode):
            for key in rule["required"]:
                if key not in node.entries:
                    problems.add(f"`{name}` has no `{key}`" if path else f"`{key}` is missing", node.position)
        case "minLength" | "minItems":
            problems.add(f"`{name}` is empty", node.position)
        case "minimum" | "maximum":
            limits = f"from {rule.get('minimum')} to {rule.get('maximum')}"
            problems.add(f"`{name}`: expected a whole number {limits}", node.position)
        case "enum" | "const":
            values = rule["enum"] if "enum" in rule else [rule["const"]]
            problems.add(f"`{name}`: expected {' or '.join(f'`{value}`' for value in values)}", node.position)
        case "pattern" | "anyOf" | "propertyNames" | "minProperties" | "maxProperties":
            pass  # said with more words by building.py
        case _:
            problems.add(f"`{name}` does not fit the schema (`{error.validator}`)", node.position)


def _unknown(path: str, key: str, known: list[str]) -> tuple[str, str]:
    """Message and hint for a field that the schema does not have."""
    # The components of a customTemplate are tag policies too; the schema keeps their names beside the policy.
    listed = path.replace("build.tagPolicy.customTemplate.components[]", "build.tagPolicy")
    full = f"{path}.{key}" if path else key
    if key in FIELDS.get(listed, ()):
        hint = f"Supported here: {', '.join(sorted(known))}."
        if listed != path:
            return f"kfold does not support `{full}`", hint
        return f"kfold does not support `{full}` yet", hint
    if full in MOVED:
        return f"there is no field `{full}`", MOVED[full]
    homes = [home for home, names in FIELDS.items() if key in names and home != path and home]
    if homes:
        return f"there is no field `{full}`", f"`{key}` belongs in `{homes[0]}`."
    close = get_close_matches(key, known, n=1, cutoff=0.6) or [name for name in known if name.lower() == key.lower()]
    if close:
        return f"there is no field `{full}`", f"Did you mean `{close[0]}`?"
    for other in get_close_matches(key, FIELDS.get(listed, ()), n=1, cutoff=0.7):
        return f"there is no field `{full}`", f"Did you mean `{other}`? kfold does not support that yet."
    here = f"Fields here: {', '.join(sorted(known))}." if known else "There are no fields here."
    return f"there is no field `{full}`", here


def _expected(types: str | list[str]) -> str:
    named = [types] if isinstance(types, str) else types
    words = [_TYPES[one] for one in named if one in _TYPES]
    if "string" in named:
        return "a string"  # a number or a boolean will do too, but nobody needs to be told
    return " or ".join(words)


def _node_at(node: Node, path: list[Any]) -> Node:
    for step in path:
        if isinstance(node, MappingNode):
            node = node.entries[step]
        elif isinstance(node, ListNode):
            node = node.items[step]
    return node


def _path(path: list[Any]) -> str:
    text = ""
    for step in path:
        text += "[]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
