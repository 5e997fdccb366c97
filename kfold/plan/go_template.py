"""Renders Go templates as tags and build arguments use them: `{{.NAME}}`, pipelines, conditions, Sprig's functions.

Source: Go's text/template with its default for missing keys, which prints `<no value>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from kfold.errors import ConfigError, Position
from kfold.plan.go_format import NO_VALUE, text_of
from kfold.plan.go_template_functions import TemplateFunction, truth
from kfold.plan.go_template_functions import functions as all_functions
from kfold.plan.go_template_parser import (
    Branch,
    Dot,
    Field,
    Function,
    Jump,
    Literal,
    Node,
    Operand,
    Pipeline,
    TemplateError,
    Text,
    Variable,
    parse,
)

__all__ = ["NO_VALUE", "render"]


def render(
    template: str,
    data: Mapping[str, object],
    functions: Mapping[str, Callable[..., object]] | None = None,
    where: Position | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> str:
    """The text that `template` makes of `data`.

    Args:
        data: what `.` is; strings, numbers, booleans, None, lists and mappings of them.
        functions: more functions by name (`cmd`, say), called with the template's values; they win over ours.
        where: the template's place in the config, for messages.
        environment: what `env` and `expandenv` know.
        now: what `now` and `date` tell, with a zone.

    Raises:
        ConfigError: the template is malformed, names an unknown function, or uses one wrongly.
    """
    table: dict[str, Callable[..., object]] = {**all_functions(environment or {}, now), **(functions or {})}
    try:
        nodes = parse(template)
        return "".join(_Renderer(data, table).nodes(nodes, data))
    except (TemplateError, RecursionError) as error:
        raise _problem(template, error, where) from None


def check(template: str, where: Position | None) -> None:
    """Raises ConfigError for a template that cannot even be read."""
    try:
        parse(template)
    except (TemplateError, RecursionError) as error:
        raise _problem(template, error, where) from None


def _problem(template: str, error: TemplateError | RecursionError, where: Position | None) -> ConfigError:
    if isinstance(error, RecursionError):
        return ConfigError(f"template {template[:60]!r}…: nested too deeply", where=where)
    line = template.count("\n", 0, error.index) + 1
    column = error.index - template.rfind("\n", 0, error.index)
    return ConfigError(f"template {template!r}: {error} (line {line}, column {column} of the template)", where=where)


class _Jumped(Exception):
    def __init__(self, keyword: str) -> None:
        self.keyword = keyword


@dataclass(frozen=True)
class _Given:
    """A value that the pipeline hands on, among operands that are yet to be evaluated."""

    value: object


class _Renderer:
    def __init__(self, data: object, functions: Mapping[str, Callable[..., object]]) -> None:
        self.functions = functions
        self.scopes: list[dict[str, object]] = [{"$": data}]

    def nodes(self, nodes: tuple[Node, ...], dot: object) -> Iterator[str]:
        for node in nodes:
            match node:
                case Text():
                    yield node.text
                case Pipeline():
                    value = self.pipeline(node, dot)
                    if not node.declares:
                        yield text_of(value, nothing=NO_VALUE)
                case Jump():
                    raise _Jumped(node.keyword)
                case Branch():
                    self.scopes.append({})
                    try:
                        yield from self._range(node, dot) if node.keyword == "range" else self._branch(node, dot)
                    finally:
                        self.scopes.pop()

    def _branch(self, node: Branch, dot: object) -> Iterator[str]:
        value = self.pipeline(node.pipeline, dot)
        if truth(value):
            yield from self.nodes(node.body, value if node.keyword == "with" else dot)
        else:
            yield from self.nodes(node.otherwise, dot)

    def _range(self, node: Branch, dot: object) -> Iterator[str]:
        value = self.pipeline(node.pipeline, dot, declare=False)
        pairs: list[tuple[object, object]]
        if isinstance(value, Mapping):
            pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(number, number) for number in range(value)]
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f"range can't iterate over {text_of(value)}", node.pipeline.index)
        if not pairs:
            yield from self.nodes(node.otherwise, dot)
        names = node.pipeline.declares
        for pair in pairs:
            for name, item in zip(names, pair if len(names) == 2 else pair[1:], strict=False):
                self._set(name, item, node.pipeline)
            depth = len(self.scopes)
            self.scopes.append({})
            try:
                yield from self.nodes(node.body, pair[1])
            except _Jumped as jump:
                if jump.keyword == "break":
                    return
            finally:
                del self.scopes[depth:]

    def _set(self, name: str, value: object, pipeline: Pipeline) -> None:
        if not pipeline.assigns:
            self.scopes[-1][name] = value
            return
        for scope in reversed(self.scopes):
            if name in scope:
                scope[name] = value
                return
        raise TemplateError(f"undefined variable: {name}", pipeline.index)

    def pipeline(self, pipeline: Pipeline, dot: object, *, declare: bool = True) -> object:
        value: object = None
        for place, command in enumerate(pipeline.commands):
            value = self._command(command, dot, (value,) if place else (), pipeline.index)
        if declare:
            for name in pipeline.declares:
                self._set(name, value, pipeline)
        return value

    def _command(self, command: tuple[Operand, ...], dot: object, last: tuple[object, ...], index: int) -> object:
        first, arguments = command[0], command[1:]
        if isinstance(first, Function):
            return self._call(first, arguments, dot, last)
        if arguments:
            raise TemplateError("can't give argument to non-function", index)
        if isinstance(first, Literal) and first.value is None:
            raise TemplateError("nil is not a command", index)
        return self.operand(first, dot)

    def _call(self, function: Function, arguments: tuple[Operand, ...], dot: object, last: tuple[object, ...]) -> object:
        call = self.functions.get(function.name)
        if call is None:
            raise TemplateError(f'function "{function.name}" not defined', function.index)
        if function.name in ("and", "or") and isinstance(call, TemplateFunction):
            # The first argument that decides is the result; those behind it are not evaluated.
            value: object = None
            for operand in (*arguments, *(_Given(value) for value in last)):
                value = operand.value if isinstance(operand, _Given) else self.operand(operand, dot)
                if truth(value) is (function.name == "or"):
                    return value
            if arguments or last:
                return value
        values = [self.operand(argument, dot) for argument in arguments]
        try:
            return call(*values, *last)
        except (ValueError, OverflowError) as error:
            raise TemplateError(f"error calling {function.name}: {error}", function.index) from None

    def operand(self, operand: Operand, dot: object) -> object:
        match operand:
            case Literal():
                return operand.value
            case Dot():
                return dot
            case Variable():
                for scope in reversed(self.scopes):
                    if operand.name in scope:
                        return scope[operand.name]
                raise TemplateError(f"undefined variable: {operand.name}", operand.index)
            case Function():
                return self._call(operand, (), dot, ())
            case Pipeline():
                return self.pipeline(operand, dot)
            case Field():
                return self._field(operand, dot)

    def _field(self, field: Field, dot: object) -> object:
        value = self.operand(field.base, dot)
        for name in field.names:
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise TemplateError(f"can't evaluate field {name} in {text_of(value)}", field.index)
            value = value.get(name)
        return value
