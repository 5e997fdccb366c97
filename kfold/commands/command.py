"""One command: its name, its parameters in doit's form, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """`parameters` are doit's (name, long, type, default, help); `positional` names the argument that takes the rest."""

    name: str
    doc: str
    action: Callable[..., Any]
    parameters: tuple[Mapping[str, Any], ...] = ()
    positional: str = ""


def flag(name: str, text: str) -> dict[str, Any]:
    """A switch that is off: `--name`."""
    return {"name": name, "long": name.replace("_", "-"), "type": bool, "default": False, "help": text}


def option(name: str, default: Any, text: str, choices: tuple[str, ...] = ()) -> dict[str, Any]:
    """An option with a value: `--name VALUE`."""
    parameter = {"name": name, "long": name.replace("_", "-"), "type": type(default), "default": default, "help": text}
    if choices:
        parameter["choices"] = [(choice, "") for choice in choices]
    return parameter
