"""Both graphs of any project: the forward one respects every need, and the reverse one is the same edges turned round."""

from __future__ import annotations

import copy
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.config import model
from kfold.errors import ConfigError, Position
from kfold.plan import verbs
from kfold.plan.facts import Facts, Target
from kfold.plan.steps import Plan, ReverseStep, Step, compile_plan, reverse_graph, short_names
from kfold.plan.verbs import Changes, Looks
from tests.plan import generated

HERE = Position("kfold.yaml", 1, 1)
REVERSE = {"build": "prune", "tag": "untag", "load": "unload", "push": "unpush", "deploy": "delete"}
"""DESIGN.md, "Words": written down a second time, so that a verb cannot lose its reverse unseen."""


def target(delivery: str) -> Target:
    return Target("c", "kind", (), "default", (), delivery)  # type: ignore[arg-type]


def artifact(image: str, *requires: str) -> model.Artifact:
    needs = tuple(model.Requirement(name, f"A{n}", HERE) for n, name in enumerate(requires))
    return model.Artifact(image, ".", model.DockerBuild(), needs, HERE)


def config(name: str, *artifacts: model.Artifact, push: bool | None = None) -> model.Config:
    kubectl = model.KubectlDeploy()
    return model.Config(name, True, "kfold/v1", artifacts, model.Sha256(), push, (), kubectl, True, 600, HERE)


def plan_of(*configs: model.Config, delivery: str = "shared") -> Plan:
    return compile_plan(configs, Facts(target(delivery)))


def reached(edges: dict[str, set[str]], start: str) -> set[str]:
    """All that can be walked to, without `start` itself (there are no cycles)."""
    found: set[str] = set()
    pending = list(edges.get(start, ()))
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += edges.get(name, ())
    return found


@generated.moderate
@given(generated.projects(), generated.facts)
def test_every_need_stands_before_who_needs_it(configs: tuple[model.Config, ...], facts: Facts) -> None:
    plan = compile_plan(configs, facts)
    names = [step.name for step in plan.steps]
    assert len(names) == len(set(names)), "two steps of one name would be one task"
    for number, step in enumerate(plan.steps):
        assert set(step.needs) <= set(names[:number]), f"{step.name} comes before what it needs"


@generated.moderate
@given(generated.projects(), generated.facts)
def test_every_artifact_and_config_has_its_steps(configs: tuple[model.Config, ...], facts: Facts) -> None:
    plan = compile_plan(configs, facts)
    for one in configs:
        pushes = facts.target.delivery == "push" if one.push is None else one.push
        expected = ["build", "tag", "push" if pushes else "load"]
        for item in one.artifacts:
            steps = [step for step in plan.steps if step.artifact == item]
            assert [step.verb.name for step in steps] == expected
            assert all(step.config == one for step in steps)
        rest = [step for step in plan.steps if step.config == one and step.artifact is None]
        assert [step.name for step in rest] == [f"{verb}:{one.name}" for verb in ("render", "deploy", "wait")]
    assert len(plan.steps) == 3 * sum(len(one.artifacts) for one in configs) + 3 * len(configs)


@generated.moderate
@given(generated.projects(), generated.facts)
def test_what_is_required_is_named_before_it_is_built_on(configs: tuple[model.Config, ...], facts: Facts) -> None:
    plan = compile_plan(configs, facts)
    tag_of = {step.artifact.image: step.name for step in plan.of(verbs.TAG) if step.artifact}
    for step in plan.of(verbs.BUILD):
        assert step.artifact is not None
        assert set(step.needs) == {tag_of[requirement.image] for requirement in step.artifact.requires}


@generated.moderate
@given(generated.projects(), generated.facts)
def test_a_config_is_rendered_when_all_images_are_there(configs: tuple[model.Config, ...], facts: Facts) -> None:
    plan = compile_plan(configs, facts)
    for step in plan.of(verbs.RENDER):
        # those of other documents too: as in Skaffold, manifests may name any artifact of the file
        delivered = {s.name for s in plan.steps if s.verb in (verbs.LOAD, verbs.PUSH)}
        assert set(step.needs) == delivered


