"""The user's settings for all projects: one file, in Skaffold's own format (v2.24, config/global_config.go).

Skaffold's file is read as long as kfold has none of its own; the first `kfold config set` starts from what it says.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kfold.errors import KfoldError, Position

KEYS: Mapping[str, Literal["text", "yes or no", "list"]] = {
    "default-repo": "text",
    "multi-level-repo": "yes or no",
    "local-cluster": "yes or no",
    "insecure-registries": "list",
    "kind-disable-load": "yes or no",
    "k3d-disable-load": "yes or no",
}
"""What can be set, and what kind of value it has."""

# strconv.ParseBool of Go, which is what Skaffold takes
_YES, _NO = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_GLOBAL, _CONTEXTS, _NAME = "global", "kubeContexts", "kube-context"


class SettingsError(KfoldError):
    """The settings cannot be read or written, or say what cannot be."""


@dataclass(frozen=True)
class Settings:
    """What holds for one context. None, "" or () where nothing is set. `file`: where it was read, "" for nowhere."""

    default_repo: str = ""
    multi_level_repo: bool | None = None
    local_cluster: bool | None = None
    insecure_registries: tuple[str, ...] = ()
    kind_disable_load: bool | None = None
    k3d_disable_load: bool | None = None
    file: str = ""


@dataclass
class SettingsFile:
    """The file as it is. `path` is where it was read from (and need not exist), `content` what it says."""

    path: Path
    content: dict[str, Any]

    def of(self, context: str) -> Settings:
        """What holds for a context: the last entry that matches, filled up from `global`; lists are joined."""
        everywhere = self.section("")
        matching = [one for one in self._entries() if context and _matches(str(one[_NAME]), context)]
        here = matching[-1] if matching else {}
        merged = {**everywhere, **here}
        for key, kind in KEYS.items():
            if kind == "list":
                merged[key] = tuple(dict.fromkeys([*here.get(key, ()), *everywhere.get(key, ())]))
        values = {key.replace("-", "_"): merged[key] for key in KEYS if key in merged}
        return Settings(**values, file=str(self.path) if self.content else "")

    def section(self, context: str) -> dict[str, Any]:
        """The settings of one entry as it is written, "" for `global`."""
        entries = [one for one in self._entries() if one[_NAME] == context] if context else []
        found: dict[str, Any] = entries[-1] if entries else {} if context else self.content.get(_GLOBAL) or {}
        return {key: value for key, value in found.items() if key in KEYS}

    def sections(self) -> list[str]:
        """The contexts (or patterns) that have an entry."""
        return [str(one[_NAME]) for one in self._entries()]

    def set(self, key: str, value: str, context: str) -> None:
        """Set one value for a context, or for all ("" ). An empty value takes it away; a list grows.

        Raises SettingsError for a key or a value that means nothing.
        """
        parsed = _value(key, value)
        if context:
            entries = self._entries()
            target = next((one for one in reversed(entries) if one[_NAME] == context), None)
            if target is None:
                target = {_NAME: context}
                entries.append(target)
            self.content[_CONTEXTS] = entries
        else:
            target = self.content[_GLOBAL] = self.content.get(_GLOBAL) or {}
        if parsed is None:
            target.pop(key, None)
        elif isinstance(parsed, list):
            target[key] = list(dict.fromkeys([*target.get(key, ()), *parsed]))
        else:
            target[key] = parsed
        self.content[_CONTEXTS] = [one for one in self._entries() if len(one) > 1]

    def write(self, path: Path) -> None:
        """Write the whole file, in one step. Raises SettingsError."""
        import tempfile

        import yaml

        text = yaml.safe_dump({key: value for key, value in self.content.items() if value}, sort_keys=False)
        temporary = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
            raise SettingsError(f"the settings cannot be written: {error.strerror}", where=Position(str(path))) from error

    def _entries(self) -> list[dict[str, Any]]:
        return list(self.content.get(_CONTEXTS) or ())


def own_file(environment: Mapping[str, str]) -> Path:
    """Where kfold's own settings lie: the platform's folder for configuration."""
    if folder := environment.get("XDG_CONFIG_HOME"):
        return Path(folder, "kfold", "config.yaml")
    from platformdirs import user_config_path

    return user_config_path("kfold") / "config.yaml"


def candidates(environment: Mapping[str, str]) -> tuple[Path, Path]:
    """kfold's file and Skaffold's: the first that exists counts."""
    return own_file(environment), Path(environment.get("HOME") or Path.home(), ".skaffold", "config")


def read(environment: Mapping[str, str]) -> SettingsFile:
    """The user's settings. Raises SettingsError with the file for one that cannot be read or says what cannot be."""
    own, skaffold = candidates(environment)
    path = own if own.exists() or not skaffold.exists() else skaffold
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return SettingsFile(own, {})
    except OSError as error:
        raise SettingsError(f"the settings cannot be read: {error.strerror}", where=Position(str(path))) from error
    return SettingsFile(path, _checked(path, text, strict=path == own))


