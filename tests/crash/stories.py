"""Random projects and what happens to them: what stood there before, edits, runs, and where a run is killed."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st

Json = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What the project says at one time. `files`: content of web's and base's files. `objects`: what is deployed. `push`:
    images go to a registry."""

    artifacts: tuple[str, ...]
    files: tuple[int, int]
    objects: tuple[str, ...]
    value: int
    namespace: str
    push: bool = False


@dataclass(frozen=True)
class Fault:
    """What a store answers, `times` times. `status`: of HTTP, 0 where no answer came. `after_effect`: it did as asked."""

    store: str
    method: str
    status: int
    after_effect: bool
    times: int = 1


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in a run, but for its end. `clock`: seconds by which it is wrong. `full_at`: the moment of the ledger
    from which its disk is full (0: never). `interrupts`: moments at which Ctrl+C is pressed. `power`: it is not the process
    alone that is killed; of the ledger there is what the disk had. `meanwhile`: what the other checkout runs, to its end, at
    the moment `meanwhile_at` of a run that takes back."""

    fault: Fault | None = None
    clock: int = 0
    full_at: int = 0
    interrupts: tuple[int, ...] = ()
    power: bool = False
    meanwhile: tuple[str, ...] = ()
    meanwhile_at: int = 0


CALM = Trouble()


@dataclass(frozen=True)
class Run:
    """The project becomes `scene`, then `doit ARGUMENTS` runs, killed at the moment `kill_at` (0: never).

    `checkout`: 0, or 1 for a second checkout of the same project, beside the same stores."""

    scene: Scene
    arguments: tuple[str, ...]
    kill_at: int
    trouble: Trouble = CALM
    checkout: int = 0


@dataclass(frozen=True)
class Story:
    """`theirs`: objects that somebody made before, and whether `web:latest` names an image of theirs.

    `context`: the cluster's; one of kind has a node, and with none at all `dev` starts the sandbox. `second_first`: in the
    end the second checkout takes back first."""

    theirs: tuple[str, ...]
    their_image: bool
    runs: tuple[Run, ...]
    cleanup_kill_at: int = 0
    lose_ledger: bool = False
    context: str = "docker-desktop"
    second_first: bool = False


OBJECTS = ("config-a", "config-b", "secret-a", "deployment-web", "namespace-own", "config-in-own", "job-once")
"""Names of what a scene may deploy; `config-in-own` brings its namespace along."""

scenes = st.builds(
    Scene,
    artifacts=st.sampled_from([("web",), ("base", "web"), ()]),
    files=st.tuples(st.integers(0, 2), st.integers(0, 1)),
    objects=st.lists(st.sampled_from(OBJECTS), unique=True, max_size=5).map(lambda chosen: tuple(sorted(chosen))),
    value=st.integers(0, 2),
    namespace=st.sampled_from(["", "", "", "elsewhere"]),
    push=st.booleans(),
)
_kills = st.one_of(st.just(0), st.integers(1, 12), st.integers(1, 60))
_methods = [("cluster", name) for name in ("create", "apply", "get", "list_kind", "delete", "patch")]
_methods += [("engine", name) for name in ("build", "tag", "remove", "names", "labelled")]
_methods += [("registry", name) for name in ("digest", "put", "receive", "remove_tag", "remove_manifest")]
_methods += [("node", name) for name in ("look", "load", "remove", "users")]
_faults = st.builds(
    lambda method, status, after: Fault(*method, status, after and not 400 <= status < 500),  # a refusal has done nothing
    st.sampled_from(_methods), st.sampled_from([0, 409, 429, 500]), st.booleans(),
)  # fmt: skip
_troubles = st.builds(
    Trouble,
    fault=_faults | _faults | st.none(),
    clock=st.sampled_from([0, 0, -86_400]),
    full_at=st.sampled_from([0, 0, 0, 3, 9]),
    interrupts=st.sampled_from([(), (), (1,), (4,), (7, 8), (15, 19)]),
    power=st.booleans(),
    meanwhile=st.sampled_from([(), (), (), ("prune", "--all"), ("delete",)]),
    meanwhile_at=st.integers(1, 20),
)
troubles = st.one_of(_troubles, _troubles, st.just(CALM))
runs = st.builds(
    Run,
    scene=scenes,
    arguments=st.sampled_from([("deploy",)] * 3 + [("dev",)] * 2 + [("tag",), ("delete",), ("prune",), ("prune", "--all")]),
    kill_at=_kills,
    trouble=troubles,
    checkout=st.sampled_from([0, 0, 0, 1]),
)


def _alone_in_its_sandbox(story: Story) -> Story:
    """The sandbox that `dev` of one checkout started stays, and is named, where another one has something in it; so a story
    with it has no second checkout."""
    if story.context:
        return story
    calm = (replace(run, checkout=0, trouble=replace(run.trouble, meanwhile=())) for run in story.runs)
    return replace(story, runs=tuple(calm), second_first=False)


stories = st.builds(
    Story,
    theirs=st.lists(st.sampled_from(["config-a", "secret-a", "deployment-web"]), unique=True, max_size=2).map(tuple),
    their_image=st.booleans(),
    runs=st.lists(runs, min_size=1, max_size=4).map(tuple),
    cleanup_kill_at=_kills,
    lose_ledger=st.sampled_from([False, False, False, True]),
    context=st.sampled_from(["docker-desktop", "kind-lab", "kind-lab", ""]),
    second_first=st.booleans(),
).map(_alone_in_its_sandbox)


class Stage(Protocol):
    """Where a story is played: `project` is the folder with the config, of the checkout that was gone to last."""

    @property
    def project(self) -> Path: ...

    def go_to(self, checkout: int) -> None:
        """What follows happens in this checkout."""

    def state(self) -> Json:
        """All that the stores hold, as two states compare."""

    def show(self, scene: Scene) -> None:
        """Write the scene's files."""

    def doit(self, *arguments: str, kill_at: int = 0, trouble: Trouble = CALM) -> tuple[int, str]:
        """Exit code and output of `doit ARGUMENTS`, killed at that moment (0: never), in this trouble."""


