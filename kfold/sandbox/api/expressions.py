"""x-kubernetes-validations: the CEL rules of a definition's schemas, held against objects.

Rules of k8s.io/apiextensions-apiserver, pkg/apiserver/schema/cel. Expressions are compiled and run by the package
common-expression-language; it checks no types, and lacks optional fields (`.?`) and some of Kubernetes' own functions: a
rule that needs these is kept, and who stores it is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from kfold.sandbox.api.causes import Cause, duplicate, forbidden, invalid, required
from kfold.sandbox.api.documents import Object, at

KEY = "x-kubernetes-validations"
UNCHECKED = "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
UNCHECKED += "validation"

_ROOT = ("apiVersion", "kind", "metadata")
_MISSING = re.compile(
    r"\.\?|\[\?|\boptional\.|\b(quantity|isQuantity|url|isURL|ip|isIP|cidr|isCIDR|semver|isSemver|format)\("
)
_LACKING = ("Undefined variable or function", "No such overload")
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_FIELD = re.compile(r"\bself\.([A-Za-z_]\w*)(?!\w|\s*\()")
_KEYWORDS = (
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
)  # fmt: skip


def not_held(rule: Object) -> bool:
    """Whether the rule needs what is not there."""
    said = _TEXT.sub("", f"{rule.get('rule')} {rule.get('messageExpression', '')}")
    return bool(rule.get("optionalOldSelf") or _MISSING.search(said))


def bad_rules(schema: Object, field: str, *, root: bool) -> Iterator[Cause]:
    """Causes for the rules of one schema that cannot be compiled, or name a field that the schema does not have."""
    for index, rule in enumerate(schema.get(KEY) or []):
        where, text = f"{field}.{KEY}[{index}]", str(rule.get("rule") or "")
        if not text.strip():
            yield required(f"{where}.rule", "rule is not specified")
        elif not not_held(rule):
            for key in ("rule", "messageExpression"):
                if rule.get(key) and (why := _uncompiled(rule[key], schema, root=root)):
                    yield invalid(f"{where}.{key}", rule, f"compilation failed: {why}")


def _uncompiled(text: str, schema: Object, *, root: bool) -> str:
    try:
        _compiled(text)
    except ValueError as error:
        return re.sub(r"^Failed to parse expression .*?: (?=ERROR)", "", str(error), flags=re.S)
    properties = schema.get("properties")
    if not properties or schema.get("x-kubernetes-preserve-unknown-fields"):
        return ""
    known = {escaped(name) for name in [*properties, *(_ROOT if root else ())]}
    for found in _FIELD.finditer(_TEXT.sub(lambda match: " " * len(match.group()), text)):
        if found.group(1) not in known:
            place = f"<input>:1:{found.start() + 5}"
            return f"ERROR: {place}: undefined field '{found.group(1)}'\\n | {text}"
    return ""


def escaped(name: str) -> str:
    """A property's name as expressions have it."""
    if name in _KEYWORDS:
        return f"__{name}__"
    name = name.replace("__", "__underscores__")
    return name.replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")


def broken(schema: Object, obj: Object, old: Object | None) -> list[Cause]:
    """Causes for the rules that an object breaks. `old`: as it was before an update."""
    return list(_broken(schema, obj, old, "", root=True))


