"""Several platforms: one image each, found and built one by one, an index over them, and all of it taken back."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from kfold.planning import host_platform
from tests.crash import points
from tests.crash.killing import killed
from tests.engine import docker
from tests.registry.conftest import Open, Pushing
from tests.registry.server import Server

pytestmark = pytest.mark.engine

TWO = ("linux/amd64", "linux/arm64")


def several(pushing: Open, *platforms: str) -> Pushing:
    """An artifact whose Dockerfile runs nothing: no emulation is needed for a foreign platform."""
    shop = pushing()
    shop.project.write("web/Dockerfile", f"FROM --platform=linux/amd64 {shop.corner.base} AS files\nFROM scratch\n"
                       "COPY --from=files / /\nCOPY . /out/\n")  # fmt: skip
    configure(shop, *(platforms or TWO))
    return shop


def configure(shop: Pushing, *platforms: str) -> None:
    shop.config()
    document = json.loads(shop.project.read("kfold.yaml"))
    document["build"]["platforms"] = list(platforms)
    shop.project.write("kfold.yaml", json.dumps(document))


def all_gone(shop: Pushing, told: str = "") -> None:
    """Nothing of ours is on the engine, nameless images included: these do not stand on the lab's base."""
    own = docker("images", "-a", "-q", "--filter", f"label=dev.kfold.config={shop.repository.replace('/', '-')}")
    assert (own, shop.changes(), shop.records()) == ("", [], []), told


def index(shop: Pushing, tag: str = "latest") -> dict[str, Any]:
    """What the registry has under a tag, as it says."""
    document: dict[str, Any] = json.loads(docker("manifest", "inspect", "--insecure", f"{shop.image}:{tag}"))
    return document


def listed(document: dict[str, Any]) -> dict[str, str]:
    """Platform -> digest."""
    words = [(one["platform"], one["digest"]) for one in document["manifests"]]
    return {"/".join(word for word in (its["os"], its["architecture"]) if word): digest for its, digest in words}