def play(story: Story, stage: Stage) -> None:
    """Run what the story runs, then take it all back without a config: the stores hold what they held."""
    before = stage.state()
    checkouts = sorted({0, *(run.checkout for run in story.runs)}, reverse=story.second_first)
    for run in story.runs:
        stage.go_to(run.checkout)
        stage.show(run.scene)
        code, output = stage.doit(*run.arguments, kill_at=run.kill_at, trouble=run.trouble)
        assert code in (0, 1, 130, -signal.SIGKILL), output
    for checkout in checkouts:
        stage.go_to(checkout)
        if story.lose_ledger:
            shutil.rmtree(stage.project / ".kfold", ignore_errors=True)
        (stage.project / "kfold.yaml").unlink(missing_ok=True)
        if story.cleanup_kill_at:
            stage.doit("delete", kill_at=story.cleanup_kill_at)
            stage.doit("prune", "--all", kill_at=story.cleanup_kill_at)
    for checkout in checkouts[:-1]:
        stage.go_to(checkout)
        stage.doit("delete")  # may fail: one that knows nothing names what the other one deployed
    for arguments in (("delete",), ("prune", "--all")):
        for checkout in reversed(checkouts) if arguments == ("delete",) else checkouts:
            stage.go_to(checkout)
            code, output = stage.doit(*arguments)
            assert code == 0, output
    assert stage.state() == before


def config(scene: Scene) -> Json:
    artifacts: list[Json] = []
    for name in scene.artifacts:
        requires = [{"image": "base", "alias": "BASE"}] if name == "web" and "base" in scene.artifacts else []
        artifacts.append({"image": name, "context": name, **({"requires": requires} if requires else {})})
    kubectl = {"defaultNamespace": scene.namespace} if scene.namespace else {}
    return {
        "apiVersion": "kfold/v1",
        "kind": "Config",
        "metadata": {"name": "shop"},
        "build": {"tagPolicy": {"sha256": {}}, "artifacts": artifacts},
        "manifests": {"rawYaml": ["k8s/*.yaml"]},
        "deploy": {"kubectl": kubectl},
    }


def manifests(scene: Scene) -> list[Json]:
    """The objects of a scene. A kustomization-like order: as they are named."""
    found = [one_object(name, scene.value) for name in scene.objects]
    if "config-in-own" in scene.objects and "namespace-own" not in scene.objects:
        found.append(one_object("namespace-own", scene.value))
    return found


def one_object(name: str, value: int, image: str = "web") -> Json:
    """`image`: what runs in it; somebody's own Deployment that named ours would use it."""
    kind, _, rest = name.partition("-")
    metadata: Json = {"name": rest}
    data = {"value": str(value)}
    match kind, rest:
        case "config", "in-own":
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "inner", "namespace": "own"}, "data": data}
        case "config", _:
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        case "secret", _:
            return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
        case "namespace", _:
            return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        case "job", _:
            spec: Json = {"restartPolicy": "Never", "containers": [{"name": "c", "image": image, "args": [str(value)]}]}
            return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": spec}}}
        case _:
            labels = {"app": rest}
            containers = [{"name": "c", "image": image, "args": [str(value)]}]
            template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
            spec = {"selector": {"matchLabels": labels}, "template": template}
            return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