@generated.moderate
@given(generated.projects(), generated.facts)
def test_the_reverse_graph_is_the_forward_graph_turned_round(configs: tuple[model.Config, ...], facts: Facts) -> None:
    """Oracle by reachability: what changes the world and is built on A must be taken back before A is, and nothing else."""
    plan = compile_plan(configs, facts)
    forward = {step.name: set(step.needs) for step in plan.steps}
    reverse_name = {
        step.name: f"{REVERSE[step.verb.name]}:{step.subject}" for step in plan.steps if step.verb.name in REVERSE
    }
    reverse = reverse_graph(plan)
    assert sorted(step.name for step in reverse) == sorted(reverse_name.values())
    backward = {step.name: set(step.needs) for step in reverse}
    assert all(needs <= set(backward) for needs in backward.values()), "a need that is no reverse step"
    for name, back in reverse_name.items():
        dependents = {other for other in forward if name in reached(forward, other)}
        assert reached(backward, back) == {reverse_name[other] for other in dependents if other in reverse_name}


@generated.moderate
@given(generated.projects(), generated.facts)
def test_no_reverse_edge_jumps_over_a_change(configs: tuple[model.Config, ...], facts: Facts) -> None:
    """A direct reverse edge stands for a forward path on which only verbs that change nothing lie between."""
    plan = compile_plan(configs, facts)
    step_of = {f"{REVERSE[s.verb.name]}:{s.subject}": s for s in plan.steps if s.verb.name in REVERSE}
    looks = {step.name for step in plan.steps if step.verb.name not in REVERSE}
    for back in reverse_graph(plan):
        for need in back.needs:
            pending, direct = list(step_of[need].needs), False
            while pending and not direct:
                name = pending.pop()
                direct = name == step_of[back.name].name
                if name in looks:
                    pending += plan.step(name).needs
            assert direct, f"{back.name} needs {need} without a path of its own"


@generated.moderate
@given(generated.projects(), generated.facts)
def test_the_reverse_order_respects_the_reverse_needs(configs: tuple[model.Config, ...], facts: Facts) -> None:
    seen: set[str] = set()
    for back in reverse_graph(compile_plan(configs, facts)):
        assert set(back.needs) <= seen
        seen.add(back.name)


@generated.moderate
@given(generated.projects(), generated.facts)
def test_a_plan_is_a_pure_function(configs: tuple[model.Config, ...], facts: Facts) -> None:
    before = copy.deepcopy((configs, facts))
    one, other = compile_plan(configs, facts), compile_plan(copy.deepcopy(configs), copy.deepcopy(facts))
    assert one == other
    assert reverse_graph(one) == reverse_graph(other)
    assert (configs, facts) == before, "compiling changed what it was given"


@generated.moderate
@given(st.lists(generated.image_names, unique=True, max_size=8))
def test_short_names_tell_images_apart(images: list[str]) -> None:
    short = short_names(images)
    assert list(short) == images
    assert len(set(short.values())) == len(images)
    for image, name in short.items():
        shared = [other for other in images if other.rsplit("/", 1)[-1] == image.rsplit("/", 1)[-1]]
        assert name == (image if len(shared) > 1 else image.rsplit("/", 1)[-1])


def test_every_verb_of_the_pipeline_looks_or_has_its_reverse() -> None:
    changing = {verb.name: verb.reverse for verb in verbs.PIPELINE if isinstance(verb, Changes)}
    assert changing == REVERSE
    assert {verb.name for verb in verbs.PIPELINE if isinstance(verb, Looks)} == {"test", "render", "wait"}
    assert all(verb.doc for verb in verbs.PIPELINE)


def test_a_change_without_a_reverse_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="reverse"):
        Changes("explode", "no way back")  # type: ignore[call-arg]


