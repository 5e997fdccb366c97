"""`doit load` and `doit deploy` to a kind cluster, end to end, and all of it taken back."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from scripts.debian_packages import Unavailable, unpacked
from tests.conftest import ProjectFactory
from tests.engine import REPOSITORY, docker, image_ids, wait_until
from tests.images.lab import Lab
from tests.nodes.conftest import NOTHING, Api, App, app_on
from tests.nodes.node import TestNode, cluster_name, node

pytestmark = pytest.mark.engine


def test_deployed_twice_and_taken_back(app: App) -> None:
    done = app.doit("deploy").succeeded()
    assert f'Loading {app.image} into kind "{app.nodes[0].cluster}"...' in done.output
    for one in app.nodes:
        images = one.images()
        assert app.name() in images and app.corner.names()[f"{app.image}:latest"] in images
    loaded = app.world()
    again = app.doit("deploy").succeeded()
    assert NOTHING in again.output and app.world() == loaded, again.output
    status = json.loads(app.doit("status", "--json").succeeded().output)
    assert {(item["node"], item["world"]) for item in status["node"]} == {(one.name, "there") for one in app.nodes}
    app.write("b\n")
    app.doit("deploy").succeeded()
    assert len(app.records("node")) == 4
    app.doit("prune").succeeded()
    assert len(app.records("node")) == 2, "the first image is superseded"
    assert all(len(one.images()) == 2 + len(state["names"]) for one, state in zip(app.nodes, app.before[1], strict=True))
    app.doit("delete").succeeded()
    app.taken_back()


def test_kind_itself_sees_the_nodes(app: App) -> None:
    try:
        files = unpacked("sid", ["kind"], REPOSITORY / ".venv" / "debian" / "kind")
    except Unavailable as error:
        pytest.skip(f"no kind command: {error}")
    (kind,) = (path for path in files.glob("usr/bin/kind") if path.is_file())

    def said(*arguments: str) -> list[str]:
        return subprocess.run([kind, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout.split()

    assert app.nodes[0].cluster in said("get", "clusters")
    assert sorted(said("get", "nodes", "--name", app.nodes[0].cluster)) == sorted(one.name for one in app.nodes)


def test_what_kind_loaded_is_found_and_stays(app: App) -> None:
    app.doit("tag").succeeded()
    name = app.name()
    app.nodes[0].save(name.removeprefix("docker.io/library/"))
    was = app.nodes[0].images()
    done = app.doit("load").succeeded()
    assert app.nodes[0].images() == was, "it was there"
    assert f"-> {app.nodes[1].name}:" in done.output and name in app.nodes[1].images()
    assert NOTHING in app.doit("load").succeeded().output
    app.doit("prune", "--all").succeeded()
    assert app.nodes[0].images() == was and app.nodes[1].state() == app.before[1][1]


def test_a_name_that_pointed_elsewhere_is_pointed_back(app: App) -> None:
    app.doit("tag").succeeded()
    name = app.name()
    for one in app.nodes:
        one.save(app.corner.base)
        one.ctr("images", "tag", f"docker.io/library/{app.corner.base}", name)
        # the base's own name is what would keep its contents
        one.ctr("images", "rm", f"docker.io/library/{app.corner.base}", app.corner.image)
    app.before = (app.before[0], [one.state() for one in app.nodes])
    was = [one.images()[name] for one in app.nodes]
    app.doit("load").succeeded()
    assert all(one.images()[name] != digest for one, digest in zip(app.nodes, was, strict=True))
    app.doit("prune", "--all").succeeded()
    assert [one.images()[name] for one in app.nodes] == was
    for one, state in zip(app.nodes, app.before[1], strict=True):
        now = one.state()
        assert now["kept"] == [] and set(now["snapshots"]) == set(state["snapshots"]), "what it names is whole"
        one.ctr("images", "rm", "--sync", *one.images())


def test_a_container_in_a_node_keeps_its_image(app: App) -> None:
    app.doit("load").succeeded()
    one, first = app.nodes[0], app.name()
    one.ctr("run", "--detach", "--net-host", "--cgroup", "", first, "runs", "sleep", "600")
    app.write("b\n")
    app.doit("load").succeeded()
    done = app.doit("prune").succeeded()
    assert f"stays: in use by container runs in node {one.name}" in done.output and first in one.images()
    one.ctr("tasks", "rm", "--force", "runs")
    one.ctr("containers", "rm", "runs")
    assert app.doit("prune").succeeded() and first not in one.images()
    name = app.name()
    one.ctr("containers", "create", name, "user", "true")
    done = app.doit("prune", "--all").failed()
    assert f"container user in node {one.name}" in done.output and "stays" in done.output
    assert name in one.images() and app.records("node")
    one.ctr("containers", "rm", "user")
    app.taken_back()


def test_what_a_user_tagged_in_a_node_stays(app: App) -> None:
    app.doit("load").succeeded()
    one = app.nodes[0]
    digest = one.images()[app.name()]
    one.ctr("images", "tag", app.name(), "example.com/mine:1")
    app.doit("prune", "--all").succeeded()
    assert one.images().get("example.com/mine:1") == digest
    assert app.corner.state() == app.before[0] and app.records() == []


def test_an_image_that_somebody_removed_is_loaded_again(app: App) -> None:
    app.doit("load").succeeded()
    one = app.nodes[1]
    name = app.name()
    one.ctr("images", "rm", "--sync", *one.images())
    status = json.loads(app.doit("status", "--json").output)["node"]
    assert [item["world"] for item in status if item["node"] == one.name] == ["gone"]
    done = app.doit("load").succeeded()
    assert f"-> {one.name}:" in done.output and name in one.images()
    app.taken_back()


def test_an_image_of_another_architecture_is_refused(app: App) -> None:
    app.project.write("web/Dockerfile", "FROM scratch\nCOPY a.txt /out/\n")
    app.project.environment["DOCKER_DEFAULT_PLATFORM"] = "linux/arm64"
    done = app.doit("load").failed()
    assert f"is for linux/arm64, and node {app.nodes[0].name} is linux/amd64" in done.output
    assert app.records("node") == [] and [one.state() for one in app.nodes] == app.before[1]
    app.doit("prune", "--all").succeeded()
    assert not image_ids(app.image)


def test_a_node_that_is_stopped_or_gone(api: Api, corner: Lab, own_node: TestNode, project: ProjectFactory) -> None:
    with app_on(api, corner, project(), own_node) as app:
        app.doit("load").succeeded()
        own_node.stop_containerd()
        done = app.doit("prune", "--all").failed()
        assert f"containerd in node {own_node.name} does not answer" in done.output
        docker("stop", "-t", "5", own_node.id)
        for arguments in (("prune", "--all"), ("load",)):
            done = app.doit(*arguments).failed()
            assert f"`docker start {own_node.name}`" in done.output, done.output
        status = app.doit("status").succeeded().output
        assert f"node {own_node.name} is exited" in status, status
        assert app.records("node"), "what it holds is not known"
        docker("start", own_node.id)
        own_node.wait()
        assert "Loading" not in app.doit("load").succeeded().output, "it is all there"
        docker("rm", "-f", "-v", own_node.id)
        assert "gone" in app.doit("status").succeeded().output
        done = app.doit("load").failed()
        assert "no container of this engine is a node" in done.output
        done = app.doit("prune", "--all").succeeded()
        assert f"node {own_node.name} is gone" in done.output and app.records() == []
        assert app.corner.state() == app.before[0]


def test_a_cluster_of_that_name_on_another_machine(app: App, api: Api) -> None:
    """The context's cluster has other nodes than the containers of that name here."""
    one = app.nodes[0]
    other = TestNode("elsewhere-control-plane", "", one.cluster, "kind")
    api.kubectl("delete", "node", *(node.name for node in app.nodes))
    try:
        with api.nodes(other):
            done = app.doit("load").failed()
    finally:
        with api.nodes(*app.nodes):
            pass
        from tests.nodes.conftest import node_object

        api.apply(*(node_object(node) for node in app.nodes))
    assert "elsewhere-control-plane" in done.output and one.cluster in done.output, done.output
    assert app.records("node") == []
    app.taken_back()


