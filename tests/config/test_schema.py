"""The JSON schema: documented for editors, shipped once, and in step with the code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from kfold.config.model import DateTime
from kfold.config.schema import schema
from kfold.config.skaffold import FIELDS, MOVED, VERSIONS
from tests.config.test_fields import EVERYTHING
from tests.config.texts import HEAD

OWN = {"prune", "keep"}
"""Fields that Skaffold does not have."""

SOURCE = Path(__file__).parents[2] / "schemas" / "kfold-v1.json"


def fields(rule: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field with its path, references followed."""
    if "$ref" in rule:
        rule = schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")]
    yield path, rule
    for name, below in rule.get("properties", {}).items():
        yield from fields(below, f"{path}.{name}" if path else name)
    if "items" in rule:
        yield from fields(rule["items"], f"{path}[]")
    if isinstance(rule.get("additionalProperties"), dict):
        yield from fields(rule["additionalProperties"], f"{path}.*")


def test_the_package_ships_the_one_source() -> None:
    shipped = resources.files("kfold").joinpath("schemas/kfold-v1.json").read_bytes()
    assert shipped == SOURCE.read_bytes()
    assert json.loads(shipped) == schema()


def test_it_is_a_valid_schema_of_its_draft() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_field_has_a_title_and_a_description() -> None:
    found = list(fields(schema()))
    assert len(found) > 50
    for path, rule in found:
        assert rule.get("title"), path
        assert rule.get("description", "").endswith("."), path


def test_every_object_is_closed() -> None:
    for path, rule in fields(schema()):
        if "object" in rule.get("type", ()):
            assert "additionalProperties" in rule, path


def test_versions_are_those_that_the_code_reads() -> None:
    assert tuple(schema()["properties"]["apiVersion"]["enum"]) == VERSIONS


def test_every_field_is_one_of_skaffolds_and_none_is_called_moved() -> None:
    paths = {path for path, _ in fields(schema())}
    for path, rule in fields(schema()):
        if path in FIELDS:
            assert rule["properties"].keys() - OWN <= FIELDS[path], path
    assert not paths & MOVED.keys()
    assert paths >= FIELDS.keys() - {""}


def test_written_defaults_are_those_of_the_model() -> None:
    defaults = {path: rule["default"] for path, rule in fields(schema()) if "default" in rule}
    assert defaults["build.tagPolicy.dateTime.format"] == DateTime.format
    assert defaults["build.artifacts[].docker.dockerfile"] == "Dockerfile"
    assert defaults["deploy.statusCheckDeadlineSeconds"] == 600


def test_an_editor_with_a_plain_validator_agrees() -> None:
    """Editors see YAML as JSON: numbers and booleans as build arguments must not be marked as mistakes."""
    plain = jsonschema.Draft202012Validator(schema())
    good = yaml.safe_load(HEAD + EVERYTHING)
    assert good["build"]["artifacts"]
    assert [error.message for error in plain.iter_errors(good)] == []
    good["build"]["artifacts"][1]["sync"] = {}
    good[".anchors"] = {}
    assert [error.validator for error in plain.iter_errors(good)] == ["additionalProperties"]
