"""The way in: text -> configs. Read, check the shape, fill in, check the whole; each stage tells all it finds."""

from __future__ import annotations

from kfold.config.building import build_config
from kfold.config.checks import check_configs
from kfold.config.model import Config
from kfold.config.nodes import MappingNode
from kfold.config.problems import Problems
from kfold.config.reading import read_documents
from kfold.config.schema import check_shape
from kfold.config.skaffold import VERSIONS
from kfold.errors import ConfigError, Position


def load(text: str, *, file: str, folder_name: str, validate: bool = True) -> tuple[Config, ...]:
    """The configs of a `kfold.yaml` or `skaffold.yaml`, one a document, in the file's order.

    `file` is what error messages call it; `folder_name` names a config without metadata.name. `validate=False` leaves
    out the JSON schema (0.12 s for its library alone), for a caller who knows that this very text passed before; names
    and relations are checked all the same.

    Raises ConfigError, with everything that was found in the stage that failed.
    """
    documents = read_documents(text, file=file)
    if not documents:
        raise ConfigError(
            "there is no config in the file",
            where=Position(file),
            hint="It starts with `apiVersion: kfold/v1` and `kind: Config`.",
        )
    problems = Problems()
    for document in documents:
        _check_version(document, problems)
    problems.stop()
    if validate:
        for document in documents:
            check_shape(document, problems)
        problems.stop()
    alone = len(documents) == 1
    configs = []
    for document in documents:
        try:
            configs.append(build_config(document, folder_name=folder_name, alone=alone, problems=problems))
        except ConfigError as error:
            problems.add_error(error)
    if len(configs) == len(documents):  # else a half-read file would seem to miss artifacts
        check_configs(configs, problems)
    problems.stop()
    return tuple(configs)


def _check_version(document: MappingNode, problems: Problems) -> None:
    try:
        version = document.text("apiVersion")
    except ConfigError as error:
        problems.add_error(error)
        return
    if not version:
        problems.add("`apiVersion` is missing", document.position, f"Write `apiVersion: {VERSIONS[0]}`.")
    elif version not in VERSIONS:
        problems.add(
            f"kfold does not read the schema version `{version}`",
            document.place("apiVersion"),
            "It reads kfold/v1, skaffold/v3 and skaffold/v4beta1 to v4beta14; older ones are not upgraded yet"
            " (`skaffold fix` does it).",
        )