def test_a_cluster_of_k3d(api: Api, corner: Lab, old_node_image: str, project: ProjectFactory, tmp_path: Path) -> None:
    """Neither the command kind nor k3d is asked."""
    for name in ("kind", "k3d"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/asked\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    with node(old_node_image, cluster_name(), "k3d", "server-0") as server, app_on(api, corner, project(), server) as app:
        app.project.environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{app.project.environment['PATH']}"
        done = app.doit("deploy").succeeded()
        assert f'into k3d "{server.cluster}"' in done.output and app.name() in server.images()
        app.doit("delete").succeeded()
        app.taken_back()
    assert not (tmp_path / "asked").exists()


def test_an_engine_learns_in_the_background_what_it_built(
    api: Api, corner: Lab, own_node: TestNode, project: ProjectFactory
) -> None:
    """The first load of a big base moves it whole; once its layers are known by digest only the changed ones move."""
    with app_on(api, corner, project(), own_node) as app:
        app.project.environment.pop("CI", None)
        big = "RUN head -c 30000000 /dev/urandom >/big"
        app.project.write("web/Dockerfile", f"FROM {corner.base}\n{big}\nCOPY a.txt /out/\n")
        done = app.doit("load").succeeded()
        assert "whole images: most of it is new to the node" in done.output
        lent = [record for record in app.records("engine") if "127.0.0.1" in record]
        assert len(lent) == 1
        wait_until(lambda: not docker("images", "-q", "127.0.0.1*/*").strip(), "the end of the priming")
        assert "127.0.0.1" not in app.doit("status").succeeded().output
        app.write("b\n")
        done = app.doit("load").succeeded()
        assert "whole images" not in done.output and " kB in " in done.output, done.output
        assert not [record for record in app.records("engine") if "127.0.0.1" in record]
        app.taken_back()
        # and one that is under way is ended by prune
        app.project.write("web/Dockerfile", f"FROM {corner.base}\n{big} # 2\nCOPY a.txt /out/\n")
        app.doit("load").succeeded()
        app.taken_back()
