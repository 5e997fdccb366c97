"""A config that was found valid is kept as JSON: what comes back is what went in, for any config."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from kfold.config import model
from kfold.config.codec import decode, encode
from kfold.config.loading import load
from tests.plan import generated


@generated.moderate
@given(generated.projects())
def test_any_config_comes_back_from_json(configs: tuple[model.Config, ...]) -> None:
    text = json.dumps(encode(configs), allow_nan=False)
    assert decode(json.loads(text)) == configs


def test_a_build_argument_may_have_any_name() -> None:
    artifact = "{image: web, docker: {buildArgs: {~type: Sha256}}}"
    text = f"apiVersion: kfold/v1\nkind: Config\nbuild:\n  artifacts:\n  - {artifact}\n"
    configs = load(text, file="kfold.yaml", folder_name="folder")
    back = decode(json.loads(json.dumps(encode(configs))))
    assert back[0].artifacts[0].docker.build_args == {"~type": "Sha256"}


@pytest.mark.parametrize(
    "kept",
    [
        [{"~type": "Gone"}],
        [{"~type": "Config", "name": "x"}],
        [{"~type": "Sha256", "more": 1}],
        [{"~type": ["Config"]}],
    ],
)
def test_what_another_version_wrote_is_no_config(kept: object) -> None:
    """The two errors that reading a kept config expects; it then reads the YAML again."""
    with pytest.raises((KeyError, TypeError)):
        decode(kept)
