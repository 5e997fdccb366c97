"""What reaches the builder, in which order, and what a build that fails or is stopped leaves behind: nothing."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.engine import wait_until
from tests.images.conftest import Shop

pytestmark = pytest.mark.engine


def pair(shop: Shop, **docker: Any) -> str:
    """`web` requires `base`; returns the name of `base`."""
    base = f"{shop.image}-base"
    web = {"image": shop.image, "context": "web", "requires": [{"image": base, "alias": "BASE"}], **docker}
    shop.config(web, {"image": base, "context": "base"})
    shop.dockerfile("COPY word /out/word", folder="base")
    shop.project.write("base/word", "first\n")
    shop.project.write("web/Dockerfile", "ARG BASE\nFROM $BASE\nCOPY a.txt /out/\n")
    return base


def test_a_required_image_comes_first_and_its_reference_is_handed_on(shop: Shop, builder: str) -> None:
    base = pair(shop)
    done = shop.doit("tag").succeeded()
    output = done.output
    assert output.index(f"Build [{base}] succeeded") < output.index(f"Building [{shop.image}]")
    names = shop.corner.names()
    web = names[f"{shop.image}:latest"]
    assert shop.corner.text(web, "/out/word") == "first\n"
    shop.up_to_date()
    shop.project.write("base/word", "second\n")
    shop.doit("tag").succeeded()
    again = shop.corner.names()
    assert again[f"{base}:latest"] != names[f"{base}:latest"]
    assert again[f"{shop.image}:latest"] != web
    assert shop.corner.text(again[f"{shop.image}:latest"], "/out/word") == "second\n"
    shop.up_to_date()
    shop.project.write("web/a.txt", "only web\n")
    done = shop.doit("tag").succeeded()
    assert f"Building [{shop.image}]" in done.output and f"Building [{base}]" not in done.output
    shop.prune_all()


def test_independent_artifacts_are_built_at_the_same_time(shop: Shop) -> None:
    other = f"{shop.image}-other"
    shop.config({"image": shop.image, "context": "web"}, {"image": other, "context": "other"})
    for folder in ("web", "other"):
        shop.dockerfile("RUN sleep 2", f"COPY name-{folder} /out/", folder=folder)
        shop.project.write(f"{folder}/name-{folder}", folder)
    output = shop.doit("-n", "4", "tag").succeeded().output
    starts = [output.index(f"Building [{image}]") for image in (shop.image, other)]
    ends = [output.index(f"Build [{image}] succeeded") for image in (shop.image, other)]
    assert max(starts) < min(ends), output
    shop.up_to_date("-n", "4", "tag")
    shop.prune_all()


def test_a_build_argument_from_the_environment(shop: Shop) -> None:
    shop.config(docker={"buildArgs": {"WORD": None, "FIXED": "{{.FROM_TEMPLATE}}-x"}})
    shop.dockerfile("ARG WORD", "ARG FIXED", "RUN mkdir /out && echo $WORD $FIXED > /out/word")
    environment = {"WORD": "one", "FROM_TEMPLATE": "t"}
    first = shop.tag(env=environment)
    assert shop.corner.text(first, "/out/word") == "one t-x\n"
    shop.up_to_date(env=environment)
    second = shop.tag(env={**environment, "WORD": "two"})
    assert shop.corner.text(second, "/out/word") == "two t-x\n"
    third = shop.tag(env={"FROM_TEMPLATE": "u"})
    assert shop.corner.text(third, "/out/word") == "u-x\n"
    assert len({first, second, third}) == 3
    shop.prune_all()


def test_target_and_a_dockerfile_of_another_name(shop: Shop) -> None:
    shop.config(docker={"target": "one", "dockerfile": "other.Dockerfile"})
    lines = (f"FROM {shop.corner.base} AS one", "COPY a.txt /out/", "FROM one AS two", "RUN touch /out/two", "")
    shop.project.write("web/other.Dockerfile", "\n".join(lines))
    assert set(shop.corner.export(shop.tag())) - {""} == {"a.txt"}
    shop.config(docker={"target": "two", "dockerfile": "other.Dockerfile"})
    assert set(shop.corner.export(shop.tag())) - {""} == {"a.txt", "two"}
    shop.prune_all()


def test_no_cache_runs_every_step_of_a_build_and_no_build_twice(shop: Shop) -> None:
    shop.config(docker={"noCache": True})
    shop.dockerfile("RUN mkdir /out && cat /proc/sys/kernel/random/uuid > /out/random", "COPY a.txt /out/")
    first = shop.corner.text(shop.tag(), "/out/random")
    shop.up_to_date()
    shop.project.write("web/a.txt", "b\n")
    assert shop.corner.text(shop.tag(), "/out/random") != first
    shop.prune_all()


@pytest.mark.parametrize("image", ["docker.io/library/{0}", "docker.io/team/{0}", "localhost:5000/team/{0}"])
def test_odd_image_names(shop: Shop, image: str) -> None:
    name = image.format(shop.image)
    shop.config({"image": name, "context": "web"})
    shop.doit("tag").succeeded()
    assert shop.changes()
    shop.up_to_date()
    shop.prune_all()


def test_a_failed_build_leaves_no_record_and_no_image(shop: Shop, builder: str) -> None:
    shop.dockerfile("COPY a.txt /out/", "RUN touch /x", "RUN exit 7")
    failed = shop.doit("tag").failed()
    told = f"build:{shop.image} failed: build failed: "
    assert failed.output.count(told) == 1 and " 7" in failed.output.split(told)[1], failed.output
    assert shop.changes() == []
    assert shop.records() == []


def test_a_failed_build_keeps_what_was_there(shop: Shop, builder: str) -> None:
    shop.tag()
    before = shop.corner.state()
    shop.dockerfile("COPY . /out/", "RUN touch /x", "RUN exit 7")
    shop.doit("tag").failed()
    assert before.difference(shop.corner.state()) == []
    shop.prune_all()


def test_one_failing_build_does_not_stop_another(shop: Shop) -> None:
    other = f"{shop.image}-other"
    shop.config({"image": shop.image, "context": "web"}, {"image": other, "context": "other"})
    shop.dockerfile("RUN exit 7", folder="other")
    failed = shop.doit("--continue", "tag")
    assert failed.code != 0 and "Traceback" not in failed.output, failed.output
    assert f"{shop.image}:latest" in shop.corner.names()
    shop.prune_all()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_build_and_leaves_nothing(shop: Shop, builder: str, number: signal.Signals) -> None:
    shop.dockerfile("COPY a.txt /out/", "RUN sleep 63")
    running = shop.project.start_doit("tag")
    running.wait_for("RUN sleep 63")
    running.interrupt(number)
    done = running.wait(seconds=40).failed()
    assert "stopped" in done.output

    def tell() -> str:
        return f"{done.output}\n{shop.changes()}\n{shop.records()}"

    wait_until(lambda: not shop.changes(), "the engine to be as it was", tell=tell)
    assert shop.records() == []