def has_rules(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(has_rules(item) for item in schema)
    return isinstance(schema, dict) and (KEY in schema or any(has_rules(item) for item in schema.values()))


def _broken(schema: Object, value: Any, old: Any, path: str, *, root: bool = False) -> Iterator[Cause]:
    if value is None:
        return  # a rule is about what is there
    if rules := schema.get(KEY):
        new, before = (_value(schema, one, root=root) for one in (value, old))
        for rule in rules:
            # what an update leaves as it was is not held against it (KEP-4008), unless the rule is about changes
            if not not_held(rule):
                yield from _check(rule, schema, value, path, new, before, unchanged=old is not None and value == old)
    if isinstance(value, dict):
        others = schema.get("additionalProperties")
        for key, item in value.items():
            below = (schema.get("properties") or {}).get(key, others)
            if isinstance(below, dict):
                yield from _broken(below, item, at(old, key), f"{path}.{key}" if path else key)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _broken(schema["items"], item, _same(schema, item, old), f"{path}[{index}]")


def _same(schema: Object, item: Any, old: Any) -> Any:
    """The item of the old list that has the same keys; only those of a map can be told apart."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(old, list) or not isinstance(item, dict):
        return None
    wanted = [item.get(key) for key in keys]
    return next((one for one in old if isinstance(one, dict) and [one.get(key) for key in keys] == wanted), None)


def _check(
    rule: Object, schema: Object, value: Any, path: str, new: Any, before: Any, *, unchanged: bool
) -> Iterator[Cause]:
    text, field = rule["rule"], path or "<nil>"
    try:
        transition = "oldSelf" in _compiled(text).references()["variables"]
    except ValueError:
        return  # a definition that was stored when rules were not looked at
    if (transition and before is None) or (unchanged and not transition):
        return
    shown = str(rule.get("message") or text).strip()
    try:
        holds = _run(text, new, before)
    except Exception as error:  # whatever the expression does with this object: the error is the package's own, of any class
        if str(error).startswith(_LACKING):
            return  # a real server knows it, and checked its types with the definition
        why = f"no such key: {error.args[0]}" if isinstance(error, KeyError) else str(error)
        yield invalid(field, schema.get("type"), f"{why} evaluating rule: {shown}")
        return
    if holds is True:
        return
    said = rule.get("message") or f"failed rule: {shown}"
    if rule.get("messageExpression"):
        try:
            said = _run(rule["messageExpression"], new, before)
        except Exception:
            said = rule.get("message") or f"failed rule: {shown}"
    field = path + str(rule.get("fieldPath") or "") if path else str(rule.get("fieldPath") or "<nil>").lstrip(".")
    yield _cause(str(rule.get("reason") or ""), field, value, str(said).strip())


def _cause(reason: str, field: str, value: Any, said: str) -> Cause:
    if reason == "FieldValueForbidden":
        return forbidden(field, said)
    if reason == "FieldValueRequired":
        return required(field, said)
    if reason == "FieldValueDuplicate":
        return duplicate(field, value)
    if isinstance(value, dict | list):
        return "FieldValueInvalid", field, f"Invalid value: {said}"
    return invalid(field, value, said)


@lru_cache(maxsize=1000)
def _compiled(text: str) -> Any:
    """Raises ValueError for what is no expression."""
    import cel  # 40 ms, and only for who has rules

    return cel.compile(text)


def _run(text: str, new: Any, before: Any) -> Any:
    import cel
    from cel.stdlib import add_stdlib_to_context

    context = cel.Context()
    add_stdlib_to_context(context)
    context.add_function("find", _find)
    context.add_function("findAll", lambda text, pattern: re.findall(pattern, text))
    context.add_function("isSorted", lambda items: items == sorted(items))
    context.add_function("indexOf", lambda items, item: items.find(item) if isinstance(items, str) else _index(items, item))
    context.add_variable("self", new)
    if before is not None:
        context.add_variable("oldSelf", before)
    return _compiled(text).execute(context)


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found.group() if found else ""


def _index(items: list[Any], item: Any) -> int:
    return items.index(item) if item in items else -1


def _value(schema: Object, value: Any, *, root: bool = False) -> Any:
    """The value as its schema types it: numbers, times, and properties under their escaped names."""
    if isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        shown = {}
        for key, item in value.items():
            if root and key == "metadata":
                shown[key] = {name: item[name] for name in ("name", "generateName") if name in item}
            elif key in properties:
                shown[escaped(key)] = _value(properties[key], item)
            elif isinstance(others, dict):
                shown[key] = _value(others, item)
            elif (root and key in _ROOT) or schema.get("x-kubernetes-preserve-unknown-fields"):
                shown[key] = item
        return shown
    if isinstance(value, list):
        return [_value(schema.get("items") or {}, item) for item in value]
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.get("format") == "date-time" and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