def _checked(path: Path, text: bytes, *, strict: bool) -> dict[str, Any]:
    """The file's content. `strict`: a setting that does not exist is an error (Skaffold has some that kfold has not)."""
    import yaml

    def refuse(message: str, hint: str = "") -> SettingsError:
        return SettingsError(message, where=Position(str(path)), hint=hint)

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = Position(str(path), mark.line + 1, mark.column + 1) if mark else Position(str(path))
        raise SettingsError(f"broken YAML: {getattr(error, 'problem', None) or 'cannot be decoded'}", where=where) from error
    if content is None:
        return {}
    entries = content.get(_CONTEXTS) or [] if isinstance(content, dict) else None
    if not isinstance(entries, list) or not isinstance(content.get(_GLOBAL) or {}, dict):
        raise refuse(f"the settings have two parts: `{_GLOBAL}`, a mapping, and `{_CONTEXTS}`, a list of mappings")
    if not all(isinstance(one, dict) and isinstance(one.get(_NAME), str) and one[_NAME] for one in entries):
        raise refuse(f"each entry of `{_CONTEXTS}` names its `{_NAME}`")
    checked: dict[str, Any] = {}
    everywhere = {**(content.get(_GLOBAL) or {})}
    for number, section in enumerate([everywhere, *entries]):
        kept: dict[str, Any] = {_NAME: section[_NAME]} if number else {}
        for key, value in section.items():
            if key in KEYS and value is not None:
                if not _fits(KEYS[key], value):
                    raise refuse(f"`{key}` is to be {_ARTICLE[KEYS[key]]}, and is {value!r}")
                kept[key] = value
            elif strict and key not in KEYS and key != _NAME:
                raise refuse(f"there is no setting `{key}`", f"There are {', '.join(KEYS)}.")
        if number:
            checked.setdefault(_CONTEXTS, []).append(kept)
        elif kept:
            checked[_GLOBAL] = kept
    return checked


_ARTICLE = {"text": "a text", "yes or no": "true or false", "list": "a list of texts"}


def _fits(kind: str, value: object) -> bool:
    if kind == "list":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, bool if kind == "yes or no" else str)


def _value(key: str, value: str) -> str | bool | list[str] | None:
    if key not in KEYS:
        raise SettingsError(f"there is no setting `{key}`", hint=f"There are {', '.join(KEYS)}.")
    if not value:
        return None
    if KEYS[key] == "list":
        return [part for part in value.split(",") if part]
    if KEYS[key] == "text":
        return value
    if value not in (*_YES, *_NO):
        raise SettingsError(f"`{key}` is true or false, not {value!r}")
    return value in _YES


def _matches(pattern: str, context: str) -> bool:
    """Skaffold's matcher: the name itself, or a regular expression found anywhere in it; `!` before it turns it round."""
    if pattern.startswith("!"):
        return not _matches(pattern[1:], context)
    if pattern == context:
        return True
    try:
        return re.search(pattern, context) is not None
    except re.error:
        return False