def test_an_index_over_both_platforms_and_back(pushing: Open, server: Server) -> None:
    shop = several(pushing)
    output = shop.push().output
    assert output.count("Building [") == 2 and f"Building [{shop.image} for linux/arm64]..." in output, output
    document = index(shop)
    assert document["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    children = listed(document)
    assert set(children) == set(TWO)
    pushed = shop.pushed()
    assert len(pushed) == 4, "the policy's tag, and one for each content key"
    assert len([tag for tag in shop.key_tags() if pushed[tag] == pushed["latest"]]) == 1
    for platform, digest in children.items():
        name = f"{shop.image}@{digest}"
        docker("pull", "--quiet", "--platform", platform, name)
        assert docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", name).strip() == platform
        docker("rmi", name)

    asked = len(server.requests())
    done = shop.push()
    assert "Nothing to do" in done.output, done.output
    assert {line.split()[0] for line in server.requests()[asked:]} == {"HEAD"}
    told = json.loads(shop.doit("status", "--json").succeeded().output)
    assert {(item["kind"], item["world"]) for item in told["registry"]} == {("tag", "there"), ("manifest", "there")}
    assert "superseded" not in shop.doit("why", "push:web").succeeded().output, "both images are the current one"

    # a platform more: only its image is built, and the others' are in the new index
    configure(shop, *TWO, "linux/riscv64")
    assert "build:web: will run: the list of platforms changed" in shop.doit("why", "build:web").succeeded().output
    output = shop.push().output
    assert output.count("Building [") == 1 and f"Building [{shop.image} for linux/riscv64]..." in output, output
    more = listed(index(shop))
    assert set(more) == {*TWO, "linux/riscv64"} and children.items() < more.items()
    shop.all_taken_back()
    all_gone(shop)


def test_one_platform_less_and_only_one(pushing: Open, server: Server) -> None:
    shop = several(pushing)
    shop.push()
    arm = listed(index(shop))["linux/arm64"]
    configure(shop, "linux/arm64")
    output = shop.push().output
    assert "Building" not in output, output
    assert shop.pushed()["latest"] == arm, "one platform needs no index"
    configure(shop)
    assert "build:web: will run: the list of platforms is gone" in shop.doit("why", "build:web").succeeded().output
    output = shop.push().output
    assert output.count(f"Building [{shop.image}]...") == 1, output
    shop.all_taken_back()


def test_found_on_another_machine(pushing: Open, server: Server) -> None:
    shop = several(pushing)
    shop.push()
    whole = shop.pushed()["latest"]
    other = shop.elsewhere("other")
    output = other.push().output
    assert "Building" not in output and f" - {other.image} for {', '.join(TWO)}: Found Remotely" in output, output
    assert other.changes() == [], "nothing of it is in the engine"
    # its images are found one by one, where the index over them is a new one
    configure(other, *TWO, "linux/riscv64")
    output = other.push().output
    assert output.count("Found Remotely") == 2 and output.count("Building [") == 1, output
    assert set(listed(index(other))) == {*TWO, "linux/riscv64"}
    other.doit("prune", "--all").succeeded()
    assert server.state() == other.registry_before and other.pushed()["latest"] == whole
    all_gone(other)
    shop.doit("prune", "--all").succeeded()
    assert server.state() == shop.registry_before


def test_killed_between_the_images_and_the_index(pushing: Open, server: Server) -> None:
    shop = several(pushing)
    done, moments = killed(shop.project, 0, "push")
    done.succeeded()
    shop.all_taken_back()
    puts = [number for number, moment in enumerate(moments, 1) if " manifest " in moment and "before-" not in moment]
    tags = [number for number, moment in enumerate(moments, 1) if moment.startswith(("intended tag", "done tag"))]
    for number in points.some(sorted({*puts[-2:], *tags[2:]})):
        done, reached = killed(shop.project, number, "push")
        assert done.code == -signal.SIGKILL and len(reached) == number, done.output
        assert server.state() != shop.registry_before
        output = shop.doit("prune", "--all").succeeded().output
        assert server.state() == shop.registry_before, f"{reached[-1]}\n{output}"
        all_gone(shop, f"{reached[-1]}\n{output}")
        points.survived("push of two platforms", reached[-1])


def test_a_platform_that_this_machine_cannot_run(pushing: Open) -> None:
    """The program is none at all: that is what a kernel says of one for another machine."""
    shop = several(pushing)
    shop.project.write("web/Dockerfile", f"FROM --platform=linux/amd64 {shop.corner.base} AS files\nFROM scratch\n"
                       "COPY --from=files / /\nCOPY program /program\nRUN [\"/program\"]\n")  # fmt: skip
    elf = bytes.fromhex("7f454c460201010000000000000000000200b700") + bytes(44)  # the head of a program for arm64
    shop.project.write("web/program", "").write_bytes(elf)
    (shop.folder / "web/program").chmod(0o755)
    configure(shop, "linux/arm64")
    output = shop.doit("build").failed().output
    assert "RUN needs a machine of linux/arm64, or one that emulates it" in output and "--install arm64" in output, output
    all_gone(shop)


def test_the_legacy_builder_says_what_it_cannot(pushing: Open) -> None:
    """Its FROM scratch is for its own platform, and it takes a base for another one without a word."""
    shop = several(pushing)
    for dockerfile in ("FROM scratch\nCOPY . /out/\n", f"FROM {shop.corner.base}\nENV A=b\n"):
        shop.project.write("web/Dockerfile", dockerfile)
        output = shop.doit("build", env={"DOCKER_BUILDKIT": "0"}).failed().output
        assert f"Build [{shop.image} for linux/amd64] succeeded" in output and "linux/arm64" in output, output
        assert "it cannot start FROM scratch" in output and "buildx" in output, output
    shop.doit("prune", "--all").succeeded()
    all_gone(shop)


def test_nothing_is_pushed_one_platform_is_built(pushing: Open) -> None:
    shop = several(pushing, "linux/s390x", "linux/arm64", "linux/amd64")
    environment = {"KFOLD_PUSH": "no"}
    output = shop.doit("build", env=environment).succeeded().output
    assert output.count("Building [") == 1 and f"Building [{shop.image} for {host_platform()}]" in output, output
    output = shop.doit("build", env={**environment, "KFOLD_PLATFORM": "arm64"}).succeeded().output
    assert f"Building [{shop.image} for linux/arm64]" in output, output
    text = shop.project.read("kfold.yaml")
    shop.project.write("kfold.yaml", text.replace('"context"', '"platforms": ["s390x"], "context"'))
    output = shop.doit("build", env={**environment, "KFOLD_PLATFORM": "arm64"}).failed().output
    assert "is built for linux/s390x, and linux/arm64 was asked for" in output, output
    shop.doit("prune", "--all").succeeded()
    all_gone(shop)
