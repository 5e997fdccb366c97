"""The shell-like words of a Dockerfile: quoting, `$NAME` and `${NAME:-default}`, as BuildKit's lexer reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kfold.plan.glob import component

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?\-$!]")
_SPACE = " \t\v\f\r\n"


class WordError(ValueError):
    """A word that BuildKit refuses: an open quote, a bad substitution. The message says which."""


def expand(word: str, variables: Mapping[str, str], *, escape: str = "\\") -> str:
    """`word` with its quotes removed and its variables replaced; an unset variable is empty.

    Raises:
        WordError: an open quote or brace, an unsupported modifier, or `${NAME:?text}` of an unset NAME.
    """
    return _Expander(word, variables, escape).run()


class _Expander:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self.text = text
        self.variables = variables
        self.escape = escape
        self.index = 0

    def run(self, stop: str = "") -> str:
        """Reads up to `stop` (which is eaten) or the end of the text."""
        out: list[str] = []
        while self.index < len(self.text):
            character = self.text[self.index]
            if stop and character == stop:
                self.index += 1
                return "".join(out)
            if character == "'":
                out.append(self._single_quoted())
            elif character == '"':
                out.append(self._double_quoted())
            elif character == "$":
                out.append(self._dollar())
            elif character == self.escape:
                # A last, lone escape character vanishes.
                out.append(self.text[self.index + 1 : self.index + 2])
                self.index += 2
            else:
                out.append(character)
                self.index += 1
        if stop:
            raise WordError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(out)

    def _single_quoted(self) -> str:
        end = self.text.find("'", self.index + 1)
        if end < 0:
            raise WordError("unexpected end of statement while looking for matching single-quote")
        inside = self.text[self.index + 1 : end]
        self.index = end + 1
        return inside

    def _double_quoted(self) -> str:
        out: list[str] = []
        self.index += 1
        while self.index < len(self.text):
            character = self.text[self.index]
            if character == '"':
                self.index += 1
                return "".join(out)
            if character == "$":
                out.append(self._dollar())
                continue
            if character == self.escape:
                following = self.text[self.index + 1 : self.index + 2]
                if following and following in f'"${self.escape}':
                    character = following
                    self.index += 1
            out.append(character)
            self.index += 1
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self.index += 1
        if self.text[self.index : self.index + 1] != "{":
            name = self._name()
            return self.variables.get(name, "") if name else "$"
        self.index += 1
        name = self._name()
        if not name:
            raise WordError("syntax error: bad substitution")
        modifier = self.text[self.index : self.index + 1]
        self.index += 1
        if modifier == "}":
            return self.variables.get(name, "")
        value = self.variables.get(name)
        if modifier == ":":
            modifier = self.text[self.index : self.index + 1]
            self.index += 1
            if modifier not in ("+", "-", "?"):
                raise WordError(f"unsupported modifier (:{modifier}) in substitution of {name}")
            value = value or None
        if modifier in ("+", "-", "?"):
            word = self.run("}")
            if modifier == "+":
                return word if value is not None else ""
            if modifier == "?" and value is None:
                raise WordError(f"{name}: {word or 'is not allowed to be unset'}")
            return word if value is None else value
        if modifier in ("#", "%"):
            longest = self.text[self.index : self.index + 1] == modifier
            self.index += longest
            pattern = self.run("}")
            return _trim(value or "", pattern, at_end=modifier == "%", longest=longest)
        if modifier == "/":
            every = self.text[self.index : self.index + 1] == "/"
            self.index += every
            pattern = self.run("/")
            return _replace(value or "", pattern, self.run("}"), every=every)
        if not modifier:
            raise WordError("unexpected end of statement while looking for matching }")
        raise WordError(f"unsupported modifier ({modifier}) in substitution of {name}")

    def _name(self) -> str:
        match = _NAME.match(self.text, self.index)
        if match is None:
            return ""
        self.index = match.end()
        return match.group()


def _trim(value: str, pattern: str, *, at_end: bool, longest: bool) -> str:
    match = _full_matcher(pattern)
    cuts = range(len(value) + 1)
    # For `##` and `%` the first hit is found from the far end, for `#` and `%%` from the near one.
    for cut in reversed(cuts) if longest is not at_end else cuts:
        if match(value[cut:] if at_end else value[:cut]):
            return value[:cut] if at_end else value[cut:]
    return value


def _replace(value: str, pattern: str, replacement: str, *, every: bool) -> str:
    # Wildcards of a substitution cross slashes, other than those of a path.
    expression = re.compile(component(pattern).pattern.replace("[^/]", "."), re.DOTALL)
    return expression.sub(lambda _: replacement, value, count=0 if every else 1) if pattern else value


def _full_matcher(pattern: str) -> Callable[[str], re.Match[str] | None]:
    try:
        return re.compile(component(pattern).pattern.replace("[^/]", "."), re.DOTALL).fullmatch
    except ValueError as error:
        raise WordError(str(error)) from None


def split_words(text: str, *, escape: str = "\\") -> list[str]:
    """Words apart by white space, with quotes and escapes kept as written (ENV, ARG, heredocs)."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    index = 0
    while index < len(text):
        character = text[index]
        index += 1
        if character in _SPACE and not quote:
            if word:
                words.append("".join(word))
                word = []
            continue
        word.append(character)
        if character == escape and quote != "'" and index < len(text):
            word.append(text[index])
            index += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    if word:
        words.append("".join(word))
    return words


def unquoted(word: str, *, escape: str = "\\") -> str:
    """`word` without its quotes and escapes; variables stay as written (the flags of an instruction)."""
    out: list[str] = []
    quote = ""
    characters = iter(word)
    for character in characters:
        if character == escape:
            out.append(next(characters, ""))
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            out.append(character)
    return "".join(out)
