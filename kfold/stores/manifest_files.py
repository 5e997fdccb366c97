"""The manifest files that a config names, and their text."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kfold.config.model import ManifestSource
from kfold.errors import ConfigError, Position

SUFFIXES = (".yaml", ".yml", ".json")
"""What a glob takes; a file named explicitly may be called anything (Skaffold's rule)."""


@dataclass(frozen=True)
class ManifestFile:
    """A manifest file: `path` relative to the config's folder, for messages, and its `text`."""

    path: str
    text: str


def find(folder: Path, sources: Iterable[ManifestSource]) -> list[str]:
    """The files that `manifests.rawYaml` names, in list order, glob results sorted, duplicates dropped.

    Raises ConfigError where an entry that somebody wrote matches nothing, names a folder, or is a URL. The default
    (`k8s/*.yaml`) may match nothing.
    """
    found: dict[str, None] = {}
    for source in sources:
        if source.path.startswith(("http://", "https://", "gs://")):
            raise ConfigError(
                f"manifests.rawYaml: {source.path} is a URL, and kfold reads local files only so far",
                where=source.position,
                hint="Download it into the project.",
            )
        path = folder / source.path
        if path.is_dir():
            raise ConfigError(
                f"manifests.rawYaml: {source.path} is a folder", where=source.position, hint=f"Say {source.path}/*.yaml"
            )
        matches = [source.path] if path.exists() else list(_glob(folder, source.path))
        if not matches and not source.default:
            raise ConfigError(
                f"manifests.rawYaml: {source.path} matches no file",
                where=source.position,
                hint=f"Paths count from the config's folder, {folder}.",
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _glob(folder: Path, pattern: str) -> Iterable[str]:
    for match in sorted(glob.glob(pattern, root_dir=folder, recursive=True)):  # noqa: PTH207 (pathlib takes hidden files too)
        path = folder / match
        if path.is_dir():
            inside = (os.path.relpath(Path(top, name), folder) for top, _, names in os.walk(path) for name in names)
            yield from sorted(name for name in inside if name.endswith(SUFFIXES))
        elif match.endswith(SUFFIXES):
            yield match


def read(folder: Path, paths: Iterable[str]) -> list[ManifestFile]:
    """Read the files. Raises ConfigError naming one that cannot be read or is not UTF-8."""
    files = []
    for path in paths:
        try:
            files.append(ManifestFile(path, (folder / path).read_text(encoding="utf-8")))
        except UnicodeDecodeError as error:
            raise ConfigError("not UTF-8 text", where=Position(path), hint="Save it as UTF-8.") from error
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", where=Position(path)) from error
    return files
