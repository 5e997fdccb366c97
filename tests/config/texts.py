"""Short ways to load a text, and to get at the error of one that cannot be loaded."""

from __future__ import annotations

import textwrap

import pytest

from kfold.config.loading import load
from kfold.config.model import Config
from kfold.errors import ConfigError

FILE = "kfold.yaml"
HEAD = "apiVersion: kfold/v1\nkind: Config\n"
"""Two lines: what follows starts on line 3."""


def load_text(body: str, *, head: str = HEAD, folder_name: str = "folder", validate: bool = True) -> tuple[Config, ...]:
    return load(head + textwrap.dedent(body), file=FILE, folder_name=folder_name, validate=validate)


def load_one(body: str, *, folder_name: str = "folder", validate: bool = True) -> Config:
    (config,) = load_text(body, folder_name=folder_name, validate=validate)
    return config


def error_of(body: str, *, head: str = HEAD, validate: bool = True) -> ConfigError:
    """The error of a text that cannot be loaded."""
    with pytest.raises(ConfigError) as caught:
        load_text(body, head=head, validate=validate)
    return caught.value


def lines_of(body: str, *, head: str = HEAD, validate: bool = True) -> list[str]:
    """The error as it is printed, without the file's name and without hints: "line:column: message"."""
    text = str(error_of(body, head=head, validate=validate))
    return [line.removeprefix(f"{FILE}:") for line in text.splitlines() if line.startswith(FILE)]


def artifacts(*entries: str) -> str:
    """A build section: artifact number n (from 0) stands on line 5 + n."""
    return "build:\n  artifacts:\n" + "".join(f"  - {entry}\n" for entry in entries)
