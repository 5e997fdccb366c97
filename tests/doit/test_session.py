"""Options and what is kept between runs: the cache of valid configs, which must never be believed more than the config."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from kfold import state_folder
from kfold.errors import ConfigError, KfoldError
from kfold.planning import host_platform, plan, read_configs, remembered_steps
from kfold.session import Options, Session
from tests.doit.projects import CONFIG


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "kfold.yaml").write_text(CONFIG)
    return made


def session(folder: Path, **options: str) -> Session:
    environment = {
        "KUBECONFIG": str(folder / "none"),
        "KFOLD_SANDBOX_HOME": str(folder / "sandbox"),
        "PATH": os.environ["PATH"],
    }
    return Session(Options.of(options, environment), folder, environment)


def kept(folder: Path) -> list[Path]:
    return sorted((folder / ".kfold" / "cache").glob("config-*.json"))


@pytest.mark.parametrize(
    ("variables", "environment", "expected"),
    [
        ({}, {}, Options()),
        ({"namespace": "a"}, {"KFOLD_NAMESPACE": "b"}, Options(namespace="a")),
        ({}, {"KFOLD_NAMESPACE": "b", "KFOLD_CONTEXT": "c", "KFOLD_CONFIG": "d"}, Options("b", "c", None, "d")),
        ({"push": "yes"}, {"KFOLD_PUSH": "no"}, Options(push=True)),
        ({"push": "TRUE"}, {}, Options(push=True)),
        ({"push": "no"}, {"KFOLD_PUSH": "yes"}, Options(push=False)),
        ({"push": "false"}, {}, Options(push=False)),
        ({"namespace": ""}, {"KFOLD_NAMESPACE": ""}, Options()),
        ({"platform": "aarch64,linux/arm64,s390x"}, {}, Options(platforms=("linux/arm64", "linux/s390x"))),
    ],
)
def test_options(variables: dict[str, str], environment: dict[str, str], expected: Options) -> None:
    assert Options.of(variables, environment) == expected


@pytest.mark.parametrize(
    "variables", [{"push": "1"}, {"push": "on"}, {"profile": "ci"}, {"platform": "arm46"}, {"platform": "all"}]
)
def test_options_that_mean_nothing(variables: dict[str, str]) -> None:
    with pytest.raises(KfoldError) as caught:
        Options.of(variables, {})
    assert caught.value.hint


def test_dev_builds_for_one_platform(folder: Path) -> None:
    text = (folder / "kfold.yaml").read_text()
    (folder / "kfold.yaml").write_text(text.replace("build:\n", "build:\n  platforms: [linux/s390x, linux]\n"))
    several = session(folder, push="yes")
    assert plan(several).steps[0].platforms == ("linux/s390x", host_platform())
    several.one_platform = True
    assert plan(several).steps[0].platforms == (host_platform(),)


def test_where_nothing_was_made_nothing_is_kept(folder: Path) -> None:
    assert read_configs(session(folder))[0].name == "shop"
    plan(session(folder))
    assert [path.name for path in folder.iterdir()] == ["kfold.yaml"]


def test_a_valid_config_is_kept_and_comes_back_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_folder.make(folder / ".kfold")
    first = read_configs(session(folder))
    (file,) = kept(folder)
    monkeypatch.setattr("kfold.config.loading.load", None)  # it is not read a second time
    assert read_configs(session(folder)) == first
    assert kept(folder) == [file]


def test_one_config_is_kept_at_a_time_and_any_change_is_seen(folder: Path) -> None:
    state_folder.make(folder / ".kfold")
    read_configs(session(folder))
    before = kept(folder)
    (folder / "kfold.yaml").write_text(CONFIG.replace("image: web", "image: api"))
    assert read_configs(session(folder))[0].artifacts[0].image == "api"
    assert len(kept(folder)) == 1 and kept(folder) != before
    (folder / "kfold.yaml").write_text("a: [")
    with pytest.raises(ConfigError):
        read_configs(session(folder))


@pytest.mark.parametrize("text", ["", "{", "null", "5", "[5]", '{"~type": "Gone"}', "[[]]", "[]", "\xff"])
def test_a_damaged_cache_is_no_config(folder: Path, text: str) -> None:
    state_folder.make(folder / ".kfold")
    first = read_configs(session(folder))
    (file,) = kept(folder)
    file.write_bytes(text.encode("latin-1"))
    assert read_configs(session(folder)) == first
    remembered_steps(session(folder))


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path) -> None:
    state_folder.make(folder / ".kfold")
    (folder / ".kfold" / "cache").write_text("a file in the way")
    assert read_configs(session(folder))[0].name == "shop"


def test_a_folders_name_is_part_of_what_is_kept(folder: Path) -> None:
    """A config without metadata.name is called as its folder is."""
    (folder / "kfold.yaml").write_text(CONFIG.replace("metadata: {name: shop}\n", ""))
    state_folder.make(folder / ".kfold")
    assert read_configs(session(folder))[0].name == "project"
    moved = folder.rename(folder.with_name("Moved Away"))
    assert read_configs(session(moved))[0].name == "moved-away"


def test_push_by_option_is_not_kept(folder: Path) -> None:
    state_folder.make(folder / ".kfold")
    assert read_configs(session(folder, push="yes"))[0].push is True
    assert read_configs(session(folder))[0].push is None
    assert json.loads(kept(folder)[0].read_text())[0]["push"] is None


def test_skaffolds_file_is_read_where_there_is_none_of_ours(folder: Path) -> None:
    (folder / "kfold.yaml").rename(folder / "skaffold.yaml")
    assert session(folder).config_file() == folder / "skaffold.yaml"
    (folder / "kfold.yaml").write_text(CONFIG)
    assert session(folder).config_file() == folder / "kfold.yaml"
    assert session(folder, config="skaffold.yaml").config_file() == folder / "skaffold.yaml"
    with pytest.raises(KfoldError, match=r"nope\.yaml"):
        session(folder, config="nope.yaml").config_file()
    (folder / "nope.yaml").mkdir()
    with pytest.raises(KfoldError, match=r"nope\.yaml"):
        session(folder, config="nope.yaml").config_file()


def test_a_config_is_known_by_its_place_in_the_folder(folder: Path) -> None:
    """Two files of one name are two configs: what one deployed is nothing that left the other."""
    (folder / "conf").mkdir()
    for file in ("kfold.yaml", "conf/kfold.yaml"):
        (folder / file).write_text(CONFIG)
        for said in (file, f"./{file}", str(folder / file)):
            (config,) = plan(session(folder, config=said)).configs
            assert config.position.file == file


def test_remembered_steps_are_the_plans_own(folder: Path) -> None:
    two = f"{CONFIG}---\n{CONFIG.replace('shop', 'other').replace('image: web', 'image: team/web')}"
    (folder / "kfold.yaml").write_text(two)
    state_folder.make(folder / ".kfold")
    names = {step.name for step in plan(session(folder)).steps}
    assert "build:team/web" in names
    (folder / "kfold.yaml").unlink()
    remembered = set(remembered_steps(session(folder)))
    assert names <= remembered
    assert remembered - names == {"push:web", "push:team/web"}, "which of load and push is not known without facts"


def test_a_signal_asks_to_end_and_cleanup_begins_anew(folder: Path) -> None:
    one = session(folder)
    one.signalled(signal.SIGINT)
    assert one.stop.is_set() and one.interrupts == 1 and not one.in_cleanup
    one.begin_cleanup()
    assert not one.stop.is_set() and one.in_cleanup
    one.signalled(signal.SIGHUP)
    assert not one.stop.is_set(), "a terminal that closes says so twice: its shell does, and the kernel"
    one.signalled(signal.SIGINT)
    assert one.stop.is_set() and one.interrupts == 2