def test_a_config_compiles_to_these_steps() -> None:
    """One small project by hand, so that the properties above are not about nothing."""
    plan = plan_of(config("shop", artifact("web", "team/base"), artifact("team/base")))
    assert [(step.name, step.needs) for step in plan.steps] == [
        ("build:base", ()),
        ("tag:base", ("build:base",)),
        ("load:base", ("tag:base",)),
        ("build:web", ("tag:base",)),
        ("tag:web", ("build:web",)),
        ("load:web", ("tag:web",)),
        ("render:shop", ("load:base", "load:web")),
        ("deploy:shop", ("render:shop",)),
        ("wait:shop", ("deploy:shop",)),
    ]
    assert reverse_graph(plan) == [
        ReverseStep("delete", "shop", ()),
        ReverseStep("unload", "web", ("delete:shop",)),
        ReverseStep("untag", "web", ("unload:web",)),
        ReverseStep("prune", "web", ("untag:web",)),
        ReverseStep("unload", "base", ("delete:shop",)),
        ReverseStep("untag", "base", ("unload:base", "prune:web")),
        ReverseStep("prune", "base", ("untag:base",)),
    ]


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [("team/web", "team_web", "localhost:5000/team_web"), ("localhost:5000/web", "web", "localhost:5000/web")],
)
def test_two_artifacts_that_would_have_one_name_in_the_default_repo(one: str, other: str, name: str) -> None:
    second = dataclasses.replace(artifact(other), position=Position("kfold.yaml", 7, 3))
    projects = config("a", artifact(one)), config("b", second)
    assert compile_plan(projects, Facts(target("push"))), "without a default repo each has its own"
    facts = Facts(target("push"), default_repo="localhost:5000")
    with pytest.raises(ConfigError) as failure:
        compile_plan(projects, facts)
    told = str(failure.value)
    assert told.startswith(f"kfold.yaml:7:3: {other} and {one} (kfold.yaml:1:1) would both be {name}"), told
    assert "Rename one of them" in told and "multi-level-repo true" in told
    folders = dataclasses.replace(facts, multi_level_repo=True)
    if one == "team/web":
        assert compile_plan(projects, folders), "their folders keep them apart"
        return
    with pytest.raises(ConfigError) as failure:
        compile_plan(projects, folders)
    assert failure.value.hint == "Rename one of them."


@pytest.mark.parametrize(
    ("delivery", "said", "verb"),
    [
        ("shared", None, verbs.LOAD),
        ("load", None, verbs.LOAD),
        ("push", None, verbs.PUSH),
        ("push", False, verbs.LOAD),
        ("shared", True, verbs.PUSH),
        ("load", True, verbs.PUSH),
    ],
)
def test_the_config_goes_before_the_cluster_when_it_is_about_pushing(
    delivery: str, said: bool | None, verb: verbs.Verb
) -> None:
    plan = plan_of(config("shop", artifact("web"), push=said), delivery=delivery)
    assert [step.verb for step in plan.steps[:3]] == [verbs.BUILD, verbs.TAG, verb]


def test_an_artifact_may_require_one_of_a_later_document() -> None:
    plan = plan_of(config("one", artifact("web", "base")), config("two", artifact("base")))
    names = [step.name for step in plan.steps]
    assert names.index("tag:base") < names.index("build:web")
    names = [step.name for step in reverse_graph(plan)]
    assert names.index("prune:web") < names.index("untag:base")


@pytest.mark.parametrize("turned", [False, True])
def test_a_chain_of_thousands_of_artifacts_is_no_reason_to_fail(turned: bool) -> None:
    count = 3000
    chain = [artifact(f"image{n}", f"image{n + 1}") for n in range(count)] + [artifact(f"image{count}")]
    plan = plan_of(config("shop", *(reversed(chain) if turned else chain)))
    assert plan.steps[0].name == f"build:image{count}"
    assert plan.steps[3 * count].name == "build:image0"
    assert len(reverse_graph(plan)) == 3 * (count + 1) + 1


def test_a_step_is_found_by_its_name_and_by_its_verb() -> None:
    plan = plan_of(config("shop", artifact("web")))
    step = plan.step("tag:web")
    assert isinstance(step, Step) and plan.of(verbs.TAG) == [step]
    with pytest.raises(KeyError):
        plan.step("tag:other")
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.subject = "other"  # type: ignore[misc]
