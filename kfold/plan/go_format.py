"""Go's `fmt`: how a value is printed, and printf's verbs, for the values that a template can hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

NO_VALUE = "<no value>"
"""What Go prints for a key that is not there."""

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d+)?(?:\.(?P<precision>\d*))?(?P<verb>.)?", re.DOTALL)


def text_of(value: object, *, nothing: str = "<nil>") -> str:
    """`value` as `%v` prints it."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, Mapping):
        pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
        return f"map[{' '.join(f'{text_of(key)}:{text_of(item)}' for key, item in pairs)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(text_of(item) for item in value)}]"
    if isinstance(value, datetime):
        from kfold.plan.go_time import format_time

        return format_time(value, "2006-01-02 15:04:05.999999999 -0700 MST")
    return str(value)


def float_text(value: float) -> str:
    """A float as `%v` prints it: the shortest digits, an exponent below 1e-4 and from 1e6 on."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")
    digits = repr(value)
    if value and not 1e-4 <= abs(value) < 1e6:
        mantissa, _, exponent = (digits if "e" in digits else f"{value:e}").partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{exponent[0] if exponent[0] in '+-' else '+'}{abs(int(exponent)):02}"
    return f"{value:f}".rstrip("0").rstrip(".") if "e" in digits else digits.removesuffix(".0")


def quoted(text: str) -> str:
    """Go's strconv.Quote."""
    named = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    out = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            out.append(f"\\{character}")
        elif character in named:
            out.append(named[character])
        elif character.isprintable():
            out.append(character)
        else:
            out.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(out)}"'


def printf(layout: object, *values: object) -> str:
    """Go's fmt.Sprintf. A verb that does not fit its value prints as Go prints it: `%!d(string=x)`."""
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        verb = match["verb"]
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        return _formatted(rest.pop(0), verb, match)

    text = _VERB.sub(one, str(layout))
    if rest:
        extra = ", ".join(f"{_type(value)}={text_of(value)}" if value is not None else "<nil>" for value in rest)
        text += f"%!(EXTRA {extra})"
    return text


def _formatted(value: object, verb: str, match: re.Match[str]) -> str:
    flags, precision = match["flags"], match["precision"]
    limit = int(precision or 0) if precision is not None else None
    text = _plain(value, verb, flags, limit)
    if text is None:
        return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({_type(value)}={text_of(value)})"
    width = int(match["width"] or 0)
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and isinstance(value, int | float) and not isinstance(value, bool):
        sign = text[0] if text[:1] in ("+", "-") else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _plain(value: object, verb: str, flags: str, limit: int | None) -> str | None:
    if verb == "v":
        return text_of(value)
    if verb == "T":
        return _type(value)
    if isinstance(value, list | tuple):
        parts = [_plain(item, verb, flags, limit) for item in value]
        return f"[{' '.join(part or '' for part in parts)}]" if all(part is not None for part in parts) else None
    if isinstance(value, bool):
        return text_of(value) if verb == "t" else None
    if isinstance(value, str):
        return _string(value, verb, flags, limit)
    if isinstance(value, int):
        return _integer(value, verb, flags)
    if isinstance(value, float) and verb in "eEfFgG":
        plain = float_text(value) if verb in "gG" and limit is None else f"{value:.{6 if limit is None else limit}{verb}}"
        return f"+{plain}" if "+" in flags and value >= 0 else plain
    return None


def _string(value: str, verb: str, flags: str, limit: int | None) -> str | None:
    cut = value if limit is None else value[:limit]
    match verb:
        case "s":
            return cut
        case "q":
            # `%#q` prefers a raw string where one can hold the text.
            return f"`{cut}`" if "#" in flags and "`" not in cut and cut.isprintable() else quoted(cut)
        case "x" | "X":
            digits = cut.encode(errors="surrogateescape").hex(*((" ",) if " " in flags else ()))
            return digits.upper() if verb == "X" else digits
    return None


def _integer(value: int, verb: str, flags: str) -> str | None:
    verbs: dict[str, Callable[[int], str]] = {
        "d": str,
        "b": lambda number: f"{number:b}",
        "o": lambda number: f"{number:o}",
        "O": lambda number: f"0o{number:o}",
        "x": lambda number: f"{number:#x}" if "#" in flags else f"{number:x}",
        "X": lambda number: f"{number:#X}" if "#" in flags else f"{number:X}",
        "c": lambda number: chr(number) if 0 <= number < 0x110000 else "\ufffd",
        "q": lambda number: f"'{chr(number)}'" if 0 <= number < 0x110000 else "'\ufffd'",
        "U": lambda number: f"U+{number:04X}",
    }
    convert = verbs.get(verb)
    if convert is None:
        return None
    text = convert(value)
    if verb in "dboxX" and value >= 0:
        return f"+{text}" if "+" in flags else f" {text}" if " " in flags else text
    return text


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    names = {str: "string", int: "int", float: "float64", list: "[]interface {}", tuple: "[]interface {}"}
    return names.get(type(value), "<nil>" if value is None else type(value).__name__)
