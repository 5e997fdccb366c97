"""Any project that a config can describe, as values: several documents, artifacts that require each other across them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kfold.config import model
from kfold.config.names import canonical_image_name
from kfold.errors import Position
from kfold.plan.facts import Facts, Target

moderate = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No deadline an example: a machine that is busy with other things is no reason to fail."""

positions = st.builds(Position, st.sampled_from(["kfold.yaml", "a/b c.yaml"]), st.integers(0, 99), st.integers(0, 99))
words = st.text(max_size=8)

image_names = st.builds(
    lambda host, folders, last: "/".join([*host, *folders, last]),
    st.sampled_from([[], [], ["localhost:5000"], ["ghcr.io"], ["docker.io"]]),
    st.lists(st.sampled_from(["team", "a-b", "x"]), max_size=2),
    st.sampled_from(["web", "api", "base", "w.e_b", "db"]),
)
"""Few enough that the same last part comes under several hosts and folders."""

simple_policies: st.SearchStrategy[model.TagPolicy] = st.one_of(
    st.builds(
        model.GitCommit,
        st.sampled_from(["Tags", "CommitSha", "AbbrevCommitSha", "TreeSha", "AbbrevTreeSha", "Branches"]),
        words,
        st.booleans(),
    ),
    st.just(model.Sha256()),
    st.builds(model.EnvTemplate, words, positions),
    st.builds(model.DateTime, words, st.sampled_from(["Local", "UTC", "Europe/Berlin"])),
    st.just(model.InputDigest()),
)
policies: st.SearchStrategy[model.TagPolicy] = simple_policies | st.builds(
    model.CustomTemplate, words, st.lists(st.tuples(words, simple_policies), max_size=3).map(tuple), positions
)
build_arguments = st.dictionaries(
    words | st.sampled_from(["~type", "items", "name"]), st.none() | words | st.just("Sha256"), max_size=3
)
docker_builds = st.builds(model.DockerBuild, words, words, build_arguments, st.booleans(), positions)
sources = st.lists(st.builds(model.ManifestSource, words, positions, st.booleans()), max_size=3).map(tuple)
commands = st.lists(words, max_size=2).map(tuple)
host_hooks = st.builds(model.HostHook, commands, commands, commands, words, positions)
container_hooks = st.builds(model.ContainerHook, commands, commands, words, words, positions)
build_hooks = st.builds(model.Hooks, st.lists(host_hooks, max_size=1).map(tuple), st.just(()))
deploy_hooks = st.builds(model.Hooks, st.just(()), st.lists(host_hooks | container_hooks, max_size=2).map(tuple))
kubectls = st.builds(model.KubectlDeploy, st.none() | words, deploy_hooks)
targets = st.builds(
    Target,
    words,
    words,
    words,
    st.just("default"),
    st.just(()),
    st.sampled_from(["shared", "load", "push"]),
    st.sampled_from(["", "no"]),
)
facts = st.builds(Facts, targets, words)


@dataclass(frozen=True)
class Shape:
    """Artifacts without their config: for each, in the order as written, its image and the images that it requires."""

    entries: tuple[tuple[str, tuple[str, ...]], ...]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Distinct images (as checks.py asks: distinct in their full form), any acyclic requirements, written in any order."""
    images = draw(st.lists(image_names, unique_by=canonical_image_name, max_size=7))
    entries = [
        (image, tuple(draw(st.lists(st.sampled_from(images[:n]), unique=True, max_size=3))) if n else ())
        for n, image in enumerate(images)
    ]
    return Shape(tuple(draw(st.permutations(entries))))


@st.composite
def projects(draw: st.DrawFn) -> tuple[model.Config, ...]:
    """All documents of a file, as `config.loading.load` hands them on."""
    entries = draw(shapes()).entries
    count = draw(st.integers(1, 3))
    homes = [draw(st.integers(0, count - 1)) for _ in entries]
    return tuple(
        draw(configs(f"app{n}", [e for e, home in zip(entries, homes, strict=True) if home == n])) for n in range(count)
    )


@st.composite
def configs(draw: st.DrawFn, name: str, entries: list[tuple[str, tuple[str, ...]]]) -> model.Config:
    artifacts = tuple(
        model.Artifact(
            image,
            draw(words),
            draw(docker_builds),
            tuple(model.Requirement(other, f"ARG{n}", draw(positions)) for n, other in enumerate(required)),
            draw(positions),
            draw(build_hooks),
        )
        for image, required in entries
    )
    return model.Config(
        name=name,
        named=draw(st.booleans()),
        api_version=draw(st.sampled_from(["kfold/v1", "skaffold/v4beta14"])),
        artifacts=artifacts,
        tag_policy=draw(policies),
        push=draw(st.none() | st.booleans()),
        manifests=draw(sources),
        kubectl=draw(kubectls),
        status_check=draw(st.booleans()),
        status_check_deadline=draw(st.integers(1, 10_000)),
        position=draw(positions),
        build_hooks=draw(build_hooks),
        prune=draw(st.builds(model.PrunePolicy, st.integers(0, 5), st.none() | st.floats(0, 1e9))),
    )
