"""Steps, and the plan that a config compiles to: both graphs from one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kfold.config.model import Artifact, Config
from kfold.errors import ConfigError
from kfold.plan import verbs
from kfold.plan.facts import Facts
from kfold.plan.platforms import check_required, platforms_of
from kfold.plan.reference import artifact_name, in_default_repo
from kfold.plan.verbs import Changes, Verb


@dataclass(frozen=True)
class Step:
    """One verb on one subject. Pure data.

    `name` is the task's name (`build:web`), `needs` the names of the steps that come before it. `artifact` is set for the
    image verbs; `config` is the config that the step belongs to. `platforms`: what the image is for (none: the builder's
    own); several are one image each, and an index over them.
    """

    verb: Verb
    subject: str
    config: Config
    artifact: Artifact | None = None
    needs: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.verb.name}:{self.subject}"

    def part(self, platform: str) -> Step:
        """The same step for one of its platforms."""
        return replace(self, platforms=(platform,))


@dataclass(frozen=True)
class Plan:
    """All steps of the configs for one target, in an order that respects every need."""

    configs: tuple[Config, ...]
    facts: Facts
    steps: tuple[Step, ...]
    _by_name: Mapping[str, Step] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {step.name: step for step in self.steps})

    def step(self, name: str) -> Step:
        return self._by_name[name]

    def of(self, verb: Verb) -> list[Step]:
        return [step for step in self.steps if step.verb == verb]


def compile_plan(configs: tuple[Config, ...], facts: Facts) -> Plan:
    """Compile every config into steps. `load` or `push` is decided once, from the facts and `build.local.push`.

    All images come before all clusters' steps: an artifact may require one of a later document.
    """
    owners = {artifact.image: config for config in configs for artifact in config.artifacts}
    check_names((artifact for config in configs for artifact in config.artifacts), facts)
    subjects = short_names(owners)
    steps: list[Step] = []
    delivered: list[str] = []
    platforms: dict[str, tuple[str, ...]] = {}
    for artifact in in_build_order(artifact for config in configs for artifact in config.artifacts):
        config = owners[artifact.image]
        platforms[artifact.image] = platforms_of(config, artifact, facts, push=pushes(config, facts))
        check_required(artifact, platforms)
        steps += image_steps(config, artifact, facts, subjects, platforms[artifact.image])
        delivered.append(steps[-1].name)
    renders = [f"{verbs.RENDER.name}:{config.name}" for config in configs]
    for config in configs:
        # as in Skaffold, a config's manifests may name any artifact of the file
        steps.append(Step(verbs.RENDER, config.name, config, None, tuple(delivered)))
    for config in configs:
        steps += cluster_steps(config, renders)
    return Plan(configs, facts, tuple(steps))


def check_names(artifacts: Iterable[Artifact], facts: Facts) -> None:
    """The default repo gives each artifact a name of its own: of two in one repository each would replace the other.

    (Skaffold lets them.) Raises ConfigError.
    """
    first: dict[str, Artifact] = {}
    for artifact in artifacts:
        name = in_default_repo(artifact_name(artifact.image), facts.default_repo, multi_level=facts.multi_level_repo)
        other = first.setdefault(name, artifact)
        if other is not artifact:
            apart = "" if facts.multi_level_repo else ", or let names keep their folders, if the registry takes them:" \
                " `kfold config set multi-level-repo true`"
            raise ConfigError(
                f"{artifact.image} and {other.image} ({other.position}) would both be {name} in the default repo",
                where=artifact.position,
                hint=f"Rename one of them{apart}.",
            )


def image_steps(
    config: Config, artifact: Artifact, facts: Facts, subjects: Mapping[str, str], platforms: tuple[str, ...]
) -> list[Step]:
    """build -> tag -> load | push of one artifact. It needs the names of the images that its Dockerfile is handed."""
    subject = subjects[artifact.image]
    required = tuple(f"tag:{subjects[requirement.image]}" for requirement in artifact.requires)
    build = Step(verbs.BUILD, subject, config, artifact, required, platforms)
    tag = Step(verbs.TAG, subject, config, artifact, (build.name,), platforms)
    deliver = Step(
        verbs.PUSH if pushes(config, facts) else verbs.LOAD, subject, config, artifact, (tag.name,), platforms
    )
    return [build, tag, deliver]


def pushes(config: Config, facts: Facts) -> bool:
    """Whether the images of a config go to a registry: its own word (`build.local.push`, `push=yes`), else the target's."""
    return facts.target.delivery == "push" if config.push is None else config.push


def cluster_steps(config: Config, renders: Iterable[str]) -> list[Step]:
    """deploy -> wait of one config.

    Its own manifests come first among its needs; it needs those of the others too, since an object that moved to another
    document has not left the manifests.
    """
    own = f"{verbs.RENDER.name}:{config.name}"
    deploy = Step(verbs.DEPLOY, config.name, config, None, (own, *(name for name in renders if name != own)))
    wait = Step(verbs.WAIT, config.name, config, None, (deploy.name,))
    return [deploy, wait]


def in_build_order(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Required artifacts first, else as written. (Cycles were refused when the config was read.)

    Depth first, without recursion: a chain of thousands of artifacts is no reason to fail.
    """
    waiting = {artifact.image: artifact for artifact in artifacts}
    ordered: list[Artifact] = []
    for image in list(waiting):
        pending = [(artifact, iter(artifact.requires)) for artifact in [waiting.pop(image, None)] if artifact]
        while pending:
            artifact, requires = pending[-1]
            requirement = next(requires, None)
            if requirement is None:
                ordered.append(artifact)
                pending.pop()
            elif required := waiting.pop(requirement.image, None):
                pending.append((required, iter(required.requires)))
    return ordered


def short_names(images: Iterable[str]) -> dict[str, str]:
    """What a person types for an image: its last path component where that is its alone, else the whole name."""
    last = {name: name.rsplit("/", 1)[-1] for name in images}
    count = Counter(last.values())
    return {name: short if count[short] == 1 else name for name, short in last.items()}


@dataclass(frozen=True)
class ReverseStep:
    """What takes a step back: its verb and subject, and the reverse steps that must have run before it."""

    verb: str
    subject: str
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.verb}:{self.subject}"


def reverse_graph(plan: Plan) -> list[ReverseStep]:
    """The forward edges turned round, here and nowhere else. Steps that change nothing are passed through."""
    needed_by: dict[str, list[str]] = {step.name: [] for step in plan.steps}
    for step in plan.steps:
        for need in step.needs:
            needed_by[need].append(step.name)

    def changing(names: Iterable[str]) -> list[str]:
        found: list[str] = []
        for name in names:
            step = plan.step(name)
            if isinstance(step.verb, Changes):
                found.append(f"{step.verb.reverse}:{step.subject}")
            else:
                found += changing(needed_by[name])
        return list(dict.fromkeys(found))

    return [
        ReverseStep(step.verb.reverse, step.subject, tuple(changing(needed_by[step.name])))
        for step in reversed(plan.steps)
        if isinstance(step.verb, Changes)
    ]
