"""For which platforms an artifact is built: what is said where, and what the cluster takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.config.model import Artifact, Config
from kfold.config.platforms import ARCHITECTURES, SYSTEMS, NoPlatform, parse
from kfold.errors import ConfigError, Position
from kfold.plan import content_key
from kfold.plan.facts import Delivery, Facts, Target
from kfold.plan.steps import compile_plan
from tests.config.texts import load_one

AMD, ARM, S390 = "linux/amd64", "linux/arm64", "linux/s390x"


def config(everywhere: str = "", own: str = "", more: str = "") -> Config:
    return load_one(
        f"build:\n  platforms: [{everywhere}]\n  artifacts:\n  - image: web\n    platforms: [{own}]\n{more}",
    )


def chosen(
    config: Config,
    delivery: Delivery = "push",
    nodes: tuple[str, ...] = (),
    *,
    said: tuple[str, ...] = (),
    one: bool = False,
) -> tuple[str, ...]:
    target = Target("c", "kind", (), "default", (), delivery, platforms=nodes)
    facts = Facts(target, platforms=said, host=ARM, one_platform=one)
    plan = compile_plan((config,), facts)
    steps = [step for step in plan.steps if step.artifact and step.artifact.image == "web"]
    assert len({step.platforms for step in steps}) == 1 and len(steps) == 3
    return steps[0].platforms


@pytest.mark.parametrize(
    ("everywhere", "own", "said", "expected"),
    [
        ("", "", (), ()),
        (f"{AMD}, {ARM}", "", (), (AMD, ARM)),
        ("", f"{AMD}, {ARM}", (), (AMD, ARM)),
        (f"{AMD}, {ARM}", ARM, (), (ARM,)),
        (f"{AMD}, {ARM}", "", (S390,), (S390,)),
        ("", f"{AMD}, {ARM}", (S390, ARM), (ARM,)),
        ("linux", "", (), (ARM,)),
        ("linux, amd64", "arm64", (), (ARM,)),
    ],
)
def test_what_is_said(everywhere: str, own: str, said: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert chosen(config(everywhere, own), said=said) == expected


@pytest.mark.parametrize(
    ("nodes", "expected"), [((), ARM), ((AMD,), AMD), ((S390, AMD), AMD), ((AMD, ARM), ARM)], ids=str
)
@pytest.mark.parametrize("delivery", ["load", "shared"])
def test_a_local_cluster_gets_the_platform_of_its_nodes(delivery: Delivery, nodes: tuple[str, ...], expected: str) -> None:
    assert chosen(config(f"{AMD}, {ARM}"), delivery, nodes) == (expected,)
    assert chosen(config(f"{AMD}, {ARM}"), "push", nodes) == (AMD, ARM)
    assert chosen(config(f"{AMD}, {ARM}"), "push", nodes, one=True) == (expected,)
    assert chosen(config(S390), delivery, nodes) == (S390,), "one that is the only one is meant"


def test_no_platform_is_left() -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(config(AMD, f"{ARM}, {S390}"))
    assert str(caught.value).startswith("kfold.yaml:7:16: web is built for linux/arm64, linux/s390x, and linux/amd64 was")
    with pytest.raises(ConfigError, match=r"web is built for linux/amd64, linux/arm64, and the nodes of .* are linux/s390x"):
        chosen(config(f"{AMD}, {ARM}"), "load", (S390,))


def test_a_required_image_is_there_for_each_platform() -> None:
    more = "    requires: [{image: base, alias: BASE}]\n  - image: base\n    platforms: [%s]\n"
    assert chosen(config(f"{AMD}, {ARM}, {S390}", "", more % AMD)), "a tool for one platform"
    with pytest.raises(ConfigError, match=r"kfold.yaml:8:24: web is built for linux/s390x, and base, .* is not"):
        chosen(config(f"{AMD}, {ARM}, {S390}", "", more % f"{AMD}, {ARM}"))


def test_platforms_are_an_input_only_where_they_are_set() -> None:
    def inputs(*platforms: str) -> content_key.Inputs:
        return content_key.build_inputs(
            files="f", dockerfile="Dockerfile", target="", no_cache=False, build_args={}, bases={}, required={},
            platforms=platforms,
        )  # fmt: skip

    assert inputs(AMD, ARM).key == inputs(ARM, AMD).key != inputs(AMD).key != inputs().key
    assert "platform" not in str(inputs().values)
    assert content_key.difference(inputs(AMD).values, inputs(ARM).values) == ["the list of platforms changed"]


@given(st.sampled_from(SYSTEMS), st.sampled_from(ARCHITECTURES), st.sampled_from(["", "v6", "v7", "v8", "v9.1"]))
def test_one_spelling_is_kept(system: str, architecture: str, variant: str) -> None:
    written = "/".join(part for part in (system, architecture, variant) if part)
    assert parse(parse(written)) == parse(written) == parse(written.upper())


@given(st.text(max_size=20))
def test_any_text_is_a_platform_or_is_refused(text: str) -> None:
    try:
        assert parse(text).partition("/")[0] in SYSTEMS
    except NoPlatform as error:
        assert error.hint


def test_an_artifact_of_old_has_none() -> None:
    artifact = load_one("build: {artifacts: [{image: web}]}").artifacts[0]
    assert isinstance(artifact, Artifact) and artifact.platforms == () and artifact.platforms_position != Position("")
