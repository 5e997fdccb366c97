"""Go's text/template, the reading half: a template's text as a tree of nodes.

Source: the Go standard library, text/template and text/template/parse. `define`, `template` and `block` are not read:
a tag or a build argument is one template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

Value = str | int | float | bool | None


class TemplateError(ValueError):
    """What is wrong with a template, and the index of the character where it is."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Literal:
    """A constant; None is `nil`."""

    value: Value


@dataclass(frozen=True)
class Dot:
    """`.`"""


@dataclass(frozen=True)
class Variable:
    """`$name`; `$` is the data that the template was started with."""

    name: str
    index: int


@dataclass(frozen=True)
class Function:
    """The name of a function; with the rest of its command it is a call."""

    name: str
    index: int


@dataclass(frozen=True)
class Field:
    """`.A.B` of `base`."""

    base: Operand
    names: tuple[str, ...]
    index: int


@dataclass(frozen=True)
class Pipeline:
    """Commands, each fed with the result of the one before; the result goes to the variables `declares`.

    `assigns`: `=` to variables that are there, rather than `:=`.
    """

    declares: tuple[str, ...]
    assigns: bool
    commands: tuple[tuple[Operand, ...], ...]
    index: int


Operand = Literal | Dot | Variable | Function | Field | Pipeline


@dataclass(frozen=True)
class Text:
    """What stands outside of `{{ }}`."""

    text: str


