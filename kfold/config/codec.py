"""Configs as plain JSON values and back, so that a config that was found valid need not be read as YAML again.

Importing YAML costs 0.04 s and the schema library 0.12 s, which is what a run with nothing to do would spend most on.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from kfold import errors
from kfold.config import model

_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        errors.Position,
        model.HostHook,
        model.ContainerHook,
        model.Hooks,
        model.Requirement,
        model.DockerBuild,
        model.Artifact,
        model.GitCommit,
        model.Sha256,
        model.EnvTemplate,
        model.DateTime,
        model.InputDigest,
        model.CustomTemplate,
        model.ManifestSource,
        model.KubectlDeploy,
        model.PrunePolicy,
        model.Config,
    )
}
_TYPE = "~type"
_MAPPING = "~mapping"


def encode(value: Any) -> Any:
    """Configs -> values that JSON can hold."""
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {_TYPE: type(value).__name__, **fields}
    if isinstance(value, dict):
        # as pairs: a build argument may have any name, that of our own marker included
        return {_TYPE: _MAPPING, "items": [[name, encode(item)] for name, item in value.items()]}
    return value


def decode(value: Any) -> Any:
    """What `encode` made -> configs. Raises KeyError or TypeError where another version of the model wrote it."""
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if isinstance(value, dict):
        kind = value[_TYPE]
        if kind == _MAPPING:
            return {name: decode(item) for name, item in value["items"]}
        return _TYPES[kind](**{name: decode(item) for name, item in value.items() if name != _TYPE})
    return value


def decode_configs(value: Any) -> tuple[model.Config, ...]:
    """What `encode` made of the configs of a file. Raises KeyError or TypeError for anything else."""
    configs = decode(value)
    if not isinstance(configs, tuple) or not configs or not all(isinstance(one, model.Config) for one in configs):
        raise TypeError("these are no configs")
    return configs
