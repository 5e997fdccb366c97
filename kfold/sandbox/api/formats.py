"""The forms that names, labels and keys have; each function says what is wrong (k8s.io/apimachinery, util/validation)."""

from __future__ import annotations

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_OLD_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"


def _form(text: str, pattern: str, *examples: str) -> str:
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {listed}regex used for validation is '{pattern}')"


_TEXTS = {
    _LABEL: _form(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
        "an alphanumeric character", _LABEL, "my-name", "123-abc",
    ),
    _SUBDOMAIN: _form(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
        "end with an alphanumeric character", _SUBDOMAIN, "example.com",
    ),
    _OLD_LABEL: _form(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
        "and end with an alphanumeric character", _OLD_LABEL, "my-name", "abc-123",
    ),
    _NAME: _form(
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character", _NAME, "MyName", "my.name", "123-abc",
    ),
    _VALUE: _form(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character", _VALUE, "MyValue", "my_value", "12345",
    ),
    _CONFIG_KEY: _form(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'", _CONFIG_KEY,
        "key.name", "KEY_NAME", "key-name",
    ),
}  # fmt: skip


def _check(value: str, pattern: str, most: int) -> list[str]:
    found = [f"must be no more than {most} characters"] if len(value) > most else []
    return found if re.fullmatch(pattern, value) else [*found, _TEXTS[pattern]]


def label(value: str) -> list[str]:
    """A DNS label of RFC 1123."""
    found = _check(value, _LABEL, 63)
    return ["must not contain dots" if text == _TEXTS[_LABEL] and not subdomain(value) else text for text in found]


def old_label(value: str) -> list[str]:
    """A DNS label of RFC 1035, which begins with a letter: the name of a Service."""
    return _check(value, _OLD_LABEL, 63)


def subdomain(value: str) -> list[str]:
    return _check(value, _SUBDOMAIN, 253)


def path_segment(value: str) -> list[str]:
    """What may be one part of a URL's path: names of RBAC's kinds."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{letter}'" for letter in "/%" if letter in value]


def qualified(key: str) -> list[str]:
    """The key of a label or annotation, a finalizer: a name with an optional prefix."""
    prefix, slash, name = key.partition("/")
    if not slash:
        prefix, name = "", key
    if "/" in name:
        text = _TEXTS[_NAME].replace("name part", "a valid label key")
        return [text + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif prefix:
        found += [f"prefix part {text}" for text in subdomain(prefix)]
    if not name:
        return [*found, "name part must be non-empty", _TEXTS[_NAME]]
    return found + [text if text == _TEXTS[_NAME] else f"name part {text}" for text in _check(name, _NAME, 63)]


def label_value(value: str) -> list[str]:
    return _check(value, _VALUE, 63)


def config_key(value: str) -> list[str]:
    found = _check(value, _CONFIG_KEY, 253)
    if value in (".", ".."):
        return [*found, f"must not be '{value}'"]
    return [*found, "must not start with '..'"] if value.startswith("..") else found


def port_name(value: str) -> list[str]:
    found = ["must be no more than 15 characters"] if len(value) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_number(value: object) -> list[str]:
    inside = isinstance(value, int) and 1 <= value <= 65535
    return [] if inside else ["must be between 1 and 65535, inclusive"]