@dataclass(frozen=True)
class Branch:
    """`if`, `with` or `range` with what follows when it is empty; both bodies may be."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True)
class Jump:
    """`break` or `continue`."""

    keyword: str


Node = Text | Pipeline | Branch | Jump

_KEYWORDS = frozenset(("if", "else", "end", "with", "range", "break", "continue", "define", "template", "block"))
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+')
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?
        |\.[0-9]+(?:[eE][+-]?[0-9]+)?))
    | (?P<variable>\$[\w]*)
    | (?P<field>\.[^\W\d]\w*)
    | (?P<name>[^\W\d]\w*)
    | (?P<mark>:=|[=|(),.])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    index: int


def parse(template: str) -> tuple[Node, ...]:
    """The nodes of a template.

    Raises:
        TemplateError: the template is malformed.
    """
    pieces = _pieces(template)
    nodes, stop, _ = _body(pieces, 0, "", 0, looping=False)
    assert not stop
    return nodes


def _pieces(template: str) -> list[str | list[_Token]]:
    """Text and actions in turn; white space that `{{-` and `-}}` take is gone."""
    pieces: list[str | list[_Token]] = []
    index, trim = 0, False
    while True:
        start = template.find("{{", index)
        text = template[index:] if start < 0 else template[index:start]
        if trim:
            text = text.lstrip(" \t\r\n")
        if start < 0:
            pieces.append(text)
            return pieces
        index = start + 2
        if re.match(r"-[ \t\r\n]", template[index:]):
            text = text.rstrip(" \t\r\n")
            index += 1
        pieces.append(text)
        comment = re.compile(r"\s*/\*.*?\*/\s*?(\s-)?\}\}", re.DOTALL).match(template, index)
        if comment:
            index, trim = comment.end(), bool(comment[1])
            continue
        tokens, index, trim = _action(template, index, start)
        pieces.append(tokens)


def _action(template: str, index: int, start: int) -> tuple[list[_Token], int, bool]:
    tokens: list[_Token] = []
    while index < len(template):
        closing = re.compile(r"[ \t\r\n]-\}\}").match(template, index)
        if closing:
            return tokens, closing.end(), True
        if template.startswith("}}", index):
            return tokens, index + 2, False
        match = _TOKEN.match(template, index)
        if match is None or match.lastgroup is None:
            character = template[index]
            what = "unterminated quoted string" if character in "\"'`" else f"unexpected {character!r}"
            raise TemplateError(what, index)
        tokens.append(_Token(match.lastgroup, match.group(), index))
        index = match.end()
    raise TemplateError("unclosed action: `{{` without `}}`", start)


def _body(
    pieces: Sequence[str | list[_Token]], index: int, keyword: str, opened: int, *, looping: bool
) -> tuple[tuple[Node, ...], list[_Token], int]:
    """Nodes up to the `end` or `else` of `keyword`; that action, and the index behind it."""
    nodes: list[Node] = []
    while index < len(pieces):
        piece = pieces[index]
        index += 1
        if isinstance(piece, str):
            if piece:
                nodes.append(Text(piece))
            continue
        words = [token for token in piece if token.kind != "space"]
        if not words:
            raise TemplateError("missing value for command", opened)
        first = words[0]
        if first.kind != "name" or first.text not in _KEYWORDS:
            nodes.append(_Parser(piece).pipeline(whole=True))
        elif first.text in ("end", "else"):
            if not keyword:
                raise TemplateError(f"unexpected {{{{{first.text}}}}}", first.index)
            return tuple(nodes), piece, index
        elif first.text in ("break", "continue"):
            if not looping:
                raise TemplateError(f"{{{{{first.text}}}}} outside of a range", first.index)
            nodes.append(Jump(first.text))
        elif first.text in ("if", "with", "range"):
            rest = piece[piece.index(first) + 1 :]
            node, index = _branch(pieces, index, first, rest, looping=looping)
            nodes.append(node)
        else:
            raise TemplateError(f"{{{{{first.text}}}}} is not supported here", first.index)
    if keyword:
        raise TemplateError(f"unexpected EOF: {{{{{keyword}}}}} without {{{{end}}}}", opened)
    return tuple(nodes), [], index


def _branch(
    pieces: Sequence[str | list[_Token]], index: int, first: _Token, rest: list[_Token], *, looping: bool
) -> tuple[Branch, int]:
    pipeline = _Parser(rest, first).pipeline(whole=True, ranging=first.text == "range")
    body, stop, index = _body(pieces, index, first.text, first.index, looping=looping or first.text == "range")
    otherwise: tuple[Node, ...] = ()
    words = [token for token in stop if token.kind != "space"]
    if words[0].text == "else":
        if len(words) > 1:
            # {{else if …}} is an if inside the else, and shares its {{end}}.
            if words[1].text != first.text or first.text == "range":
                raise TemplateError(f"unexpected {words[1].text!r} after else", words[1].index)
            node, index = _branch(pieces, index, words[1], stop[stop.index(words[1]) + 1 :], looping=looping)
            return Branch(first.text, pipeline, body, (node,)), index
        otherwise, stop, index = _body(pieces, index, first.text, first.index, looping=looping)
        words = [token for token in stop if token.kind != "space"]
        if words[0].text != "end":
            raise TemplateError("expected end; found {{else}}", words[0].index)
    if len(words) > 1:
        raise TemplateError(f"unexpected {words[1].text!r} in end", words[1].index)
    return Branch(first.text, pipeline, body, otherwise), index


class _Parser:
    """Reads the tokens of one action."""

    def __init__(self, tokens: Sequence[_Token], after: _Token | None = None) -> None:
        self.tokens = tokens
        self.place = 0
        self.end = tokens[-1].index if tokens else (after.index if after else 0)

    def peek(self, *, skip: bool = True) -> _Token | None:
        while skip and self.place < len(self.tokens) and self.tokens[self.place].kind == "space":
            self.place += 1
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def pipeline(self, *, whole: bool = False, ranging: bool = False) -> Pipeline:
        """A pipeline up to the end (`whole`) or a closing parenthesis, which is left."""
        token = self.peek()
        index = token.index if token else self.end
        declares, assigns = self._declaration(ranging)
        commands: list[tuple[Operand, ...]] = []
        while True:
            command: list[Operand] = []
            while (token := self.peek()) is not None and token.text not in ("|", ")"):
                command.append(self._operand())
                following = self.peek(skip=False)
                if following is not None and following.kind != "space" and following.text not in ("|", ")"):
                    raise TemplateError(f"unexpected {following.text!r} in operand", following.index)
            if not command:
                raise TemplateError("missing value for command", token.index if token else self.end)
            if commands and not isinstance(command[0], Function):
                raise TemplateError("only a function can stand behind a `|`", token.index if token else self.end)
            commands.append(tuple(command))
            if token is None or token.text == ")":
                break
            self.place += 1
        if whole and token is not None:
            raise TemplateError("unexpected right paren", token.index)
        return Pipeline(declares, assigns, tuple(commands), index)

    def _declaration(self, ranging: bool) -> tuple[tuple[str, ...], bool]:
        words = [token for token in self.tokens[self.place :] if token.kind != "space"]
        names: list[str] = []
        for place, token in enumerate(words):
            if token.kind == "variable" and place == 2 * len(names):
                names.append(token.text)
            elif token.text in (":=", "=") and names and place == 2 * len(names) - 1:
                self.place = self.tokens.index(token) + 1
                return tuple(names), token.text == "="
            elif not (ranging and token.text == "," and len(names) == 1 and place == 1):
                break
        return (), False

    def _operand(self) -> Operand:
        token = self.peek()
        assert token is not None
        self.place += 1
        operand: Operand
        match token.kind:
            case "string":
                operand = Literal(_unquoted(token))
            case "number":
                operand = Literal(_number(token))
            case "variable":
                operand = Variable(token.text, token.index)
            case "field":
                operand = Field(Dot(), (token.text[1:],), token.index)
            case "name" if token.text in ("true", "false", "nil"):
                operand = Literal({"true": True, "false": False, "nil": None}[token.text])
            case "name" if token.text not in _KEYWORDS:
                operand = Function(token.text, token.index)
            case _ if token.text == ".":
                operand = Dot()
            case _ if token.text == "(":
                operand = self.pipeline()
                closing = self.peek()
                if closing is None:
                    raise TemplateError("unclosed left paren", token.index)
                self.place += 1
            case _:
                raise TemplateError(f"unexpected {token.text!r}", token.index)
        names: list[str] = []
        while (following := self.peek(skip=False)) is not None and following.kind == "field":
            names.append(following.text[1:])
            self.place += 1
        if not names:
            return operand
        if isinstance(operand, Literal):
            raise TemplateError(f"unexpected . after term {token.text!r}", token.index)
        return Field(operand, tuple(names), token.index)


def _number(token: _Token) -> int | float:
    text = token.text.replace("_", "")
    try:
        if re.fullmatch(r"[+-]?0[0-7]+", text):
            return int(text, 8)
        return int(text, 0)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise TemplateError(f"bad number syntax: {token.text!r}", token.index) from None


def _unquoted(token: _Token) -> str | int:
    quote, inside = token.text[0], token.text[1:-1]
    if quote == "`":
        return inside.replace("\r", "")

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if code in _ESCAPED:
            return _ESCAPED[code]
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        if len(code) == 3:
            return chr(int(code, 8))
        raise TemplateError(f"invalid escape \\{code} in {json.dumps(token.text)}", token.index)

    try:
        text = _ESCAPE.sub(character, inside)
    except (ValueError, OverflowError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(f"invalid escape in {json.dumps(token.text)}", token.index) from None
    if quote == "'":
        if len(text) != 1:
            raise TemplateError(f"malformed character constant: {token.text}", token.index)
        return ord(text)
    return text
