"""What is pushed is found again anywhere, sent once, and taken back tag by tag; what is somebody else's stays."""

from __future__ import annotations

import json

import pytest

from tests.engine import docker
from tests.registry.conftest import Open
from tests.registry.server import Server

pytestmark = pytest.mark.engine


def test_pushed_moved_and_taken_back(pushing: Open, server: Server) -> None:
    shop = pushing()
    output = shop.push().output
    first = shop.pushed()
    assert set(first) == {"latest", *shop.key_tags()} and len(first) == 2 and len(set(first.values())) == 1
    assert f"{shop.image}:latest: pushed" in output, output

    asked = len(server.requests())
    done = shop.push()
    assert "Nothing to do" in done.output, done.output
    assert {line.split()[0] for line in server.requests()[asked:]} == {"HEAD"}

    shop.project.write("web/a.txt", "b\n")
    shop.push()
    second = shop.pushed()
    assert len(shop.key_tags()) == 2 and second["latest"] not in first.values()
    assert {tag: digest for tag, digest in second.items() if tag in first and tag != "latest"}.items() <= first.items()

    told = json.loads(shop.doit("status", "--json").succeeded().output)["registry"]
    assert {(item["kind"], item["world"]) for item in told} == {("tag", "there"), ("manifest", "there")}
    assert len(told) == 5, told

    # what it removes from a registry is what nothing else says is needed: not so by the plain `prune`
    shop.doit("prune").succeeded()
    assert shop.pushed() == second
    output = shop.all_taken_back()
    assert f"removed {shop.image}:latest" in output, output


def test_found_by_its_content_key_on_another_machine(pushing: Open, server: Server) -> None:
    shop = pushing()
    shop.push()
    (key,) = shop.key_tags()
    digest = shop.pushed()[key]
    other = shop.elsewhere("other")
    other.config(policy={"envTemplate": {"template": "v2"}})

    asked = len(server.requests())
    output = other.doit("build").succeeded().output
    assert f" - {other.image}: Found Remotely ({other.image}:{key})" in output and "Building" not in output, output
    assert [line.split()[0] for line in server.requests()[asked:]].count("HEAD") == 1
    output = other.push().output
    assert other.pushed()["v2"] == digest and "the registry has it" in output, output
    assert "Nothing to do" in other.push().output
    assert other.changes() == [], "nothing of it is in the engine"
    assert not any("/blobs/" in line for line in server.requests()[asked:]), "no layer travelled"

    other.project.write("web/a.txt", "changed\n")
    output = other.doit("why", "build:web").succeeded().output
    assert "build:web: will run: files changed" in output, output
    other.project.write("web/a.txt", "a\n")
    other.all_taken_back()
    assert shop.pushed()[key] == digest
    shop.doit("prune", "--all").succeeded()
    assert server.state() == shop.registry_before


def test_a_required_image_is_taken_from_the_registry(pushing: Open, server: Server) -> None:
    shop = pushing()
    user = {"image": f"{shop.image}-user", "context": "user", "requires": [{"image": shop.image, "alias": "BASE"}]}
    shop.config({"image": shop.image, "context": "web"}, user)
    shop.project.write("user/Dockerfile", "ARG BASE\nFROM $BASE\nCOPY b.txt /b.txt\n")
    shop.project.write("user/b.txt", "b\n")
    shop.push()
    other = shop.elsewhere("other")
    other.project.write("user/b.txt", "changed\n")
    output = other.push().output
    assert output.count("Found Remotely") == 1 and "Building" in output, output
    other.doit("prune", "--all").succeeded()
    assert server.state() == other.registry_before
    shop.corner.sweep(shop.before)  # the base that the builder pulled is the user's, as any base is
    shop.doit("prune", "--all").succeeded()
    assert server.state() == shop.registry_before


def test_what_somebody_else_has_there_stays(pushing: Open, server: Server) -> None:
    shop = pushing()
    docker("tag", shop.corner.base, f"{shop.image}:latest")
    docker("push", "--quiet", f"{shop.image}:latest")
    docker("rmi", f"{shop.image}:latest")
    shop.registry_before = server.state()
    theirs = server.digest(shop.repository, "latest")
    assert theirs
    shop.push()
    ours = server.digest(shop.repository, "latest")
    assert ours != theirs
    # somebody names our image, and it is theirs to keep then
    docker("tag", f"{shop.image}:latest", f"{shop.image}:mine")
    docker("push", "--quiet", f"{shop.image}:mine")
    docker("rmi", f"{shop.image}:mine")
    output = shop.doit("prune", "--all").succeeded().output
    assert f"pointed {shop.image}:latest back at {theirs}" in output, output
    assert "mine is a tag that kfold did not give" in output, output
    mine = {f"{shop.repository}:mine": ours, f"{shop.repository}@{ours}": ours}
    assert server.state() == {**shop.registry_before, **mine}
    assert shop.changes() == [] and shop.records() == []


def test_a_manifest_that_was_there_before_stays(pushing: Open, server: Server) -> None:
    shop = pushing()
    image = shop.tag()
    docker("tag", image, f"{shop.image}:by-hand")
    docker("push", "--quiet", f"{shop.image}:by-hand")
    docker("rmi", f"{shop.image}:by-hand")
    shop.registry_before = server.state()
    shop.push()
    assert len(set(shop.pushed().values())) == 1 and len(shop.pushed()) == 3
    shop.all_taken_back()


def test_moved_by_somebody_since(pushing: Open, server: Server) -> None:
    shop = pushing()
    shop.push()
    docker("tag", shop.corner.base, f"{shop.image}:latest")
    docker("push", "--quiet", f"{shop.image}:latest")
    docker("rmi", f"{shop.image}:latest")
    theirs = server.digest(shop.repository, "latest")
    shop.tag()  # the engine's own name, which went with that
    assert "names another image" in shop.doit("why", "push:web").succeeded().output
    output = shop.doit("prune", "--all").succeeded().output
    assert f"{shop.image}:latest stays: it names another image now" in output, output
    assert server.state() == {f"{shop.repository}:latest": theirs, f"{shop.repository}@{theirs}": theirs}


def test_a_registry_that_deletes_nothing(pushing: Open, server: Server) -> None:
    server.delete = False
    shop = pushing()
    shop.push()
    pushed = server.state()
    output = shop.doit("prune", "--all").failed().output
    assert f"{shop.image}:latest stays: {server.host} deletes nothing" in output, output
    assert "storage.delete.enabled" in output and "The record is kept" in output, output
    assert server.state() == pushed
    assert [record for record in shop.records() if " tag " in record]
    server.stop()
    server.delete = True
    server.start()
    shop.all_taken_back()
